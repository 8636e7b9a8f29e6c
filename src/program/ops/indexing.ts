/** Ops that pick and place by position: gather, scatter-add, one-hot, top-k and sorting. */
import { define, type ReferenceValue, shapeError } from '../operation.ts';
import { countOf, mayBeEmpty } from '../size.ts';
import type { Size, Tensor, TensorType } from '../types.ts';
import { product } from './broadcast.ts';
import { iota } from './constant.ts';
import { cast, equal } from './elementwise.ts';
import { matmul } from './linear.ts';
import { axisOf, reshape, transpose } from './shape.ts';

function requireIndex(op: string, types: readonly TensorType[], which: number): void {
  const dtype = (types[which] as TensorType).dtype;
  if (dtype !== 'i32' && dtype !== 'i64') shapeError(op, 'positions must be i32 or i64', types);
}

const gatherCall = define<{ axis: number }>({
  name: 'gather',
  infer: (types, { axis }) => {
    const [x, indices] = types as readonly [TensorType, TensorType];
    requireIndex('gather', types, 1);
    return [
      { dtype: x.dtype, shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)] },
    ];
  },
  vjp: ({ inputs, cotangents: [g], attributes: { axis } }) => {
    const [x, indices] = inputs as readonly [Tensor, Tensor];
    return [scatterAdd(g as Tensor, indices, x.shape[axis] as Size, axis), undefined];
  },
  onnx: ({ emit, inputs, attributes }) => emit('Gather', inputs, { axis: attributes.axis }),
  reference: ({ inputs, attributes: { axis }, outputs: [y] }) => {
    const [x, indices] = inputs as readonly [ReferenceValue, ReferenceValue];
    const inner = product(x.shape.slice(axis + 1));
    const size = x.shape[axis] as number;
    const outer = product(x.shape.slice(0, axis));
    const result = new Float64Array(product((y as { shape: readonly number[] }).shape));
    let to = 0;
    for (let o = 0; o < outer; o++) {
      for (const index of indices.data) {
        const from = (o * size + (index < 0 ? index + size : index)) * inner;
        result.set(x.data.subarray(from, from + inner), to);
        to += inner;
      }
    }
    return [result];
  },
});

/** Slices of `x` along `axis` at `indices`: `[.., n, ..]`, `[i…] → [.., i…, ..]`. */
export function gather(x: Tensor, indices: Tensor, axis = 0): Tensor {
  return gatherCall([x, indices], { axis: axisOf('gather', x, axis) })[0] as Tensor;
}

/** Up to this many rows, a product with a one-hot matrix beats scattering (measured: break-even near 600). */
const ONE_HOT_LIMIT = 512;

