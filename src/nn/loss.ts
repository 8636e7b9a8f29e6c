/** Losses. */
import { gatherElements, logSoftmax, mean, neg, reshape, type Tensor } from '../program/index.ts';

/**
 * Negative log-likelihood of each target under softmax(logits), in nats.
 * @param logits `[rows, classes] f32` @param targets `[rows] i32` @returns `[rows] f32`
 */
export function crossEntropyRows(logits: Tensor, targets: Tensor): Tensor {
  const rows = targets.shape[0] as number;
  const picked = gatherElements(logSoftmax(logits), reshape(targets, [rows, 1]), 1);
  return reshape(neg(picked), [rows]);
}

/** Mean over the rows. */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return mean(crossEntropyRows(logits, targets));
}
