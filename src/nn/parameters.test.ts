/** Starting values: sinusoids are the paper's, a shared stream gives the same numbers. */
import { expect, test } from 'vitest';
import type { HostTensor } from '../base/tensor.ts';
import { initialise, type ParameterSpec } from './parameters.ts';

const spec = (name: string, initialiser: ParameterSpec['initialiser'], shape = [6, 4]): ParameterSpec => ({
  ...{ name, shape, initialiser, role: 'embedding' },
});

test('sinusoids: sine and cosine of place over 10000^(2i/width), of the given deviation', () => {
  const { a } = initialise([spec('a', { name: 'sinusoid', deviation: 0.5 })], 1);
  const height = 0.5 * Math.SQRT2;
  const expected = [Math.sin(3), Math.cos(3), Math.sin(3 / 100), Math.cos(3 / 100)].map((v) => v * height);
  Array.from((a as HostTensor<'f32'>).data.subarray(12, 16)).forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] as number, 6);
  });
});

test('parameters with one stream start alike, others do not', () => {
  const { a, b, c } = initialise(
    [
      spec('a', { name: 'normal', deviation: 1, stream: 's' }),
      spec('b', { name: 'normal', deviation: 1, stream: 's' }),
      spec('c', { name: 'normal', deviation: 1 }),
    ],
    1,
  );
  expect(a?.data).toEqual(b?.data);
  expect(a?.data).not.toEqual(c?.data);
});
