/** Where heads look: the same as transformers says, rows that add up to 1, nothing of what is hidden. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HostTensor, tensor } from '../../base/tensor.ts';
import { initialise } from '../../nn/index.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import { isBert } from './any.ts';
import { type TextConfig, textEvaluate, textLogits, textParameters } from './architectures.ts';
import { bertAnswers } from './bert-programs.ts';
import { bertAttention, bertInspect, decoderInspect } from './inspect-programs.ts';
import { describeTextModel, loadWeights } from './load.ts';

const golden = path.join(path.dirname(fileURLToPath(import.meta.url)), 'golden');
const names = await readdir(golden);
let cpu: Backend;
let reference: Backend;
beforeAll(async () => {
  cpu = await createBackend('cpu', { threads: 1, inline: true });
  reference = await createBackend('reference');
});
afterAll(() => Promise.all([cpu.close(), reference.close()]));

const i32 = (shape: number[], values: readonly number[]): HostTensor =>
  tensor('i32', shape, Int32Array.from(values));

test.each(names)('%s looks where transformers says it does', async (name) => {
  const folder = path.join(golden, name);
  const { ids, attention } = JSON.parse(await readFile(path.join(folder, 'attention.json'), 'utf8')) as {
    ids: number[];
    attention: number[][][][];
  };
  const info = await describeTextModel(folder);
  const { config } = info;
  const time = ids.length;
  const program = isBert(config) ? bertAttention(config) : decoderInspect(config, { attention: true });
  const executable = await cpu.compile(program, { constants: await loadWeights(info) });
  const more = isBert(config)
    ? { segments: i32([1, time], Array(time).fill(0)), length: i32([1], [time]) }
    : { targets: i32([1, time], ids) };
  const found = await executable.run({ inputs: { tokens: i32([1, time], ids), ...more } });
  attention.forEach((layer, at) => {
    const weights = found[`attention.${at}`] as HostTensor<'f32'>;
    expect(weights.shape).toEqual([1, layer.length, time, time]);
    layer.flat(2).forEach((value, i) => {
      expect(Math.abs((weights.data[i] as number) - value), `layer ${at}, ${i}`).toBeLessThan(1e-5);
    });
  });
  await executable.free();
});

const sizes = { layers: 3, heads: 4, width: 16, context: 12, vocabulary: 23 };
const configs: Record<string, TextConfig> = {
  gpt2: { architecture: 'gpt2', ...sizes, bias: true },
  gpt3: { architecture: 'gpt3', ...sizes, bias: true, window: 3 },
  pangu: { architecture: 'pangu', ...sizes, bias: true },
};
const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
const next = [...ids.slice(1), 8];

describe.each(Object.entries(configs))('%s', (_, config) => {
  const parameters = Object.fromEntries(
    Object.entries(initialise(textParameters(config), 3)).map(([key, t]) => [
      key,
      { ...t, data: (t.data as Float32Array).map((v) => v * 6) } as HostTensor<'f32'>,
    ]),
  );
  const inputs = { tokens: i32([1, 10], ids), targets: i32([1, 10], next) };
  const look = async (backend: Backend) =>
    (
      await backend.compile(decoderInspect(config, { attention: true }), {
        constants: parameters,
        sizes: { time: 10 },
      })
    ).run({ inputs });

  test('looks as the float64 reference does, at nothing that comes later, in rows that add up to 1', async () => {
    const [ours, exact] = [await look(cpu), await look(reference)];
    const spread = new Set<string>();
    for (let layer = 0; layer < sizes.layers; layer++) {
      const [a, b] = [ours[`attention.${layer}`], exact[`attention.${layer}`]] as HostTensor<'f32'>[];
      a?.data.forEach((value, i) => {
        expect(Math.abs(value - (b?.data[i] as number))).toBeLessThan(1e-5);
      });
      const banded = config.architecture === 'gpt3' && layer % 2 === 1;
      for (let head = 0; head < sizes.heads; head++) {
        for (let query = 0; query < 10; query++) {
          const row = a?.data.subarray(
            (head * 10 + query) * 10,
            (head * 10 + query + 1) * 10,
          ) as Float32Array;
          expect(Math.abs(row.reduce((total, value) => total + value, 0) - 1)).toBeLessThan(1e-5);
          row.forEach((value, key) => {
            if (key > query || (banded && query - key >= 3)) expect(value).toBe(0);
          });
          spread.add((row[0] as number).toFixed(2));
        }
      }
    }
    // Heads that all looked alike would prove nothing.
    expect(spread.size).toBeGreaterThan(15);
  });

  test('surprise adds up to what the evaluation counts, and names the likeliest', async () => {
    const found = await look(cpu);
    const surprise = found.surprise as HostTensor<'f32'>;
    const evaluate = await cpu.compile(textEvaluate(config, 1, 10), { constants: parameters });
    const weights = tensor('f32', [1, 10], new Float32Array(10).fill(1));
    const { total } = await evaluate.run({ inputs: { ...inputs, weights } });
    const nats = surprise.data.reduce((all, value) => all + value, 0);
    expect(Math.abs(nats - (total?.data[0] as number))).toBeLessThan(1e-4);

    const scores = await cpu.compile(textLogits(config), { constants: parameters });
    const logits = (await scores.run({ inputs: { tokens: inputs.tokens } })).logits as HostTensor<'f32'>;
    const exact = Array.from({ length: 10 }, (_, at) => {
      const row = Array.from(logits.data.slice(at * 23, (at + 1) * 23));
      const most = Math.max(...row);
      const normal = most + Math.log(row.reduce((all, value) => all + Math.exp(value - most), 0));
      const order = row.map((value, token) => ({ value, token })).sort((x, y) => y.value - x.value);
      return { row, normal, order };
    });
    const k = (found.top_tokens?.shape[1] as number) ?? 0;
    expect(k).toBe(10);
    exact.forEach(({ row, normal, order }, at) => {
      const target = next[at] as number;
      expect(surprise.data[at]).toBeCloseTo(normal - (row[target] as number), 4);
      expect(found.rank?.data[at]).toBe(order.findIndex(({ token }) => token === target) + 1);
      expect(Array.from(found.top_tokens?.data.subarray(at * k, at * k + k) as Int32Array)).toEqual(
        order.slice(0, k).map(({ token }) => token),
      );
      expect(found.top_logprobs?.data[at * k]).toBeCloseTo((order[0]?.value as number) - normal, 4);
    });
  });
});

test('a BERT’s surprise is that of the masked token, from all others', async () => {
  const info = await describeTextModel(path.join(golden, 'bert-masked'));
  const { config } = info;
  if (!isBert(config)) throw new Error('not a BERT');
  const weights = await loadWeights(info);
  const MASK = 4;
  const row = [2, 7, 9, 11, 3];
  const places = [1, 2, 3];
  const batch = places.flatMap((place) => row.map((id, at) => (at === place ? MASK : id)));
  const shape = [3, 5];
  const sentence = { segments: i32(shape, Array(15).fill(0)), length: i32([3], [5, 5, 5]) };
  const tokens = i32(shape, batch);
  const inspect = await cpu.compile(bertInspect(config), { constants: weights });
  const found = await inspect.run({
    inputs: { ...sentence, tokens, places: i32([3], places), targets: i32([3], [7, 9, 11]) },
  });
  const answers = await cpu.compile(bertAnswers(config), { constants: weights });
  const { logits } = await answers.run({ inputs: { ...sentence, tokens }, fetch: ['logits'] });
  places.forEach((place, b) => {
    const scores = Array.from(
      (logits as HostTensor<'f32'>).data.slice((b * 5 + place) * 23, (b * 5 + place + 1) * 23),
    );
    const normal = Math.log(scores.reduce((all, value) => all + Math.exp(value), 0));
    expect(found.surprise?.data[b]).toBeCloseTo(normal - (scores[row[place] as number] as number), 4);
  });
});
