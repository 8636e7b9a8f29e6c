/** The batch engine under pressure: long prompts in pieces, known beginnings, little memory; the tokens never change. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../base/rng.ts';
import type { HostTensors } from '../base/tensor.ts';
import { decodingOf, type TextConfig, textConfig, textParameters } from '../models/index.ts';
import { initialise } from '../nn/parameters.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { bytesPerToken } from './cache.ts';
import { createDecoder, type DecodeRequest, type Decoder, type DecoderOptions, grouped } from './index.ts';

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

  it('keeps what it read for the tenant that sent it', async () => {
    const keeping = await decoder({ maxBatch: 2 });
    const start = prompt(200);
    const ask = (tenant: string | undefined, last: number) =>
      keeping.submit({ ...greedy, tokens: [...start, last], maxTokens: 4, tenant });
    const saved = async (tenant: string | undefined, last: number): Promise<number> => {
      const before = keeping.status().prefixTokens;
      await ask(tenant, last);
      return keeping.status().prefixTokens - before;
    };
    expect(await saved('ann', 1)).toBe(0);
    expect(await saved('bob', 2)).toBe(0);
    expect(await saved(undefined, 3)).toBe(0);
    expect(await saved('ann', 4)).toBeGreaterThanOrEqual(200);
    expect(await saved('bob', 5)).toBeGreaterThanOrEqual(200);
    expect(await saved(undefined, 6)).toBeGreaterThanOrEqual(200);
    expect(keeping.status().prefixBytes).toBeGreaterThan(3 * 200 * bytesPerToken(decodingOf(config)));
  });

  it('admits by memory: what does not fit waits, and all get their tokens', async () => {
    const plain = await decoder({ maxBatch: 1, prefixBytes: 0 });
    const room = 3 * 128 * bytesPerToken(decodingOf(config));
    const tight = await decoder({ maxBatch: 8, cacheBytes: room, prefixBytes: 0 });
    let most = 0;
    let bytes = 0;
    const given = Array.from({ length: 6 }, (_, i) => ({
      ...greedy,
      tokens: prompt(100),
      seed: i,
      maxTokens: 20,
      onToken: () => {
        most = Math.max(most, tight.status().running);
        bytes = Math.max(bytes, tight.status().cacheBytes);
        return true;
      },
    }));
    const expected: number[][] = [];
    for (const request of given) {
      const { onToken: _, ...same } = request;
      expected.push((await plain.submit(same)).tokens);
    }
    expect(await all(tight, given)).toEqual(expected);
    expect(most).toBe(3);
    expect(bytes).toBeLessThanOrEqual(room);
    expect(tight.status()).toMatchObject({ running: 0, preempted: 0 });
  });

  it('a cancelled sequence gives its place to the next one before another token is made for it', async () => {
    const one = await decoder({ maxBatch: 2, prefixBytes: 0 });
    const abort = new AbortController();
    let made = 0;
    const events: string[] = [];
    const cancelled = one.submit({
      ...greedy,
      tokens: prompt(30),
      maxTokens: 1000,
      signal: abort.signal,
      onToken: () => {
        made += 1;
        if (made === 5) abort.abort();
        events.push('first');
        return true;
      },
    });
    const other = one.submit({
      ...greedy,
      tokens: prompt(20),
      maxTokens: 40,
      onToken: () => events.push('other') > 0,
    });
    const next = one.submit({
      ...greedy,
      tokens: prompt(10),
      maxTokens: 3,
      onToken: () => events.push('next') > 0,
    });
    expect(await cancelled).toMatchObject({ reason: 'cancelled', tokens: { length: 5 } });
    await Promise.all([other, next]);
    // The next one's first token comes in the round after the fifth of the first: the other has made one more at most.
    const after = events.slice(events.lastIndexOf('first') + 1, events.indexOf('next'));
    expect(after.length).toBeLessThanOrEqual(2);
    expect(made).toBe(5);
  });

  it('a static batch fills up, and lets nobody join before its last sequence ends', async () => {
    const still = await decoder({ maxBatch: 3, batching: 'static', prefixBytes: 0 });
    const order: number[] = [];
    const given = [9, 3, 3, 3].map((maxTokens, i) => ({
      ...greedy,
      tokens: prompt(400 + i),
      maxTokens,
      onToken: () => order.push(i) > 0,
    }));
    await all(still, given);
    expect(order.lastIndexOf(0)).toBeLessThan(order.indexOf(3));
    expect(order.slice(0, 3).sort()).toEqual([0, 1, 2]);
  });

  it('settings are each sequence’s own', async () => {
    const one = await decoder({ maxBatch: 8, prefixBytes: 0 });
    const start = prompt(20);
    const different: DecodeRequest[] = [
      { ...greedy, tokens: start, maxTokens: 12 },
      { ...greedy, tokens: start, maxTokens: 12, temperature: 1.5, seed: 1 },
      { ...greedy, tokens: start, maxTokens: 12, temperature: 1.5, seed: 2 },
      { ...greedy, tokens: start, maxTokens: 12, temperature: 1.5, topK: 1, seed: 3 },
      { ...greedy, tokens: start, maxTokens: 7, logprobs: 2 },
      { ...greedy, tokens: start, maxTokens: 12, logitBias: { 4: 1e6 } },
    ];
    const [plain, one1, two, top, short, biased] = await all(one, different);
    expect(one1).not.toEqual(two);
    expect(top).toEqual(plain);
    expect(short).toEqual(plain?.slice(0, 7));
    expect(biased).toEqual(new Array(12).fill(4));
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

describe('prompts that are read together', () => {
  const costs = (groups: number[][]): number =>
    groups.reduce((total, g) => total + 40 + g.length * Math.ceil(Math.max(...g) / 16) * 16, 0);
  it('stand in groups whose padding costs least', () => {
    expect(grouped([16, 512, 16, 16], (n) => n)).toEqual([[512], [16, 16, 16]]);
    expect(grouped([], (n: number) => n)).toEqual([]);
    const random = new Random(9, 'lengths');
    for (let trial = 0; trial < 20; trial++) {
      const lengths = Array.from({ length: 7 }, () => 1 + random.integer(200));
      const groups = grouped(lengths, (n) => n);
      expect(groups.flat().sort((a, b) => a - b)).toEqual([...lengths].sort((a, b) => a - b));
      // Every way of cutting the sorted list.
      const sorted = [...lengths].sort((a, b) => b - a);
      let least = Number.POSITIVE_INFINITY;
      for (let cuts = 0; cuts < 64; cuts++) {
        const made: number[][] = [[]];
        sorted.forEach((n, i) => {
          if (i > 0 && (cuts >> (i - 1)) % 2 === 1) made.push([]);
          made.at(-1)?.push(n);
        });
        least = Math.min(least, costs(made));
      }
      expect(costs(groups)).toBe(least);
    }
  });
});
