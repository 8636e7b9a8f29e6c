/** Intervals and tests against SciPy's values, exact enumerations and known coverage. */
import { describe, expect, test } from 'vitest';
import { Random } from '../base/rng.ts';
import {
  bootstrapMean,
  bootstrapRatio,
  compare,
  mcnemar,
  pairedBootstrap,
  signTest,
  studentInterval,
} from './statistics.ts';

test.each([
  // scipy.stats.binomtest(a, a + b, 0.5).pvalue
  [3, 9, 0.14599609375],
  [9, 3, 0.14599609375],
  [0, 5, 0.0625],
  [10, 10, 1],
  [130, 95, 0.023197506839685394],
  [0, 0, 1],
  [1, 0, 1],
])('McNemar’s exact test of %i and %i', (gained, lost, p) => {
  expect(signTest(gained, lost)).toBeCloseTo(p, 12);
});

describe('the bootstrap', () => {
  test('of two values has the three means there are', () => {
    const { value, lower, upper, count } = bootstrapMean([0, 1], { resamples: 4000 });
    expect({ value, lower, upper, count }).toEqual({ value: 0.5, lower: 0, upper: 1, count: 2 });
    expect(bootstrapMean([3, 3, 3])).toEqual({ value: 3, lower: 3, upper: 3, count: 3 });
    expect(bootstrapMean([]).value).toBeNaN();
  });

  test('is near the normal interval where that holds, and the same for a seed', () => {
    const random = new Random(5);
    const values = Array.from({ length: 400 }, () => random.normal() * 2 + 1);
    const { value, lower, upper } = bootstrapMean(values);
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - value) ** 2, 0) / 400);
    const half = (1.96 * deviation) / 20;
    expect(lower).toBeCloseTo(value - half, 1);
    expect(upper).toBeCloseTo(value + half, 1);
    expect(bootstrapMean(values)).toEqual(bootstrapMean(values));
    expect(bootstrapMean(values, { seed: 2 })).not.toEqual(bootstrapMean(values));
  });

  test('of a ratio weighs its parts', () => {
    const { value, lower, upper } = bootstrapRatio([10, 1], [5, 1]);
    expect(value).toBe(11 / 6);
    expect([lower, upper]).toEqual([1, 2]);
  });

  test('covers the truth about as often as it says', () => {
    const random = new Random(9);
    let covered = 0;
    for (let round = 0; round < 200; round++) {
      const values = Array.from({ length: 60 }, () => random.uniform());
      const { lower, upper } = bootstrapMean(values, { seed: round, resamples: 400 });
      if (lower <= 0.5 && upper >= 0.5) covered++;
    }
    expect(covered).toBeGreaterThan(178);
    expect(covered).toBeLessThanOrEqual(200);
  });
});

describe('two variants', () => {
  const random = new Random(3);
  const a = Array.from({ length: 300 }, () => random.uniform());
  test('that differ', () => {
    const better = a.map((x) => x + 0.2 + 0.1 * random.normal());
    const { difference, lower, upper, p, test: name } = compare(a, better);
    expect(name).toBe('paired bootstrap');
    expect(difference).toBeCloseTo(0.2, 1);
    expect(lower).toBeGreaterThan(0.15);
    expect(upper).toBeLessThan(0.25);
    expect(p).toBeLessThan(0.001);
  });
  test('that do not: p is spread evenly over 0 … 1', () => {
    let below = 0;
    for (let round = 0; round < 100; round++) {
      const one = Array.from({ length: 50 }, () => random.normal());
      const other = Array.from({ length: 50 }, () => random.normal());
      if (pairedBootstrap(one, other, { seed: round, resamples: 300 }).p < 0.5) below++;
    }
    expect(Math.abs(below - 50)).toBeLessThan(4 * 5);
    expect(pairedBootstrap(a, a)).toMatchObject({ difference: 0, p: 1 });
  });
  test('with right and wrong answers', () => {
    const [right, other] = [
      [1, 1, 1, 1, 1, 1, 0, 0],
      [0, 0, 0, 0, 0, 1, 0, 0],
    ];
    expect(compare(right, other)).toMatchObject({ test: 'McNemar, exact', difference: -5 / 8, p: 0.0625 });
    expect(mcnemar(other, right).difference).toBe(5 / 8);
  });
  test('need the same items', () => {
    expect(() => compare([1], [1, 0])).toThrow('make no pairs');
    expect(() => compare([], [])).toThrow('make no pairs');
  });
});

describe("Student's interval", () => {
  test.each([
    // scipy.stats.t.ppf(0.975, n − 1)
    [2, 12.706204736],
    [3, 4.30265273],
    [4, 3.182446305],
    [5, 2.776445105],
    [11, 2.228138852],
    [31, 2.042272456],
  ])('of %i values reaches to the table’s t', (n, t) => {
    const values = Array.from({ length: n }, (_, i) => i);
    const centre = (n - 1) / 2;
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - centre) ** 2, 0) / (n - 1));
    const { value, lower, upper, count } = studentInterval(values);
    expect({ value, count }).toEqual({ value: centre, count: n });
    expect(((upper - centre) / deviation) * Math.sqrt(n)).toBeCloseTo(t, 6);
    expect(((centre - lower) / deviation) * Math.sqrt(n)).toBeCloseTo(t, 6);
  });

  test('is a point where all values are one, and nothing of a single value', () => {
    expect(studentInterval([2, 2, 2])).toEqual({ value: 2, lower: 2, upper: 2, count: 3 });
    for (const few of [[], [1]])
      expect(() => studentInterval(few)).toThrow(expect.objectContaining({ code: 'values_missing' }));
  });
});
