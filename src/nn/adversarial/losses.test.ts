/**
 * Both sides of every game on three scores each: values worked out outside, from the papers' formulas with plain logarithms
 * of sigmoids; and the penalties on a critic whose slope is known.
 */
import { expect, it } from 'vitest';
import { evaluate } from '../../program/evaluate.ts';
import { mul, square, sub, sum, type Tensor, trace } from '../../program/index.ts';
import {
  type AdversarialLoss,
  criticLoss,
  generatorLoss,
  gradientPenalty,
  unitSlopePenalty,
} from './losses.ts';

const REAL = [0.5, -1, 2];
const FAKE = [-0.25, 1.5, -3];

/** Outputs of a program of float64 values. */
function valuesOf(
  inputs: Record<string, { shape: readonly number[]; values: readonly number[] }>,
  build: (x: Record<string, Tensor>) => Record<string, Tensor>,
): number[] {
  const types = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape }]) => [name, { dtype: 'f32' as const, shape }]),
  );
  const program = trace('values', types, build);
  const given = program.inputs.map(({ name }) => {
    const { shape, values } = inputs[name] as (typeof inputs)[string];
    return { shape, data: Float64Array.from(values) };
  });
  return evaluate(program, given).map(({ data }) => data[0] as number);
}

it.each<[AdversarialLoss, number, number]>([
  ['minimax', 1.41340224405888, -0.7753133498117794],
  ['non-saturating', 1.41340224405888, 1.3586466831451125],
  ['lsgan', 2.760416666666667, 2.96875],
  ['wgan-gp', -1.0815833333333336, 0.5833333333333334],
  ['hinge', 1.9166666666666665, 0.5833333333333334],
])('%s', (loss, critic, generator) => {
  const scores = { real: { shape: [3], values: REAL }, fake: { shape: [3], values: FAKE } };
  const found = valuesOf(scores, ({ real, fake }) => ({
    critic: criticLoss(loss, real as Tensor, fake as Tensor),
    generator: generatorLoss(loss, fake as Tensor),
  }));
  expect(found[0]).toBeCloseTo(critic, 9);
  expect(found[1]).toBeCloseTo(generator, 9);
});

it('the penalties of a critic that is the product of two pixels', () => {
  // Its slope at (a, b) is (b, a): lengths 5 and 13.
  const images = { shape: [2, 1, 1, 2], values: [3, 4, 5, 12] };
  const found = valuesOf({ images }, ({ images }) => {
    const x = images as Tensor;
    const all = { axes: [1, 2, 3] };
    // (a + b)² − a² − b² is twice the product.
    const scores = mul(sub(square(sum(x, all)), sum(square(x), all)), 0.5);
    return { r1: gradientPenalty(scores, x), slope: unitSlopePenalty(scores, x) };
  });
  expect(found[0]).toBeCloseTo((25 + 169) / 2, 10);
  expect(found[1]).toBeCloseTo((4 ** 2 + 12 ** 2) / 2, 10);
});
