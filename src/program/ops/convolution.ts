/**
 * Convolution over any number of spatial axes, its transpose, and the gradient of its weights. Each one's gradients are
 * the others again, so they can be differentiated as often as one likes (R1 and path length penalties need twice).
 */
import { define, type ReferenceValue, shapeError } from '../operation.ts';
import { multiplySizes } from '../size.ts';
import type { Size, Tensor, TensorType } from '../types.ts';
import { product, stridesOf } from './broadcast.ts';
import { blockedConvolution, blockedWeightGradient } from './convolution-blocked.ts';
import { dilateFast } from './dilation.ts';
import { byComposite } from './fused.ts';
import { matmul } from './linear.ts';
import { sum } from './reduce.ts';
import { concat, pad, reshape, reverse, reversedAlong, slice, swapAxes, transpose } from './shape.ts';

export interface ConvOptions {
  /** One for all axes, or one each; default 1. */
  stride?: number | readonly number[];
  dilation?: number | readonly number[];
  /** [before, after] for each spatial axis, or one number for all; default 0. */
  padding?: number | readonly (readonly number[])[];
  groups?: number;
  /** `[out]`, added to every place. */
  bias?: Tensor | undefined;
}

type Attributes = {
  strides: readonly number[];
  dilations: readonly number[];
  pads: readonly (readonly number[])[];
  groups: number;
  /** How it is lowered (settle.ts): channels in blocks of so many; absent for ONNX's own layout. */
  blocks?: number;
  /** A leaky rectifier of this slope comes after it (settle.ts). */
  slope?: number;
  /** Only with `blocks`: the weights are as `flipWeights` takes them; they are brought into blocks and flipped at once. */
  unflipped?: boolean;
};

type Apply<A> = (inputs: readonly Tensor[], attributes: A) => readonly Tensor[];

