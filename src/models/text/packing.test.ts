/** Packed rows against the same texts alone: equal losses of every text, none sees another, fewer empty places. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../base/rng.ts';
import { type HostTensor, tensor } from '../../base/tensor.ts';
import { type EncodedConversation, packConversations, packedBatch } from '../../data/text/instructions.ts';
import { initialise } from '../../nn/index.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import {
  type TextConfig,
  textConfig,
  textPackedEvaluate,
  textParameters,
  textScores,
} from './architectures.ts';

const sizes = { layers: 3, heads: 2, width: 16, context: 32, vocabulary: 40 };
const configs: Record<string, TextConfig> = {
  gpt2: textConfig.parse({ architecture: 'gpt2', ...sizes, bias: true }),
  gpt3: textConfig.parse({ architecture: 'gpt3', ...sizes, bias: true, window: 4 }),
  pangu: textConfig.parse({ architecture: 'pangu', ...sizes, bias: true }),
  llama: textConfig.parse({ architecture: 'llama', ...sizes, keyHeads: 1, headWidth: 8, hidden: 24 }),
};

let cpu: Backend;
beforeAll(async () => {
  cpu = await createBackend('cpu', { threads: 1, inline: true });
});
afterAll(() => cpu.close());

/** Texts of mixed lengths; only the last part of each counts. */
const random = new Random(6, 'texts');
const texts: EncodedConversation[] = Array.from({ length: 11 }, () => {
  const length = 4 + random.integer(20);
  const tokens = Array.from({ length }, () => random.integer(40));
  return { tokens, weights: tokens.map((_, i) => (i >= length / 2 ? 1 : 0)) };
});

describe.each(Object.entries(configs))('%s', (_, config) => {
  const parameters = Object.fromEntries(
    Object.entries(initialise(textParameters(config), 3)).map(([key, t]) => [
      key,
      { ...t, data: (t.data as Float32Array).map((v) => v * 4) } as HostTensor<'f32'>,
    ]),
  );

  test('each text loses packed what it loses alone, and filling loses nothing', async () => {
    const rows = packConversations(texts, 32);
    expect(rows.length).toBeLessThan(texts.length);
    const packed = await cpu.compile(textPackedEvaluate(config, 1, 32), { constants: parameters });
    const alone = await cpu.compile(textScores(config), { constants: parameters });
    let compared = 0;
    for (const [r, row] of rows.entries()) {
      for (const segment of new Set(row.segments)) {
        // The row as it is, with the weight of one text alone: what its neighbours hold must not matter.
        const weights = row.weights.map((w, i) => (row.segments[i] === segment ? w : 0));
        if (!weights.includes(1)) continue;
        const batch = { ...packedBatch(rows, [r], 32), weights: tensor('f32', [1, 32], weights) };
        const total = Number((await packed.run({ inputs: batch })).total?.data[0]);
        const places = [...row.segments.keys()].filter((i) => row.segments[i] === segment);
        const ids = (of: Int32Array): HostTensor =>
          tensor(
            'i32',
            [1, places.length],
            Int32Array.from(places, (i) => of[i] as number),
          );
        const { nats } = await alone.run({ inputs: { tokens: ids(row.tokens), targets: ids(row.targets) } });
        const own = places.reduce(
          (sum, i, at) => sum + (row.weights[i] as number) * (nats?.data[at] as number),
          0,
        );
        expect(Math.abs(total - own)).toBeLessThan(1e-3);
        compared++;
      }
    }
    expect(compared).toBe(texts.length);
    await packed.free();
    await alone.free();
  });

  test('a neighbour’s tokens change nothing', async () => {
    const rows = packConversations(texts, 32);
    const packed = await cpu.compile(textPackedEvaluate(config, 1, 32), { constants: parameters });
    const row = rows.find(({ segments }) => new Set(segments).size > 2) as (typeof rows)[number];
    const total = async (tokens: Int32Array): Promise<number> => {
      const weights = row.weights.map((w, i) => (row.segments[i] === 1 ? w : 0));
      const inputs = {
        ...packedBatch([row], [0], 32),
        tokens: tensor('i32', [1, 32], tokens as Int32Array<ArrayBuffer>),
        weights: tensor('f32', [1, 32], weights),
      };
      return Number((await packed.run({ inputs })).total?.data[0]);
    };
    const before = await total(row.tokens);
    const others = row.tokens.map((id, i) => (row.segments[i] === 1 ? id : (id + 7) % 40));
    expect(await total(others)).toBeCloseTo(before, 4);
    const itself = row.tokens.map((id, i) => (row.segments[i] === 1 ? (id + 7) % 40 : id));
    expect(Math.abs((await total(itself)) - before)).toBeGreaterThan(1e-3);
    await packed.free();
  });
});
