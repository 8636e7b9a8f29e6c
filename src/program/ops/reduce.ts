/** Reductions along axes: sums, extremes, products, positions, running sums. */
import { define, type ReferenceValue, shapeError } from '../operation.ts';
import { countOf } from '../size.ts';
import type { Size, Tensor, TensorType } from '../types.ts';
import { applySumNode, product, reducedShape, reduceReference, spread } from './broadcast.ts';
import { iota } from './constant.ts';
import { add, cast, div, equal, exp, log, mul, sub, where } from './elementwise.ts';
import { axisOf, broadcastTo, reshape, reverse } from './shape.ts';

export interface ReduceOptions {
  /** Default: all. */
  axes?: readonly number[];
  /** Keeps reduced axes as 1. */
  keep?: boolean;
}

function axesOf(op: string, x: Tensor, options: ReduceOptions): number[] {
  const axes = (options.axes ?? x.shape.map((_, i) => i)).map((axis) => axisOf(op, x, axis));
  if (new Set(axes).size !== axes.length)
    shapeError(op, `an axis is named twice in [${axes.join(', ')}]`, [x]);
  return axes.sort((a, b) => a - b);
}

export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = axesOf('sum', x, options);
  return axes.length === 0 ? x : (applySumNode([x], { axes, keep: options.keep ?? false })[0] as Tensor);
}

/** How many elements are reduced, as a number or (where symbolic) a sum of ones. */
function countAlong(x: Tensor, axes: readonly number[]): number | Tensor {
  const count = countOf(axes.map((axis) => x.shape[axis] as Size));
  return typeof count === 'number' ? count : sizeTensor(count, x);
}

const sizeCall = define<{ size: Size }>({
  name: 'size',
  infer: () => [{ dtype: 'f32', shape: [] }],
  vjp: null,
  onnx: ({ emit, size, integers, attributes }) =>
    emit('Squeeze', [emit('Cast', [size(attributes.size)], { to: 1 }), integers([0])]),
  reference: ({ attributes }) => [Float64Array.of(attributes.size as number)],
});

/** A size as a scalar of `like`'s dtype. */
export function sizeTensor(size: Size, like: TensorType): Tensor {
  return cast(sizeCall([], { size })[0] as Tensor, like.dtype);
}

export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  return div(sum(x, options), countAlong(x, axesOf('mean', x, options)));
}

function extreme(
  name: 'max' | 'min',
  onnxOp: string,
  start: number,
  combine: (a: number, b: number) => number,
) {
  const call = define<{ axes: readonly number[]; keep: boolean }>({
    name,
    infer: ([x], { axes, keep }) => [
      { dtype: (x as TensorType).dtype, shape: reducedShape((x as TensorType).shape, axes, keep) },
    ],
    vjp: ({ inputs: [x], outputs: [y], cotangents: [g], attributes: { axes, keep } }) => {
      // Ties share the gradient evenly, as PyTorch's amax and amin do.
      const source = x as Tensor;
      const hit = cast(equal(source, spread(y as Tensor, source, axes, keep)), source.dtype);
      return [mul(spread(g as Tensor, source, axes, keep), div(hit, sum(hit, { axes, keep: true })))];
    },
    onnx: ({ emit, inputs, integers, attributes }) =>
      emit(onnxOp, [inputs[0] as string, integers(attributes.axes)], { keepdims: attributes.keep ? 1 : 0 }),
    reference: ({ inputs: [x], attributes, outputs: [y] }) => [
      reduceReference(
        x as ReferenceValue,
        attributes.axes,
        (y as { shape: readonly number[] }).shape,
        start,
        combine,
      ),
    ],
  });
  return (x: Tensor, options: ReduceOptions = {}): Tensor => {
    const axes = axesOf(name, x, options);
    if (axes.some((axis) => x.shape[axis] === 0))
      shapeError(name, 'nothing to choose from: an axis of size 0', [x]);
    return axes.length === 0 ? x : (call([x], { axes, keep: options.keep ?? false })[0] as Tensor);
  };
}

export const max = extreme('max', 'ReduceMax', Number.NEGATIVE_INFINITY, Math.max);
export const min = extreme('min', 'ReduceMin', Number.POSITIVE_INFINITY, Math.min);

const prodCall = define<{ axes: readonly number[]; keep: boolean }>({
  name: 'prod',
  infer: ([x], { axes, keep }) => [
    { dtype: (x as TensorType).dtype, shape: reducedShape((x as TensorType).shape, axes, keep) },
  ],
  vjp: ({ inputs: [x], cotangents: [g], attributes: { axes, keep } }) => {
    // The product of the others, without division, so that zeros are right: exclusive products from both sides.
    const source = x as Tensor;
    let others: Tensor | undefined;
    if (axes.length === 1) others = exclusiveProducts(source, axes[0] as number);
    else shapeError('prod', 'the gradient takes one axis at a time', [source], 'chain prod over single axes');
    return [mul(spread(g as Tensor, source, axes, keep), others as Tensor)];
  },
  onnx: ({ emit, inputs, integers, attributes }) =>
    emit('ReduceProd', [inputs[0] as string, integers(attributes.axes)], {
      keepdims: attributes.keep ? 1 : 0,
    }),
  reference: ({ inputs: [x], attributes, outputs: [y] }) => [
    reduceReference(
      x as ReferenceValue,
      attributes.axes,
      (y as { shape: readonly number[] }).shape,
      1,
      (a, b) => a * b,
    ),
  ],
});

