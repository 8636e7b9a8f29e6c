/** How a classifier of pictures learns and is judged, whatever its network: the judge and the feature network share it. */
import { type ParameterSpec, parameterTypes } from '../../nn/parameters.ts';
import type { LossProgram } from '../../nn/train-step.ts';
import {
  crossEntropyRows,
  mean,
  mul,
  type Program,
  type Size,
  sum,
  type Tensor,
  type TensorType,
  trace,
} from '../../program/index.ts';

export interface PictureClassifier {
  name: string;
  channels: number;
  size: number;
  specs: readonly ParameterSpec[];
  /** `[batch, channels, size, size] → [batch, classes]` */
  logits(p: Readonly<Record<string, Tensor>>, images: Tensor): Tensor;
}

/** `images` `[batch, channels, size, size]` f32 and `labels` `[batch]` i32 */
export const labelledTypes = (
  { channels, size }: Pick<PictureClassifier, 'channels' | 'size'>,
  batch: Size,
): Record<'images' | 'labels', TensorType> => ({
  images: { dtype: 'f32', shape: [batch, channels, size, size] },
  labels: { dtype: 'i32', shape: [batch] },
});

/** Mean cross-entropy. */
export function classifyingLoss(classifier: PictureClassifier, batch: number): LossProgram {
  return {
    specs: [...classifier.specs],
    inputs: labelledTypes(classifier, batch),
    loss: (x) => mean(crossEntropyRows(classifier.logits(x, x.images as Tensor), x.labels as Tensor)),
    dropped: 0,
  };
}

/** `total` of the cross-entropies, each times its `weights` `[batch]` f32. */
export function classifyingEvaluate(classifier: PictureClassifier, batch: Size): Program {
  const inputs = {
    ...parameterTypes(classifier.specs),
    ...labelledTypes(classifier, batch),
    weights: { dtype: 'f32' as const, shape: [batch] },
  };
  return trace(`${classifier.name}_evaluate`, inputs, (x) => {
    const rows = crossEntropyRows(classifier.logits(x, x.images as Tensor), x.labels as Tensor);
    return { total: sum(mul(rows, x.weights as Tensor)) };
  });
}