const scatterCall = define<{ axis: number; size: Size; rank: number }>({
  name: 'scatterAdd',
  infer: (types, { axis, size, rank }) => {
    const [updates, indices] = types as readonly [TensorType, TensorType];
    requireIndex('scatterAdd', types, 1);
    const own = updates.shape.slice(axis, axis + rank);
    if (own.some((s, i) => s !== indices.shape[i]))
      shapeError('scatterAdd', 'the positions must have the updates’ sizes at that axis', types);
    return [
      {
        dtype: updates.dtype,
        shape: [...updates.shape.slice(0, axis), size, ...updates.shape.slice(axis + rank)],
      },
    ];
  },
  vjp: ({ inputs, cotangents: [g], attributes: { axis } }) => [
    gather(g as Tensor, inputs[1] as Tensor, axis),
    undefined,
  ],
  composite: ([updates, indices], { axis, size, rank }) => {
    // [.., i…, inner] → sum over i of onehot[i, size] · updates
    const x = updates as Tensor;
    const outer = x.shape.slice(0, axis);
    const inner = x.shape.slice(axis + rank);
    const hot = oneHot(reshape(indices as Tensor, [-1]), size, x.dtype);
    const rows = reshape(x, [...outer, hot.shape[0] as Size, ...inner]);
    const front = transpose(rows, [axis, ...rows.shape.map((_, i) => i).filter((i) => i !== axis)]);
    const flat = reshape(front, [hot.shape[0] as Size, -1]);
    const sums = reshape(matmul(transpose(hot), flat), [size, ...outer, ...inner]);
    return [
      transpose(
        sums,
        sums.shape.map((_, i) => (i < axis ? i + 1 : i === axis ? 0 : i)),
      ),
    ];
  },
  onnx: (call) => {
    const { emit, inputs, integers, scalar, shape, size, attributes, types, node } = call;
    const [updates, indices] = types as readonly [TensorType, TensorType];
    const { axis, rank } = attributes;
    const outer = updates.shape.slice(0, axis);
    const inner = updates.shape.slice(axis + rank);
    const target = (node.outputs[0] as Tensor).shape;
    const flatIndex = emit('Reshape', [inputs[1] as string, integers([-1])]);
    if (
      axis === 0 &&
      updates.dtype === 'f32' &&
      typeof attributes.size === 'number' &&
      attributes.size <= ONE_HOT_LIMIT &&
      attributes.size > 0 &&
      !updates.shape.includes(0)
    ) {
      const values = emit(
        'Concat',
        [
          emit('Reshape', [scalar(0, 'f32'), integers([1])]),
          emit('Reshape', [scalar(1, 'f32'), integers([1])]),
        ],
        { axis: 0 },
      );
      const hot = emit(
        'OneHot',
        [
          indices.dtype === 'i64' ? flatIndex : emit('Cast', [flatIndex], { to: 7 }),
          size(attributes.size),
          values,
        ],
        { axis: 0 },
      );
      const rows = [countOf(indices.shape), countOf(inner)];
      const flat = emit('Reshape', [inputs[0] as string, shape(rows)], {
        allowzero: mayBeEmpty(rows) ? 1 : undefined,
      });
      return emit('Reshape', [emit('MatMul', [hot, flat]), shape(target)], {
        allowzero: mayBeEmpty(target) ? 1 : undefined,
      });
    }
    // ScatterND with add is a race when positions repeat; ScatterElements is right and repeatable.
    const count = countOf(indices.shape);
    const flatShape = [...outer, count, ...inner];
    const flat = emit('Reshape', [inputs[0] as string, shape(flatShape)], {
      allowzero: mayBeEmpty(flatShape) ? 1 : undefined,
    });
    const lifted = emit(
      'Reshape',
      [flatIndex, shape([...outer.map(() => 1), count, ...inner.map(() => 1)])],
      { allowzero: mayBeEmpty([count]) ? 1 : undefined },
    );
    const wide = emit('Expand', [lifted, shape(flatShape)]);
    const zero = emit('Expand', [scalar(0, updates.dtype), shape(target)]);
    return emit('ScatterElements', [zero, wide, flat], { axis, reduction: 'add' });
  },
  reference: ({ inputs, attributes: { axis }, outputs: [y] }) => {
    const [updates, indices] = inputs as readonly [ReferenceValue, ReferenceValue];
    const shape = (y as { shape: readonly number[] }).shape;
    const inner = product(shape.slice(axis + 1));
    const size = shape[axis] as number;
    const outer = product(shape.slice(0, axis));
    const result = new Float64Array(product(shape));
    let from = 0;
    for (let o = 0; o < outer; o++) {
      for (const index of indices.data) {
        const to = (o * size + (index < 0 ? index + size : index)) * inner;
        for (let k = 0; k < inner; k++)
          result[to + k] = (result[to + k] as number) + (updates.data[from++] as number);
      }
    }
    return [result];
  },
});

/** Adds slices of `updates` into a zero tensor with `size` rows along `axis`; positions may repeat. */
export function scatterAdd(updates: Tensor, indices: Tensor, size: Size, axis = 0): Tensor {
  return scatterCall([updates, indices], { axis, size, rank: indices.shape.length })[0] as Tensor;
}

