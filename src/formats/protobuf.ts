/** The protobuf wire format, as much of it as ONNX needs. Knows fields and wire types, no messages. */
import { InkstoneError } from '../base/errors.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Collects a message; large byte fields are kept as they are and copied once, at the end. */
export class ProtoWriter {
  private readonly parts: Uint8Array[] = [];
  private length = 0;

  private push(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.length += bytes.length;
  }

  private varint(value: number | bigint): void {
    const bytes: number[] = [];
    if (typeof value === 'number' && value >= 0 && value <= 0x7fffffff) {
      let rest = value;
      for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
      bytes.push(rest);
    } else {
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
      bytes.push(Number(rest));
    }
    this.push(Uint8Array.from(bytes));
  }

  private tag(field: number, wire: number): void {
    this.varint(field * 8 + wire);
  }

  /**
   * int32, int64, enum, bool; negative numbers take ten bytes, as the format says. A number beyond int64
   * (2^63, what INT64_MAX becomes as a double) is written as the nearest end of the range.
   */
  integer(field: number, value: number | bigint): this {
    this.tag(field, 0);
    if (typeof value === 'number' && !Number.isSafeInteger(value)) this.varint(nearestInteger(value));
    else this.varint(value);
    return this;
  }

  float(field: number, value: number): this {
    this.tag(field, 5);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    this.push(bytes);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.tag(field, 2);
    this.varint(value.length);
    this.push(value);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value));
  }

  message(field: number, value: ProtoWriter): this {
    this.tag(field, 2);
    this.varint(value.length);
    for (const part of value.parts) this.push(part);
    return this;
  }

  finish(): Uint8Array<ArrayBuffer> {
    const result = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      result.set(part, at);
      at += part.length;
    }
    return result;
  }
}

/** @throws InkstoneError `not_an_integer` */
function nearestInteger(value: number): bigint {
  if (!Number.isInteger(value)) throw new InkstoneError('not_an_integer', `${value} is no integer`);
  const [least, most] = [-(2n ** 63n), 2n ** 63n - 1n];
  const exact = BigInt(value);
  return exact < least ? least : exact > most ? most : exact;
}

export interface ProtoField {
  readonly field: number;
  readonly wire: number;
  /** For varints; signed 64-bit. */
  readonly integer: bigint;
  /** For length-delimited and fixed fields. */
  readonly bytes: Uint8Array;
  /** Where the value begins, counted from the start of the file. */
  readonly offset: number;
}

/** The error for bytes that break the format. @param at counted from the start of the file */
export function corruptAt(why: string, at: number): InkstoneError {
  return new InkstoneError('onnx_corrupt', `${why} at byte ${at}`, {
    kind: 'data',
    hint: 'the file is damaged or no ONNX model',
    details: { offset: at },
  });
}

/** One varint of `bytes` from `at`: the value (signed 64-bit) and the place behind it. */
function readVarint(bytes: Uint8Array, at: number, base: number): [bigint, number] {
  let low = 0;
  // Four bytes fit the fast way; nearly all numbers of a model do.
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw corruptAt('a number is cut off', base + at + i);
    low |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) return [BigInt(low), at + i + 1];
  }
  let value = BigInt(low);
  for (let i = 4; i < 10; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw corruptAt('a number is cut off', base + at + i);
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return [BigInt.asIntN(64, value), at + i + 1];
  }
  throw corruptAt('a number is too long', base + at);
}

/**
 * Walks a message's fields. @param base where the message begins in the file
 * @throws InkstoneError `onnx_corrupt` with the offset
 */
export function* readFields(bytes: Uint8Array, base = 0): Generator<ProtoField> {
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    let key: bigint;
    [key, at] = readVarint(bytes, at, base);
    const field = Number(BigInt.asUintN(64, key) >> 3n);
    const wire = Number(key & 7n);
    if (field === 0 || field > 0x1fffffff)
      throw corruptAt(`a field has the number ${field}, which no field has,`, base + start);
    let integer = 0n;
    let size = 0;
    if (wire === 0) [integer, at] = readVarint(bytes, at, base);
    else if (wire === 1) size = 8;
    else if (wire === 5) size = 4;
    else if (wire === 2) {
      let length: bigint;
      [length, at] = readVarint(bytes, at, base);
      size = Number(BigInt.asUintN(64, length));
    } else throw corruptAt(`the wire type ${wire} is not known`, base + start);
    if (at + size > bytes.length) throw corruptAt(`a field of ${size} bytes goes past the end`, base + start);
    const part = bytes.subarray(at, at + size);
    const offset = base + at;
    at += size;
    yield { field, wire, integer, bytes: part, offset };
  }
}

const WIRES = ['a number', 'eight bytes', 'bytes', '', '', 'four bytes'];

function expect(field: ProtoField, wire: number): void {
  if (field.wire !== wire)
    throw corruptAt(
      `field ${field.field} holds ${WIRES[field.wire]} instead of ${WIRES[wire]}`,
      field.offset,
    );
}

/** A string or bytes field as text. */
export function textOf(field: ProtoField): string {
  expect(field, 2);
  return decoder.decode(field.bytes);
}

/** The bytes of a bytes or message field. */
export function bytesIn(field: ProtoField): Uint8Array {
  expect(field, 2);
  return field.bytes;
}

/** A single integer; exact up to 2^53. */
export function integerOf(field: ProtoField): number {
  expect(field, 0);
  return Number(field.integer);
}

/** Repeated integers, packed or not. */
export function integersOf(field: ProtoField): bigint[] {
  if (field.wire === 0) return [field.integer];
  expect(field, 2);
  const values: bigint[] = [];
  for (let at = 0; at < field.bytes.length; ) {
    let value: bigint;
    [value, at] = readVarint(field.bytes, at, field.offset);
    values.push(value);
  }
  return values;
}

/** Repeated float32 (`width` 4) or float64 (8), packed or not. */
export function floatsOf(field: ProtoField, width: 4 | 8 = 4): number[] {
  if (field.wire !== 2) expect(field, width === 4 ? 5 : 1);
  const { bytes } = field;
  if (bytes.length % width !== 0)
    throw corruptAt(`${bytes.length} bytes are no list of float${width * 8}`, field.offset);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / width }, (_, i) =>
    width === 4 ? view.getFloat32(i * 4, true) : view.getFloat64(i * 8, true),
  );
}
