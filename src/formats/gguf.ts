/**
 * GGUF files, version 3: what llama.cpp reads. Typed metadata, then tensors at aligned places. Knows bytes; knows no
 * model. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { InkstoneError } from '../base/errors.ts';
import { decodeBlocks, encodeBlocks, GGML_TYPES, type GgmlType, ggmlBytes } from './gguf-blocks.ts';

export type GgufValue =
  | { type: 'u32' | 'i32' | 'f32' | 'u64' | 'i64' | 'f64' | 'u8' | 'i8' | 'u16' | 'i16'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'strings'; value: readonly string[] }
  | { type: 'i32s' | 'f32s' | 'u32s'; value: readonly number[] };

export interface GgufTensor {
  name: string;
  /** Rows first, as everywhere here; the file has it the other way round. */
  shape: readonly number[];
  type: GgmlType;
  /** Decoded. */
  data: Float32Array;
}

export interface GgufFile {
  metadata: Readonly<Record<string, GgufValue>>;
  tensors: readonly GgufTensor[];
}

const VERSION = 3;
const ALIGNMENT = 32;
const TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
};
const WIDTH: Record<keyof typeof TYPE, number> = {
  ...{ u8: 1, i8: 1, bool: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, u64: 8, i64: 8, f64: 8 },
  ...{ string: 0, array: 0 },
};
const ELEMENT = { strings: TYPE.string, i32s: TYPE.i32, f32s: TYPE.f32, u32s: TYPE.u32 } as const;

const aligned = (size: number): number => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

/** Little-endian bytes, one after another. */
class Writer {
  private bytes = new Uint8Array(1 << 16);
  private view = new DataView(this.bytes.buffer);
  length = 0;

  private room(size: number): number {
    const at = this.length;
    this.length += size;
    if (this.length > this.bytes.length) {
      const wider = new Uint8Array(Math.max(this.length, 2 * this.bytes.length));
      wider.set(this.bytes);
      this.bytes = wider;
      this.view = new DataView(wider.buffer);
    }
    return at;
  }

  number(type: keyof typeof TYPE, value: number): this {
    const at = this.room(WIDTH[type]);
    const { view } = this;
    if (type === 'f32') view.setFloat32(at, value, true);
    else if (type === 'f64') view.setFloat64(at, value, true);
    else if (type === 'u64' || type === 'i64') view.setBigInt64(at, BigInt(value), true);
    else if (WIDTH[type] === 1) view.setInt8(at, value);
    else if (WIDTH[type] === 2) view.setInt16(at, value, true);
    else view.setInt32(at, value, true);
    return this;
  }

  string(text: string): this {
    const encoded = new TextEncoder().encode(text);
    this.number('u64', encoded.length);
    const at = this.room(encoded.length);
    this.bytes.set(encoded, at);
    return this;
  }

  pad(): this {
    this.room(aligned(this.length) - this.length);
    return this;
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

function writeValue(out: Writer, given: GgufValue): void {
  switch (given.type) {
    case 'string':
      out.number('u32', TYPE.string).string(given.value);
      break;
    case 'bool':
      out.number('u32', TYPE.bool).number('u8', given.value ? 1 : 0);
      break;
    case 'strings':
      out.number('u32', TYPE.array).number('u32', ELEMENT.strings).number('u64', given.value.length);
      for (const text of given.value) out.string(text);
      break;
    case 'i32s':
    case 'f32s':
    case 'u32s': {
      out.number('u32', TYPE.array).number('u32', ELEMENT[given.type]).number('u64', given.value.length);
      const element = given.type.slice(0, -1) as 'i32' | 'f32' | 'u32';
      for (const value of given.value) out.number(element, value);
      break;
    }
    default:
      out.number('u32', TYPE[given.type]).number(given.type, given.value);
  }
}

/** The file in pieces: the head, then each tensor with its filling. @throws InkstoneError `gguf_shape` */
export function ggufPieces({ metadata, tensors }: GgufFile): Uint8Array[] {
  const head = new Writer().number('u32', 0x46554747).number('u32', VERSION);
  head.number('u64', tensors.length).number('u64', Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) writeValue(head.string(key), value);
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    head.string(name).number('u32', shape.length);
    for (const size of [...shape].reverse()) head.number('u64', size);
    head.number('u32', GGML_TYPES[type].id).number('u64', offset);
    offset += aligned(ggmlBytes(type, shape));
  }
  const pieces = [head.pad().finish()];
  for (const { type, shape, data } of tensors) {
    const bytes = new Uint8Array(aligned(ggmlBytes(type, shape)));
    encodeBlocks(type, data, bytes);
    pieces.push(bytes);
  }
  return pieces;
}

function corrupt(why: string): InkstoneError {
  return new InkstoneError('gguf_corrupt', `this is no whole GGUF file: ${why}`, {
    kind: 'data',
    hint: 'fetch the file again',
  });
}

/** Reads little-endian values and never beyond the end. */
class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private take(size: number): number {
    const at = this.at;
    if (size > this.bytes.length - at) throw corrupt('it ends too early');
    this.at += size;
    return at;
  }

