/** Optimisers, clipping, accumulation and averages against plain float64 arrays, step by step. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Arrays,
  clipped,
  globalNorm,
  plainOrthogonal,
  plainStart,
  plainStep,
} from '../../test/optimisers/plain.ts';
import { Random } from '../base/rng.ts';
import { type HostTensors, sizeOf, tensor, zeros } from '../base/tensor.ts';
import { add, evaluate, mul, sum, type Tensor, trace } from '../program/index.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { clipByNorm, optimiserState, orthogonalise, scalarsAt } from './optimiser.ts';
import type { ParameterSpec } from './parameters.ts';
import { type LossProgram, trainPrograms } from './train-step.ts';
import { optimiserConfig, type TrainingConfig } from './training-config.ts';

const spec = (
  name: string,
  shape: number[],
  role: ParameterSpec['role'],
  blocks?: number,
): ParameterSpec => ({
  name,
  shape,
  role,
  initialiser: { name: 'zeros' },
  ...(blocks === undefined ? {} : { blocks }),
});
const specs = [
  spec('embedding', [5, 4], 'embedding'),
  spec('wide', [3, 7], 'matrix'),
  spec('tall', [6, 2], 'matrix'),
  spec('joined', [4, 12], 'matrix', 3),
  spec('scale', [4], 'vector'),
  spec('bias', [7], 'vector'),
];

/** A loss whose gradient is the batch: Σ parameter · g. */
const model: LossProgram = {
  specs,
  inputs: Object.fromEntries(specs.map((s) => [`g.${s.name}`, { dtype: 'f32', shape: s.shape }])),
  loss: (x) =>
    specs.map((s) => sum(mul(x[s.name] as Tensor, x[`g.${s.name}`] as Tensor))).reduce((a, b) => add(a, b)),
  dropped: 0,
};

const draw = (step: number, scale: number): Arrays =>
  Object.fromEntries(
    specs.map((s) => {
      const random = new Random(4, s.name, step);
      return [s.name, Array.from({ length: sizeOf(s.shape) }, () => Math.fround(random.normal() * scale))];
    }),
  );
const hosts = (arrays: Arrays, prefix = ''): HostTensors =>
  Object.fromEntries(
    specs.map((s) => [`${prefix}${s.name}`, tensor('f32', s.shape, arrays[s.name] as number[])]),
  );

type Settings = Pick<TrainingConfig, 'optimiser' | 'clip' | 'ema' | 'accumulation' | 'dropout'>;
const settings = (optimiser: Record<string, unknown>, more: Partial<Settings> = {}): Settings => ({
  optimiser: optimiserConfig.parse(optimiser),
  clip: 0,
  ema: 0,
  accumulation: 1,
  dropout: 0,
  ...more,
});

const cases: [string, Settings][] = [
  ['adamw', settings({ name: 'adamw' })],
  ['adamw without decay, other betas', settings({ name: 'adamw', beta1: 0.8, beta2: 0.999, weightDecay: 0 })],
  ['adamw without momentum, a large epsilon', settings({ name: 'adamw', beta1: 0, epsilon: 0.1 })],
  ['adamw, much decay', settings({ name: 'adamw', weightDecay: 2 })],
  ['sgd', settings({ name: 'sgd' })],
  ['sgd without momentum', settings({ name: 'sgd', momentum: 0 })],
  ['sgd after Nesterov, with decay', settings({ name: 'sgd', nesterov: true, weightDecay: 0.3 })],
  ['muon', settings({ name: 'muon' })],
  ['muon without decay', settings({ name: 'muon', weightDecay: 0, momentum: 0.5, adamRate: 1 })],
  ...(['adamw', 'sgd', 'muon'] as const).map((name): [string, Settings] => [
    `${name}, clipped, accumulated and averaged`,
    settings({ name }, { clip: 1.5, accumulation: 3, ema: 0.7 }),
  ]),
  ['adamw, clipped where the norm is small', settings({ name: 'adamw' }, { clip: 1e4 })],
  ['adamw, averaged', settings({ name: 'adamw' }, { ema: 0.9 })],
];

