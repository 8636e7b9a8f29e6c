/**
 * Resident tensors in host memory: a value with room to grow, a second buffer for updates, and rows moved in place.
 * Knows memory; knows neither sessions nor programs.
 */
import type * as ort from 'onnxruntime-node';
import { InkstoneError } from '../../base/errors.ts';
import { type ArrayOf, allocate, type DType, type HostTensor, sizeOf } from '../../base/tensor.ts';
import type { Part, RowWrite } from '../contract.ts';
import { fromOrt, toOrt } from './convert.ts';

/** One resident tensor: the value, and for updates a second buffer to write the next one into. */
export interface Slot {
  dtype: DType;
  shape: readonly number[];
  value: ort.Tensor;
  spare: ort.Tensor | undefined;
  /** What `value` is the front of; longer than it where the tensor has grown. */
  room: ArrayOf[DType] | undefined;
}

export function slotOf(tensor: HostTensor): Slot {
  const data = tensor.data.slice() as ArrayOf[DType];
  const { dtype, shape } = tensor;
  return { dtype, shape: [...shape], value: over(dtype, shape, data), spare: undefined, room: data };
}

function over(dtype: DType, shape: readonly number[], data: ArrayOf[DType]): ort.Tensor {
  return toOrt({ dtype, shape: [...shape], data } as HostTensor);
}

export function spareOf(slot: Slot): ort.Tensor {
  slot.spare ??= over(slot.dtype, slot.shape, allocate(slot.dtype, sizeOf(slot.shape)));
  return slot.spare;
}

export function dropSlot(slot: Slot): void {
  slot.value.dispose();
  slot.spare?.dispose();
}

/** Gives `axis` the new size. A tensor that grows twice gets room for more, and then grows in place. */
export function resizeSlot(slot: Slot, axis: number, size: number): void {
  const { dtype, shape } = slot;
  const inner = sizeOf(shape.slice(axis + 1));
  const outer = sizeOf(shape.slice(0, axis));
  const before = (shape[axis] as number) * inner;
  const after = size * inner;
  const from = fromOrt(slot.value, dtype) as Float32Array;
  let room = slot.room as Float32Array | undefined;
  if (room === undefined || room.length < outer * after) {
    room = allocate(
      dtype,
      after > before ? Math.max(outer * after, 2 * outer * before) : outer * after,
    ) as Float32Array;
    const kept = Math.min(before, after);
    for (let o = 0; o < outer; o++) room.set(from.subarray(o * before, o * before + kept), o * after);
  } else if (after > before) {
    for (let o = outer - 1; o >= 0; o--) {
      room.copyWithin(o * after, o * before, (o + 1) * before);
      room.fill(zeroOf(dtype), o * after + before, (o + 1) * after);
    }
  } else {
    for (let o = 1; o < outer; o++) room.copyWithin(o * after, o * before, o * before + after);
  }
  slot.shape = shape.map((s, i) => (i === axis ? size : s));
  slot.room = room as ArrayOf[DType];
  slot.value = over(dtype, slot.shape, room.subarray(0, outer * after) as ArrayOf[DType]);
  slot.spare = undefined;
}

const zeroOf = (dtype: DType): number => (dtype === 'i64' ? (0n as unknown as number) : 0);

/** Rows of axis 0 from one place to another, in order. */
export function copySlotRows(slot: Slot, from: readonly number[], to: readonly number[]): void {
  const data = fromOrt(slot.value, slot.dtype) as Float32Array;
  const size = sizeOf(slot.shape.slice(1));
  from.forEach((row, i) => {
    const target = to[i] as number;
    if (row !== target) data.copyWithin(target * size, row * size, (row + 1) * size);
  });
}

/** One row's `count` places of an axis: `[1, …, count, …]`. */
export function readSlotPart(slot: Slot, { row, axis, at, count }: Part): HostTensor {
  const { dtype, shape } = slot;
  const { data, starts, inner } = partOf(slot, { row, axis, at, count });
  const made = allocate(dtype, starts.length * count * inner) as Float32Array;
  starts.forEach((start, m) => {
    made.set(data.subarray(start, start + count * inner), m * count * inner);
  });
  return {
    dtype,
    shape: shape.map((s, i) => (i === 0 ? 1 : i === axis ? count : s)),
    data: made,
  } as HostTensor;
}

export function writeSlotPart(slot: Slot, tensor: HostTensor, part: Part): void {
  const { data, starts, inner } = partOf(slot, part);
  const size = part.count * inner;
  const from = tensor.data as Float32Array;
  starts.forEach((start, m) => {
    data.set(from.subarray(m * size, (m + 1) * size), start);
  });
}

function partOf(
  slot: Slot,
  { row, axis, at, count }: Part,
): { data: Float32Array; starts: number[]; inner: number } {
  const { shape, dtype } = slot;
  const inner = sizeOf(shape.slice(axis + 1));
  const middle = sizeOf(shape.slice(1, axis));
  const size = shape[axis] as number;
  if (row >= (shape[0] as number) || at + count > size)
    throw new InkstoneError('row_out_of_range', `row ${row}, ${at}…${at + count} does not fit [${shape}]`);
  const starts = Array.from({ length: middle }, (_, m) => ((row * middle + m) * size + at) * inner);
  return { data: fromOrt(slot.value, dtype) as Float32Array, starts, inner };
}

/** See RowWrite: copies rows of an output into a resident tensor. */
export function writeRows(output: ort.Tensor, slot: Slot, write: RowWrite): void {
  const from = fromOrt(output, slot.dtype) as Float32Array;
  const into = fromOrt(slot.value, slot.dtype) as Float32Array;
  const { axis, first = 0 } = write;
  const inner = sizeOf(output.dims.slice(axis + 1));
  const middle = sizeOf(slot.shape.slice(1, axis));
  const all = sizeOf(output.dims.slice(1, axis));
  const skipped = first * sizeOf(output.dims.slice(2, axis));
  if (skipped + middle > all)
    throw new InkstoneError(
      'row_out_of_range',
      `${middle} lines from ${skipped} are not in ${all} of "${write.output}"`,
    );
  const own = output.dims[axis] as number;
  const size = slot.shape[axis] as number;
  for (let b = 0; b < (output.dims[0] as number); b++) {
    const row = write.rows?.[b] ?? b;
    const count = write.count?.[b] ?? own;
    const at = write.at[b] as number;
    if (row < 0 || count === 0) continue;
    if (at + count > size)
      throw new InkstoneError(
        'row_out_of_range',
        `rows ${at}…${at + count} do not fit an axis of ${size} in "${write.into}"`,
      );
    for (let m = 0; m < middle; m++) {
      const start = (b * all + skipped + m) * own * inner;
      const place = ((row * middle + m) * size + at) * inner;
      copy(from, start, into, place, count * inner);
    }
  }
}

/** Short rows are faster to copy in a loop than through a new view each. */
function copy(from: Float32Array, start: number, into: Float32Array, place: number, length: number): void {
  if (length > 256) into.set(from.subarray(start, start + length), place);
  else for (let i = 0; i < length; i++) into[place + i] = from[start + i] as number;
}
