/**
 * Resampling of spatial axes, pixel centres at half (PyTorch's align_corners=False). Made of gathers and
 * products with small constant matrices, so it needs no gradient of its own.
 */
import { tensor as hostTensor } from '../../base/tensor.ts';
import { shapeError } from '../operation.ts';
import type { Tensor } from '../types.ts';
import { constant } from './constant.ts';
import { cast } from './elementwise.ts';
import { gather } from './indexing.ts';
import { matmul } from './linear.ts';
import { swapAxes } from './shape.ts';

/** The last `sizes.length` axes get these sizes. */
export function resize(x: Tensor, sizes: readonly number[], mode: 'nearest' | 'linear' = 'nearest'): Tensor {
  const first = x.shape.length - sizes.length;
  if (first < 0 || sizes.some((n) => !Number.isInteger(n) || n < 1))
    shapeError('resize', `[${sizes.join(', ')}] are no sizes for this input`, [x]);
  let result = x;
  sizes.forEach((to, i) => {
    const axis = first + i;
    const from = result.shape[axis];
    if (typeof from !== 'number') shapeError('resize', 'spatial sizes must be known', [x]);
    if (from === to) return;
    if (from === 0) shapeError('resize', 'nothing to take samples of: an axis of size 0', [x]);
    const isPlane = result.dtype === 'f32' && axis >= result.shape.length - 2 && to <= LARGEST;
    if (mode === 'linear') result = interpolate(result, axis, shares(from, to));
    else if (isPlane) result = interpolate(result, axis, choices(from, to));
    else result = gather(result, nearest(from, to), axis);
  });
  return result;
}

/** Above this a product's own work outgrows what it saves. */
const LARGEST = 128;

const placeOf = (i: number, from: number, to: number): number =>
  Math.min(from - 1, Math.floor((i * from) / to));

function nearest(from: number, to: number): Tensor {
  return constant(
    hostTensor(
      'i32',
      [to],
      Array.from({ length: to }, (_, i) => placeOf(i, from, to)),
    ),
  );
}

interface Weights {
  from: number;
  to: number;
  /** `[to, from]` */
  values: Float32Array<ArrayBuffer>;
}

/** The nearest place as a product: its gradient is a product, too, where a gather's has to scatter (8 ms of a U-Net's step). */
function choices(from: number, to: number): Weights {
  const values = new Float32Array(to * from);
  for (let i = 0; i < to; i++) values[i * from + placeOf(i, from, to)] = 1;
  return { from, to, values };
}

/** Each row has the two neighbours' shares. */
function shares(from: number, to: number): Weights {
  const values = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(from - 1, Math.floor(at));
    const high = Math.min(from - 1, low + 1);
    const share = at - low;
    values[i * from + low] = (values[i * from + low] as number) + 1 - share;
    values[i * from + high] = (values[i * from + high] as number) + share;
  }
  return { from, to, values };
}

function interpolate(x: Tensor, axis: number, { from, to, values }: Weights): Tensor {
  const matrix = cast(constant(hostTensor('f32', [to, from], values)), x.dtype);
  const last = x.shape.length - 1;
  if (axis === last) return matmul(x, swapAxes(matrix));
  if (axis === last - 1) return matmul(matrix, x);
  return swapAxes(matmul(swapAxes(x, axis, last), swapAxes(matrix)), axis, last);
}
