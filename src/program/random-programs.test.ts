/**
 * Programs nobody wrote: random chains of ops over random shapes. ONNX Runtime must agree with the float64
 * reference, gradients with finite differences, and a simplified program with the one it came from.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPS, play, type Recipe } from '../../test/programs/recipes.ts';
import { Random } from '../base/rng.ts';
import { type HostTensor, sizeOf, tensor } from '../base/tensor.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import * as P from './index.ts';
import type { ReferenceValue } from './operation.ts';

function traceRecipe(recipe: Recipe, dtype: 'f32' | 'f64', withGradient: boolean): P.Program {
  const types = Object.fromEntries(recipe.shapes.map((shape, i) => [`x${i}`, { dtype, shape }]));
  return P.trace('random', types, (named) => {
    const inputs = Object.values(named);
    let ends: P.Tensor[] = [];
    const total = (xs: readonly P.Tensor[]): P.Tensor => {
      const played = play(recipe, xs);
      ends = played.ends;
      return played.total;
    };
    const results: Record<string, P.Tensor> = {};
    if (withGradient) {
      const { value, gradient } = P.valueAndGrad(total)(inputs);
      results.total = value;
      gradient.forEach((g, i) => {
        results[`gradient${i}`] = g;
      });
    } else results.total = total(inputs);
    ends.forEach((t, i) => {
      results[`end${i}`] = t;
    });
    return results;
  });
}

function draw(recipe: Recipe, name: string): number[][] {
  const random = new Random(recipe.seed, name);
  return recipe.shapes.map((shape) =>
    Array.from({ length: sizeOf(shape) }, () => Math.fround(Math.max(-4, Math.min(4, random.normal())))),
  );
}

const values = (recipe: Recipe, data: readonly number[][]): ReferenceValue[] =>
  recipe.shapes.map((shape, i) => ({ shape, data: Float64Array.from(data[i] as number[]) }));

function byName(program: P.Program, results: readonly ReferenceValue[]): Map<string, ReferenceValue> {
  return new Map(program.outputs.map((o, i) => [o.name, results[i] as ReferenceValue]));
}

/** The largest difference, relative where the wanted values are large. */
function distance(got: ArrayLike<number>, want: ArrayLike<number>): number {
  expect(got.length).toBe(want.length);
  const scale = 1 + Math.max(0, ...Array.from(want, Math.abs));
  return Math.max(0, ...Array.from(want, (w, i) => Math.abs((got[i] as number) - w) / scale));
}

const recipes: fc.Arbitrary<Recipe> = fc.record({
  shapes: fc.array(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }), {
    minLength: 1,
    maxLength: 2,
  }),
  steps: fc.array(
    fc.record({
      op: fc.constantFrom(...Object.keys(OPS)),
      picks: fc.array(fc.nat(9999), { minLength: 8, maxLength: 8 }),
    }),
    { minLength: 1, maxLength: 9 },
  ),
  seed: fc.nat(1e6),
});

describe('random programs', () => {
  let cpu: Backend;

  beforeAll(async () => {
    cpu = await createBackend('cpu', { inline: true, threads: 1 });
  });

  afterAll(() => cpu.close());

  const seen = new Set<string>();

  it('have gradients that finite differences confirm, and mean the same when simplified', () => {
    fc.assert(
      fc.property(recipes, (recipe) => {
        const exact = traceRecipe(recipe, 'f64', true);
        for (const node of exact.nodes) seen.add(node.op);
        const start = draw(recipe, 'inputs');
        const inputs = values(recipe, start);
        const truth = P.evaluate(exact, inputs);
        const results = byName(exact, truth);
        for (const { data } of truth) expect(data.every(Number.isFinite), P.print(exact)).toBe(true);

        const smaller = P.simplify(exact);
        expect(smaller.nodes.length).toBeLessThanOrEqual(exact.nodes.length);
        P.evaluate(smaller, inputs).forEach(({ data, shape }, i) => {
          expect(shape).toEqual(truth[i]?.shape);
          expect(distance(data, truth[i]?.data as Float64Array), P.print(exact)).toBeLessThan(1e-12);
        });

        const forward = traceRecipe(recipe, 'f64', false);
        const way = draw(recipe, 'direction');
        const totalAt = (by: number): number => {
          const moved = start.map((list, k) => list.map((v, i) => v + by * (way[k]?.[i] as number)));
          return byName(forward, P.evaluate(forward, values(recipe, moved))).get('total')?.data[0] as number;
        };
        const slope = way.reduce(
          (sum, list, k) =>
            sum + list.reduce((s, v, i) => s + v * (results.get(`gradient${k}`)?.data[i] as number), 0),
          0,
        );
        // A kink may lie inside one step; a wrong gradient is wrong at all three.
        const errors = [1e-5, 1e-6, 1e-7].map((h) => Math.abs((totalAt(h) - totalAt(-h)) / (2 * h) - slope));
        expect(Math.min(...errors), P.print(exact)).toBeLessThan(1e-5 * (1 + Math.abs(slope)));
      }),
      { seed: 20260, numRuns: 700 },
    );
  });

  it('come out of ONNX Runtime as out of the reference, gradients too', async () => {
    await fc.assert(
      fc.asyncProperty(recipes, async (recipe) => {
        const exact = traceRecipe(recipe, 'f64', true);
        const start = draw(recipe, 'inputs');
        const truth = byName(exact, P.evaluate(exact, values(recipe, start)));
        const program = traceRecipe(recipe, 'f32', true);
        const executable = await cpu.compile(program);
        const got = await executable.run({
          inputs: Object.fromEntries(
            recipe.shapes.map((shape, i) => [`x${i}`, tensor('f32', shape, start[i] as number[])]),
          ),
        });
        await executable.free();
        for (const [name, want] of truth) {
          const { shape, data } = got[name] as HostTensor<'f32'>;
          expect(shape, name).toEqual(want.shape);
          expect(distance(data, want.data), `${name} of\n${P.print(program)}`).toBeLessThan(
            name.startsWith('gradient') ? 1e-3 : 1e-4,
          );
        }
      }),
      { seed: 20261, numRuns: 300 },
    );
  });

  it('reached every op that they should', () => {
    const wanted = Object.keys(OPS).filter((name) => P.operationNames().includes(name));
    expect(wanted.filter((name) => !seen.has(name))).toEqual([]);
  });
});
