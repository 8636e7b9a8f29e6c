/** Schedules, settings, losses and starting values. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluate, gradients, sum, type Tensor, trace } from '../program/index.ts';
import { crossEntropyRows } from './loss.ts';
import { countParameters, glorot, initialise, kaiming, type ParameterSpec } from './parameters.ts';
import { learningRateAt, optimiserConfig, scheduleConfig } from './training-config.ts';

const t = (x: Tensor | undefined): Tensor => x as Tensor;

describe('the learning rate', () => {
  const at = (step: number, schedule: Record<string, unknown>, steps = 1000): number =>
    learningRateAt(step, { steps, learningRate: 2, schedule: scheduleConfig.parse(schedule) });

  it.each(['constant', 'cosine', 'linear'])('%s: rises evenly from the first step on', (name) => {
    const rates = [0, 1, 2, 3, 4].map((step) => at(step, { name, warmup: 4 }));
    [0.4, 0.8, 1.2, 1.6, 2].forEach((rate, i) => expect(rates[i]).toBeCloseTo(rate, 12));
  });

  it('constant: stays', () => {
    expect([0, 500, 999, 5000].map((step) => at(step, { name: 'constant', warmup: 0 }))).toEqual([
      2, 2, 2, 2,
    ]);
  });

  it('cosine: half way down in the middle, at the floor in the end and after', () => {
    const schedule = { name: 'cosine', warmup: 100, floor: 0.1 };
    expect(at(100, schedule)).toBe(2);
    expect(at(550, schedule)).toBeCloseTo(2 * 0.55, 12);
    expect(at(325, schedule)).toBeCloseTo(2 * (0.1 + 0.9 * 0.5 * (1 + Math.SQRT1_2)), 12);
    expect(at(1000, schedule)).toBeCloseTo(0.2, 12);
    expect(at(3000, schedule)).toBeCloseTo(0.2, 12);
  });

  it('linear: stays high, then falls in a straight line', () => {
    const schedule = { name: 'linear', warmup: 0, decay: 0.4, floor: 0 };
    expect(at(0, schedule)).toBe(2);
    expect(at(600, schedule)).toBe(2);
    expect(at(700, schedule)).toBeCloseTo(1.5, 12);
    expect(at(999, schedule)).toBeCloseTo(2 / 400, 12);
    expect(at(1000, schedule)).toBe(0);
    expect(at(1500, schedule)).toBe(0);
    expect(at(900, { ...schedule, floor: 0.5 })).toBeCloseTo(2 * (0.5 + 0.5 * 0.25), 12);
    expect(at(999, { ...schedule, decay: 0 })).toBe(2);
  });

  it('lies between nothing and the full rate, and never rises after its start', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('constant', 'cosine', 'linear'),
        fc.nat(300),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 500 }),
        (name, warmup, decay, floor, steps) => {
          const rates = Array.from({ length: steps }, (_, step) =>
            at(step, { name, warmup, decay, floor }, steps),
          );
          expect(rates.every((rate) => rate >= 0 && rate <= 2 + 1e-12)).toBe(true);
          const after = rates.slice(warmup);
          expect(after.every((rate, i) => i === 0 || rate <= (after[i - 1] as number) + 1e-12)).toBe(true);
          expect(after.every((rate) => rate >= 2 * floor - 1e-12)).toBe(true);
        },
      ),
      { seed: 9, numRuns: 100 },
    );
  });

  it.each([
    [{ name: 'cosine', warmup: -1 }],
    [{ name: 'cosine', warmup: 1.5 }],
    [{ name: 'linear', decay: 2 }],
    [{ name: 'cosine', floor: -0.1 }],
    [{ name: 'square' }],
  ])('%o is no schedule', (schedule) => expect(scheduleConfig.safeParse(schedule).success).toBe(false));

  it.each([
    [{ name: 'adamw', beta1: 1 }],
    [{ name: 'adamw', epsilon: 0 }],
    [{ name: 'sgd', momentum: -0.1 }],
    [{ name: 'muon', weightDecay: -1 }],
    [{ name: 'adam' }],
  ])('%o is no optimiser', (config) => expect(optimiserConfig.safeParse(config).success).toBe(false));
});

describe('cross-entropy', () => {
  const logits = [2, -1, 0.5, 1000, 0, -1000, 3, 3, 3];
  const targets = [0, 1, 2];

  it('is −ln softmax at the target, with softmax minus one there as its gradient', () => {
    const program = trace(
      'f',
      { logits: { dtype: 'f64', shape: [3, 3] }, targets: { dtype: 'i32', shape: [3] } },
      (x) => {
        const rows = crossEntropyRows(t(x.logits), t(x.targets));
        return { rows, gradient: t(gradients(sum(rows), [t(x.logits)])[0]) };
      },
    );
    const [rows, gradient] = evaluate(program, [
      { shape: [3, 3], data: Float64Array.from(logits) },
      { shape: [3], data: Float64Array.from(targets) },
    ]);
    for (let row = 0; row < 3; row++) {
      const own = logits.slice(3 * row, 3 * row + 3);
      const top = Math.max(...own);
      const total = own.reduce((s, v) => s + Math.exp(v - top), 0);
      const target = targets[row] as number;
      expect(rows?.data[row]).toBeCloseTo(Math.log(total) + top - (own[target] as number), 10);
      own.forEach((v, c) =>
        expect(gradient?.data[3 * row + c]).toBeCloseTo(
          Math.exp(v - top) / total - (c === target ? 1 : 0),
          10,
        ),
      );
    }
  });
});

describe('starting values', () => {
  const specs: ParameterSpec[] = [
    { name: 'a', shape: [200, 100], initialiser: glorot(200, 100), role: 'matrix' },
    { name: 'b', shape: [100, 50], initialiser: kaiming(100), role: 'matrix' },
    { name: 'c', shape: [4000], initialiser: { name: 'uniform', bound: 0.5 }, role: 'vector' },
    { name: 'd', shape: [3], initialiser: { name: 'ones' }, role: 'vector' },
    { name: 'e', shape: [3], initialiser: { name: 'zeros' }, role: 'vector' },
  ];

  it('have the spread that was asked for', () => {
    const values = initialise(specs, 1);
    const list = (name: string): number[] => Array.from(values[name]?.data as Float32Array);
    const deviation = (name: string): number =>
      Math.sqrt(list(name).reduce((s, v) => s + v * v, 0) / list(name).length);
    expect(deviation('a')).toBeCloseTo(Math.sqrt(2 / 300), 2);
    expect(deviation('b')).toBeCloseTo(Math.sqrt(2 / 100), 2);
    expect(deviation('c')).toBeCloseTo(0.5 / Math.sqrt(3), 2);
    expect(Math.max(...list('c').map(Math.abs))).toBeLessThanOrEqual(0.5);
    expect([...list('d'), ...list('e')]).toEqual([1, 1, 1, 0, 0, 0]);
    expect(countParameters(specs)).toBe(20000 + 5000 + 4000 + 6);
  });

  it('depend on the seed and the name, not on the company', () => {
    const all = initialise(specs, 1);
    expect(initialise([specs[1] as ParameterSpec], 1).b).toEqual(all.b);
    expect(initialise(specs, 1)).toEqual(all);
    expect(initialise(specs, 2).a).not.toEqual(all.a);
    expect(all.a?.data[0]).not.toBe(all.b?.data[0]);
  });
});
