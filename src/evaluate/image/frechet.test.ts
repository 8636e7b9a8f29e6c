import { Matrix } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/rng.ts';
import { frechetDistance, gaussianOf } from './frechet.ts';

describe('Fréchet distance', () => {
  it('is that of the reference implementation', () => {
    // pytorch-fid's frechet_distance of these two Gaussians.
    const a = {
      mean: Float64Array.of(0, 0),
      covariance: new Matrix([
        [2, 0.5],
        [0.5, 1],
      ]),
    };
    const b = {
      mean: Float64Array.of(1, 2),
      covariance: new Matrix([
        [1, -0.3],
        [-0.3, 3],
      ]),
    };
    expect(frechetDistance(a, b)).toBeCloseTo(5.929311854967773, 9);
    expect(frechetDistance(b, a)).toBeCloseTo(5.929311854967773, 9);
  });

  it('is nothing between a set and itself, singular covariances too', () => {
    const random = new Random(1, 'features');
    const data = new Float64Array(40 * 6);
    // Two columns are the same: the covariance has no inverse.
    for (let row = 0; row < 40; row++) {
      for (let i = 0; i < 5; i++) data[row * 6 + i] = random.normal();
      data[row * 6 + 5] = data[row * 6] as number;
    }
    const gaussian = gaussianOf({ count: 40, width: 6, data });
    expect(Math.abs(frechetDistance(gaussian, gaussian))).toBeLessThan(1e-6);
  });

  it('is the squared shift where sets differ by a shift alone', () => {
    const random = new Random(2, 'features');
    const data = Float64Array.from({ length: 300 }, () => random.normal());
    const moved = data.map((value, i) => value + (i % 3 === 0 ? 2 : 0));
    const a = gaussianOf({ count: 100, width: 3, data });
    const b = gaussianOf({ count: 100, width: 3, data: moved });
    expect(frechetDistance(a, b)).toBeCloseTo(4, 6);
  });

  it('of fewer pictures than features is that of their covariances, either way round', () => {
    const random = new Random(3, 'features');
    const set = (count: number, shift: number) =>
      gaussianOf({
        ...{ count, width: 12 },
        data: Float64Array.from({ length: count * 12 }, (_, i) => random.normal() * (1 + (i % 3)) + shift),
      });
    const [few, fewer, many] = [set(9, 0), set(5, 1), set(50, 0.5)];
    expect([few.rows?.count, many.rows]).toEqual([9, undefined]);
    for (const [a, b] of [
      [few, many],
      [many, few],
      [few, fewer],
    ] as const) {
      const whole = frechetDistance(
        { mean: a.mean, covariance: a.covariance },
        { mean: b.mean, covariance: b.covariance },
      );
      expect(whole).toBeGreaterThan(1);
      expect(frechetDistance(a, b)).toBeCloseTo(whole, 6);
    }
  });

  it('counts with N − 1', () => {
    const { mean, covariance } = gaussianOf({ count: 2, width: 1, data: Float64Array.of(0, 2) });
    expect(mean[0]).toBe(1);
    expect(covariance.get(0, 0)).toBe(2);
  });
});
