/** A whole trainable: accumulation, averages, dropout, going on, and what it refuses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../base/rng.ts';
import { type HostTensors, tensor } from '../base/tensor.ts';
import { add, matmul, mean, mul, reshape, square, sub, sum, type Tensor, trace } from '../program/index.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import type { LossProgram } from './train-step.ts';
import { createTrainable, type ProfiledTrainable } from './trainable.ts';
import { type TrainingConfig, trainingConfig } from './training-config.ts';

const t = (x: Tensor | undefined): Tensor => x as Tensor;

/** Linear regression: y = x·w + b, mean of squares over a pass's rows. */
const regression = (rows: number): LossProgram => ({
  specs: [
    { name: 'w', shape: [3, 1], initialiser: { name: 'normal', deviation: 1 }, role: 'matrix' },
    { name: 'b', shape: [1], initialiser: { name: 'zeros' }, role: 'vector' },
  ],
  inputs: { x: { dtype: 'f32', shape: [rows, 3] }, y: { dtype: 'f32', shape: [rows, 1] } },
  loss: (x, dropout) => mean(square(sub(add(matmul(dropout(t(x.x)), t(x.w)), t(x.b)), t(x.y)))),
  dropped: rows * 3,
});
const evaluation = trace(
  'evaluate',
  {
    w: { dtype: 'f32', shape: [3, 1] },
    b: { dtype: 'f32', shape: [1] },
    x: { dtype: 'f32', shape: ['rows', 3] },
    y: { dtype: 'f32', shape: ['rows', 1] },
    weights: { dtype: 'f32', shape: ['rows'] },
  },
  (x) => {
    const errors = sub(add(matmul(t(x.x), t(x.w)), t(x.b)), t(x.y));
    return { total: sum(mul(reshape(square(errors), ['rows']), t(x.weights))) };
  },
);

function batch(rows: number, step: number): HostTensors {
  const random = new Random(2, 'batch', step);
  const x = Array.from({ length: rows * 3 }, () => Math.fround(random.normal()));
  const y = Array.from({ length: rows }, (_, r) =>
    Math.fround((x[3 * r] as number) - 2 * (x[3 * r + 1] as number) + 0.5),
  );
  return { x: tensor('f32', [rows, 3], x), y: tensor('f32', [rows, 1], y) };
}

const withWeights = (rows: number, step: number): HostTensors => ({
  ...batch(rows, step),
  weights: tensor('f32', [rows], new Array<number>(rows).fill(1)),
});

