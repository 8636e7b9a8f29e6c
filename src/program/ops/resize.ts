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
    result =
      mode === 'nearest' ? gather(result, nearest(from, to), axis) : interpolate(result, axis, from, to);
  });
  return result;
}

function nearest(from: number, to: number): Tensor {
  return constant(
    hostTensor(
      'i32',
      [to],
      Array.from({ length: to }, (_, i) => Math.min(from - 1, Math.floor((i * from) / to))),
    ),
  );
}

/** Product with `[to, from]`: each row has the two neighbours' shares. */
function interpolate(x: Tensor, axis: number, from: number, to: number): Tensor {
  const weights = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(from - 1, Math.floor(at));
    const high = Math.min(from - 1, low + 1);
    const share = at - low;
    weights[i * from + low] = (weights[i * from + low] as number) + 1 - share;
    weights[i * from + high] = (weights[i * from + high] as number) + share;
  }
  const matrix = cast(constant(hostTensor('f32', [to, from], weights)), x.dtype);
  const last = x.shape.length - 1;
  if (axis === last) return matmul(x, swapAxes(matrix));
  if (axis === last - 1) return matmul(matrix, x);
  return swapAxes(matmul(swapAxes(x, axis, last), swapAxes(matrix)), axis, last);
}