const gatherElementsCall = define<{ axis: number }>({
  name: 'gatherElements',
  infer: (types, { axis }) => {
    const [x, indices] = types as readonly [TensorType, TensorType];
    requireIndex('gatherElements', types, 1);
    if (
      x.shape.length !== indices.shape.length ||
      x.shape.some((s, i) => i !== axis && s !== indices.shape[i])
    ) {
      shapeError('gatherElements', `all sizes but axis ${axis}'s must agree`, types);
    }
    return [{ dtype: x.dtype, shape: indices.shape }];
  },
  vjp: ({ inputs, cotangents: [g], attributes: { axis } }) => {
    const [x, indices] = inputs as readonly [Tensor, Tensor];
    return [scatterElements(g as Tensor, indices, x.shape[axis] as Size, axis), undefined];
  },
  onnx: ({ emit, inputs, attributes }) => emit('GatherElements', inputs, { axis: attributes.axis }),
  reference: ({ inputs, attributes: { axis } }) => {
    const [x, indices] = inputs as readonly [ReferenceValue, ReferenceValue];
    return [indices.data.map((_, i) => x.data[elementPlace(x.shape, indices, axis, i)] as number)];
  },
});

/** The flat place in `shape` of element `i` of `indices` when its position along `axis` is the index. */
function elementPlace(shape: readonly number[], indices: ReferenceValue, axis: number, i: number): number {
  const inner = product(shape.slice(axis + 1));
  const own = indices.shape[axis] as number;
  const size = shape[axis] as number;
  const index = indices.data[i] as number;
  const outer = Math.floor(i / (own * inner));
  return (outer * size + (index < 0 ? index + size : index)) * inner + (i % inner);
}

/** `y[.., i, ..] = x[.., indices[.., i, ..], ..]` along `axis`. */
export function gatherElements(x: Tensor, indices: Tensor, axis: number): Tensor {
  return gatherElementsCall([x, indices], { axis: axisOf('gatherElements', x, axis) })[0] as Tensor;
}

const scatterElementsCall = define<{ axis: number; size: Size }>({
  name: 'scatterElements',
  infer: (types, { axis, size }) => {
    const [updates, indices] = types as readonly [TensorType, TensorType];
    requireIndex('scatterElements', types, 1);
    if (
      updates.shape.length !== indices.shape.length ||
      updates.shape.some((s, i) => s !== indices.shape[i])
    ) {
      shapeError('scatterElements', 'positions and updates need one shape', types);
    }
    return [{ dtype: updates.dtype, shape: updates.shape.map((s, i) => (i === axis ? size : s)) }];
  },
  vjp: ({ inputs, cotangents: [g], attributes: { axis } }) => [
    gatherElements(g as Tensor, inputs[1] as Tensor, axis),
    undefined,
  ],
  onnx: ({ emit, inputs, scalar, shape, attributes, types, outputTypes }) => {
    const zero = emit('Expand', [
      scalar(0, (types[0] as TensorType).dtype),
      shape((outputTypes[0] as TensorType).shape),
    ]);
    return emit('ScatterElements', [zero, inputs[1] as string, inputs[0] as string], {
      axis: attributes.axis,
      reduction: 'add',
    });
  },
  reference: ({ inputs, attributes: { axis }, outputs: [y] }) => {
    const [updates, indices] = inputs as readonly [ReferenceValue, ReferenceValue];
    const shape = (y as { shape: readonly number[] }).shape;
    const result = new Float64Array(product(shape));
    for (let i = 0; i < updates.data.length; i++) {
      const to = elementPlace(shape, indices, axis, i);
      result[to] = (result[to] as number) + (updates.data[i] as number);
    }
    return [result];
  },
});

/** Adds each element of `updates` into a zero tensor at its position along `axis`; positions may repeat. */
export function scatterElements(updates: Tensor, indices: Tensor, size: Size, axis: number): Tensor {
  return scatterElementsCall([updates, indices], {
    axis: axisOf('scatterElements', updates, axis),
    size,
  })[0] as Tensor;
}

