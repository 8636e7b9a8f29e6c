import { describe, expect, it } from 'vitest';
import { chosenRows, path, smoothed, thinned, ticks } from './scale.ts';

describe('ticks', () => {
  it('are round and span the range', () => {
    expect(ticks(1.43, 4.12, 5)).toEqual([1, 2, 3, 4, 5]);
    expect(ticks(0, 2000, 6)).toEqual([0, 500, 1000, 1500, 2000]);
    expect(ticks(0, 0.3, 3)).toEqual([0, 0.1, 0.2, 0.3]);
  });

  it('are two where there is no range', () => {
    for (const [low, high] of [
      [3, 3],
      [3, 2],
      [0, Number.POSITIVE_INFINITY],
      [Number.NaN, 1],
    ] as const) {
      expect(ticks(low, high, 5)).toHaveLength(2);
    }
  });
});

const line = (count: number) => Array.from({ length: count }, (_, index) => ({ x: index, y: index % 2 }));

it('thins by means and keeps the ends', () => {
  expect(thinned(line(3), 5)).toEqual(line(3));
  const few = thinned(line(10_000), 100);
  expect(few).toHaveLength(100);
  expect([few[0]?.x, few.at(-1)?.x]).toEqual([0, 9999]);
  expect(few[50]?.y).toBeCloseTo(0.5);
});

it('smooths without a jump at the start', () => {
  const flat = Array.from({ length: 50 }, (_, index) => ({ x: index, y: 2 }));
  for (const point of smoothed(flat, 0.9)) expect(point.y).toBeCloseTo(2);
});

it('draws a path', () => {
  expect(
    path([
      { x: 0, y: 1 },
      { x: 2, y: 3.14 },
    ]),
  ).toBe('M0.0 1.0L2.0 3.1');
  expect(path([])).toBe('');
});

it('chooses rows with the marked ones', () => {
  expect(chosenRows(3, 60, () => false)).toEqual([0, 1, 2]);
  const rows = chosenRows(5000, 60, (index) => index % 500 === 3);
  expect(rows.length).toBeLessThanOrEqual(60);
  expect(rows).toEqual(expect.arrayContaining([0, 3, 503, 4503, 4999]));
});
