/** Ops that move elements without changing them: reshape, transpose, broadcast, concat, slice, pad, reverse. */
import { define, type OnnxCall, type ReferenceValue, shapeError } from '../operation.ts';
import {
  addSizes,
  canonicalShape,
  countOf,
  divideSizes,
  multiplySizes,
  sameShape,
  subtractSizes,
} from '../size.ts';
import type { Attributes, Shape, Size, Tensor, TensorType } from '../types.ts';
import { applyBroadcast, applyReshape, product, stridesOf } from './broadcast.ts';
import { fill } from './constant.ts';

/** An axis counted from the end where negative. */
export function axisOf(op: string, x: TensorType, axis: number): number {
  const result = axis < 0 ? axis + x.shape.length : axis;
  if (!Number.isInteger(result) || result < 0 || result >= x.shape.length)
    shapeError(op, `there is no axis ${axis}`, [x]);
  return result;
}

/** One size may be −1: it takes what is left. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const open = shape.indexOf(-1);
  let target: readonly Size[];
  if (open < 0) target = canonicalShape(shape);
  else {
    const known = shape.reduce<Size>(
      (total, size, i) => (i === open ? total : multiplySizes(total, size)),
      1,
    );
    const rest = known === 0 ? undefined : divideSizes(countOf(x.shape), known);
    if (rest === undefined || shape.indexOf(-1, open + 1) >= 0) {
      shapeError('reshape', 'the open size does not come out even', [x, { dtype: x.dtype, shape }]);
    }
    target = canonicalShape(shape.map((size, i) => (i === open ? rest : size)));
  }
  if (sameShape(target, x.shape)) return x;
  if (countOf(target) !== countOf(x.shape)) {
    shapeError('reshape', 'the number of elements differs', [x, { dtype: x.dtype, shape: target }]);
  }
  return applyReshape([x], { shape: target })[0] as Tensor;
}

/** NumPy broadcasting to a target shape. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  const target = canonicalShape(shape);
  return sameShape(x.shape, target) ? x : (applyBroadcast([x], { shape: target })[0] as Tensor);
}

const transposeCall = define<{ permutation: readonly number[] }>({
  name: 'transpose',
  infer: ([x], { permutation }) => [
    {
      dtype: (x as TensorType).dtype,
      shape: permutation.map((axis) => (x as TensorType).shape[axis] as Size),
    },
  ],
  vjp: ({ cotangents: [g], attributes: { permutation } }) => [transpose(g as Tensor, inverse(permutation))],
  onnx: ({ emit, inputs, attributes }) => emit('Transpose', inputs, { perm: attributes.permutation }),
  reference: ({ inputs: [x], attributes: { permutation }, outputs: [y] }) => {
    const { shape, data } = x as ReferenceValue;
    const outer = stridesOf((y as { shape: readonly number[] }).shape);
    const inner = stridesOf(shape);
    const result = new Float64Array(data.length);
    for (let i = 0; i < result.length; i++) {
      let rest = i;
      let from = 0;
      for (let axis = 0; axis < permutation.length; axis++) {
        const at = Math.floor(rest / (outer[axis] as number));
        rest -= at * (outer[axis] as number);
        from += at * (inner[permutation[axis] as number] as number);
      }
      result[i] = data[from] as number;
    }
    return [result];
  },
});

function inverse(permutation: readonly number[]): number[] {
  const result = new Array<number>(permutation.length);
  permutation.forEach((from, to) => {
    result[from] = to;
  });
  return result;
}

/** Default: the axes in reverse. */
export function transpose(x: Tensor, permutation?: readonly number[]): Tensor {
  const order = permutation ?? x.shape.map((_, i) => x.shape.length - 1 - i);
  const sorted = [...order].sort((a, b) => a - b);
  if (order.length !== x.shape.length || sorted.some((axis, i) => axis !== i)) {
    shapeError('transpose', `[${order.join(', ')}] is no order of the axes`, [x]);
  }
  return order.every((axis, i) => axis === i) ? x : (transposeCall([x], { permutation: order })[0] as Tensor);
}