/** `[i…] → [i…, size]` of 0 and 1. */
export function oneHot(indices: Tensor, size: Size, dtype: TensorType['dtype'] = 'f32'): Tensor {
  const open = reshape(indices, [...indices.shape, 1]);
  return cast(equal(open, iota(size, indices.dtype)), dtype);
}

const topKCall = define<{ k: number; axis: number; largest: boolean }>({
  name: 'topK',
  infer: ([x], { k, axis }) => {
    const type = x as TensorType;
    const size = type.shape[axis] as Size;
    if (typeof size === 'number' && k > size) shapeError('topK', `k = ${k} is more than there are`, [type]);
    const shape = type.shape.map((s, i) => (i === axis ? k : s));
    return [
      { dtype: type.dtype, shape },
      { dtype: 'i32', shape },
    ];
  },
  vjp: ({ inputs: [x], outputs, cotangents: [g], attributes: { axis } }) => [
    g === undefined
      ? undefined
      : scatterElements(g, outputs[1] as Tensor, (x as Tensor).shape[axis] as Size, axis),
  ],
  onnx: ({ emit, emitMany, inputs, integers, scalar, size, types, attributes: { k, axis, largest } }) => {
    const { dtype, shape } = types[0] as TensorType;
    // ONNX Runtime divides by the number of rows, and takes the process down where there is none: axes whose
    // size only the run tells get one more.
    const open = shape.flatMap((s, i) => (i !== axis && typeof s === 'string' ? [i] : []));
    const none = shape.map(() => 0);
    const more = shape.map((_, i) => (open.includes(i) ? 1 : 0));
    const safe =
      open.length === 0
        ? (inputs[0] as string)
        : emit('Pad', [inputs[0] as string, integers([...none, ...more]), scalar(0, dtype)]);
    const [values, places] = emitMany('TopK', [safe, integers([k])], 2, {
      axis,
      largest: largest ? 1 : 0,
      sorted: 1,
    });
    const cut = (name: string): string =>
      open.reduce(
        (whole, i) => emit('Slice', [whole, integers([0]), size(shape[i] as Size), integers([i])]),
        name,
      );
    return [cut(values as string), emit('Cast', [cut(places as string)], { to: 6 })];
  },
  reference: ({ inputs: [x], attributes: { k, axis, largest } }) => {
    const { shape, data } = x as ReferenceValue;
    const inner = product(shape.slice(axis + 1));
    const size = shape[axis] as number;
    const outer = product(shape.slice(0, axis));
    const values = new Float64Array(outer * k * inner);
    const places = new Float64Array(outer * k * inner);
    for (let o = 0; o < outer; o++) {
      for (let n = 0; n < inner; n++) {
        const at = (i: number): number => data[(o * size + i) * inner + n] as number;
        const order = Array.from({ length: size }, (_, i) => i).sort(
          (a, b) => (largest ? at(b) - at(a) : at(a) - at(b)) || a - b,
        );
        for (let i = 0; i < k; i++) {
          values[(o * k + i) * inner + n] = at(order[i] as number);
          places[(o * k + i) * inner + n] = order[i] as number;
        }
      }
    }
    return [values, places];
  },
});

/** The k largest (or smallest) along an axis, in order, and their positions (i32); ties: the first comes first. */
export function topK(
  x: Tensor,
  k: number,
  options: { axis?: number; largest?: boolean } = {},
): { values: Tensor; indices: Tensor } {
  const axis = axisOf('topK', x, options.axis ?? -1);
  const [values, indices] = topKCall([x], { k, axis, largest: options.largest ?? true }) as readonly [
    Tensor,
    Tensor,
  ];
  return { values, indices };
}

/** Sorted along an axis, and the positions the values came from (i32). */
export function sort(
  x: Tensor,
  options: { axis?: number; descending?: boolean } = {},
): { values: Tensor; indices: Tensor } {
  const axis = axisOf('sort', x, options.axis ?? -1);
  const size = x.shape[axis] as Size;
  if (typeof size !== 'number') shapeError('sort', 'the sorted axis needs a known size', [x]);
  return topK(x, size, { axis, largest: options.descending ?? false });
}
