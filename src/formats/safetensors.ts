/**
 * safetensors files: a JSON header and raw tensors. Reads and writes bytes; knows no model.
 * Layout: u64 little-endian header length, header, data; offsets count from the end of the header.
 */
import { z } from 'zod';
import { InkstoneError } from '../base/errors.ts';
import {
  BYTES,
  bytesOf,
  type DType,
  type HostTensor,
  type HostTensors,
  sizeOf,
  viewOf,
} from '../base/tensor.ts';
import { brainToFloats } from './float16.ts';

const NAME: Record<DType, string> = {
  f32: 'F32',
  f64: 'F64',
  f16: 'F16',
  i32: 'I32',
  i64: 'I64',
  u8: 'U8',
  bool: 'BOOL',
};
const DTYPE = new Map(Object.entries(NAME).map(([dtype, name]) => [name, dtype as DType]));
const HEADER_LIMIT = 100_000_000;

const entry = z.object({
  dtype: z.string(),
  shape: z.array(z.number().int().min(0)),
  data_offsets: z.tuple([z.number().int().min(0), z.number().int().min(0)]),
});

export interface SafetensorsFile {
  tensors: HostTensors;
  metadata: Record<string, string>;
}

/**
 * Header and data as pieces, wide elements first, then by name, as the reference implementation has it: the
 * same tensors give the same bytes and every tensor lies where its element type wants it.
 * @throws InkstoneError `safetensors_name` for a tensor named `__metadata__`
 */
export function safetensorsPieces(
  tensors: HostTensors,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const width = (name: string): number => BYTES[(tensors[name] as HostTensor).dtype];
  const names = Object.keys(tensors).sort((a, b) => width(b) - width(a) || (a < b ? -1 : 1));
  if ('__metadata__' in tensors)
    throw new InkstoneError('safetensors_name', 'no tensor can have the name __metadata__');
  // Without a prototype, so that `__proto__` is a name like any other.
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let at = 0;
  for (const name of names) {
    const { dtype, shape, data } = tensors[name] as HostTensor;
    header[name] = { dtype: NAME[dtype], shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  const text = JSON.stringify(header);
  const bytes = new TextEncoder().encode(text);
  // Data begins at a multiple of 8; spaces after the JSON are allowed.
  const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8).fill(32);
  padded.set(bytes);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(padded.length), true);
  return [length, padded, ...names.map((name) => bytesOf(tensors[name] as HostTensor))];
}

export function writeSafetensors(
  tensors: HostTensors,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const pieces = safetensorsPieces(tensors, metadata);
  const result = new Uint8Array(pieces.reduce((total, piece) => total + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    result.set(piece, at);
    at += piece.length;
  }
  return result;
}

/**
 * Tensors are views of `file` where alignment allows; bfloat16 comes out as f32.
 * @throws InkstoneError `safetensors_corrupt`, `safetensors_unsupported`
 */
export function readSafetensors(file: Uint8Array): SafetensorsFile {
  // A plain view: the methods of Node's Buffer differ.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < 8) throw corrupt('it is shorter than its header length');
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (length > HEADER_LIMIT) throw corrupt(`its header claims ${length} bytes`);
  if (8 + length > bytes.length) throw corrupt('it ends inside the header');
  const header = parseHeader(bytes.subarray(8, 8 + length));
  const data = bytes.subarray(8 + length);
  const tensors: Record<string, HostTensor> = Object.create(null);
  let metadata: Record<string, string> = {};
  const spans: [number, number, string][] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isTextMap(value)) throw corrupt('its metadata are no texts');
      metadata = value;
      continue;
    }
    const read = entry.safeParse(value);
    if (!read.success) throw corrupt(`the entry "${name}" is malformed`);
    const {
      dtype,
      shape,
      data_offsets: [start, end],
    } = read.data;
    if (start > end || end > data.length) throw corrupt(`"${name}" lies outside the file`);
    tensors[name] = tensorOf(name, dtype, shape, data.subarray(start, end));
    spans.push([start, end, name]);
  }
  spans.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let at = 0;
  for (const [start, end, name] of spans) {
    if (start !== at) throw corrupt(`there is ${start < at ? 'an overlap' : 'a hole'} before "${name}"`);
    at = end;
  }
  if (at !== data.length) throw corrupt('there are bytes after the last tensor');
  return { tensors, metadata };
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  if (bytes[0] !== 0x7b) throw corrupt('its header does not begin with {');
  let text: string;
  let header: Record<string, unknown>;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    header = JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw corrupt('its header is not JSON', cause);
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) throw corrupt(`its header names "${twice}" twice`);
  return header;
}

function isTextMap(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((text) => typeof text === 'string');
}

/** A key that the outermost object of valid JSON has twice: `JSON.parse` would silently take the last. */
function repeatedKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  // A string with what may make it a key, or a bracket; everything else is passed over.
  for (const [token, key] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (key !== undefined && depth === 1) {
      const name = JSON.parse(key) as string;
      if (seen.has(name)) return name;
      seen.add(name);
    }
  }
  return undefined;
}

function tensorOf(name: string, type: string, shape: readonly number[], bytes: Uint8Array): HostTensor {
  const dtype = type === 'BF16' ? 'f16' : DTYPE.get(type);
  if (dtype === undefined) {
    throw new InkstoneError('safetensors_unsupported', `"${name}" has the element type ${type}`, {
      kind: 'unsupported',
      hint: 'F32, F16, BF16, F64, I32, I64, U8 and BOOL are read',
    });
  }
  if (bytes.length !== sizeOf(shape) * BYTES[dtype])
    throw corrupt(`"${name}" has ${bytes.length} bytes for ${type} [${shape.join(', ')}]`);
  const data = viewOf(dtype, bytes);
  return type === 'BF16'
    ? { dtype: 'f32', shape, data: brainToFloats(data as Uint16Array) }
    : ({ dtype, shape, data } as HostTensor);
}

function corrupt(why: string, cause?: unknown): InkstoneError {
  return new InkstoneError('safetensors_corrupt', `the safetensors file is damaged: ${why}`, {
    kind: 'data',
    hint: 'copy or fetch it again',
    cause,
  });
}
