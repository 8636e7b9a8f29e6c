/**
 * GGUF files, version 3: what llama.cpp reads. Typed metadata, then tensors at aligned places. Writes them (reading is
 * in gguf-read.ts); knows bytes, no model. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { encodeBlocks, GGML_TYPES, type GgmlType, ggmlBytes } from './gguf-blocks.ts';

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
export const ALIGNMENT = 32;
export const TYPE = {
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
