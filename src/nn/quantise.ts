/**
 * Weights in fewer bits for serving: chooses which matrices of a model are kept in 4 or 8 bits, and their numbers.
 * Every block has one scale, the one with the least squared error among a few candidates. Knows no architecture.
 */
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { floatsToHalves, halvesToFloats } from '../formats/float16.ts';
import {
  type BlockLayout,
  blocksOf,
  bytesOfBlock,
  type QuantisedBits,
  zeroOf,
} from '../program/ops/quantised.ts';
import { blocksName, quantisableInputs, quantiseProgram, scalesName } from '../program/quantise.ts';
import type { Program } from '../program/types.ts';
import type { ParameterSpec } from './parameters.ts';

export const WEIGHT_FORMATS = ['float32', 'float16', 'int8', 'int4'] as const;
export type WeightFormat = (typeof WEIGHT_FORMATS)[number];

/**
 * Numbers of a block, best first; the first that fills the rows is taken. In 8 bits a product of one row with blocks of
 * 128 takes an eighth less time than with 64 (docs/decisions/0016); in 4 bits smaller blocks are worth their time.
 */
const BLOCKS = { 8: [128, 64], 4: [32] } as const;

function blockOf(bits: QuantisedBits, inner: number): number {
  const known: readonly number[] = BLOCKS[bits];
  return known.find((block) => inner % block === 0) ?? (known.at(-1) as number);
}

/** Matrices below this cost nothing as they are. */
const SMALLEST = 2048;

/** Rows `[rows, inner]` as blocks and scales. */
export function quantiseRows(
  values: Float32Array,
  rows: number,
  layout: BlockLayout,
): { blocks: HostTensor<'u8'>; scales: HostTensor<'f32'> } {
  const { bits, block, inner } = layout;
  const count = blocksOf(layout);
  const bytes = bytesOfBlock(layout);
  const packed = new Uint8Array(rows * count * bytes).fill(bits === 8 ? zeroOf(8) : 0x88);
  const scales = new Float32Array(rows * count);
  for (let r = 0; r < rows; r++) {
    for (let b = 0; b < count; b++) {
      const from = r * inner + b * block;
      const part = values.subarray(from, Math.min(from + block, (r + 1) * inner));
      const scale = scaleOf(part, bits);
      const at = r * count + b;
      scales[at] = scale;
      const inverse = scale === 0 ? 0 : 1 / scale;
      for (let i = 0; i < part.length; i++) {
        const whole = wholeOf((part[i] as number) * inverse, bits);
        if (bits === 8) packed[at * bytes + i] = whole;
        else {
          const place = at * bytes + (i >> 1);
          const before = packed[place] as number;
          packed[place] = i % 2 === 0 ? (before & 0xf0) | whole : (before & 0x0f) | (whole << 4);
        }
      }
    }
  }
  return {
    blocks: tensor('u8', [rows, count, bytes], packed),
    scales: tensor('f32', [rows, count], scales),
  };
}

function wholeOf(value: number, bits: QuantisedBits): number {
  const zero = zeroOf(bits);
  return Math.max(0, Math.min(2 * zero - 1, Math.round(value) + zero));
}

/** Steps between the outermost number and zero that are tried; 8 bits are fine enough for the first alone. */
const CANDIDATES = { 8: [128], 4: [8, 7.6, 7.2, 8.5, 9.1] } as const;

/** The scale of a block: signed, so that the largest number may take the one end that reaches farther. */
function scaleOf(part: Float32Array, bits: QuantisedBits): number {
  let largest = 0;
  for (const value of part) if (Math.abs(value) > Math.abs(largest)) largest = value;
  if (largest === 0) return 0;
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  const zero = zeroOf(bits);
  for (const steps of CANDIDATES[bits]) {
    const inverse = -steps / largest;
    let cross = 0;
    let squares = 0;
    let energy = 0;
    for (const value of part) {
      const q = wholeOf(value * inverse, bits) - zero;
      cross += value * q;
      squares += q * q;
      energy += value * value;
    }
    if (squares === 0) continue;
    // With the numbers given, this scale has the least squared error.
    const error = energy - (cross * cross) / squares;
    if (error < least) {
      least = error;
      best = cross / squares;
    }
  }
  return Math.fround(best);
}

function turned(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c] as number;
  return result;
}

export interface QuantisedModel<P extends Record<string, Program>> {
  programs: P;
  parameters: HostTensors;
  /** Of the parameters as they are kept now. */
  bytes: number;
}

const bytesOf = (parameters: HostTensors): number =>
  Object.values(parameters).reduce((total, { data }) => total + data.byteLength, 0);

/**
 * A model's programs and parameters with its matrices in another format. Embeddings and heads keep 8 bits under
 * `int4`, norms and biases floats. `float16` rounds the weights; the arithmetic stays in float32.
 * @param programs all programs that share the parameters
 */
export function withWeights<P extends Record<string, Program>>(
  programs: P,
  parameters: HostTensors,
  specs: readonly ParameterSpec[],
  format: WeightFormat,
  options: { exact?: boolean } = {},
): QuantisedModel<P> {
  if (format === 'float32') return { programs, parameters, bytes: bytesOf(parameters) };
  if (format === 'float16') {
    const rounded = Object.fromEntries(
      Object.entries(parameters).map(([name, value]) => [
        name,
        value.dtype === 'f32' ? halved(value) : value,
      ]),
    );
    return { programs, parameters: rounded, bytes: bytesOf(rounded) };
  }
  const roles = new Map(specs.map(({ name, role }) => [name, role]));
  const layouts = new Map<string, BlockLayout>();
  const kept: HostTensors = { ...parameters };
  for (const [name, side] of quantisableInputs(Object.values(programs))) {
    const value = parameters[name];
    if (value === undefined || value.dtype !== 'f32' || value.data.length < SMALLEST) continue;
    const [first, second] = value.shape as readonly [number, number];
    const bits = format === 'int8' || roles.get(name) !== 'matrix' ? 8 : 4;
    const inner = side === 'rows' ? second : first;
    // A row that does not fill a block would be mostly padding.
    const block = blockOf(bits, inner);
    if (inner < block) continue;
    const layout: BlockLayout = { bits, block, inner };
    const data = value.data as Float32Array;
    const rows = side === 'rows' ? data : turned(data, first, second);
    const { blocks, scales } = quantiseRows(rows, data.length / inner, layout);
    layouts.set(name, layout);
    delete kept[name];
    kept[blocksName(name)] = blocks;
    kept[scalesName(name)] = scales;
  }
  const changed = Object.fromEntries(
    Object.entries(programs).map(([key, program]) => [key, quantiseProgram(program, layouts, options)]),
  ) as P;
  return { programs: changed, parameters: kept, bytes: bytesOf(kept) };
}

const halved = (value: HostTensor): HostTensor =>
  tensor('f32', value.shape, halvesToFloats(floatsToHalves(value.data as Float32Array)));