/** Exchanges two axes (default: the last two). */
export function swapAxes(x: Tensor, a = -2, b = -1): Tensor {
  const order = x.shape.map((_, i) => i);
  const first = axisOf('swapAxes', x, a);
  const second = axisOf('swapAxes', x, b);
  order[first] = second;
  order[second] = first;
  return transpose(x, order);
}

const concatCall = define<{ axis: number }>({
  name: 'concat',
  infer: (types, { axis }) => {
    const first = types[0] as TensorType;
    let size: Size = 0;
    for (const type of types) {
      const fits =
        type.dtype === first.dtype &&
        type.shape.length === first.shape.length &&
        type.shape.every((s, i) => i === axis || s === first.shape[i]);
      if (!fits) shapeError('concat', `all sizes but axis ${axis}'s and the dtype must agree`, types);
      size = addSizes(size, type.shape[axis] as Size);
    }
    return [{ dtype: first.dtype, shape: first.shape.map((s, i) => (i === axis ? size : s)) }];
  },
  vjp: ({ inputs, cotangents: [g], attributes: { axis } }) => {
    let start: Size = 0;
    return inputs.map((x) => {
      const from = start;
      start = addSizes(start, x.shape[axis] as Size);
      return slice(g as Tensor, { axis, start: from, end: start });
    });
  },
  onnx: ({ emit, inputs, attributes }) => emit('Concat', inputs, { axis: attributes.axis }),
  reference: ({ inputs, attributes: { axis }, outputs: [y] }) => {
    const shape = (y as { shape: readonly number[] }).shape;
    const result = new Float64Array(product(shape));
    const inner = product(shape.slice(axis + 1));
    const outer = product(shape.slice(0, axis));
    const row = (shape[axis] as number) * inner;
    let offset = 0;
    for (const input of inputs) {
      const own = (input.shape[axis] as number) * inner;
      for (let o = 0; o < outer; o++)
        result.set(input.data.subarray(o * own, (o + 1) * own), o * row + offset);
      offset += own;
    }
    return [result];
  },
});

export function concat(xs: readonly Tensor[], axis: number): Tensor {
  if (xs.length === 0) shapeError('concat', 'needs at least one tensor', []);
  return xs.length === 1
    ? (xs[0] as Tensor)
    : (concatCall(xs, { axis: axisOf('concat', xs[0] as Tensor, axis) })[0] as Tensor);
}

const sliceCall = define<{ axis: number; start: Size; end: Size; step: number }>({
  name: 'slice',
  infer: ([x], { axis, start, end, step }) => {
    const type = x as TensorType;
    const span = subtractSizes(end, start);
    const size = step === 1 ? span : Math.max(0, Math.ceil((span as number) / step));
    return [{ dtype: type.dtype, shape: type.shape.map((s, i) => (i === axis ? size : s)) }];
  },
  vjp: ({ inputs: [x], cotangents: [g], attributes: { axis, start, end, step } }) => {
    const full = (x as Tensor).shape[axis] as Size;
    const flow = step === 1 ? (g as Tensor) : dilate(g as Tensor, axis, step);
    const covered = addSizes(start, flow.shape[axis] as Size);
    const after = subtractSizes(full, step === 1 ? end : covered);
    return [padAxis(flow, axis, start, after)];
  },
  onnx: ({ emit, inputs, integers, size, attributes: { axis, start, end, step } }) =>
    emit('Slice', [inputs[0] as string, size(start), size(end), integers([axis]), integers([step])]),
  reference: ({ inputs: [x], attributes: { axis, start, step }, outputs: [y] }) => {
    const { shape, data } = x as ReferenceValue;
    const out = (y as { shape: readonly number[] }).shape;
    const inner = product(shape.slice(axis + 1));
    const outer = product(shape.slice(0, axis));
    const result = new Float64Array(product(out));
    let to = 0;
    for (let o = 0; o < outer; o++) {
      for (let k = 0; k < (out[axis] as number); k++) {
        const from = (o * (shape[axis] as number) + (start as number) + k * step) * inner;
        result.set(data.subarray(from, from + inner), to);
        to += inner;
      }
    }
    return [result];
  },
});

