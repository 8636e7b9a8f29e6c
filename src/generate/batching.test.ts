/** The batch engine under pressure: long prompts in pieces, known beginnings, little memory; the tokens never change. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../base/rng.ts';
import type { HostTensors } from '../base/tensor.ts';
import { decodingOf, type TextConfig, textConfig, textParameters } from '../models/index.ts';
import { initialise } from '../nn/parameters.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { bytesPerToken } from './cache.ts';
import { createDecoder, type DecodeRequest, type Decoder, type DecoderOptions } from './index.ts';

const sizes = { layers: 2, heads: 2, width: 16, context: 1200, vocabulary: 13 };
const configs: Record<string, TextConfig> = {
  'learned positions': { architecture: 'gpt3', ...sizes, bias: true, window: 40 },
  'rotary positions': textConfig.parse({
    ...{ architecture: 'llama', ...sizes, keyHeads: 1, headWidth: 8, hidden: 24 },
  }),
};
const greedy = { temperature: 0, topK: 0, topP: 1, seed: 1 };

describe.each(Object.entries(configs))('%s', (_, config) => {
  let backend: Backend;
  let parameters: HostTensors;
  const open: Decoder[] = [];
  const decoder = async (options: DecoderOptions): Promise<Decoder> => {
    const made = await createDecoder({ backend, ...decodingOf(config), parameters }, options);
    open.push(made);
    return made;
  };
  beforeAll(async () => {
    backend = await createBackend('cpu', { threads: 1, inline: true });
    parameters = initialise(textParameters(config), 5);
    for (const t of Object.values(parameters))
      for (let i = 0; i < t.data.length; i++) (t.data as Float32Array)[i] = 12 * (t.data[i] as number);
  });
  afterAll(async () => {
    for (const one of open) await one.close();
    await backend.close();
  });

  const random = new Random(7, 'prompts');
  const prompt = (length: number): number[] => Array.from({ length }, () => random.integer(13));
  const requests = [3, 700, 40, 1100, 5, 90, 530].map((length, i) => ({
    ...greedy,
    temperature: i % 2,
    seed: i,
    tokens: prompt(length),
    maxTokens: 12 + 5 * i,
  }));
  const all = (one: Decoder, given: readonly DecodeRequest[]): Promise<number[][]> =>
    Promise.all(given.map(async (request) => (await one.submit(request)).tokens));

  it('gives the same tokens alone, in pieces among others, statically, and with little memory', async () => {
    const plain = await decoder({ maxBatch: 1, prefixBytes: 0 });
    const alone: number[][] = [];
    for (const request of requests) alone.push((await plain.submit(request)).tokens);
    expect(alone.map((tokens) => tokens.length)).toEqual(requests.map((r) => r.maxTokens));
    expect(await all(await decoder({ maxBatch: 4, prefixBytes: 0 }), requests)).toEqual(alone);
    expect(await all(await decoder({ maxBatch: 4, batching: 'static' }), requests)).toEqual(alone);
    // Room for little more than the longest sequence: the others must step back and come again.
    const { layers, heads, headDim } = decodingOf(config);
    const tight = await decoder({
      maxBatch: 4,
      cacheBytes: 1500 * bytesPerToken({ layers, heads, headDim }),
    });
    const growing = Array.from({ length: 4 }, (_, i) => ({
      ...greedy,
      tokens: prompt(300),
      seed: i,
      maxTokens: 120,
    }));
    const expected: number[][] = [];
    for (const request of growing) expected.push((await plain.submit(request)).tokens);
    expect(await all(tight, growing)).toEqual(expected);
    expect(tight.status().preempted).toBeGreaterThan(0);
    expect(await all(tight, requests)).toEqual(alone);
  });

  it('does not read again what a prompt before began with', async () => {
    const plain = await decoder({ maxBatch: 1, prefixBytes: 0 });
    const keeping = await decoder({ maxBatch: 2 });
    const start = prompt(200);
    const family = Array.from({ length: 4 }, (_, i) => ({
      ...greedy,
      tokens: [...start, ...prompt(3 + i)],
      maxTokens: 8,
    }));
    for (const request of family)
      expect((await keeping.submit(request)).tokens).toEqual((await plain.submit(request)).tokens);
    expect(keeping.status().prefixTokens).toBeGreaterThanOrEqual(600);
    expect(plain.status().prefixTokens).toBe(0);
  });

  it('frees the place of a prompt that is cancelled while it is read', async () => {
    const one = await decoder({ maxBatch: 1 });
    const abort = new AbortController();
    const cancelled = one.submit({ ...greedy, tokens: prompt(1100), maxTokens: 9, signal: abort.signal });
    const next = one.submit({ ...greedy, tokens: prompt(4), maxTokens: 3 });
    await new Promise((resolve) => setImmediate(resolve));
    abort.abort();
    expect((await cancelled).reason).toBe('cancelled');
    expect((await next).tokens).toHaveLength(3);
    expect(one.status()).toMatchObject({ running: 0, waiting: 0 });
  });
});
