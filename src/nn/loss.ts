/** Losses. */
import { crossEntropyRows, mean, type Tensor } from '../program/index.ts';

export { crossEntropyRows };

/** Mean over the rows, in nats. `logits` `[rows, classes] f32`, `targets` `[rows] i32` → a scalar. */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return mean(crossEntropyRows(logits, targets));
}
