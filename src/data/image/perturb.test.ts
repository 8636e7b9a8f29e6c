/** What is done to training pictures, by hand for small ones and by properties for many. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/rng.ts';
import { crop, jitter, mirror, type PictureRows } from './perturb.ts';

const pictures = (values: number[], rows: number, channels: number, size: number): PictureRows => ({
  ...{ rows, channels, size },
  values: Float32Array.from(values),
});
/** These numbers, then 0.5 for ever. */
const numbers = (...given: number[]) => {
  const rest = [...given];
  return () => rest.shift() ?? 0.5;
};

describe('pictures', () => {
  it('are mirrored, each by a chance of its own', () => {
    const two = pictures([1, 2, 3, 4, 5, 6, 7, 8], 2, 1, 2);
    mirror(two, numbers(0.7, 0.2));
    expect([...two.values]).toEqual([2, 1, 4, 3, 5, 6, 7, 8]);
  });

  it('are cropped: a corner of half the side is stretched over all', () => {
    const steps = Array.from({ length: 16 }, (_, i) => i);
    const one = pictures(steps, 1, 1, 4);
    // Half of the side, as far left and down as it goes.
    crop(one, 0.5, numbers(1, 0, 1));
    const [first, , , last] = one.values;
    expect(first).toBeCloseTo(7, 5);
    expect(last).toBeCloseTo(8.25, 5);
    expect(one.values[15]).toBeCloseTo(13.25, 5);
    const whole = pictures(steps, 1, 1, 4);
    crop(whole, 0.5, numbers(0));
    expect([...whole.values]).toEqual(steps);
  });

  it('keep every channel apart and in place', () => {
    const [left, right] = [Array(9).fill(-1), Array(9).fill(0.5)];
    const one = pictures([...left, ...right], 1, 2, 3);
    crop(one, 0.3, numbers(0.9, 0.1, 0.8));
    expect([...one.values]).toEqual([...left, ...right]);
  });

  it('are recoloured: contrast, brightness, and saturation around grey', () => {
    const grey = pictures([-0.5, 0, 0.5, 1], 1, 1, 2);
    jitter(grey, 0.2, numbers(1, 0, 0.5));
    expect([...grey.values].map((value) => Number(value.toFixed(5)))).toEqual([-0.7, -0.1, 0.5, 1]);
    const colour = pictures([0.6, 0, -0.6], 1, 3, 1);
    jitter(colour, 0.5, numbers(0.5, 0.5, 0));
    expect([...colour.values].map((value) => Number(value.toFixed(5)))).toEqual([0.3, 0, -0.3]);
  });

  it('stay −1 … 1, whatever is drawn, and as they are where nothing may change', () => {
    const random = new Random(5, 'pictures');
    const values = Array.from({ length: 4 * 3 * 64 }, () => 2 * random.uniform() - 1);
    const many = pictures(values, 4, 3, 8);
    crop(many, 0, () => random.uniform());
    jitter(many, 0, () => random.uniform());
    many.values.forEach((value, i) => expect(value).toBeCloseTo(values[i] as number, 5));
    for (let round = 0; round < 20; round++) {
      crop(many, 0.5, () => random.uniform());
      jitter(many, 1, () => random.uniform());
    }
    for (const value of many.values) expect(Math.abs(value)).toBeLessThanOrEqual(1);
  });
});
