/**
 * Convolutions over channels in blocks, as ONNX Runtime's CPU provider computes them fastest (its own domain
 * `com.microsoft.nchwc`): a block of 8 or 16 channels, one vector register, is the innermost axis. The runtime lays out
 * networks so by itself where weights are constants; while training they are not, so the graph says it. Two spatial axes,
 * one group. Knows nothing of gradients' rules, which are in convolution.ts.
 */
import type { OnnxCall } from '../operation.ts';
import type { Attributes, TensorType } from '../types.ts';
import { reversedAlong } from './shape.ts';

const DOMAIN = 'com.microsoft.nchwc';

// biome-ignore lint/suspicious/noExplicitAny: what an op's attributes are does not matter here.
type Call = OnnxCall<any>;
type Sizes = readonly [number, number, number, number];

interface Windows {
  strides: readonly number[];
  dilations: readonly number[];
  pads: readonly (readonly number[])[];
  /** Channels of a block. */
  blocks: number;
}

const upTo = (size: number, step: number): number => Math.ceil(size / step) * step;
const sizesOf = (type: TensorType | undefined): Sizes => type?.shape as unknown as Sizes;

function inBlocks({ emit, once }: Call, x: string): string {
  return once(`blocks of ${x}`, () => emit('ReorderInput', [x], {}, DOMAIN));
}

function inOrder({ emit, once }: Call, blocked: string, channels: number): string {
  const x = emit('ReorderOutput', [blocked], { channels }, DOMAIN);
  // Who wants it in blocks again takes what was there before.
  once(`blocks of ${x}`, () => blocked);
  return x;
}

/** Whether the runtime's blocks suit a convolution: channels that go in come in fours, or are fewer than a block. */
export function suitsBlocks(types: readonly TensorType[], attributes: Attributes, blocks: number): boolean {
  const [x, w] = types;
  if (x?.dtype !== 'f32' || attributes.groups !== 1 || x.shape.length !== 4) return false;
  if (![...x.shape, ...(w?.shape ?? [])].every((size) => typeof size === 'number' && size > 0)) return false;
  const channels = sizesOf(x)[1];
  return channels < blocks || channels % 4 === 0;
}

/** Of the gradient of weights, from the input and the cotangent: pictures are the channels then, and come in fours. */
export function weightsSuitBlocks(types: readonly TensorType[], attributes: Attributes): boolean {
  const [x, g] = types;
  if (x?.dtype !== 'f32' || attributes.groups !== 1 || x.shape.length !== 4) return false;
  const known = [...x.shape, ...(g?.shape ?? [])].every((size) => typeof size === 'number' && size > 0);
  return known && sizesOf(x)[0] % 4 === 0;
}

/**
 * Weights `[out, in, high, wide]` with outs, and ins where they fill a block, in blocks: `[O/b, I/b, high·wide, b in, b out]`.
 * Those that come unflipped `[in, out, high, wide]` are flipped on the way: with taps outermost all that is moved are whole
 * lines. Measured on 128 × 128 × 3 × 3, reading and writing included: 0.33 ms where one after another takes 1.48.
 */
function blockedWeights(call: Call, blocks: number, unflipped: boolean): string {
  const { emit, integers } = call;
  // From [out, in] to the order of the weights that are given, and back.
  const asGiven = (ofOut: number, ofIn: number): [number, number] =>
    unflipped ? [ofIn, ofOut] : [ofOut, ofIn];
  const [first, second, high, wide] = sizesOf(call.types[1]);
  const [out, own] = asGiven(first, second);
  const outs = upTo(out, blocks);
  const few = own < blocks;
  const ins = few ? own : upTo(own, blocks);
  let w = call.inputs[1] as string;
  if (outs !== out || ins !== own)
    w = emit('Pad', [w, integers([0, 0, 0, 0, ...asGiven(outs - out, ins - own), 0, 0])], {
      mode: 'constant',
    });
  const taps = high * wide;
  if (unflipped) {
    const lines = emit('Transpose', [emit('Reshape', [w, integers([ins, outs, taps])])], { perm: [2, 0, 1] });
    const reversed = taps === 1 ? lines : reversedAlong(call, lines, 0);
    const parts = few ? [ins] : [ins / blocks, blocks];
    const split = emit('Reshape', [reversed, integers([taps, ...parts, outs / blocks, blocks])]);
    const moved = emit('Transpose', [split], { perm: few ? [2, 1, 0, 3] : [3, 1, 0, 2, 4] });
    return emit('Reshape', [moved, integers([outs, ins, high, wide])]);
  }
  const split = few
    ? [outs / blocks, blocks, ins, taps]
    : [outs / blocks, blocks, ins / blocks, blocks, taps];
  const perm = few ? [0, 2, 3, 1] : [0, 2, 4, 3, 1];
  const moved = emit('Transpose', [emit('Reshape', [w, integers(split)])], { perm });
  return emit('Reshape', [moved, integers([outs, ins, high, wide])]);
}

