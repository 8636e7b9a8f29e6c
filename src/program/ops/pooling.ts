/** Pooling over windows of the spatial axes, `[batch, channels, …]`. */
import { define, type ReferenceValue, shapeError } from '../operation.ts';
import type { Size, Tensor, TensorType } from '../types.ts';
import { product, stridesOf } from './broadcast.ts';
import { dilateFast } from './dilation.ts';
import { add, cast, equal, logicalAnd, logicalNot, logicalOr, mul } from './elementwise.ts';
import { pad, slice } from './shape.ts';

export interface PoolOptions {
  /** Default: the kernel's size. */
  stride?: number | readonly number[];
  padding?: number | readonly (readonly number[])[];
}

type Attributes = {
  kernel: readonly number[];
  strides: readonly number[];
  pads: readonly (readonly number[])[];
};

function infer(
  op: string,
  [x]: readonly TensorType[],
  { kernel, strides, pads }: Attributes,
): readonly TensorType[] {
  const { dtype, shape } = x as TensorType;
  const spatial = kernel.map((k, i) => {
    const size = shape[i + 2];
    if (typeof size !== 'number') shapeError(op, 'spatial sizes must be known', [x as TensorType]);
    const result =
      Math.floor((size + (pads[i]?.[0] as number) + (pads[i]?.[1] as number) - k) / (strides[i] as number)) +
      1;
    if (result < 1) shapeError(op, `a window of ${k} is larger than the input`, [x as TensorType]);
    return result;
  });
  return [{ dtype, shape: [shape[0] as Size, shape[1] as Size, ...spatial] }];
}

/** Calls `visit` with each window tap's strided view of the padded input, in row-major order of taps. */
function forEachTap(
  padded: Tensor,
  out: readonly number[],
  { kernel, strides }: Attributes,
  visit: (window: Tensor, offset: readonly number[]) => void,
): void {
  for (let tap = 0; tap < product(kernel); tap++) {
    let rest = tap;
    const offset = new Array<number>(kernel.length);
    let window = padded;
    for (let a = kernel.length - 1; a >= 0; a--) {
      const k = rest % (kernel[a] as number);
      rest = Math.floor(rest / (kernel[a] as number));
      offset[a] = k;
      const step = strides[a] as number;
      window = slice(window, { axis: a + 2, start: k, end: k + ((out[a] as number) - 1) * step + 1, step });
    }
    visit(window, offset);
  }
}

/** The way back of a tap's view: zeros between and around, cut to the input without padding. */
function place(
  g: Tensor,
  offset: readonly number[],
  shape: readonly Size[],
  { strides, pads }: Attributes,
): Tensor {
  let flow = g;
  offset.forEach((k, a) => {
    flow = dilateFast(flow, a + 2, strides[a] as number);
    const before = pads[a]?.[0] as number;
    const total = (shape[a + 2] as number) + before + (pads[a]?.[1] as number);
    const around = flow.shape.map((size, i) => (i === a + 2 ? [k, total - k - (size as number)] : [0, 0]));
    flow = slice(pad(flow, around), { axis: a + 2, start: before, end: before + (shape[a + 2] as number) });
  });
  return flow;
}

function poolReference(
  x: ReferenceValue,
  shape: readonly number[],
  { kernel, strides, pads }: Attributes,
  start: number,
  combine: (a: number, b: number) => number,
): Float64Array {
  const result = new Float64Array(product(shape)).fill(start);
  const spatial = shape.slice(2);
  const source = x.shape.slice(2);
  const places = product(spatial);
  const inPlace = stridesOf(spatial);
  const inTap = stridesOf(kernel);
  const inSource = stridesOf(source);
  for (let i = 0; i < result.length; i++) {
    const base = Math.floor(i / places) * product(source);
    for (let tap = 0; tap < product(kernel); tap++) {
      let from = 0;
      let inside = true;
      for (let a = 0; a < spatial.length; a++) {
        const at = Math.floor((i % places) / (inPlace[a] as number)) % (spatial[a] as number);
        const k = Math.floor(tap / (inTap[a] as number)) % (kernel[a] as number);
        const s = at * (strides[a] as number) + k - (pads[a]?.[0] as number);
        inside &&= s >= 0 && s < (source[a] as number);
        from += s * (inSource[a] as number);
      }
      if (inside) result[i] = combine(result[i] as number, x.data[base + from] as number);
    }
  }
  return result;
}

