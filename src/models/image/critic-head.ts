/**
 * How every critic of pictures ends: the batch's deviation, a convolution, a layer, a score; the label as a projection
 * (Miyato and Koyama 2018) and the number of diffusion steps as an offset where there are any.
 */
import type { Conditions, Tensors } from '../../nn/adversarial/contract.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { add, gather, mul, reshape, sum, type Tensor } from '../../program/index.ts';
import {
  convolution,
  convolutionSpecs,
  dense,
  denseSpecs,
  GAIN,
  minibatchDeviation,
  rectify,
} from './layers.ts';
import { timeEmbedding } from './times.ts';

export interface CriticHeadOptions {
  /** Channels and side of the last feature map. */
  width: number;
  size: number;
  /** Neighbours whose deviation is seen; 0 for none. */
  group: number;
  /** Labels that come as a projection; 0 for none. */
  classes: number;
  /** Most diffusion steps; undefined where none are done. */
  times?: number | undefined;
}

export interface CriticHead {
  specs: ParameterSpec[];
  /** `[batch, width, size, size] → [batch]` */
  score(x: Tensors, features: Tensor, conditions: Conditions): Tensor;
}

export function criticHead({ width, size, group, classes, times }: CriticHeadOptions): CriticHead {
  const specs = [
    ...convolutionSpecs('critic.last', width + (group > 0 ? 1 : 0), width, 3),
    ...denseSpecs('critic.dense', width * size * size, width),
    ...denseSpecs('critic.score', width, 1),
  ];
  if (classes > 0)
    specs.push({
      name: 'critic.labels.weight',
      shape: [classes, width],
      initialiser: { name: 'normal', deviation: 1 },
      role: 'embedding',
    });
  const embedding = times === undefined ? undefined : timeEmbedding('critic.times', times, width);
  if (embedding !== undefined) specs.push(...embedding.specs);
  return {
    specs,
    score(x, input, { labels, times: steps, batches = 1 }) {
      const batch = input.shape[0] as number;
      const seen = group > 0 ? minibatchDeviation(input, group, batches) : input;
      const h = rectify(convolution(x, 'critic.last', seen, { gain: GAIN }));
      let flat = dense(x, 'critic.dense', reshape(h, [batch, width * size * size]), { gain: GAIN });
      if (embedding !== undefined) flat = add(flat, embedding.embed(x, steps as Tensor));
      const features = rectify(flat);
      const score = reshape(dense(x, 'critic.score', features), [batch]);
      if (classes === 0) return score;
      const wanted = gather(x['critic.labels.weight'] as Tensor, labels as Tensor);
      return add(score, mul(sum(mul(features, wanted), { axes: [1] }), 1 / Math.sqrt(width)));
    },
  };
}
