/** Slopes against scipy.stats.theilslopes 1.17.1, and series that grow or only look like it. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/rng.ts';
import { growth, pieces, theilSen } from './trend.ts';

const to = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe('the slope of Theil and Sen', () => {
  it.each([
    [to(12), [5, 7, 4, 8, 6, 9, 7, 10, 9, 11, 8, 12], 0.5, 0.2857142857142857, 0.8571428571428571],
    [to(12), [3, 3, 3, 4, 3, 3, 2, 3, 3, 3, 3, 3], 0, 0, 0],
    [[0, 1, 2, 4, 8, 16], [1, 0, 5, 3, 9, 40], 1.5, -1, 3.875],
  ])('of %j and %j', (x, y, slope, low, high) => {
    const found = theilSen(x, y);
    expect(found.slope).toBeCloseTo(slope, 12);
    expect(found.low).toBeCloseTo(low, 12);
    expect(found.high).toBeCloseTo(high, 12);
  });
});

describe('growth', () => {
  const noisy = (seed: number, slope: number): number[] => {
    const random = new Random(seed, 'noise');
    return to(400).map((i) => 300 + slope * i + 10 * (random.uniform() - 0.5) + (i % 37 === 0 ? 60 : 0));
  };
  it('is seen where it is, and not in noise and peaks', () => {
    const grown = (slope: number): number =>
      to(20).filter((seed) => growth(to(400), noisy(seed + 1, slope)).grows).length;
    expect([grown(0), grown(0.1)]).toEqual([0, 20]);
    expect(growth(to(400), noisy(1, 0.1), 100).grows).toBe(false);
  });

  it('is not one step, nor what levels off', () => {
    const level = (of: (i: number) => number): number[] => noisy(3, 0).map((value, i) => value + of(i));
    for (const at of [100, 200, 300])
      expect(
        growth(
          to(400),
          level((i) => (i < at ? 0 : 90)),
        ).grows,
      ).toBe(false);
    expect(
      growth(
        to(400),
        level((i) => 90 * (1 - Math.exp(-i / 80))),
      ).grows,
    ).toBe(false);
    expect(
      growth(
        to(400),
        level((i) => 30 * Math.floor(i / 50)),
      ).grows,
    ).toBe(true);
  });

  it('knows when it was looked at: rarely in one half, often in the other', () => {
    const at = [...to(20).map((i) => 10 * i), ...to(200).map((i) => 200 + i)];
    expect(
      growth(
        at,
        at.map((second) => 7 + 3 * second),
      ).slope,
    ).toBeCloseTo(3, 9);
  });

  it('pieces are medians', () => expect(pieces([1, 9, 2, 4, 4, 5, 7], 2)).toEqual([2, 4]));
});