describe('a trainable', () => {
  let cpu: Backend;
  beforeAll(async () => {
    cpu = await createBackend('cpu', { inline: true, threads: 1 });
  });
  afterAll(() => cpu.close());

  const open = (rows: number, more: Partial<TrainingConfig> = {}): Promise<ProfiledTrainable> =>
    createTrainable({
      name: 'regression',
      backend: cpu,
      model: regression(rows / (more.accumulation ?? 1)),
      evaluate: evaluation,
      config: {
        ...trainingConfig.parse({
          steps: 100,
          batch: rows,
          context: 1,
          learningRate: 0.05,
          optimiser: { name: 'adamw', weightDecay: 0 },
          schedule: { name: 'constant', warmup: 0 },
        }),
        ...more,
      },
    });
  const numbers = (tensors: HostTensors): Record<string, number[]> =>
    Object.fromEntries(
      Object.entries(tensors).map(([key, value]) => [key, Array.from(value.data as Float32Array)]),
    );

  it('finds the line', async () => {
    const trained = await open(8);
    let loss = 0;
    for (let step = 0; step < 300; step++) ({ loss } = await trained.step(batch(8, step), step));
    expect(loss).toBeLessThan(1e-3);
    const { w, b } = numbers(await trained.parameters());
    [1, -2, 0].forEach((v, i) => expect(w?.[i]).toBeCloseTo(v, 1));
    expect(b?.[0]).toBeCloseTo(0.5, 1);
    await trained.close();
  });

  it('accumulates: three passes of two rows are one of six', async () => {
    const [once, thrice] = [await open(6), await open(6, { accumulation: 3 })];
    for (let step = 0; step < 5; step++) {
      const a = await once.step(batch(6, step), step);
      const b = await thrice.step(batch(6, step), step);
      expect(b.loss).toBeCloseTo(a.loss, 4);
      expect(b.gradientNorm).toBeCloseTo(a.gradientNorm as number, 4);
    }
    const [a, b] = [numbers(await once.parameters()), numbers(await thrice.parameters())];
    for (const key of ['w', 'b']) a[key]?.forEach((v, i) => expect(b[key]?.[i]).toBeCloseTo(v, 4));
    await once.close();
    await thrice.close();
  });

  it('serves and judges the average, where one is kept', async () => {
    const [plain, averaged] = [await open(4), await open(4, { ema: 0.8 })];
    const average = numbers(await plain.parameters());
    for (let step = 0; step < 6; step++) {
      await plain.step(batch(4, step), step);
      await averaged.step(batch(4, step), step);
      for (const [key, list] of Object.entries(numbers(await plain.parameters())))
        average[key] = list.map((v, i) => 0.8 * (average[key]?.[i] as number) + 0.2 * v);
    }
    const served = await averaged.parameters();
    for (const [key, list] of Object.entries(numbers(served)))
      list.forEach((v, i) => expect(v).toBeCloseTo(average[key]?.[i] as number, 5));
    const { total, count } = await averaged.evaluate(withWeights(5, 99));
    const [w, b] = [average.w as number[], average.b as number[]];
    const { x, y } = numbers(batch(5, 99)) as { x: number[]; y: number[] };
    const errors = y.map(
      (v, r) => w.reduce((s, f, i) => s + f * (x[3 * r + i] as number), b[0] as number) - v,
    );
    expect(total).toBeCloseTo(
      errors.reduce((s, e) => s + e * e, 0),
      3,
    );
    expect(count).toBe(5);
    await plain.close();
    await averaged.close();
  });

  it('goes on from its state as if it had never stopped, to the bit', async () => {
    const more = { ema: 0.9, accumulation: 2, dropout: 0.25 };
    const [whole, first] = [await open(4, more), await open(4, more)];
    for (let step = 0; step < 3; step++) {
      await whole.step(batch(4, step), step);
      await first.step(batch(4, step), step);
    }
    const kept = await first.state();
    await first.close();
    const second = await open(4, more);
    await second.restore(kept);
    for (let step = 3; step < 6; step++) {
      await whole.step(batch(4, step), step);
      await second.step(batch(4, step), step);
    }
    expect(numbers(await second.state())).toEqual(numbers(await whole.state()));
    await second.close();
    await whole.close();
  });

  it('says what a state lacks, and what does not fit', async () => {
    const trained = await open(4, { ema: 0.9 });
    const { 'average.w': _, ...rest } = await trained.state();
    await expect(trained.restore(rest)).rejects.toMatchObject({ code: 'state_incomplete', kind: 'conflict' });
    await trained.close();
    await expect(
      createTrainable({
        name: 'regression',
        backend: cpu,
        model: regression(4),
        evaluate: evaluation,
        config: trainingConfig.parse({
          steps: 1,
          batch: 4,
          context: 1,
          learningRate: 1,
          optimiser: { name: 'sgd' },
          schedule: {},
        }),
        parameters: { w: tensor('f32', [2, 1], [1, 2]), b: tensor('f32', [1], [0]) },
      }),
    ).rejects.toMatchObject({ code: 'parameters_differ', kind: 'conflict' });
  });

  it('refuses a batch that its passes cannot share', async () => {
    const trained = await open(6, { accumulation: 3 });
    await expect(trained.step(batch(5, 0), 0)).rejects.toMatchObject({ kind: 'usage' });
    await trained.close();
  });

  it('drops elements at the rate asked for, anew each pass, the same each time it is asked', async () => {
    const size = 4000;
    // The loss is the mean of what is left of ones, its gradient the mask.
    const model: LossProgram = {
      specs: [{ name: 'w', shape: [size], initialiser: { name: 'zeros' }, role: 'vector' }],
      inputs: { x: { dtype: 'f32', shape: [size] } },
      loss: (x, dropout) => sum(mul(dropout(t(x.x)), t(x.w))),
      dropped: size,
    };
    const masks: number[][] = [];
    for (const steps of [[0], [0], [1]]) {
      const trained = await createTrainable({
        name: 'mask',
        backend: cpu,
        model,
        evaluate: evaluation,
        config: trainingConfig.parse({
          steps: 9,
          batch: 1,
          context: 1,
          learningRate: 1,
          optimiser: { name: 'sgd', momentum: 0 },
          schedule: { name: 'constant', warmup: 0 },
          clip: 0,
          dropout: 0.25,
        }),
      });
      for (const step of steps)
        await trained.step({ x: tensor('f32', [size], new Array<number>(size).fill(1)) }, step);
      masks.push((numbers(await trained.parameters()).w as number[]).map((v) => -v));
      await trained.close();
    }
    const [first, again, other] = masks as [number[], number[], number[]];
    expect(new Set(first.map((v) => v.toFixed(4)))).toEqual(new Set(['1.3333', '0.0000']));
    expect(first.filter((v) => v > 0).length / size).toBeCloseTo(0.75, 1);
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });
});
