/** Diffusion times as vectors: sines and cosines of falling frequency, then two layers. Knows no schedule. */
import type { Tensors } from '../../nn/adversarial/contract.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { cast, concat, cos, exp, iota, mul, reshape, silu, sin, type Tensor } from '../../program/index.ts';
import { dense, denseSpecs } from './layers.ts';

export interface TimeEmbedding {
  specs: ParameterSpec[];
  /** `[batch] i32 → [batch, width]` */
  embed(x: Tensors, times: Tensor): Tensor;
}

/** Vaswani et al. 2017, section 3.5, over times up to `longest`. */
export function sinusoids(times: Tensor, width: number): Tensor {
  const half = width / 2;
  const frequencies = exp(mul(cast(iota(half), 'f32'), -Math.log(10_000) / half));
  const angles = mul(reshape(cast(times, 'f32'), [-1, 1]), reshape(frequencies, [1, half]));
  return concat([sin(angles), cos(angles)], 1);
}

export function timeEmbedding(name: string, longest: number, width: number): TimeEmbedding {
  const inner = 64;
  const scale = 1000 / longest;
  return {
    specs: [...denseSpecs(`${name}.inner`, inner, width), ...denseSpecs(`${name}.outer`, width, width)],
    embed(x, times) {
      const waves = sinusoids(mul(cast(times, 'f32'), scale), inner);
      return dense(x, `${name}.outer`, silu(dense(x, `${name}.inner`, waves, { gain: Math.SQRT2 })));
    },
  };
}
