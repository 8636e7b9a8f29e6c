import { describe, expect, it } from 'vitest';
import { readIdx } from './idx.ts';

const file = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

describe('IDX', () => {
  it('gives shape and values', () => {
    const { shape, data } = readIdx(file(0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 255));
    expect(shape).toEqual([1, 3]);
    expect([...data]).toEqual([7, 8, 255]);
  });

  it.each([
    ['an empty file', file()],
    ['another magic number', file(1, 0, 8, 1, 0, 0, 0, 1, 5)],
    ['values of another type', file(0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0)],
    ['a header that is cut short', file(0, 0, 8, 3, 0, 0, 0, 1)],
    ['fewer values than it says', file(0, 0, 8, 1, 0, 0, 0, 3, 1, 2)],
    ['more values than it says', file(0, 0, 8, 1, 0, 0, 0, 1, 1, 2)],
    [
      'sizes beyond all measure',
      file(0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255),
    ],
  ])('refuses %s', (_, bytes) => {
    expect(() => readIdx(bytes)).toThrow(expect.objectContaining({ code: 'idx_invalid' }));
  });
});