/** `start` to before `end` along one axis; negative ends count from the end where the size is known. */
export function slice(x: Tensor, options: { axis: number; start?: Size; end?: Size; step?: number }): Tensor {
  const axis = axisOf('slice', x, options.axis);
  const size = x.shape[axis] as Size;
  const step = options.step ?? 1;
  const place = (value: Size | undefined, other: Size): Size => {
    if (value === undefined) return other;
    if (typeof value !== 'number' || typeof size !== 'number')
      return typeof value === 'number' && value < 0 ? addSizes(size, value === 0 ? 0 : `${value}`) : value;
    return Math.min(size, Math.max(0, value < 0 ? value + size : value));
  };
  const start = place(options.start, 0);
  let end = place(options.end, size);
  if (typeof start === 'number' && typeof end === 'number') end = Math.max(start, end);
  else if (step !== 1) shapeError('slice', 'a step needs known sizes', [x]);
  if (!Number.isInteger(step) || step < 1)
    shapeError(
      'slice',
      `a step of ${step} is not a whole number above 0`,
      [x],
      'use reverse to go backwards',
    );
  return start === 0 && end === size && step === 1
    ? x
    : (sliceCall([x], { axis, start, end, step })[0] as Tensor);
}

const splitCall = define<{ axis: number; sizes: readonly number[] }>({
  name: 'split',
  infer: ([x], { axis, sizes }) => {
    const type = x as TensorType;
    if (sizes.reduce((a, b) => a + b, 0) !== type.shape[axis])
      shapeError('split', `[${sizes.join(', ')}] do not add up to axis ${axis}`, [type]);
    return sizes.map((size) => ({
      dtype: type.dtype,
      shape: type.shape.map((s, i) => (i === axis ? size : s)),
    }));
  },
  vjp: ({ outputs, cotangents, attributes: { axis } }) => [
    concat(
      cotangents.map((g, i) => g ?? fill(0, (outputs[i] as Tensor).shape, (outputs[i] as Tensor).dtype)),
      axis,
    ),
  ],
  onnx: ({ emitMany, inputs, integers, attributes: { axis, sizes } }) =>
    emitMany('Split', [inputs[0] as string, integers(sizes)], sizes.length, { axis }),
  reference: ({ inputs: [x], attributes: { axis, sizes } }) => {
    const { shape, data } = x as ReferenceValue;
    const inner = product(shape.slice(axis + 1));
    const row = (shape[axis] as number) * inner;
    const outer = product(shape.slice(0, axis));
    let start = 0;
    return sizes.map((size) => {
      const part = new Float64Array(outer * size * inner);
      for (let o = 0; o < outer; o++)
        part.set(data.subarray(o * row + start, o * row + start + size * inner), o * size * inner);
      start += size * inner;
      return part;
    });
  },
});

/** Pieces of the given sizes along an axis. */
export function split(x: Tensor, sizes: readonly number[], axis: number): Tensor[] {
  if (sizes.length === 0 || sizes.some((size) => !Number.isInteger(size) || size < 0))
    shapeError('split', 'needs whole sizes, at least one', [x]);
  return [...splitCall([x], { axis: axisOf('split', x, axis), sizes })];
}

function padAxis(x: Tensor, axis: number, before: Size, after: Size): Tensor {
  if (typeof before === 'number' && typeof after === 'number') {
    return pad(
      x,
      x.shape.map((_, i) => (i === axis ? [before, after] : [0, 0])),
    );
  }
  const block = (size: Size): Tensor =>
    fill(
      0,
      x.shape.map((s, i) => (i === axis ? size : s)),
      x.dtype,
    );
  return concat([...(before === 0 ? [] : [block(before)]), x, ...(after === 0 ? [] : [block(after)])], axis);
}