/** For each element, the product of all others along `axis`: [.., n, ..] → mask to 1 on the diagonal of an outer copy. */
function exclusiveProducts(x: Tensor, axis: number): Tensor {
  const size = x.shape[axis] as Size;
  const open = expandAt(x, axis + 1, size); // [.., i, j, ..] holds x[i]
  const row = indexAlong(size, x.shape.length + 1, axis);
  const column = indexAlong(size, x.shape.length + 1, axis + 1);
  return prodOne(where(equal(row, column), 1, open), axis);
}

/** Product over any axes. */
export function prod(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = axesOf('prod', x, options);
  let result = x;
  for (const axis of [...axes].reverse())
    result = prodCall([result], { axes: [axis], keep: options.keep ?? false })[0] as Tensor;
  return result;
}

const prodOne = (x: Tensor, axis: number): Tensor =>
  prodCall([x], { axes: [axis], keep: false })[0] as Tensor;

function expandAt(x: Tensor, axis: number, size: Size): Tensor {
  const open = [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)];
  return broadcastTo(
    reshape(x, open),
    open.map((s, i) => (i === axis ? size : s)),
  );
}

/** 0…size−1 along one axis of a tensor of `rank`, 1 elsewhere. i32. */
export function indexAlong(size: Size, rank: number, axis: number): Tensor {
  return reshape(
    iota(size),
    Array.from({ length: rank }, (_, i) => (i === axis ? size : 1)),
  );
}

function position(name: 'argmax' | 'argmin', onnxOp: string, better: (a: number, b: number) => boolean) {
  const call = define<{ axis: number }>({
    name,
    infer: ([x], { axis }) => [{ dtype: 'i32', shape: reducedShape((x as TensorType).shape, [axis], false) }],
    vjp: null,
    onnx: ({ emit, inputs, attributes }) =>
      emit('Cast', [emit(onnxOp, inputs, { axis: attributes.axis, keepdims: 0 })], { to: 6 }),
    reference: ({ inputs: [x], attributes: { axis }, outputs: [y] }) => {
      const { shape, data } = x as ReferenceValue;
      const inner = product(shape.slice(axis + 1));
      const size = shape[axis] as number;
      const result = new Float64Array(product((y as { shape: readonly number[] }).shape));
      for (let i = 0; i < result.length; i++) {
        const base = Math.floor(i / inner) * size * inner + (i % inner);
        for (let k = 1; k < size; k++) {
          if (better(data[base + k * inner] as number, data[base + (result[i] as number) * inner] as number))
            result[i] = k;
        }
      }
      return [result];
    },
  });
  return (x: Tensor, axis: number): Tensor => {
    const at = axisOf(name, x, axis);
    if (x.shape[at] === 0) shapeError(name, 'nothing to choose from: an axis of size 0', [x]);
    return call([x], { axis: at })[0] as Tensor;
  };
}

/** The first position of the largest value. i32. */
export const argmax = position('argmax', 'ArgMax', (a, b) => a > b);
/** The first position of the smallest value. i32. */
export const argmin = position('argmin', 'ArgMin', (a, b) => a < b);

const cumsumCall = define<{ axis: number }>({
  name: 'cumsum',
  infer: ([x]) => [x as TensorType],
  vjp: ({ cotangents: [g], attributes: { axis } }) => [
    reverse(cumsum(reverse(g as Tensor, axis), axis), axis),
  ],
  onnx: ({ emit, inputs, scalar, attributes }) =>
    emit('CumSum', [inputs[0] as string, scalar(attributes.axis, 'i64')]),
  reference: ({ inputs: [x], attributes: { axis } }) => {
    const { shape, data } = x as ReferenceValue;
    const inner = product(shape.slice(axis + 1));
    const size = shape[axis] as number;
    const result = Float64Array.from(data);
    for (let i = 0; i < result.length; i++) {
      if (Math.floor(i / inner) % size !== 0)
        result[i] = (result[i] as number) + (result[i - inner] as number);
    }
    return [result];
  },
});

/** Running sums along an axis. */
export function cumsum(x: Tensor, axis: number): Tensor {
  return cumsumCall([x], { axis: axisOf('cumsum', x, axis) })[0] as Tensor;
}

/** Mean of squared distances from the mean (divides by n). */
export function variance(x: Tensor, options: ReduceOptions = {}): Tensor {
  const centred = sub(x, mean(x, { ...options, keep: true }));
  return mean(mul(centred, centred), options);
}

/** ln Σ e^x, without overflow. */
export function logSumExp(x: Tensor, options: ReduceOptions = {}): Tensor {
  const top = max(x, { ...options, keep: true });
  const kept = add(log(sum(exp(sub(x, top)), { ...options, keep: true })), top);
  return options.keep === true ? kept : sum(kept, options);
}
