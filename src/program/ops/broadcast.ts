/**
 * Broadcasting as NumPy has it: rules on types, its gradient, and its meaning on float64 values.
 * Knows no single op.
 */
import { define, type ReferenceValue, shapeError } from '../operation.ts';
import { mayBeEmpty, sameShape } from '../size.ts';
import type { Shape, Size, Tensor, TensorType } from '../types.ts';

/** The common shape; sizes must be equal or 1. */
export function broadcastShapes(op: string, types: readonly TensorType[]): Size[] {
  const rank = Math.max(...types.map((t) => t.shape.length));
  const result: Size[] = [];
  for (let axis = 0; axis < rank; axis++) {
    let size: Size = 1;
    for (const { shape } of types) {
      const own = shape[axis - rank + shape.length] ?? 1;
      if (own === 1 || own === size) continue;
      if (size !== 1)
        shapeError(
          op,
          'these shapes do not broadcast together',
          types,
          'sizes must be equal or 1, counted from the last axis',
        );
      size = own;
    }
    result.push(size);
  }
  return result;
}

/** Sums a cotangent back to the shape its input had before broadcasting. */
export function unbroadcast(cotangent: Tensor, shape: Shape): Tensor {
  if (sameShape(cotangent.shape, shape)) return cotangent;
  const lead = cotangent.shape.length - shape.length;
  const axes: number[] = [];
  cotangent.shape.forEach((size, axis) => {
    if (axis < lead || (shape[axis - lead] === 1 && size !== 1)) axes.push(axis);
  });
  let result = cotangent;
  if (axes.length > 0) result = applySum(result, axes);
  return sameShape(result.shape, shape)
    ? result
    : (applyReshape([result], { shape }) as readonly [Tensor])[0];
}

// Sum and reshape stand here because every family's gradients need them.

function reducedShape(shape: Shape, axes: readonly number[], keep: boolean): Size[] {
  return shape.flatMap((size, axis) => (axes.includes(axis) ? (keep ? [1] : []) : [size]));
}

/** Adds up along `axes` (kept as 1 where `keep`). */
export const applySumNode = define<{ axes: readonly number[]; keep: boolean }>({
  name: 'sum',
  infer: ([x], { axes, keep }) => [
    { dtype: (x as TensorType).dtype, shape: reducedShape((x as TensorType).shape, axes, keep) },
  ],
  vjp: ({ inputs: [x], cotangents: [g], attributes }) => [
    spread(g as Tensor, x as Tensor, attributes.axes, attributes.keep),
  ],
  onnx: ({ emit, inputs, integers, attributes, node, lookup }) => {
    if (attributes.axes.length === 0) return emit('Identity', inputs);
    const { op, inputs: factors } = (node.inputs[0] as Tensor).node;
    // A sum of squares is one walk over memory instead of two.
    const squares = op === 'mul' && factors[0] === factors[1];
    return emit(
      squares ? 'ReduceSumSquare' : 'ReduceSum',
      [squares ? lookup(factors[0] as Tensor) : (inputs[0] as string), integers(attributes.axes)],
      { keepdims: attributes.keep ? 1 : 0 },
    );
  },
  reference: ({ inputs: [x], attributes, outputs }) => [
    reduceReference(
      x as ReferenceValue,
      attributes.axes,
      (outputs[0] as { shape: readonly number[] }).shape,
      0,
      (a, b) => a + b,
    ),
  ],
});

function applySum(x: Tensor, axes: readonly number[]): Tensor {
  return applySumNode([x], { axes, keep: false })[0] as Tensor;
}

/** Gives a reduced cotangent its axes back and broadcasts it to `like`. */
export function spread(g: Tensor, like: Tensor, axes: readonly number[], keep: boolean): Tensor {
  const kept = like.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const shaped = keep ? g : (applyReshape([g], { shape: kept })[0] as Tensor);
  return applyBroadcast([shaped], { shape: like.shape })[0] as Tensor;
}

type Apply<A> = (inputs: readonly Tensor[], attributes: A) => readonly Tensor[];

export const applyReshape: Apply<{ shape: Shape }> = define<{ shape: Shape }>({
  name: 'reshape',
  infer: ([x], { shape }) => [{ dtype: (x as TensorType).dtype, shape }],
  vjp: ({ inputs: [x], cotangents: [g] }) => [applyReshape([g as Tensor], { shape: (x as Tensor).shape })[0]],
  onnx: ({ emit, inputs, shape, attributes }) =>
    emit('Reshape', [inputs[0] as string, shape(attributes.shape)], {
      allowzero: mayBeEmpty(attributes.shape) ? 1 : undefined,
    }),
  reference: ({ inputs: [x] }) => [(x as ReferenceValue).data],
});

export const applyBroadcast: Apply<{ shape: Shape }> = define<{ shape: Shape }>({
  name: 'broadcastTo',
  infer: ([x], { shape }) => {
    const type = x as TensorType;
    const common = broadcastShapes('broadcastTo', [type, { dtype: type.dtype, shape }]);
    if (!sameShape(common, shape))
      shapeError('broadcastTo', 'the input is larger than the target', [type, { dtype: type.dtype, shape }]);
    return [{ dtype: type.dtype, shape }];
  },
  vjp: ({ inputs: [x], cotangents: [g] }) => [unbroadcast(g as Tensor, (x as Tensor).shape)],
  onnx: ({ emit, inputs, shape, attributes }) =>
    emit('Expand', [inputs[0] as string, shape(attributes.shape)]),
  reference: ({ inputs: [x], outputs: [y] }) => {
    const shape = (y as { shape: readonly number[] }).shape;
    const at = broadcastIndex((x as ReferenceValue).shape, shape);
    return [
      Float64Array.from({ length: product(shape) }, (_, i) => (x as ReferenceValue).data[at(i)] as number),
    ];
  },
});

// Meaning on values.

export function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis] as number;
  }
  return strides;
}

/** From a flat index in `to` to the flat index in `from`. */
export function broadcastIndex(from: readonly number[], to: readonly number[]): (flat: number) => number {
  const lead = to.length - from.length;
  const outer = stridesOf(to);
  const inner = stridesOf(from);
  return (flat) => {
    let rest = flat;
    let index = 0;
    for (let axis = 0; axis < to.length; axis++) {
      const at = Math.floor(rest / (outer[axis] as number));
      rest -= at * (outer[axis] as number);
      if (axis >= lead && from[axis - lead] !== 1) index += at * (inner[axis - lead] as number);
    }
    return index;
  };
}

export function reduceReference(
  x: ReferenceValue,
  axes: readonly number[],
  outShape: readonly number[],
  start: number,
  combine: (total: number, value: number) => number,
): Float64Array {
  const result = new Float64Array(product(outShape)).fill(start);
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const at = broadcastIndex(kept, x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const to = at(i);
    result[to] = combine(result[to] as number, x.data[i] as number);
  }
  return result;
}

export { reducedShape };