describe.each([
  ['reference', () => createBackend('reference'), 1e-6],
  ['cpu', () => createBackend('cpu', { inline: true, threads: 1 }), 2e-4],
] as const)('%s', (_, open, tolerance) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.close());

  const near = (got: ArrayLike<number>, want: readonly number[], what: string): void => {
    expect(got.length).toBe(want.length);
    want.forEach((v, i) =>
      expect(Math.abs((got[i] as number) - v), `${what}[${i}]`).toBeLessThan(tolerance * (1 + Math.abs(v))),
    );
  };

  it.each(cases)('%s', async (name, config) => {
    const programs = trainPrograms(name, model, config);
    const start = draw(-1, 1);
    const state: HostTensors = hosts(start);
    for (const [key, { shape, start: from }] of Object.entries(programs.state))
      state[key] = from === 'zero' ? zeros('f32', shape as number[]) : (state[from] as never);
    const resident = await backend.resident(state);
    const main = await backend.compile((programs.step ?? programs.accumulate) as never);
    const apply = programs.apply === undefined ? undefined : await backend.compile(programs.apply);
    const updates = (program: typeof programs.step): Record<string, string> =>
      Object.fromEntries(
        (program?.outputs ?? [])
          .filter((o) => o.name.startsWith('next/'))
          .map((o) => [o.name, o.name.slice('next/'.length)]),
      );

    const plain = plainStart(start);
    const average = structuredClone(start);
    const rates = [0.02, 0.05, 0.03, 0.01, 0.04];
    for (const [step, rate] of rates.entries()) {
      const scalars = Object.fromEntries(
        Object.entries(scalarsAt(step, rate, config.optimiser)).map(([key, v]) => [
          key,
          tensor('f32', [], [v]),
        ]),
      );
      // The mean over the passes is what counts; each pass brings its own.
      const passes = Array.from({ length: config.accumulation }, (_, i) => draw(10 * step + i, step + 0.5));
      const gradients: Arrays = Object.fromEntries(
        specs.map((s) => [
          s.name,
          Array.from({ length: sizeOf(s.shape) }).map(
            (_, i) => passes.reduce((sum, p) => sum + (p[s.name]?.[i] as number), 0) / passes.length,
          ),
        ]),
      );
      let norm: number | undefined;
      for (const pass of passes) {
        const result = await main.run({
          inputs: { ...hosts(pass, 'g.'), ...(apply === undefined ? scalars : {}) },
          resident: [resident],
          update: updates(programs.step ?? programs.accumulate),
        });
        norm = result.gradient_norm === undefined ? undefined : Number(result.gradient_norm.data[0]);
      }
      if (apply !== undefined) {
        const result = await apply.run({
          inputs: scalars,
          resident: [resident],
          update: updates(programs.apply),
        });
        norm = Number(result.gradient_norm?.data[0]);
      }
      near([norm as number], [globalNorm(gradients)], 'norm');

      plainStep(
        plain,
        specs,
        config.clip === 0 ? gradients : clipped(gradients, config.clip),
        rate,
        config.optimiser,
      );
      const now = await resident.read();
      for (const { name } of specs) {
        near(
          now[name]?.data as Float32Array,
          plain.parameters[name] as number[],
          `${name} after step ${step}`,
        );
        if (config.ema !== 0) {
          average[name] = (average[name] as number[]).map(
            (v, i) => config.ema * v + (1 - config.ema) * (plain.parameters[name]?.[i] as number),
          );
          near(now[`average.${name}`]?.data as Float32Array, average[name] as number[], `average of ${name}`);
        }
        if (config.accumulation > 1)
          expect(
            now[`sum.${name}`]?.data.every((v) => v === 0),
            `sum of ${name}`,
          ).toBe(true);
      }
    }
    await resident.free();
    await main.free();
    await apply?.free();
  });
});

