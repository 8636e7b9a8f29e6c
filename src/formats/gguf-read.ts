/**
 * Reads GGUF files: all of them, or only the head of one that does not fit into memory. Trusts nothing that a file says
 * of itself. Knows bytes, no model.
 */
import { InkstoneError } from '../base/errors.ts';
import { ALIGNMENT, type GgufFile, type GgufValue, TYPE } from './gguf.ts';
import { decodeBlocks, GGML_BLOCKS, GGML_TYPES, type GgmlType, ggmlBytes } from './gguf-blocks.ts';

/** The bytes at hand end within the head, the file does not. */
class MoreNeeded extends Error {}

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
  /** Of the whole file, of which these may be the first bytes. */
  private readonly fileSize: number;
  at = 0;

  constructor(bytes: Uint8Array, fileSize: number) {
    this.bytes = bytes;
    this.fileSize = fileSize;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private take(size: number): number {
    const at = this.at;
    if (size > this.fileSize - at) throw corrupt('it ends too early');
    if (size > this.bytes.length - at) throw new MoreNeeded();
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
    if (count * each > this.fileSize) throw corrupt(`it claims ${count} entries`);
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

/** What a file says of itself before its numbers. */
export interface GgufHead {
  metadata: Readonly<Record<string, GgufValue>>;
  /** `type` is ggml's number, known here or not; `offset` counts from `start`. */
  tensors: readonly { name: string; shape: readonly number[]; type: number; offset: number }[];
  /** Where the numbers begin. */
  start: number;
}

/** @throws InkstoneError `gguf_corrupt`, `gguf_unsupported`; MoreNeeded where `bytes` ends within the head */
function headOf(bytes: Uint8Array, fileSize: number): GgufHead {
  const reader = new Reader(bytes, fileSize);
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
  const names = new Set<string>();
  const tensors = Array.from({ length: tensorCount }, () => {
    const name = reader.string();
    if (names.has(name)) throw corrupt(`"${name}" is there twice`);
    names.add(name);
    const rank = reader.number(TYPE.u32);
    if (rank > 8) throw corrupt(`"${name}" claims ${rank} axes`);
    const shape = Array.from({ length: rank }, () => reader.number(TYPE.u64)).reverse();
    return { name, shape, type: reader.number(TYPE.u32), offset: reader.number(TYPE.u64) };
  });
  const alignment = metadata['general.alignment']?.value;
  const step = typeof alignment === 'number' && alignment > 0 ? alignment : ALIGNMENT;
  const start = Math.ceil(reader.at / step) * step;
  for (const { name, shape, type, offset } of tensors) {
    // No way of keeping numbers takes less than a bit for each.
    const [numbers, size] = GGML_BLOCKS[type] ?? [8, 1];
    if (!(start + offset + (shape.reduce((a, b) => a * b, 1) / numbers) * size <= fileSize))
      throw corrupt(`"${name}" lies outside the file`);
  }
  return { metadata, tensors, start };
}

/**
 * The head of a file of any size, without its numbers.
 * @param read gives the first bytes of the file, as many as are asked for
 * @throws InkstoneError `gguf_corrupt`, `gguf_unsupported`
 */
export async function readGgufHead(
  read: (size: number) => Promise<Uint8Array>,
  fileSize: number,
): Promise<GgufHead> {
  for (let size = Math.min(1 << 18, fileSize); ; size = Math.min(8 * size, fileSize)) {
    try {
      return headOf(await read(size), fileSize);
    } catch (thrown) {
      if (!(thrown instanceof MoreNeeded)) throw thrown;
      if (size >= fileSize) throw corrupt('it ends too early');
    }
  }
}

/** @throws InkstoneError `gguf_corrupt`, `gguf_unsupported` */
export function readGguf(file: Uint8Array): GgufFile {
  const { metadata, tensors: infos, start } = headOf(file, file.length);
  const spans: [number, number][] = [];
  const tensors = infos.map(({ name, shape, type: id, offset }) => {
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
