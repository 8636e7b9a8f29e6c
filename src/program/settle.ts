/**
 * The last step before lowering: how each convolution is computed. Rectifiers go into the convolution before them, and
 * the gradient of weights becomes products by tap or a convolution over blocks of channels, whatever was chosen. Knows
 * which ways there are, not which is fast: that is handed in.
 */
import { operationOf, remake } from './operation.ts';
import { suitsBlocks, weightsSuitBlocks } from './ops/convolution-blocked.ts';
import { pad } from './ops/shape.ts';
import { isProgram, rewrite } from './trace.ts';
import type { Node, Program, Tensor, TensorType } from './types.ts';

/** `plain` is ONNX's own; the others are of the runtime's blocks of channels. */
export type Way = 'plain' | 'blocks' | 'swapped' | 'wide';

export interface ConvolutionCase {
  op: 'conv' | 'convWeights';
  /** Input and weights, or input and cotangent. */
  types: readonly TensorType[];
  attributes: Node['attributes'];
  /** All ways that compute it, `plain` first. */
  ways: readonly Way[];
}

export interface SettleOptions {
  /** Channels of the runtime's blocks; 0 where it has none. */
  blocks: number;
  choose(one: ConvolutionCase): Way;
  /** Inputs whose values are known when the graph is made: there the runtime itself does better. */
  constants: ReadonlySet<string>;
  /** Convolutions that rectify, too, are not of standard ONNX. */
  portable: boolean;
  /**
   * Channels that go in are filled up to fours where there are 6, 9, 15, …: ONNX Runtime 1.30 computes such convolutions
   * wrongly on WebGPU (by threes).
   */
  byFours: boolean;
}

/** Nothing but this decides how it is computed, and so the bytes of the result. */
export function caseKey({ op, types, attributes }: ConvolutionCase): string {
  const { strides, dilations, pads, kernel } = attributes;
  return `${op} ${types
    .slice(0, 2)
    .map(({ shape }) => shape.join('×'))
    .join(' ')} ${JSON.stringify([strides, dilations, pads, kernel ?? 0])}`;
}

/** The convolution of a node as a case; undefined where there is one way only. */
export function convolutionCase(node: Node, blocks: number): ConvolutionCase | undefined {
  if (blocks === 0 || (node.op !== 'conv' && node.op !== 'convWeights')) return undefined;
  const types = node.inputs.map(({ dtype, shape }) => ({ dtype, shape }));
  const { attributes } = node;
  if (node.op === 'conv')
    return suitsBlocks(types, attributes, blocks)
      ? { op: 'conv', types, attributes, ways: ['plain', 'blocks'] }
      : undefined;
  if (!weightsSuitBlocks(types, attributes)) return undefined;
  const isDense = (attributes.dilations as readonly number[])[1] === 1;
  const ways: Way[] = isDense ? ['plain', 'swapped', 'wide'] : ['plain', 'swapped'];
  return { op: 'convWeights', types, attributes, ways };
}

/** Where nobody measured. From timings of the shapes that our networks have, two threads, blocks of 16. */
export function usualWay({ op, types, attributes, ways }: ConvolutionCase): Way {
  const [x, other] = types.map(({ shape }) => shape as readonly number[]) as [
    readonly number[],
    readonly number[],
  ];
  const [, channels, high, wide] = x as [number, number, number, number];
  const out = other[op === 'conv' ? 0 : 1] as number;
  if (op === 'conv') {
    const isPoint = other[2] === 1 && other[3] === 1;
    return isPoint || out < 8 || channels < 8 ? 'plain' : (ways[1] as Way);
  }
  const kernel = attributes.kernel as readonly number[];
  if (kernel.every((size) => size === 1)) return 'plain';
  const lies = ways.includes('wide') && high * wide > 64 && (x[0] as number) > 16;
  return lies ? 'wide' : 'swapped';
}

/** Also in the bodies of its scans. */
export const holdsConvolution = (program: Program): boolean =>
  program.nodes.some(
    ({ op, attributes }) =>
      op === 'conv' ||
      op === 'convWeights' ||
      Object.values(attributes).some((value) => isProgram(value) && holdsConvolution(value)),
  );

