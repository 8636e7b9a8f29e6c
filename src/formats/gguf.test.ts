/** GGUF: what is written reads back; what is damaged is refused with one clear error. */
import { describe, expect, test } from 'vitest';
import { Random } from '../base/rng.ts';
import { type GgufFile, ggufPieces } from './gguf.ts';
import type { GgmlType } from './gguf-blocks.ts';
import { readGguf } from './gguf-read.ts';

const random = new Random(1, 'gguf');
const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, () => random.normal());
const file: GgufFile = {
  metadata: {
    'general.architecture': { type: 'string', value: 'llama' },
    count: { type: 'u32', value: 4_000_000_000 },
    big: { type: 'u64', value: 2 ** 40 },
    small: { type: 'i32', value: -5 },
    rate: { type: 'f32', value: 0.5 },
    yes: { type: 'bool', value: true },
    tokens: { type: 'strings', value: ['a', '', '世界', '😀'] },
    kinds: { type: 'i32s', value: [1, -2, 3] },
  },
  tensors: [
    { name: 'plain', shape: [3, 5], type: 'f32', data: numbers(15) },
    { name: 'half', shape: [7], type: 'f16', data: numbers(7) },
    { name: 'eight', shape: [2, 64], type: 'q8_0', data: numbers(128) },
    { name: 'four', shape: [2, 32], type: 'q4_0', data: numbers(64) },
    { name: 'zeros', shape: [32], type: 'q8_0', data: new Float32Array(32) },
  ],
};
const join = (pieces: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces));
const bytes = join(ggufPieces(file));

test('what is written reads back', () => {
  const again = readGguf(bytes);
  expect({ ...again.metadata }).toEqual(file.metadata);
  expect(again.tensors.map(({ name, shape, type }) => ({ name, shape, type }))).toEqual(
    file.tensors.map(({ name, shape, type }) => ({ name, shape, type })),
  );
  const error: Record<GgmlType, number> = { f32: 0, f16: 1e-3, bf16: 1e-2, q8_0: 1 / 127, q4_0: 1 / 7 };
  again.tensors.forEach(({ type, data }, i) => {
    const original = file.tensors[i]?.data as Float32Array;
    for (let at = 0; at < data.length; at += 32) {
      const scale = Math.max(...original.subarray(at, at + 32).map(Math.abs));
      for (let j = at; j < Math.min(at + 32, data.length); j++)
        expect(Math.abs((data[j] as number) - (original[j] as number))).toBeLessThanOrEqual(
          error[type] * scale + 1e-9,
        );
    }
  });
  // What was rounded once is not rounded again.
  expect(join(ggufPieces(again))).toEqual(bytes);
});

test('tensors stand at multiples of 32', () => {
  expect(bytes.length % 32).toBe(0);
});

describe('a damaged file', () => {
  const refused = (damaged: Uint8Array, code = 'gguf_corrupt'): void => {
    expect(() => readGguf(damaged)).toThrow(expect.objectContaining({ code }));
  };
  const changed = (at: number, value: bigint): Uint8Array => {
    const copy = bytes.slice();
    new DataView(copy.buffer).setBigUint64(at, value, true);
    return copy;
  };
  test('of another kind', () => refused(new TextEncoder().encode('PK and so on')));
  test('of another version', () => {
    const copy = bytes.slice();
    copy[4] = 9;
    refused(copy, 'gguf_unsupported');
  });
  test('that lies about how many tensors it has', () => refused(changed(8, 2n ** 60n)));
  test('that lies about how many values it has', () => refused(changed(16, 2n ** 60n)));
  test('whose tensors overlap', () => {
    const copy = bytes.slice();
    const text = Buffer.from(copy).indexOf('half');
    // After the name: rank (4), one size (8), type (4), then the offset.
    new DataView(copy.buffer).setBigUint64(text + 4 + 16, 0n, true);
    refused(copy);
  });
  test('that ends too early, wherever', () => {
    for (let end = 0; end < bytes.length - 31; end += 37) refused(bytes.slice(0, end));
  });
  test('rows that are no whole blocks', () => {
    const odd: GgufFile = {
      metadata: {},
      tensors: [{ name: 'x', shape: [3, 5], type: 'q8_0', data: numbers(15) }],
    };
    expect(() => ggufPieces(odd)).toThrow(expect.objectContaining({ code: 'gguf_shape' }));
  });
});