const convCall: Apply<Attributes> = define<Attributes>({
  name: 'conv',
  infer: (types, { strides, dilations, pads, groups, unflipped }) => {
    const [x, given, bias] = types as readonly [TensorType, TensorType, TensorType?];
    const w = unflipped === true ? flippedType(given, groups) : given;
    const rank = x.shape.length - 2;
    if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== w.shape[0]))
      shapeError('conv', 'the bias needs one value for each channel that comes out', types);
    if (rank < 1 || w.shape.length !== x.shape.length || x.dtype !== w.dtype)
      shapeError(
        'conv',
        'the input and the weights do not fit',
        types,
        'shapes are [batch, channels, …] and [out, channels / groups, …]',
      );
    const [, channels] = x.shape as readonly [Size, number];
    const [out, own] = w.shape as readonly [number, number];
    if (w.shape.includes(0))
      shapeError('conv', 'weights need at least one channel on each side and one tap', types);
    if (own * groups !== channels || out % groups !== 0)
      shapeError('conv', `${channels} channels in ${groups} groups do not fit weights for ${own}`, types);
    const spatial = pads.map(([before, after], i) => {
      const size = x.shape[i + 2];
      const reach = (dilations[i] as number) * ((w.shape[i + 2] as number) - 1) + 1;
      if (typeof size !== 'number') shapeError('conv', 'spatial sizes must be known', types);
      const result =
        Math.floor((size + (before as number) + (after as number) - reach) / (strides[i] as number)) + 1;
      if (result < 1)
        shapeError('conv', `the kernel reaches over ${reach}, more than there is`, types, 'add padding');
      return result;
    });
    return [{ dtype: x.dtype, shape: [x.shape[0] as Size, out, ...spatial] }];
  },
  vjp: ({ inputs, cotangents: [g], attributes, needed }) => {
    const [x, w] = inputs as readonly [Tensor, Tensor];
    return [
      needed[0] === true ? inputGradient(g as Tensor, w, x.shape, attributes) : undefined,
      needed[1] === true
        ? weightsCall([x, g as Tensor], { ...attributes, kernel: w.shape.slice(2) as number[] })[0]
        : undefined,
      needed[2] === true
        ? sum(g as Tensor, { axes: [0, ...x.shape.slice(2).map((_, i) => i + 2)] })
        : undefined,
    ];
  },
  onnx: (call) => {
    const { strides, dilations, pads, groups, blocks, slope, unflipped } = call.attributes;
    if (blocks !== undefined)
      return blockedConvolution(call, { strides, dilations, pads, blocks, slope, unflipped });
    const attributes = {
      strides,
      dilations,
      group: groups,
      pads: [...pads.map((p) => p[0] as number), ...pads.map((p) => p[1] as number)],
    };
    if (slope === undefined) return call.emit('Conv', call.inputs, attributes);
    const activation = { activation: 'LeakyRelu', activation_params: { floats: [slope] } };
    return call.emit('FusedConv', call.inputs, { ...attributes, ...activation }, 'com.microsoft');
  },
  reference: ({ inputs, attributes, outputs: [y] }) => {
    const { strides, dilations, pads, groups, slope = 1, unflipped } = attributes;
    const [x, given, bias] = inputs as readonly [ReferenceValue, ReferenceValue, ReferenceValue?];
    const w = unflipped === true ? flippedValues(given, groups) : given;
    const shape = (y as { shape: readonly number[] }).shape;
    const result = new Float64Array(product(shape));
    const [, out] = shape as readonly [number, number];
    const own = w.shape[1] as number;
    const spatial = shape.slice(2);
    const kernel = w.shape.slice(2);
    const source = x.shape.slice(2);
    const places = product(spatial);
    const taps = product(kernel);
    const inPlace = stridesOf(spatial);
    const inTap = stridesOf(kernel);
    const inSource = stridesOf(source);
    for (let i = 0; i < result.length; i++) {
      const place = i % places;
      const o = Math.floor(i / places) % out;
      const n = Math.floor(i / places / out);
      const first = Math.floor(o / (out / groups)) * own;
      let total = bias?.data[o] ?? 0;
      for (let tap = 0; tap < taps; tap++) {
        let from = 0;
        let inside = true;
        for (let a = 0; a < spatial.length && inside; a++) {
          const at = Math.floor(place / (inPlace[a] as number)) % (spatial[a] as number);
          const k = Math.floor(tap / (inTap[a] as number)) % (kernel[a] as number);
          const s = at * (strides[a] as number) + k * (dilations[a] as number) - (pads[a]?.[0] as number);
          inside = s >= 0 && s < (source[a] as number);
          from += s * (inSource[a] as number);
        }
        if (!inside) continue;
        for (let c = 0; c < own; c++) {
          total +=
            (x.data[(n * (x.shape[1] as number) + first + c) * product(source) + from] as number) *
            (w.data[(o * own + c) * taps + tap] as number);
        }
      }
      result[i] = total < 0 ? total * slope : total;
    }
    return [result];
  },
});

function settings(op: string, x: Tensor, w: Tensor, options: ConvOptions): Attributes {
  const rank = x.shape.length - 2;
  const each = (value: number | readonly number[] | undefined): number[] => {
    const list =
      typeof value === 'number' || value === undefined
        ? Array.from({ length: rank }, () => value ?? 1)
        : [...value];
    if (list.length !== rank || list.some((n) => !Number.isInteger(n) || n < 1))
      shapeError(op, `[${list.join(', ')}] does not suit ${rank} spatial axes`, [x, w]);
    return list;
  };
  const padding = options.padding ?? 0;
  const pads = typeof padding === 'number' ? Array.from({ length: rank }, () => [padding, padding]) : padding;
  if (pads.length !== rank) shapeError(op, 'needs padding for each spatial axis', [x, w]);
  return {
    strides: each(options.stride),
    dilations: each(options.dilation),
    pads,
    groups: options.groups ?? 1,
  };
}

/** `[batch, channels, …size]` with `[out, channels / groups, …kernel]` → `[batch, out, …]`. Cross-correlation, as everywhere. */
export function conv(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  const { bias } = options;
  return convCall(bias === undefined ? [x, w] : [x, w, bias], settings('conv', x, w, options))[0] as Tensor;
}

function flippedType({ dtype, shape }: TensorType, groups: number): TensorType {
  const [out, own, ...kernel] = shape as readonly number[];
  return { dtype, shape: [groups * (own as number), (out as number) / groups, ...kernel] };
}