const joined = (pads: Windows['pads']): number[] => [
  ...pads.map((p) => p[0] as number),
  ...pads.map((p) => p[1] as number),
];

/** `[batch, in, …]`, `[out, in, …]`, perhaps `[out]` → `[batch, out, …]`. */
export function blockedConvolution(
  call: Call,
  {
    strides,
    dilations,
    pads,
    blocks,
    slope,
    unflipped = false,
  }: Windows & { slope?: number | undefined; unflipped?: boolean | undefined },
): string {
  const { emit, inputs, integers } = call;
  const [, channels] = sizesOf(call.types[0]);
  const [, out] = sizesOf(call.outputTypes[0]);
  const [, , high, wide] = sizesOf(call.types[1]);
  const outs = upTo(out, blocks);
  const x = inputs[0] as string;
  const given = [channels < blocks ? x : inBlocks(call, x), blockedWeights(call, blocks, unflipped)];
  if (inputs[2] !== undefined)
    given.push(
      outs === out ? inputs[2] : emit('Pad', [inputs[2], integers([0, outs - out])], { mode: 'constant' }),
    );
  const y = emit(
    'Conv',
    given,
    {
      kernel_shape: [high, wide],
      ...{ strides, dilations, pads: joined(pads), group: 1 },
      ...(slope === undefined ? {} : { activation: 'LeakyRelu', activation_params: { floats: [slope] } }),
    },
    DOMAIN,
  );
  return inOrder(call, y, out);
}

/** The cotangent as weights: `[groups·out, in, high, wide]` of blocks, its pictures as the channels that go in. */
function cotangentAsWeights(call: Call, blocks: number, grouped: boolean): string {
  const { emit, integers } = call;
  const [batch, out, high, wide] = sizesOf(call.types[1]);
  const g = call.inputs[1] as string;
  const [outs, pictures, places] = [upTo(out, blocks), upTo(batch, blocks), high * wide];
  const missing = upTo(out, 4) - out;
  const whole =
    missing === 0 ? g : emit('Pad', [g, integers([0, 0, 0, 0, 0, missing, 0, 0])], { mode: 'constant' });
  let blocked = inBlocks(call, whole);
  if (pictures !== batch)
    blocked = emit('Pad', [blocked, integers([0, 0, 0, 0, pictures - batch, 0, 0, 0])], { mode: 'constant' });
  const split = emit('Reshape', [
    blocked,
    integers([pictures / blocks, blocks, outs / blocks, places, blocks]),
  ]);
  const moved = emit('Transpose', [split], { perm: grouped ? [0, 2, 3, 1, 4] : [2, 0, 3, 1, 4] });
  const shape = grouped ? [(pictures / blocks) * outs, blocks, high, wide] : [outs, pictures, high, wide];
  return emit('Reshape', [moved, integers(shape)]);
}

/**
 * The input as it is looked over, its pictures as channels: padded to what the taps reach.
 * `swapped` `[in, pictures, high, wide]`, one after another; `wide` `[1, pictures, high, wide·in]`, side by side.
 */