  number(type: number): number {
    switch (type) {
      case TYPE.u8:
      case TYPE.bool:
        return this.view.getUint8(this.take(1));
      case TYPE.i8:
        return this.view.getInt8(this.take(1));
      case TYPE.u16:
        return this.view.getUint16(this.take(2), true);
      case TYPE.i16:
        return this.view.getInt16(this.take(2), true);
      case TYPE.u32:
        return this.view.getUint32(this.take(4), true);
      case TYPE.i32:
        return this.view.getInt32(this.take(4), true);
      case TYPE.f32:
        return this.view.getFloat32(this.take(4), true);
      case TYPE.u64:
        return Number(this.view.getBigUint64(this.take(8), true));
      case TYPE.i64:
        return Number(this.view.getBigInt64(this.take(8), true));
      case TYPE.f64:
        return this.view.getFloat64(this.take(8), true);
      default:
        throw corrupt(`there is no value of type ${type}`);
    }
  }

  /** A count of things that take at least `each` bytes: a lie about it must not cost memory. */
  count(each: number): number {
    const count = this.number(TYPE.u64);
    if (count * each > this.bytes.length) throw corrupt(`it claims ${count} entries`);
    return count;
  }

  string(): string {
    const length = this.count(1);
    const start = this.take(length);
    return new TextDecoder().decode(this.bytes.subarray(start, start + length));
  }

  value(): GgufValue {
    const type = this.number(TYPE.u32);
    if (type === TYPE.string) return { type: 'string', value: this.string() };
    if (type === TYPE.bool) return { type: 'bool', value: this.number(TYPE.bool) !== 0 };
    if (type !== TYPE.array) {
      const name = Object.entries(TYPE).find(([, id]) => id === type)?.[0];
      return { type: (name ?? 'u32') as 'u32', value: this.number(type) };
    }
    const element = this.number(TYPE.u32);
    if (element === TYPE.array) throw corrupt('arrays of arrays are not known');
    const count = this.count(element === TYPE.string ? 8 : 1);
    if (element === TYPE.string)
      return { type: 'strings', value: Array.from({ length: count }, () => this.string()) };
    const kind =
      element === TYPE.f32 || element === TYPE.f64 ? 'f32s' : element === TYPE.u32 ? 'u32s' : 'i32s';
    return { type: kind, value: Array.from({ length: count }, () => this.number(element)) };
  }
}

/** @throws InkstoneError `gguf_corrupt`, `gguf_unsupported` */
export function readGguf(file: Uint8Array): GgufFile {
  const reader = new Reader(file);
  if (reader.number(TYPE.u32) !== 0x46554747) throw corrupt('it does not begin with GGUF');
  const version = reader.number(TYPE.u32);
  if (version !== 2 && version !== 3)
    throw new InkstoneError('gguf_unsupported', `GGUF version ${version} is not known`, {
      kind: 'unsupported',
    });
  const tensorCount = reader.count(24);
  const valueCount = reader.count(12);
  const metadata: Record<string, GgufValue> = Object.create(null);
  for (let i = 0; i < valueCount; i++) metadata[reader.string()] = reader.value();
  const infos = Array.from({ length: tensorCount }, () => {
    const name = reader.string();
    const rank = reader.number(TYPE.u32);
    if (rank > 8) throw corrupt(`"${name}" claims ${rank} axes`);
    const shape = Array.from({ length: rank }, () => reader.number(TYPE.u64)).reverse();
    const id = reader.number(TYPE.u32);
    const type = (Object.keys(GGML_TYPES) as GgmlType[]).find((one) => GGML_TYPES[one].id === id);
    if (type === undefined)
      throw new InkstoneError(
        'gguf_unsupported',
        `"${name}" is quantised in a way (${id}) that is not known`,
        {
          kind: 'unsupported',
          hint: `${Object.keys(GGML_TYPES).join(', ')} can be read`,
        },
      );
    return { name, shape, type, offset: reader.number(TYPE.u64) };
  });
  const alignment = metadata['general.alignment']?.value;
  const step = typeof alignment === 'number' && alignment > 0 ? alignment : ALIGNMENT;
  const start = Math.ceil(reader.at / step) * step;
  const spans: [number, number][] = [];
  const tensors = infos.map(({ name, shape, type, offset }) => {
    const size = ggmlBytes(type, shape);
    const end = start + offset + size;
    if (!(end <= file.length)) throw corrupt(`"${name}" lies outside the file`);
    spans.push([offset, offset + size]);
    return { name, shape, type, data: decodeBlocks(type, file.subarray(start + offset, end), shape) };
  });
  spans.sort((a, b) => a[0] - b[0]);
  if (spans.some(([begin], i) => i > 0 && begin < (spans[i - 1] as [number, number])[1]))
    throw corrupt('two tensors overlap');
  return { metadata, tensors };
}
