/** The protobuf wire format, as much of it as ONNX needs. Knows fields and wire types, no messages. */
import { InkstoneError } from '../base/errors.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Collects a message; large byte fields are kept as they are and copied once, at the end. */
export class ProtoWriter {
  private readonly parts: Uint8Array[] = [];
  private length = 0;

  private push(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.length += bytes.length;
  }

  private varint(value: number | bigint): void {
    let rest = BigInt.asUintN(64, BigInt(value));
    const bytes: number[] = [];
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.push(Uint8Array.from(bytes));
  }

  private tag(field: number, wire: number): void {
    this.varint(field * 8 + wire);
  }

  /** int32, int64, enum, bool; negative numbers take ten bytes, as the format says. */
  integer(field: number, value: number | bigint): this {
    this.tag(field, 0);
    this.varint(value);
    return this;
  }

  float(field: number, value: number): this {
    this.tag(field, 5);
    this.push(new Uint8Array(Float32Array.of(value).buffer));
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

  finish(): Uint8Array {
    const result = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      result.set(part, at);
      at += part.length;
    }
    return result;
  }
}

export interface ProtoField {
  readonly field: number;
  readonly wire: number;
  /** For varints; signed 64-bit. */
  readonly integer: bigint;
  /** For length-delimited and fixed fields. */
  readonly bytes: Uint8Array;
}

/** Walks a message's fields. @throws InkstoneError `onnx_corrupt` with the offset */
export function* readFields(bytes: Uint8Array, base = 0): Generator<ProtoField & { offset: number }> {
  let at = 0;
  const corrupt = (why: string): never => {
    throw new InkstoneError('onnx_corrupt', `${why} at byte ${base + at}`, {
      kind: 'data',
      hint: 'the file is damaged or no ONNX model',
    });
  };
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= bytes.length) corrupt('the file ends inside a number');
      const byte = bytes[at++] as number;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    return corrupt('a number is too long');
  };
  while (at < bytes.length) {
    const key = Number(BigInt.asUintN(64, varint()));
    const field = Math.floor(key / 8);
    const wire = key % 8;
    let integer = 0n;
    let size = 0;
    if (field === 0) corrupt('a field has the number 0');
    if (wire === 0) integer = varint();
    else if (wire === 1) size = 8;
    else if (wire === 5) size = 4;
    else if (wire === 2) size = Number(BigInt.asUintN(64, varint()));
    else corrupt(`the wire type ${wire} is not known`);
    if (at + size > bytes.length) corrupt(`a field of ${size} bytes goes past the end`);
    const offset = base + at;
    const part = bytes.subarray(at, at + size);
    at += size;
    yield { field, wire, integer, bytes: part, offset };
  }
}

export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Repeated integers, packed or not. */
export function* integersOf(field: ProtoField): Generator<bigint> {
  if (field.wire === 0) {
    yield field.integer;
    return;
  }
  let value = 0n;
  let shift = 0n;
  for (const byte of field.bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte < 0x80) {
      yield BigInt.asIntN(64, value);
      value = 0n;
      shift = 0n;
    }
  }
}

/** Repeated float32, packed or not. */
export function floatsOf(field: ProtoField): number[] {
  const view = new DataView(field.bytes.buffer, field.bytes.byteOffset, field.bytes.byteLength);
  return Array.from({ length: Math.floor(field.bytes.length / 4) }, (_, i) => view.getFloat32(i * 4, true));
}