export function settle(program: Program, options: SettleOptions): Program {
  if (!holdsConvolution(program)) return program;
  const known = knownTensors(program, options.constants);
  const rectifiers = options.portable ? new Map<Node, Node>() : rectifiersAfter(program);
  return rewrite(program, (node, inputs, made) => {
    const rectifier = rectifiers.get(node);
    const results = settled(node, inputs, known, options, rectifier);
    if (rectifier !== undefined) made.set(rectifier.outputs[0] as Tensor, results[0] as Tensor);
    return results;
  });
}

function settled(
  node: Node,
  inputs: readonly Tensor[],
  known: ReadonlySet<Tensor>,
  options: SettleOptions,
  rectifier: Node | undefined,
): readonly Tensor[] {
  if (Object.values(node.attributes).some(isProgram))
    return remake(node, inputs, bodiesSettled(node.attributes, options));
  const slope = rectifier === undefined ? {} : { slope: rectifier.attributes.slope as number };
  const found = known.has(node.inputs[1] as Tensor) ? undefined : convolutionCase(node, options.blocks);
  const way = found === undefined ? 'plain' : options.choose(found);
  if (way === 'blocks') {
    const [x, w, ...rest] = inputs as readonly [Tensor, Tensor, ...Tensor[]];
    // What is computed in blocks has one group.
    const isFlipped = w.node.op === 'flipWeights' && w.node.attributes.groups === 1;
    const weights = isFlipped ? (w.node.inputs[0] as Tensor) : w;
    const form = { ...slope, blocks: options.blocks, ...(isFlipped ? { unflipped: true } : {}) };
    return remake(node, [x, weights, ...rest], { ...node.attributes, ...form });
  }
  if (way === 'swapped' || way === 'wide')
    return remake(node, inputs, { ...node.attributes, blocks: options.blocks, form: way });
  if (node.op === 'convWeights')
    return (operationOf(node.op).composite as NonNullable<ReturnType<typeof operationOf>['composite']>)(
      inputs,
      node.attributes,
    );
  const given = options.byFours && node.op === 'conv' ? filledUp(inputs, node.attributes) : inputs;
  return remake(node, given, rectifier === undefined ? node.attributes : { ...node.attributes, ...slope });
}

function filledUp(inputs: readonly Tensor[], { groups }: Node['attributes']): readonly Tensor[] {
  const [x, w, ...rest] = inputs as readonly [Tensor, Tensor, ...Tensor[]];
  const channels = x.shape[1] as number;
  if (groups !== 1 || channels <= 3 || channels % 3 !== 0 || channels % 4 === 0) return inputs;
  const missing = x.shape.map((_, axis) => [0, axis === 1 ? 4 - (channels % 4) : 0]);
  return [pad(x, missing), pad(w, missing), ...rest];
}

/** Bodies of scans: many small steps, where reordering does not pay. */
function bodiesSettled(attributes: Node['attributes'], options: SettleOptions): Node['attributes'] {
  const within = { ...options, blocks: 0, constants: new Set<string>() };
  return Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [key, isProgram(value) ? settle(value, within) : value]),
  );
}

/** What follows from constants alone. */
function knownTensors(program: Program, constants: ReadonlySet<string>): Set<Tensor> {
  const known = new Set(program.inputs.filter(({ name }) => constants.has(name)).map(({ tensor }) => tensor));
  for (const node of program.nodes)
    if (node.op !== 'input' && node.inputs.every((tensor) => known.has(tensor)))
      for (const tensor of node.outputs) known.add(tensor);
  return known;
}

/** Convolutions whose result only a leaky rectifier wants, with it. */
function rectifiersAfter(program: Program): Map<Node, Node> {
  const users = new Map<Tensor, Node[]>();
  for (const node of program.nodes)
    for (const tensor of node.inputs) users.set(tensor, [...(users.get(tensor) ?? []), node]);
  const kept = new Set(program.outputs.map(({ tensor }) => tensor));
  const found = new Map<Node, Node>();
  for (const node of program.nodes) {
    const [y] = node.outputs;
    if (node.op !== 'conv' || y === undefined || kept.has(y) || y.dtype !== 'f32') continue;
    const [only, ...more] = users.get(y) ?? [];
    if (only?.op === 'leakyRelu' && more.length === 0) found.set(node, only);
  }
  return found;
}