const flippedInPrimitives = ([given]: readonly Tensor[], { groups }: { groups: number }): [Tensor] => {
  const w = given as Tensor;
  const [out, own, ...kernel] = w.shape as readonly [number, number, ...number[]];
  // Reversed along each axis is reversed along all of them as one.
  const lines = reverse(reshape(w, [groups, out / groups, own, product(kernel)]), 3);
  return [reshape(swapAxes(lines, 1, 2), flippedType(w, groups).shape)];
};

function flippedValues({ shape, data }: ReferenceValue, groups: number): ReferenceValue {
  const [out, own, ...kernel] = shape as readonly [number, number, ...number[]];
  const taps = product(kernel);
  const perGroup = out / groups;
  const result = new Float64Array(data.length);
  for (let o = 0; o < out; o++) {
    const first = Math.floor(o / perGroup) * own;
    for (let i = 0; i < own; i++) {
      const to = ((first + i) * perGroup + (o % perGroup)) * taps;
      for (let tap = 0; tap < taps; tap++)
        result[to + taps - 1 - tap] = data[(o * own + i) * taps + tap] as number;
    }
  }
  return { shape: [groups * own, perGroup, ...kernel], data: result };
}

const flipCall: Apply<{ groups: number }> = define<{ groups: number }>({
  name: 'flipWeights',
  infer: ([w], { groups }) => [flippedType(w as TensorType, groups)],
  vjp: ({ cotangents: [g], attributes: { groups } }) => [flipped(g as Tensor, groups)],
  onnx: (call) => {
    const { emit, integers, inputs, types, outputTypes, attributes } = call;
    const { groups } = attributes;
    const [out, own, ...kernel] = (types[0] as TensorType).shape as readonly [number, number, ...number[]];
    const taps = product(kernel);
    const lines = emit('Reshape', [inputs[0] as string, integers([groups, out / groups, own, taps])]);
    const turned = taps === 1 ? lines : reversedAlong(call, lines, 3);
    const swapped = emit('Transpose', [turned], { perm: [0, 2, 1, 3] });
    return emit('Reshape', [swapped, integers((outputTypes[0] as TensorType).shape as number[])]);
  },
  reference: ({ inputs: [w], attributes: { groups } }) => [flippedValues(w as ReferenceValue, groups).data],
  composite: flippedInPrimitives,
});

/** Weights for the way back: taps reversed, in and out exchanged within each group. Twice is what there was. */
function flipped(w: Tensor, groups: number): Tensor {
  const { op, inputs, attributes } = w.node;
  if (op === 'flipWeights' && attributes.groups === groups) return inputs[0] as Tensor;
  return flipCall([w], { groups })[0] as Tensor;
}

/**
 * A convolution of the spread-out cotangent with the flipped weights: measured 13 ms where ConvTranspose
 * takes 22 (DESIGN case, 32×64×32×32, 3×3).
 */
function inputGradient(
  g: Tensor,
  w: Tensor,
  shape: readonly Size[],
  { strides, dilations, pads, groups }: Attributes,
): Tensor {
  let flow = g;
  const around = strides.map((stride, i) => {
    flow = dilateFast(flow, i + 2, stride);
    const reach = (dilations[i] as number) * ((w.shape[i + 2] as number) - 1);
    const before = reach - (pads[i]?.[0] as number);
    return [before, (shape[i + 2] as number) + reach - before - (flow.shape[i + 2] as number)];
  });
  // More padding than the kernel's reach means that the cotangent's rim fell on padding only: cut it off.
  around.forEach(([before, after], i) => {
    const size = flow.shape[i + 2] as number;
    const start = Math.max(0, -(before as number));
    const end = size - Math.max(0, -(after as number));
    flow = slice(flow, { axis: i + 2, start, end });
  });
  const rest = around.map(([before, after]) => [Math.max(0, before as number), Math.max(0, after as number)]);
  return convCall([flow, flipped(w, groups)], {
    strides: strides.map(() => 1),
    dilations,
    pads: rest,
    groups,
  })[0] as Tensor;
}

type WeightAttributes = Omit<Attributes, 'slope'> & {
  kernel: readonly number[];
  /** How it is lowered where `blocks` is there: see convolution-blocked.ts. */
  form?: 'swapped' | 'wide';
};

/**
 * One matrix product per kernel tap: measured 22 ms where im2col takes 31 and a swapped convolution 44 (DESIGN case). Where
 * the runtime has convolutions over blocks of channels, those are faster: convolution-blocked.ts.
 */
