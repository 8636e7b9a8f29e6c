/**
 * How ggml keeps numbers: plain, halves, and blocks of 32 with a common scale. Rounding is ggml's own, so that a file
 * written here is the file its tools would write. Knows no files.
 */
import { InkstoneError } from '../base/errors.ts';
import { brainToFloats, floatsToHalves, halvesToFloats } from './float16.ts';

/** `id`: ggml's number of the type; `bytes` for each block of `block` numbers. */
export const GGML_TYPES = {
  f32: { id: 0, block: 1, bytes: 4 },
  f16: { id: 1, block: 1, bytes: 2 },
  q4_0: { id: 2, block: 32, bytes: 18 },
  q8_0: { id: 8, block: 32, bytes: 34 },
  bf16: { id: 30, block: 1, bytes: 2 },
} as const;
export type GgmlType = keyof typeof GGML_TYPES;

/** Numbers in a block and its bytes, by ggml's number of the type; those that are read here and those that are not. */
export const GGML_BLOCKS: Readonly<Record<number, readonly [numbers: number, bytes: number]>> = {
  ...{ 0: [1, 4], 1: [1, 2], 30: [1, 2], 28: [1, 8], 24: [1, 1], 25: [1, 2], 26: [1, 4], 27: [1, 8] },
  ...{ 2: [32, 18], 3: [32, 20], 6: [32, 22], 7: [32, 24], 8: [32, 34], 9: [32, 36], 20: [32, 18] },
  ...{ 10: [256, 84], 11: [256, 110], 12: [256, 144], 13: [256, 176], 14: [256, 210], 15: [256, 292] },
  ...{ 16: [256, 66], 17: [256, 74], 18: [256, 98], 19: [256, 50], 21: [256, 110], 22: [256, 82] },
  ...{ 23: [256, 136], 29: [256, 56] },
};

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** @throws InkstoneError `gguf_shape` where rows are no whole blocks */
export function ggmlBytes(type: GgmlType, shape: readonly number[]): number {
  const { block, bytes } = GGML_TYPES[type];
  if ((shape.at(-1) ?? 1) % block !== 0)
    throw new InkstoneError('gguf_shape', `rows of ${shape.at(-1)} numbers are no whole blocks of ${block}`, {
      kind: 'unsupported',
      hint: 'keep this tensor as f16 or f32',
    });
  return (count(shape) / block) * bytes;
}

const half = (value: number): number => floatsToHalves(Float32Array.of(value))[0] as number;

/** @throws InkstoneError `gguf_unsupported` for types that are only read */
export function encodeBlocks(type: GgmlType, data: Float32Array, into: Uint8Array): void {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  switch (type) {
    case 'f32':
      into.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return;
    case 'f16': {
      const halves = floatsToHalves(data);
      into.set(new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength));
      return;
    }
    case 'q8_0':
      for (let block = 0; block * 32 < data.length; block++) {
        const part = data.subarray(block * 32, block * 32 + 32);
        let largest = 0;
        for (const value of part) largest = Math.max(largest, Math.abs(value));
        const scale = Math.fround(largest / 127);
        const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
        view.setUint16(block * 34, half(scale), true);
        part.forEach((value, i) => {
          view.setInt8(block * 34 + 2 + i, roundAway(Math.fround(value * inverse)));
        });
      }
      return;
    case 'q4_0':
      for (let block = 0; block * 32 < data.length; block++) {
        const part = data.subarray(block * 32, block * 32 + 32);
        let extreme = 0;
        for (const value of part) if (Math.abs(value) > Math.abs(extreme)) extreme = value;
        const scale = Math.fround(extreme / -8);
        const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
        const quantised = (i: number): number =>
          Math.min(15, Math.trunc(Math.fround(Math.fround((part[i] as number) * inverse) + 8.5)));
        view.setUint16(block * 18, half(scale), true);
        for (let i = 0; i < 16; i++) into[block * 18 + 2 + i] = quantised(i) | (quantised(i + 16) << 4);
      }
      return;
    case 'bf16':
      throw new InkstoneError('gguf_unsupported', 'bf16 is read, not written', {
        kind: 'unsupported',
        hint: 'write f16 or f32',
      });
  }
}

/** C's roundf: halves go away from zero. */
const roundAway = (value: number): number => Math.sign(value) * Math.floor(Math.abs(value) + 0.5);

export function decodeBlocks(type: GgmlType, bytes: Uint8Array, shape: readonly number[]): Float32Array {
  const size = count(shape);
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  switch (type) {
    case 'f32':
      return new Float32Array(copy.buffer);
    case 'f16':
      return halvesToFloats(new Uint16Array(copy.buffer));
    case 'bf16':
      return brainToFloats(new Uint16Array(copy.buffer));
    case 'q8_0': {
      const scales = halvesToFloats(
        Uint16Array.from({ length: size / 32 }, (_, b) => view.getUint16(b * 34, true)),
      );
      return Float32Array.from({ length: size }, (_, i) => {
        const block = i >> 5;
        return (scales[block] as number) * view.getInt8(block * 34 + 2 + (i & 31));
      });
    }
    case 'q4_0': {
      const scales = halvesToFloats(
        Uint16Array.from({ length: size / 32 }, (_, b) => view.getUint16(b * 18, true)),
      );
      return Float32Array.from({ length: size }, (_, i) => {
        const [block, place] = [i >> 5, i & 31];
        const byte = copy[block * 18 + 2 + (place & 15)] as number;
        return (scales[block] as number) * ((place < 16 ? byte & 15 : byte >> 4) - 8);
      });
    }
  }
}
