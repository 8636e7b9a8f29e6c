/** Several tensors as one vector, and its parts again: many small ones cost more in calls than in arithmetic. */
import { sizeOf } from '../base/tensor.ts';
import { concat, reshape, split, type Tensor } from '../program/index.ts';

/** One alone keeps its shape. */
export function join(parts: readonly Tensor[]): Tensor {
  const [only, ...more] = parts as readonly [Tensor, ...Tensor[]];
  if (more.length === 0) return only;
  return concat(
    parts.map((part) => reshape(part, [-1])),
    0,
  );
}

/** What `join` made of tensors of these shapes. */
export function separate(joined: Tensor, shapes: readonly (readonly number[])[]): Tensor[] {
  if (shapes.length === 1) return [joined];
  return split(joined, shapes.map(sizeOf), 0).map((part, i) => reshape(part, shapes[i] as readonly number[]));
}