/** Zeros between neighbours along an axis: size n becomes (n−1)·step+1. */
export function dilate(x: Tensor, axis: number, step: number): Tensor {
  const shape = [...x.shape];
  const size = shape[axis] as number;
  if (step === 1 || size === 0) return x;
  shape.splice(axis + 1, 0, 1);
  const open = reshape(x, shape);
  const padded = pad(
    open,
    shape.map((_, i) => (i === axis + 1 ? [0, step - 1] : [0, 0])),
  );
  const flat = reshape(
    padded,
    x.shape.map((s, i) => (i === axis ? size * step : s)),
  );
  return slice(flat, { axis, start: 0, end: (size - 1) * step + 1 });
}

const padCall = define<{ pads: readonly (readonly number[])[]; value: number }>({
  name: 'pad',
  infer: ([x], { pads }) => [
    {
      dtype: (x as TensorType).dtype,
      shape: (x as TensorType).shape.map((size, i) =>
        addSizes(size, (pads[i]?.[0] as number) + (pads[i]?.[1] as number)),
      ),
    },
  ],
  vjp: ({ inputs: [x], cotangents: [g], attributes: { pads } }) => {
    let flow = g as Tensor;
    pads.forEach(([before], axis) => {
      flow = slice(flow, {
        axis,
        start: before as number,
        end: addSizes((x as Tensor).shape[axis] as Size, before as number),
      });
    });
    return [flow];
  },
  onnx: ({ emit, inputs, integers, scalar, attributes: { pads, value }, types }) =>
    emit('Pad', [
      inputs[0] as string,
      integers([...pads.map((p) => p[0] as number), ...pads.map((p) => p[1] as number)]),
      scalar(value, (types[0] as TensorType).dtype),
    ]),
  reference: ({ inputs: [x], attributes: { pads, value }, outputs: [y] }) => {
    const { shape, data } = x as ReferenceValue;
    const out = (y as { shape: readonly number[] }).shape;
    const result = new Float64Array(product(out)).fill(value);
    const inner = stridesOf(shape);
    const outer = stridesOf(out);
    for (let i = 0; i < data.length; i++) {
      let rest = i;
      let to = 0;
      for (let axis = 0; axis < shape.length; axis++) {
        const at = Math.floor(rest / (inner[axis] as number));
        rest -= at * (inner[axis] as number);
        to += (at + (pads[axis]?.[0] as number)) * (outer[axis] as number);
      }
      result[to] = data[i] as number;
    }
    return [result];
  },
});

/** `pads[axis] = [before, after]`, none negative. */
export function pad(x: Tensor, pads: readonly (readonly number[])[], value = 0): Tensor {
  if (
    pads.length !== x.shape.length ||
    pads.some((p) => p.length !== 2 || p.some((n) => !Number.isInteger(n) || n < 0))
  ) {
    shapeError('pad', 'needs [before, after] for each axis, none negative', [x]);
  }
  return pads.every(([a, b]) => a === 0 && b === 0) ? x : (padCall([x], { pads, value })[0] as Tensor);
}

/** Nodes that reverse a value along an axis. */
export const reversedAlong = (
  { emit, integers }: Pick<OnnxCall<Attributes>, 'emit' | 'integers'>,
  x: string,
  axis: number,
): string => emit('Slice', [x, integers([-1]), integers([-(2 ** 31)]), integers([axis]), integers([-1])]);

const reverseCall = define<{ axis: number }>({
  name: 'reverse',
  infer: ([x]) => [x as TensorType],
  vjp: ({ cotangents: [g], attributes }) => [reverse(g as Tensor, attributes.axis)],
  onnx: (call) => reversedAlong(call, call.inputs[0] as string, call.attributes.axis),
  reference: ({ inputs: [x], attributes: { axis } }) => {
    const { shape, data } = x as ReferenceValue;
    const inner = product(shape.slice(axis + 1));
    const size = shape[axis] as number;
    const result = new Float64Array(data.length);
    for (let i = 0; i < data.length; i += inner) {
      const row = i / inner;
      const at = row % size;
      result.set(data.subarray(i, i + inner), (row - at + (size - 1 - at)) * inner);
    }
    return [result];
  },
});

export function reverse(x: Tensor, axis: number): Tensor {
  return reverseCall([x], { axis: axisOf('reverse', x, axis) })[0] as Tensor;
}