const onnxAttributes = ({ kernel, strides, pads }: Attributes) => ({
  kernel_shape: kernel,
  strides,
  pads: [...pads.map((p) => p[0] as number), ...pads.map((p) => p[1] as number)],
});

const maxPoolCall = define<Attributes>({
  name: 'maxPool',
  infer: (types, attributes) => infer('maxPool', types, attributes),
  vjp: ({ inputs: [x], outputs: [y], cotangents: [g], attributes }) => {
    // The first largest element of a window takes it all, as in PyTorch.
    const source = x as Tensor;
    const padded = pad(source, [[0, 0], [0, 0], ...attributes.pads], -3.4e38);
    let taken: Tensor | undefined;
    let total: Tensor | undefined;
    forEachTap(padded, (y as Tensor).shape.slice(2) as readonly number[], attributes, (window, offset) => {
      const same = equal(window, y as Tensor);
      const hit = taken === undefined ? same : logicalAnd(same, logicalNot(taken));
      taken = taken === undefined ? same : logicalOr(taken, same);
      const part = place(mul(g as Tensor, cast(hit, source.dtype)), offset, source.shape, attributes);
      total = total === undefined ? part : add(total, part);
    });
    return [total];
  },
  onnx: ({ emit, inputs, attributes }) => emit('MaxPool', inputs, onnxAttributes(attributes)),
  reference: ({ inputs: [x], attributes, outputs: [y] }) => [
    poolReference(
      x as ReferenceValue,
      (y as { shape: readonly number[] }).shape,
      attributes,
      Number.NEGATIVE_INFINITY,
      Math.max,
    ),
  ],
});

const averagePoolCall = define<Attributes>({
  name: 'averagePool',
  infer: (types, attributes) => infer('averagePool', types, attributes),
  vjp: ({ inputs: [x], outputs: [y], cotangents: [g], attributes }) => {
    const source = x as Tensor;
    const share = mul(g as Tensor, 1 / product(attributes.kernel));
    const padded = pad(source, [[0, 0], [0, 0], ...attributes.pads]);
    let total: Tensor | undefined;
    forEachTap(padded, (y as Tensor).shape.slice(2) as readonly number[], attributes, (_, offset) => {
      const part = place(share, offset, source.shape, attributes);
      total = total === undefined ? part : add(total, part);
    });
    return [total];
  },
  onnx: ({ emit, inputs, attributes }) =>
    emit('AveragePool', inputs, { ...onnxAttributes(attributes), count_include_pad: 1 }),
  reference: ({ inputs: [x], attributes, outputs: [y] }) => [
    poolReference(
      x as ReferenceValue,
      (y as { shape: readonly number[] }).shape,
      attributes,
      0,
      (a, b) => a + b,
    ).map((v) => v / product(attributes.kernel)),
  ],
});

function settings(
  op: string,
  x: Tensor,
  kernel: number | readonly number[],
  options: PoolOptions,
): Attributes {
  const rank = x.shape.length - 2;
  if (rank < 1) shapeError(op, 'needs [batch, channels, …]', [x]);
  const each = (value: number | readonly number[]): number[] => {
    const list = typeof value === 'number' ? Array.from({ length: rank }, () => value) : [...value];
    if (list.length !== rank || list.some((n) => !Number.isInteger(n) || n < 1))
      shapeError(op, `[${list.join(', ')}] does not suit ${rank} spatial axes`, [x]);
    return list;
  };
  const sizes = each(kernel);
  const padding = options.padding ?? 0;
  const pads = typeof padding === 'number' ? sizes.map(() => [padding, padding]) : padding;
  if (pads.some((p, i) => p.some((n) => n >= (sizes[i] as number))))
    shapeError(op, 'padding must be smaller than the window', [x]);
  return { kernel: sizes, strides: each(options.stride ?? kernel), pads };
}

/** The largest of each window. */
export function maxPool(x: Tensor, kernel: number | readonly number[], options: PoolOptions = {}): Tensor {
  return maxPoolCall([x], settings('maxPool', x, kernel, options))[0] as Tensor;
}

/** The mean of each window; padding counts as zeros. */
export function averagePool(
  x: Tensor,
  kernel: number | readonly number[],
  options: PoolOptions = {},
): Tensor {
  return averagePoolCall([x], settings('averagePool', x, kernel, options))[0] as Tensor;
}
