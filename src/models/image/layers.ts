/** The layers that several image architectures share, over parameters by name. Knows no architecture. */
import { tensor as hostTensor } from '../../base/tensor.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import {
  add,
  broadcastTo,
  concat,
  constant,
  conv,
  div,
  leakyRelu,
  matmul,
  mean,
  mul,
  reshape,
  sqrt,
  square,
  sub,
  swapAxes,
  type Tensor,
} from '../../program/index.ts';

export type Parameters = Readonly<Record<string, Tensor>>;

const get = (parameters: Parameters, name: string): Tensor => parameters[name] as Tensor;

/**
 * Weights start as N(0, 1/rate²) and are scaled where they are used, so that all learn at the same pace (equalised
 * learning rate, Karras et al. 2018, section 4.1).
 */
export function denseSpecs(
  name: string,
  from: number,
  to: number,
  options: { rate?: number; bias?: number | false } = {},
): ParameterSpec[] {
  const { rate = 1, bias = 0 } = options;
  return [
    {
      name: `${name}.weight`,
      shape: [from, to],
      initialiser: { name: 'normal', deviation: 1 / rate },
      role: 'matrix',
    },
    ...(bias === false ? [] : [biasSpec(`${name}.bias`, to, bias)]),
  ];
}

export function convolutionSpecs(
  name: string,
  from: number,
  to: number,
  kernel: number,
  options: { bias?: boolean } = {},
): ParameterSpec[] {
  return [
    {
      name: `${name}.weight`,
      shape: [to, from, kernel, kernel],
      initialiser: { name: 'normal', deviation: 1 },
      role: 'matrix',
    },
    ...(options.bias === false ? [] : [biasSpec(`${name}.bias`, to, 0)]),
  ];
}

function biasSpec(name: string, size: number, start: number): ParameterSpec {
  return {
    name,
    shape: [size],
    initialiser: start === 0 ? { name: 'zeros' } : { name: 'ones' },
    role: 'vector',
  };
}

/** `[batch, from] → [batch, to]`; `gain` √2 before a rectifier. */
export function dense(
  p: Parameters,
  name: string,
  x: Tensor,
  options: { gain?: number; rate?: number } = {},
): Tensor {
  const { gain = 1, rate = 1 } = options;
  const weight = get(p, `${name}.weight`);
  const y = matmul(x, mul(weight, (gain * rate) / Math.sqrt(weight.shape[0] as number)));
  const bias = p[`${name}.bias`];
  if (bias === undefined) return y;
  return add(y, rate === 1 ? bias : mul(bias, rate));
}

/** The scaled kernel `[to, from, kernel, kernel]`. */
export function kernelOf(p: Parameters, name: string, gain: number): Tensor {
  const weight = get(p, `${name}.weight`);
  const [, from, high, wide] = weight.shape as readonly [number, number, number, number];
  return mul(weight, gain / Math.sqrt(from * high * wide));
}

/** `[batch, from, size, size] → [batch, to, size / stride, size / stride]`. */
export function convolution(
  p: Parameters,
  name: string,
  x: Tensor,
  options: { stride?: number; gain?: number } = {},
): Tensor {
  const { stride = 1, gain = 1 } = options;
  const kernel = kernelOf(p, name, gain);
  const padding = ((kernel.shape[2] as number) - 1) / 2;
  return conv(x, kernel, { stride, padding, bias: p[`${name}.bias`] });
}

/** `[channels] → [1, channels, 1, 1]` */
export const perChannel = (x: Tensor): Tensor => reshape(x, [1, x.shape[0] as number, 1, 1]);

/** The rectifier of every network here; a √2 in the layer before keeps the variance. */
export const rectify = (x: Tensor): Tensor => leakyRelu(x, 0.2);
export const GAIN = Math.SQRT2;

/** Each place's channels to mean square 1 (Karras et al. 2018, section 4.2). Axis 1 are the channels. */
export function pixelNorm(x: Tensor): Tensor {
  return div(x, sqrt(add(mean(square(x), { axes: [1], keep: true }), 1e-8)));
}

/** Latents as a network takes them in, nearer to their middle (0) by the scalar `truncation`, where that is among the inputs. */
export const truncated = (x: Parameters, latents: Tensor): Tensor =>
  x.truncation === undefined ? latents : mul(latents, x.truncation);

/**
 * One more channel: how much neighbours in the batch differ, over groups of `group` (Karras et al. 2018, section 3), or of
 * the next smaller number that divides each of the `batches` that stand one after the other (all of it, where there is none).
 */
export function minibatchDeviation(x: Tensor, group: number, batches = 1): Tensor {
  const [batch, channels, high, wide] = x.shape as readonly [number, number, number, number];
  const each = batch / batches;
  let size = Math.min(group, each);
  while (size > 1 && each % size !== 0) size--;
  if (size === 1) size = each;
  const grouped = reshape(x, [batch / size, size, channels * high * wide]);
  const centred = sub(grouped, mean(grouped, { axes: [1], keep: true }));
  const deviation = sqrt(add(mean(square(centred), { axes: [1] }), 1e-8));
  const one = mean(deviation, { axes: [1] });
  const plane = broadcastTo(reshape(one, [batch / size, 1, 1, 1, 1]), [batch / size, size, 1, high, wide]);
  return concat([x, reshape(plane, [batch, 1, high, wide])], 1);
}

/** Twice the size, smoothed by `[1, 3, 3, 1]` (Zhang 2019); a product with a constant matrix on each side. */
export function upsample(x: Tensor): Tensor {
  return onBothSides(x, upsampling(x.shape[2] as number));
}

/** Half the size, smoothed by the same filter. */
export function downsample(x: Tensor): Tensor {
  const size = x.shape[2] as number;
  const up = upsampling(size / 2);
  const matrix = new Float32Array((size / 2) * size);
  for (let i = 0; i < size / 2; i++)
    for (let j = 0; j < size; j++) matrix[i * size + j] = (up[j * (size / 2) + i] as number) / 2;
  return onBothSides(x, matrix);
}

/** `[2·size, size]`: each new place takes 3/4 of the nearer and 1/4 of the farther old one; past the rim the rim counts. */
function upsampling(size: number): Float32Array {
  const matrix = new Float32Array(2 * size * size);
  const put = (row: number, column: number, share: number): void => {
    const inside = Math.min(size - 1, Math.max(0, column));
    matrix[row * size + inside] = (matrix[row * size + inside] as number) + share;
  };
  for (let i = 0; i < size; i++) {
    put(2 * i, i, 0.75);
    put(2 * i, i - 1, 0.25);
    put(2 * i + 1, i, 0.75);
    put(2 * i + 1, i + 1, 0.25);
  }
  return matrix;
}

function onBothSides(x: Tensor, matrix: Float32Array): Tensor {
  const from = x.shape[2] as number;
  const constants = constant(
    hostTensor('f32', [matrix.length / from, from], matrix as Float32Array<ArrayBuffer>),
  );
  return matmul(matmul(constants, x), swapAxes(constants));
}