function byTaps(
  [x, g]: readonly Tensor[],
  { kernel, strides, dilations, pads, groups }: WeightAttributes,
): readonly Tensor[] {
  const [input, flowing] = [x as Tensor, g as Tensor];
  const own = (input.shape[1] as number) / groups;
  const out = flowing.shape[1] as number;
  const padded = pad(input, [[0, 0], [0, 0], ...pads]);
  const spatial = flowing.shape.slice(2) as readonly number[];
  const rank = spatial.length;
  // [groups, out/groups, batch·places]
  const byChannel = [1, 0, ...Array.from({ length: rank }, (_, i) => i + 2)];
  const count = multiplySizes(input.shape[0] as Size, product(spatial));
  const flow = reshape(transpose(flowing, byChannel), [groups, out / groups, count]);
  const taps: Tensor[] = [];
  for (let tap = 0; tap < product(kernel); tap++) {
    let rest = tap;
    let window = padded;
    for (let a = rank - 1; a >= 0; a--) {
      const k = rest % (kernel[a] as number);
      rest = Math.floor(rest / (kernel[a] as number));
      const start = k * (dilations[a] as number);
      const stride = strides[a] as number;
      window = slice(window, {
        axis: a + 2,
        start,
        end: start + ((spatial[a] as number) - 1) * stride + 1,
        step: stride,
      });
    }
    const rows = reshape(transpose(window, byChannel), [groups, own, count]);
    taps.push(reshape(matmul(flow, swapAxes(rows)), [out, own, 1]));
  }
  return [reshape(concat(taps, 2), [out, own, ...kernel])];
}

/** What a convolution's weights get back: from its input and the cotangent of its output. Linear in each. */
const weightsCall: Apply<WeightAttributes> = define<WeightAttributes>({
  name: 'convWeights',
  infer: ([x, g], { kernel, groups }) => [
    {
      dtype: (x as TensorType).dtype,
      shape: [g?.shape[1] as Size, (x?.shape[1] as number) / groups, ...kernel],
    },
  ],
  vjp: ({ inputs, cotangents: [c], attributes: { kernel: _, ...attributes }, needed }) => {
    const [x, g] = inputs as readonly [Tensor, Tensor];
    return [
      needed[0] === true ? inputGradient(g, c as Tensor, x.shape, attributes) : undefined,
      needed[1] === true ? convCall([x, c as Tensor], attributes)[0] : undefined,
    ];
  },
  // Without blocks it is replaced by its composite before it is lowered (settle.ts).
  onnx: (call) => {
    const { strides, dilations, pads, blocks, form } = call.attributes;
    return blockedWeightGradient(call, {
      ...{ strides, dilations, pads },
      ...{ blocks: blocks as number, form: form as 'swapped' | 'wide' },
    });
  },
  reference: byComposite(byTaps),
  composite: byTaps,
});

/**
 * The transpose of a convolution: `[batch, out, …]` with `[out, channels / groups, …kernel]` →
 * `[batch, channels, …]`, size (n − 1)·stride + dilation·(kernel − 1) + 1 − padding + `outputPadding`.
 */
export function convTranspose(
  x: Tensor,
  w: Tensor,
  options: ConvOptions & { outputPadding?: number | readonly number[] } = {},
): Tensor {
  const attributes = settings('convTranspose', x, w, options);
  const { strides, dilations, pads, groups } = attributes;
  if (x.shape.length !== w.shape.length || x.shape[1] !== w.shape[0])
    shapeError(
      'convTranspose',
      'the input and the weights do not fit',
      [x, w],
      'shapes are [batch, in, …] and [in, out / groups, …]',
    );
  const extra = options.outputPadding ?? 0;
  const spatial = strides.map((stride, i) => {
    const reach = (dilations[i] as number) * ((w.shape[i + 2] as number) - 1) + 1;
    const more = typeof extra === 'number' ? extra : (extra[i] as number);
    return (
      ((x.shape[i + 2] as number) - 1) * stride +
      reach -
      (pads[i]?.[0] as number) -
      (pads[i]?.[1] as number) +
      more
    );
  });
  return inputGradient(x, w, [x.shape[0] as Size, (w.shape[1] as number) * groups, ...spatial], attributes);
}
