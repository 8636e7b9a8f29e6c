/** Rotary positions (Su et al. 2021, eq. 34): a composite that ONNX Runtime has a faster form of. */
import { define, shapeError } from '../operation.ts';
import { multiplySizes } from '../size.ts';
import type { Size, Tensor, TensorType } from '../types.ts';
import { add, mul, neg, sub } from './elementwise.ts';
import { byComposite } from './fused.ts';
import { concat, reshape, slice } from './shape.ts';

type Attributes = Record<string, never>;

const inPrimitives = ([x, cos, sin]: readonly Tensor[]): readonly Tensor[] => {
  const [c, s] = [cos as Tensor, sin as Tensor];
  const half = c.shape[3] as number;
  const first = slice(x as Tensor, { axis: 3, start: 0, end: half });
  const second = slice(x as Tensor, { axis: 3, start: half, end: 2 * half });
  return [concat([sub(mul(first, c), mul(second, s)), add(mul(second, c), mul(first, s))], 3)];
};

const rotateCall = define<Attributes>({
  name: 'rotate',
  infer: (types) => {
    const [x, cos, sin] = types as readonly TensorType[] as readonly [TensorType, TensorType, TensorType];
    const [batch, , time, dim] = x.shape;
    const [rows, one, places, half] = cos.shape;
    const fits =
      x.shape.length === 4 &&
      cos.shape.length === 4 &&
      cos.shape.join() === sin.shape.join() &&
      (rows === 1 || rows === batch) &&
      one === 1 &&
      places === time &&
      typeof half === 'number' &&
      half > 0 &&
      dim === 2 * half;
    if (!fits)
      shapeError(
        'rotate',
        'the angles do not fit',
        types,
        'shapes are [batch, head, time, dim], twice [batch or 1, 1, time, dim/2]',
      );
    if (cos.dtype !== x.dtype || sin.dtype !== x.dtype) shapeError('rotate', 'needs one dtype', types);
    return [x];
  },
  // Turned back; the angles are data, nothing learns them.
  vjp: ({ inputs: [, cos, sin], cotangents: [g] }) => [
    rotate(g as Tensor, { cos: cos as Tensor, sin: neg(sin as Tensor) }),
    undefined,
    undefined,
  ],
  onnx: ({ emit, inputs, types, shape, size, integers, scalar, portable }) => {
    const [x, cos, sin] = inputs as readonly [string, string, string];
    const [type, angles] = types as readonly [TensorType, TensorType];
    const [rows, , time, half] = angles.shape as readonly [Size, Size, Size, number];
    if (portable || type.dtype !== 'f32' || type.shape.includes(0)) {
      const part = (start: number): string =>
        emit('Slice', [x, integers([start]), integers([start + half]), integers([3])]);
      const [first, second] = [part(0), part(half)];
      const times = (a: string, b: string): string => emit('Mul', [a, b]);
      return emit(
        'Concat',
        [
          emit('Sub', [times(first, cos), times(second, sin)]),
          emit('Add', [times(second, cos), times(first, sin)]),
        ],
        { axis: 3 },
      );
    }
    // Its tables have one row a position: here one for each place of each row of the batch, in order.
    const all = multiplySizes(rows, time);
    const table = (values: string): string => emit('Reshape', [values, shape([all, half])]);
    const limit = emit('Squeeze', [size(all), integers([0])]);
    const places =
      rows === 1
        ? integers([0])
        : emit('Reshape', [emit('Range', [scalar(0, 'i64'), limit, scalar(1, 'i64')]), shape([rows, time])]);
    return emit('RotaryEmbedding', [x, places, table(cos), table(sin)], {}, 'com.microsoft');
  },
  reference: byComposite(inPrimitives),
  composite: inPrimitives,
});

/**
 * Turns each pair (i, i + D/2) of `x` `[B, H, T, D]` by its angle, the order Hugging Face keeps.
 * @param angles cosines and sines `[.., 1, T, D/2]`, of each row or of all; they get no gradient
 */
export function rotate(x: Tensor, angles: { cos: Tensor; sin: Tensor }): Tensor {
  const [cos, sin] = [angles.cos, angles.sin].map((t) =>
    t.shape.length === 3 ? reshape(t, [1, ...t.shape]) : t,
  ) as [Tensor, Tensor];
  return rotateCall([x, cos, sin], {})[0] as Tensor;
}
