import { describe, expect, it } from 'vitest';
import { Random } from '../../base/rng.ts';
import { compare, floorOf, HALVES, HELD_OUT, realInceptionScore, standardOf } from './floor.ts';
import { type Features, frechetDistance, gaussianOf } from './frechet.ts';
import { plainProducts as products } from './scores.ts';

const WIDTH = 3;
/** Two classes, one after the other, far from each other. */
const sorted = (count: number, seed: number): Features => {
  const random = new Random(seed, 'floor');
  const data = Float32Array.from(
    { length: count * WIDTH },
    (_, i) => random.normal() + (i < (count * WIDTH) / 2 ? 0 : 20),
  );
  return { count, width: WIDTH, data };
};
const first = (features: Features, count: number): Features => ({
  ...{ count, width: WIDTH },
  data: features.data.subarray(0, count * WIDTH),
});

describe('the floor of real pictures', () => {
  const test = sorted(60, 1);
  const training = sorted(80, 2);

  it('is other real pictures against the test pictures, as many as there are samples', async () => {
    const standard = standardOf(test);
    const floor = await floorOf(standard, training, { samples: 50, products });
    const { kid_deviation: _, ...same } = await compare(standard, first(training, 50), products);
    expect(floor).toEqual({ of: HELD_OUT, samples: 50, ...same });
    expect(floor?.fid).toBe(frechetDistance(gaussianOf(first(training, 50)), gaussianOf(test)));
    expect((await floorOf(standard, training, { samples: 1000, products }))?.samples).toBe(80);
  });

  it('is one half against the other where there are no others, of all classes in each', async () => {
    const floor = await floorOf(standardOf(test), undefined, { samples: 1000, products });
    expect(floor).toMatchObject({ of: HALVES, samples: 30 });
    // The first half against the second is one class against another: 3 × 20² and more.
    expect(floor?.fid).toBeLessThan(120);
    expect(Math.min(floor?.precision ?? 0, floor?.recall ?? 0)).toBeGreaterThan(0.7);
    expect(await floorOf(standardOf(test), undefined, { samples: 1000, products })).toEqual(floor);
    expect((await floorOf(standardOf(test), undefined, { samples: 20, products }))?.samples).toBe(20);
  });

  it('is none of too few pictures', async () => {
    expect(await floorOf(standardOf(sorted(9, 3)), undefined, { samples: 50, products })).toBeUndefined();
  });

  it('has the Inception score of the real pictures, whatever order they stand in', () => {
    const classes = {
      ...{ count: 200, width: 2 },
      data: Float32Array.from({ length: 400 }, (_, i) => (i % 2 === (i < 200 ? 0 : 1) ? 20 : -20)),
    };
    expect(realInceptionScore(classes, { samples: 200, mixed: false })).toBeGreaterThan(1.8);
    // In file order a split has one class alone.
    expect(realInceptionScore(classes, { samples: 200, mixed: true })).toBeCloseTo(1, 6);
  });
});
