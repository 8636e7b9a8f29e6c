/**
 * Tensors as plain data in host memory: the currency between files, programs and backends.
 * Knows element types and sizes; does not know how to compute.
 */
import { InkstoneError } from './errors.ts';

export type DType = 'f32' | 'f64' | 'f16' | 'i32' | 'i64' | 'u8' | 'bool';

/** `f16` is held as raw bits in a Uint16Array; `bool` as 0 or 1 in a Uint8Array. */
export interface ArrayOf {
  f32: Float32Array;
  f64: Float64Array;
  f16: Uint16Array;
  i32: Int32Array;
  i64: BigInt64Array;
  u8: Uint8Array;
  bool: Uint8Array;
}

/** Row-major, dense. `data.length` is the product of `shape`. */
export interface HostTensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: ArrayOf[D];
}

export type HostTensors = Record<string, HostTensor>;

export const BYTES: Record<DType, number> = { f32: 4, f64: 8, f16: 2, i32: 4, i64: 8, u8: 1, bool: 1 };

const CONSTRUCTOR = {
  f32: Float32Array,
  f64: Float64Array,
  f16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  u8: Uint8Array,
  bool: Uint8Array,
} as const;

export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const dim of shape) size *= dim;
  return size;
}

/** A typed array of `length` zeros for `dtype`. */
export function allocate<D extends DType>(dtype: D, length: number): ArrayOf[D] {
  return new CONSTRUCTOR[dtype](length) as ArrayOf[D];
}

/** A view of `bytes` as `dtype`; copies only where alignment forces it. */
export function viewOf<D extends DType>(dtype: D, bytes: Uint8Array): ArrayOf[D] {
  const width = BYTES[dtype];
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  return new CONSTRUCTOR[dtype](
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / width,
  ) as ArrayOf[D];
}

/** @throws InkstoneError `tensor_size` when data and shape disagree */
export function tensor<D extends DType>(
  dtype: D,
  shape: readonly number[],
  data: ArrayOf[D] | readonly number[],
): HostTensor<D> {
  if (data.length !== sizeOf(shape)) {
    throw new InkstoneError('tensor_size', `${data.length} values do not fill [${shape.join(', ')}]`, {
      hint: 'the product of the shape must be the number of values',
    });
  }
  if (!Array.isArray(data)) return { dtype, shape, data: data as ArrayOf[D] };
  const typed = allocate(dtype, data.length);
  for (let i = 0; i < data.length; i++) {
    typed[i] = (dtype === 'i64' ? BigInt(data[i] as number) : data[i]) as never;
  }
  return { dtype, shape, data: typed };
}

export function zeros<D extends DType>(dtype: D, shape: readonly number[]): HostTensor<D> {
  return { dtype, shape, data: allocate(dtype, sizeOf(shape)) };
}

export function bytesOf(value: HostTensor): Uint8Array {
  return new Uint8Array(value.data.buffer as ArrayBuffer, value.data.byteOffset, value.data.byteLength);
}
