/** Every architecture: its size, its gradients, and decoding with a cache against the whole network. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HostTensor, tensor, zeros } from '../../base/tensor.ts';
import { initialise, parameterTypes } from '../../nn/index.ts';
import { gradients, trace } from '../../program/index.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import {
  decodingOf,
  type TextConfig,
  textConfig,
  textLogits,
  textLoss,
  textParameterCount,
  textParameters,
} from './architectures.ts';
import { servedText } from './serving.ts';

const sizes = { layers: 3, heads: 4, width: 16, context: 12, vocabulary: 11 };
const configs: Record<string, TextConfig> = {
  gpt2: { architecture: 'gpt2', ...sizes, bias: true },
  gpt3: { architecture: 'gpt3', ...sizes, bias: true, window: 3 },
  pangu: { architecture: 'pangu', ...sizes, bias: true },
  llama: textConfig.parse({ architecture: 'llama', ...sizes, keyHeads: 2, headWidth: 4, hidden: 24 }),
  'llama, tied, with biases, head norms and a window': textConfig.parse({
    ...{ architecture: 'llama', ...sizes, keyHeads: 1, headWidth: 6, hidden: 24, tied: true },
    ...{ attentionBias: true, headNorm: true, window: 4 },
    rotaryScaling: { factor: 4, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8 },
  }),
};
const counts: Record<string, number> = {
  gpt2: 11 * 16 + 12 * 16 + 3 * (12 * 256 + 13 * 16) + 2 * 16,
  gpt3: 11 * 16 + 12 * 16 + 3 * (12 * 256 + 13 * 16) + 2 * 16,
  // The query layer adds a position embedding of its own.
  pangu: 11 * 16 + 2 * 12 * 16 + 3 * (12 * 256 + 13 * 16) + 2 * 16,
  llama: 2 * 11 * 16 + 3 * (16 * 16 * 2 + 2 * 8 * 16 + 3 * 24 * 16 + 2 * 16) + 16,
  'llama, tied, with biases, head norms and a window':
    11 * 16 + 3 * (2 * 24 * 16 + 2 * 6 * 16 + 36 + 12 + 3 * 24 * 16 + 2 * 16) + 16,
};

const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
let cpu: Backend;
let reference: Backend;
beforeAll(async () => {
  cpu = await createBackend('cpu', { threads: 1, inline: true });
  reference = await createBackend('reference');
});
afterAll(() => Promise.all([cpu.close(), reference.close()]));

describe.each(Object.entries(configs))('%s', (name, config) => {
  // Larger than they start, so that attention looks somewhere.
  const parameters = Object.fromEntries(
    Object.entries(initialise(textParameters(config), 3)).map(([key, t]) => [
      key,
      { ...t, data: (t.data as Float32Array).map((v) => v * 4) } as HostTensor<'f32'>,
    ]),
  );

  test('has as many parameters as its formula says', () => {
    expect(textParameterCount(config)).toBe(counts[name]);
  });

  test.each([
    ['as files have it', { ...decodingOf(config), parameters }],
    ['as it is served', servedText(config, parameters)],
  ])('%s, a step and a chunk over the cache give what the whole network gives', async (_, parts) => {
    const { vocabulary, layers } = config;
    const compile = (program: typeof parts.step) => cpu.compile(program, { constants: parts.parameters });
    const whole = await cpu.compile(textLogits(config), { constants: parameters });
    const [prefill, chunk, step] = [
      await compile(parts.prefill),
      await compile(parts.chunk),
      await compile(parts.step),
    ];
    const all = (await whole.run({ inputs: { tokens: tensor('i32', [1, 10], Int32Array.from(ids)) } }))
      .logits as HostTensor<'f32'>;
    const row = (at: number): number[] => Array.from(all.data.slice(at * vocabulary, (at + 1) * vocabulary));
    const close = (found: HostTensor | undefined, at: number): void => {
      const expected = row(at);
      expect(found?.data.length).toBe(vocabulary);
      expected.forEach((value, i) => {
        expect(Math.abs((found?.data[i] as number) - value)).toBeLessThan(1e-4);
      });
    };
    expect(new Set(Array.from(all.data, (v) => v.toFixed(2))).size).toBeGreaterThan(20);

    const cache = await cpu.resident(
      Object.fromEntries(
        Array.from({ length: layers }, (_, l) =>
          ['keys', 'values'].map((kind) => [
            `${kind}.${l}`,
            zeros('f32', [1, parts.heads, 12, parts.headDim]),
          ]),
        ).flat(),
      ),
    );
    const into = (prefix: string, at: number, count?: number) =>
      cache.names.map((into) => ({
        output: `${prefix}${into}`,
        into,
        axis: 2,
        at: [at],
        ...(count === undefined ? {} : { count: [count] }),
      }));
    // Four tokens at once (padded to six), then three as a chunk (padded to four), then one by one.
    const first = tensor('i32', [1, 6], Int32Array.from([...ids.slice(0, 4), 0, 0]));
    const one = (value: number): HostTensor => tensor('i32', [1], Int32Array.of(value));
    close(
      (
        await prefill.run({
          inputs: { tokens: first, length: one(4) },
          resident: [cache],
          write: into('', 0, 4),
        })
      ).logits,
      3,
    );
    const next = tensor('i32', [1, 4], Int32Array.from([...ids.slice(4, 7), 0]));
    close(
      (
        await chunk.run({
          inputs: { tokens: next, position: one(4), length: one(3) },
          resident: [cache],
          write: into('new_', 4, 3),
        })
      ).logits,
      6,
    );
    for (let at = 7; at < 10; at++) {
      const { logits } = await step.run({
        inputs: { token: one(ids[at] as number), position: one(at) },
        resident: [cache],
        write: cache.names.map((name, i) => ({
          ...{ output: 'new_rows', into: name, axis: 2, first: i * parts.heads, at: [at] },
        })),
      });
      close(logits, at);
    }
  });

  test('the gradient is that of the reference and of finite differences', async () => {
    const { loss, specs, inputs } = textLoss(config, 2, 5);
    const names = specs.map((s) => s.name);
    const program = trace('gradients', { ...parameterTypes(specs), ...inputs }, (x) => {
      const value = loss(x, (t) => t);
      const found = gradients(
        value,
        names.map((n) => x[n]!),
      );
      return { loss: value, ...Object.fromEntries(names.map((n, i) => [`d ${n}`, found[i]!])) };
    });
    const batch = {
      tokens: tensor('i32', [2, 5], Int32Array.from([3, 1, 4, 1, 5, 9, 2, 6, 5, 3])),
      targets: tensor('i32', [2, 5], Int32Array.from([1, 4, 1, 5, 9, 2, 6, 5, 3, 8])),
    };
    const run = async (backend: Backend, values: typeof parameters) =>
      (await backend.compile(program)).run({ inputs: { ...values, ...batch } });
    const [ours, exact] = [await run(cpu, parameters), await run(reference, parameters)];
    for (const n of names) {
      const [a, b] = [ours[`d ${n}`] as HostTensor<'f32'>, exact[`d ${n}`] as HostTensor<'f32'>];
      const scale = Math.max(1e-3, ...Array.from(b.data, Math.abs));
      a.data.forEach((value, i) => {
        expect(Math.abs(value - (b.data[i] as number)) / scale, `${n}[${i}]`).toBeLessThan(2e-3);
      });
    }
    // One entry of a few parameters, moved both ways.
    for (const n of [names[0], names[2], names[names.length - 1]] as string[]) {
      const analytic = exact[`d ${n}`] as HostTensor<'f32'>;
      let at = 0;
      analytic.data.forEach((v, i) => {
        if (Math.abs(v) > Math.abs(analytic.data[at] as number)) at = i;
      });
      const moved = async (by: number): Promise<number> => {
        const data = (parameters[n] as HostTensor<'f32'>).data.slice();
        data[at] = (data[at] as number) + by;
        const changed = { ...parameters, [n]: { ...parameters[n], data } as HostTensor<'f32'> };
        return (await run(reference, changed)).loss?.data[0] as number;
      };
      const slope = ((await moved(0.001)) - (await moved(-0.001))) / 0.002;
      expect(Math.abs(slope - (analytic.data[at] as number))).toBeLessThan(0.02 * Math.abs(slope) + 2e-3);
    }
  });
});