function inputAcross(call: Call, blocks: number, reach: readonly [number, number], pads: Windows['pads']) {
  const { emit, integers } = call;
  const [batch, channels, high, wide] = sizesOf(call.types[0]);
  const pictures = upTo(batch, blocks);
  const [top, left] = [pads[0]?.[0] as number, pads[1]?.[0] as number];
  const [below, right] = [reach[0] - high - top, reach[1] - wide - left];
  const lines = emit('Reshape', [call.inputs[0] as string, integers([1, batch, channels * high, wide])]);
  let x = emit('Reshape', [
    emit('ReorderInput', [lines], {}, DOMAIN),
    integers([pictures / blocks, channels, high, wide, blocks]),
  ]);
  if (top > 0 || left > 0 || below !== 0 || right !== 0)
    // Below zero: the last rows that no tap reaches are cut off.
    x = emit('Pad', [x, integers([0, 0, top, left, 0, 0, 0, below, right, 0])], { mode: 'constant' });
  return { x, pictures, channels };
}

/**
 * A convolution of the input with the cotangent as weights, pictures in the place of channels.
 * `swapped`: one result for each channel of the input, as wide as the kernel. `wide`: all channels side by side in one
 * line, the steps between weights as long as there are channels, so that results are long lines; each block of pictures
 * is a group of its own, and the groups are added up. Measured on [32, 64, 32, 32] with 64 out: 13 and 10 ms where
 * products by tap take 17; on [32, 32, 14, 14]: 0.49 and 0.39 where they take 1.29.
 */
export function blockedWeightGradient(
  call: Call,
  { strides, dilations, pads, blocks, form }: Windows & { form: 'swapped' | 'wide' },
): string {
  const { emit, integers } = call;
  const [out, own, kernelHigh, kernelWide] = sizesOf(call.outputTypes[0]);
  const [, , high, wide] = sizesOf(call.types[1]);
  const outs = upTo(out, blocks);
  const reach = (axis: 0 | 1, size: number, kernel: number): number =>
    (strides[axis] as number) * (size - 1) + (dilations[axis] as number) * (kernel - 1) + 1;
  const reaches = [reach(0, high, kernelHigh), reach(1, wide, kernelWide)] as const;
  const grouped = form === 'wide';
  const weights = cotangentAsWeights(call, blocks, grouped);
  const { x, pictures, channels } = inputAcross(call, blocks, reaches, pads);
  const groups = pictures / blocks;
  const moved = emit('Transpose', [x], { perm: grouped ? [0, 2, 3, 1, 4] : [1, 0, 2, 3, 4] });
  const shape = grouped
    ? [1, pictures, reaches[0], reaches[1] * channels]
    : [channels, pictures, reaches[0], reaches[1]];
  const across = grouped ? channels : 1;
  const y = emit(
    'Conv',
    [emit('Reshape', [moved, integers(shape)]), weights],
    {
      kernel_shape: [high, wide],
      strides: [dilations[0] as number, (dilations[1] as number) * 1],
      dilations: [strides[0] as number, (strides[1] as number) * across],
      pads: [0, 0, 0, 0],
      group: grouped ? groups : 1,
    },
    DOMAIN,
  );
  if (!grouped) {
    const ordered = emit('ReorderOutput', [y], { channels: out }, DOMAIN);
    return emit('Transpose', [ordered], { perm: [1, 0, 2, 3] });
  }
  const taps = kernelHigh * kernelWide;
  let total = y;
  if (groups > 1) {
    const each = emit('Reshape', [y, integers([groups, outs / blocks, taps, own, blocks])]);
    total = emit('ReduceSum', [each, integers([0])], { keepdims: 0 });
  }
  // Two moves of one axis each, which the runtime does fast: channels that came out first, then taps last.
  const lines = emit('Reshape', [total, integers([outs / blocks, taps * own, blocks])]);
  const byOut = emit('Transpose', [lines], { perm: [0, 2, 1] });
  const byTap = emit('Reshape', [byOut, integers([outs, taps, own])]);
  const ordered = emit('Reshape', [
    emit('Transpose', [byTap], { perm: [0, 2, 1] }),
    integers([outs, own, kernelHigh, kernelWide]),
  ]);
  return outs === out ? ordered : emit('Slice', [ordered, integers([0]), integers([out]), integers([0])]);
}