describe('clipByNorm', () => {
  const run = (gradients: number[][], limit?: number): { norm: number; after: number[] } => {
    const types = Object.fromEntries(
      gradients.map((list, i) => [`g${i}`, { dtype: 'f32' as const, shape: [list.length] }]),
    );
    const program = trace('clip', types, (x) => {
      const { norm, scale } = clipByNorm(Object.values(x), limit);
      const after = Object.entries(x).map(([key, g]) => [key, scale === undefined ? g : mul(g, scale)]);
      return { norm, ...Object.fromEntries(after) };
    });
    const [norm, ...after] = evaluate(
      program,
      gradients.map((list) => ({ shape: [list.length], data: Float64Array.from(list) })),
    );
    return { norm: norm?.data[0] as number, after: after.flatMap((value) => [...value.data]) };
  };

  it('shortens what is longer than the limit to the limit, all tensors by one factor', () => {
    const { norm, after } = run([[3, 4], [12]], 6.5);
    expect(norm).toBe(13);
    expect(after).toEqual([1.5, 2, 6]);
  });

  it('leaves what is shorter, or as long', () => {
    expect(run([[3, 4], [12]], 13).after).toEqual([3, 4, 12]);
    expect(run([[3, 4], [12]], 100).after).toEqual([3, 4, 12]);
  });

  it('makes no number of nothing: zeros stay zeros', () => {
    expect(run([[0, 0], [0]], 1)).toEqual({ norm: 0, after: [0, 0, 0] });
  });

  it('tells the norm without a limit', () => {
    expect(run([[3, 4], []])).toEqual({ norm: 5, after: [3, 4] });
  });
});

describe('orthogonalise', () => {
  it.each([
    [3, 7],
    [7, 3],
    [4, 4],
    [1, 5],
  ])('brings the singular values of a %i×%i matrix near 1', (rows, columns) => {
    const random = new Random(1, 'orthogonalise', rows);
    const x = Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal()));
    const program = trace('f', { x: { dtype: 'f64', shape: [rows, columns] } }, (given) => ({
      y: orthogonalise(given.x as Tensor),
    }));
    const [y] = evaluate(program, [{ shape: [rows, columns], data: Float64Array.from(x.flat()) }]);
    plainOrthogonal(x)
      .flat()
      .forEach((v, i) => expect(y?.data[i]).toBeCloseTo(v, 9));
    // Their squares' mean: the trace of yᵀy over the rank. The iteration ends between 0.68 and 1.2.
    const mean = (y?.data.reduce((sum, v) => sum + v * v, 0) as number) / Math.min(rows, columns);
    expect(mean).toBeGreaterThan(0.46);
    expect(mean).toBeLessThan(1.5);
  });
});

describe('an optimiser’s state', () => {
  it('is one pair of vectors for all that is small and treated alike', () => {
    const state = optimiserState(specs, optimiserConfig.parse({ name: 'adamw' }));
    expect(Object.fromEntries(Object.entries(state).map(([key, { shape }]) => [key, shape]))).toEqual({
      'moment1.group.0': [5 * 4 + 3 * 7 + 6 * 2 + 4 * 12],
      'moment2.group.0': [5 * 4 + 3 * 7 + 6 * 2 + 4 * 12],
      'moment1.group.1': [11],
      'moment2.group.1': [11],
    });
  });

  it('stays apart where parameters are large', () => {
    const large = [spec('a', [1024, 512], 'matrix'), spec('b', [4, 4], 'matrix'), spec('c', [2], 'vector')];
    expect(Object.keys(optimiserState(large, optimiserConfig.parse({ name: 'adamw' })))).toEqual([
      'moment1.a',
      'moment2.a',
      'moment1.b',
      'moment2.b',
      'moment1.c',
      'moment2.c',
    ]);
  });

  it('is momentum for matrices and moments for the rest with muon; with sgd momentum, or nothing', () => {
    expect(Object.keys(optimiserState(specs, optimiserConfig.parse({ name: 'muon' })))).toEqual([
      'momentum.wide',
      'momentum.tall',
      'momentum.joined',
      'moment1.embedding',
      'moment2.embedding',
      'moment1.group.1',
      'moment2.group.1',
    ]);
    expect(Object.keys(optimiserState(specs, optimiserConfig.parse({ name: 'sgd' })))).toHaveLength(6);
    expect(optimiserState(specs, optimiserConfig.parse({ name: 'sgd', momentum: 0 }))).toEqual({});
  });
});
