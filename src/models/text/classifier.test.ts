/** Classifiers on BERT and on models that write: padding does not count, gradients hold, words are told apart. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { encodedBatch } from '../../data/text/labelled.ts';
import { initialise, parameterTypes } from '../../nn/index.ts';
import { createTrainable } from '../../nn/trainable.ts';
import { trainingConfig } from '../../nn/training-config.ts';
import { gradients, trace } from '../../program/index.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import { type AnyTextConfig, anyTextConfig } from './any.ts';
import {
  type ClassifierConfig,
  classifierAnswers,
  classifierEvaluate,
  classifierLoss,
  classifierParameters,
} from './classifier.ts';

const sizes = { layers: 2, heads: 2, width: 16, context: 24, vocabulary: 30 };
const bases: Record<string, AnyTextConfig> = {
  bert: anyTextConfig.parse({ architecture: 'bert', ...sizes, hidden: 32 }),
  gpt2: anyTextConfig.parse({ architecture: 'gpt2', ...sizes, bias: true }),
  gpt3: anyTextConfig.parse({ architecture: 'gpt3', ...sizes, bias: true, window: 4 }),
  pangu: anyTextConfig.parse({ architecture: 'pangu', ...sizes, bias: true }),
  llama: anyTextConfig.parse({ architecture: 'llama', ...sizes, keyHeads: 1, headWidth: 8, hidden: 24 }),
};

let cpu: Backend;
let reference: Backend;
beforeAll(async () => {
  cpu = await createBackend('cpu', { threads: 1, inline: true });
  reference = await createBackend('reference');
});
afterAll(() => Promise.all([cpu.close(), reference.close()]));

const row = (...tokens: number[]) => ({
  tokens: Int32Array.from(tokens),
  segments: Int32Array.from(tokens, (_, i) => (i > 3 ? 1 : 0)),
});
const labels = (...values: number[]): HostTensor => tensor('i32', [values.length], Int32Array.from(values));

describe.each(Object.entries(bases))('a classifier on %s', (_, model) => {
  const config: ClassifierConfig = { model, classes: 3 };
  const start = (seed: number): HostTensors => {
    const values = initialise(classifierParameters(config), seed);
    return Object.fromEntries(
      Object.entries(values).map(([name, t]) => [
        name,
        { ...t, data: (t.data as Float32Array).map((v) => v * 3) } as HostTensor<'f32'>,
      ]),
    );
  };

  test('says the same of a text alone, beside longer ones, and with any filling', async () => {
    const program = await cpu.compile(classifierAnswers(config), { constants: start(3) });
    const ask = async (inputs: HostTensors): Promise<number[]> =>
      Array.from((await program.run({ inputs })).probabilities?.data as Float32Array);
    const rows = [row(5, 6, 7), row(8, 9, 10, 11, 12, 13, 14), row(4, 4, 5, 5, 6)];
    const together = await ask(encodedBatch(rows, 16));
    for (const [b, one] of rows.entries()) {
      const alone = await ask(encodedBatch([one], one.tokens.length));
      alone.forEach((value, c) => {
        expect(Math.abs(value - (together[3 * b + c] as number))).toBeLessThan(1e-5);
      });
    }
    expect(new Set(together.map((value) => value.toFixed(4))).size).toBeGreaterThan(6);
    await program.free();
  });

  test('its gradients are those of finite differences', async () => {
    const loss = classifierLoss(config, 2, 6);
    const names = loss.specs.map((spec) => spec.name);
    const program = trace('slopes', { ...parameterTypes(loss.specs), ...loss.inputs }, (x) => {
      const value = loss.loss(x, (t) => t);
      const slopes = gradients(
        value,
        names.map((name) => x[name] as never),
      );
      return {
        loss: value,
        ...Object.fromEntries(names.map((name, i) => [`d.${name}`, slopes[i] as never])),
      };
    });
    const compiled = await reference.compile(program);
    const values = start(5);
    const batch = { ...encodedBatch([row(5, 6, 7, 8, 9), row(9, 3, 4)], 6), labels: labels(2, 0) };
    const at = await compiled.run({ inputs: { ...values, ...batch } });
    // Along a direction in which every parameter takes part.
    const random = new Random(7, 'direction');
    const directions = Object.fromEntries(
      names
        .map((name) => [name, (values[name] as HostTensor).data.length])
        .map(([name, size]) => [name, Float64Array.from({ length: size as number }, () => random.normal())]),
    );
    const moved = async (by: number): Promise<number> => {
      const inputs = Object.fromEntries(
        names.map((name) => {
          const own = values[name] as HostTensor<'f32'>;
          const direction = directions[name] as Float64Array;
          return [name, { ...own, data: own.data.map((v, i) => v + by * (direction[i] as number)) }];
        }),
      ) as HostTensors;
      return Number((await compiled.run({ inputs: { ...inputs, ...batch } })).loss?.data[0]);
    };
    let slope = 0;
    for (const name of names)
      (at[`d.${name}`] as HostTensor<'f32'>).data.forEach((value, i) => {
        slope += value * ((directions[name] as Float64Array)[i] as number);
      });
    const step = 2 ** -13;
    const found = ((await moved(step)) - (await moved(-step))) / (2 * step);
    expect(Math.abs(slope)).toBeGreaterThan(0.01);
    expect(Math.abs(found - slope)).toBeLessThan(0.01 * Math.abs(slope) + 1e-3);
    await compiled.free();
  });

  test('learns from batches of mixed lengths, dropout on, which word a text holds', async () => {
    const training = trainingConfig.parse({
      ...{ seed: 1, steps: 60, batch: 8, context: 24, learningRate: 1e-2, dropout: 0.1 },
      optimiser: { name: 'adamw', weightDecay: 0 },
      schedule: { name: 'constant', warmup: 5 },
    });
    const trainable = await createTrainable({
      ...{ name: 'classifier', backend: cpu, model: classifierLoss(config, 8), config: training },
      evaluate: classifierEvaluate(config),
    });
    // One of three words stands somewhere among others.
    const example = (i: number) => {
      const length = 3 + ((i * 7) % 9);
      const tokens = Array.from({ length }, (_, t) => 10 + ((i * 5 + t * 3) % 20));
      tokens[(i * 3) % length] = 1 + (i % 3);
      return { row: row(...tokens), label: i % 3 };
    };
    const batchOf = (first: number, time: number) => {
      const all = Array.from({ length: 8 }, (_, b) => example(first + b * 3 + (b % 3)));
      return {
        ...encodedBatch(
          all.map((one) => one.row),
          time,
        ),
        labels: labels(...all.map((one) => one.label)),
      };
    };
    for (let step = 0; step < training.steps; step++)
      await trainable.step(batchOf(step * 11, step % 2 ? 12 : 20), step);
    const weights = tensor('f32', [8], new Float32Array(8).fill(1));
    const { total, count } = await trainable.evaluate({ ...batchOf(5000, 16), weights });
    expect(total / count).toBeLessThan(0.6 * Math.log(3));
    await trainable.close();
  });
});
