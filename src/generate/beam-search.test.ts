/** Beam search beside transformers' own on a tiny GPT-2, among other requests, under constraints; and its bad input. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodingOf } from '../models/index.ts';
import { describeTextModel, loadWeights } from '../models/text/load.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { schemaGrammar } from './constraint/json-schema.ts';
import { TokenTree } from './constraint/vocabulary.ts';
import { createDecoder, type DecodeRequest, type Decoder, TokenConstraint, TokenGrammar } from './index.ts';

const here = path.dirname(fileURLToPath(import.meta.url));
interface Case {
  width: number;
  penalty: number;
  end: number | null;
  prompt: number[];
  tokens: number;
  repetition: number;
  texts: number[][];
  scores: number[] | null;
}
const { cases } = JSON.parse(await readFile(path.join(here, 'golden', 'beam-search.json'), 'utf8')) as {
  cases: Case[];
};
const plain = { temperature: 0, topK: 0, topP: 1, seed: 1 };

describe('beam search', () => {
  let backend: Backend;
  const decoders = new Map<number | null, Decoder>();
  beforeAll(async () => {
    backend = await createBackend('cpu', { threads: 1, inline: true });
    const info = await describeTextModel(path.join(here, '../models/text/golden/gpt2'));
    const parameters = await loadWeights(info);
    const { config } = info;
    if (config.architecture === 'bert') throw new Error('a GPT-2 is meant');
    for (const end of new Set(cases.map((one) => one.end)))
      decoders.set(
        end,
        await createDecoder(
          { backend, ...decodingOf(config), parameters, ...(end === null ? {} : { endOfText: end }) },
          { maxBatch: 8 },
        ),
      );
  });
  afterAll(async () => {
    for (const decoder of decoders.values()) await decoder.close();
    await backend.close();
  });
  const on = (end: number | null): Decoder => decoders.get(end) as Decoder;

  const request = ({ width, penalty, prompt, tokens, repetition }: Case): DecodeRequest => ({
    ...{ ...plain, tokens: prompt, maxTokens: tokens, repetitionPenalty: repetition },
    beams: { width, lengthPenalty: penalty, count: width },
  });
  const endings = (one: Case, texts: readonly { tokens: readonly { id: number }[]; reason: string }[]) =>
    texts.map(({ tokens, reason }) => [
      ...tokens.map(({ id }) => id),
      ...(reason === 'stop' ? [one.end] : []),
    ]);

  it.each(
    cases.map((one) => [`${one.width} beams, length penalty ${one.penalty}, end ${one.end}`, one] as const),
  )("finds transformers' texts: %s", async (_, one) => {
    const { texts = [], tokens } = await on(one.end).submit(request(one));
    expect(endings(one, texts)).toEqual(one.texts);
    expect(tokens).toEqual(texts[0]?.tokens.map(({ id }) => id));
    one.scores?.forEach((score, i) => {
      expect(Math.abs((texts[i]?.score as number) - score) / Math.abs(score)).toBeLessThan(1e-5);
    });
  });

  it('finds the same beside other searches and sampled texts, which come out the same, too', async () => {
    const mine = cases.filter(({ end }) => end === 5);
    const sampled = (seed: number): DecodeRequest => ({
      ...{ ...plain, temperature: 1, seed, tokens: [seed % 20, 3], maxTokens: 12 },
    });
    const decoder = on(5);
    const alone = [];
    for (const seed of [1, 2, 3]) alone.push((await decoder.submit(sampled(seed))).tokens);
    const [searches, samples] = await Promise.all([
      Promise.all(mine.map((one) => decoder.submit(request(one)))),
      Promise.all([1, 2, 3].map((seed) => decoder.submit(sampled(seed)))),
    ]);
    for (const [i, one] of mine.entries()) expect(endings(one, searches[i]?.texts ?? [])).toEqual(one.texts);
    expect(samples.map(({ tokens }) => tokens)).toEqual(alone);
    expect(decoder.status()).toMatchObject({ running: 0, waiting: 0 });
  });

  it('reports the log-probabilities that add up to the score', async () => {
    const { texts = [] } = await on(null).submit({
      ...{ ...plain, tokens: [22, 0, 4], maxTokens: 5, logprobs: 2 },
      beams: { width: 3, lengthPenalty: 0, count: 2 },
    });
    expect(texts).toHaveLength(2);
    for (const { tokens, score } of texts) {
      expect(tokens.reduce((sum, { logprob }) => sum + logprob, 0)).toBeCloseTo(score, 4);
      expect(tokens.every(({ top }) => top.length === 2)).toBe(true);
    }
  });

  it('keeps every text to a grammar', async () => {
    const letters = '{}[]":,0123456789tru';
    const tree = new TokenTree(letters.length, (id) => new TextEncoder().encode(letters[id]));
    const grammar = new TokenGrammar(
      schemaGrammar({ type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 3 }),
      tree,
    );
    const { texts = [] } = await on(21).submit({
      ...{ ...plain, tokens: [1], maxTokens: 9 },
      beams: {
        ...{ width: 4, lengthPenalty: 1, count: 4 },
        held: new TokenConstraint(grammar, { endOfText: undefined, maxTokens: 9 }),
      },
    });
    expect(texts).toHaveLength(4);
    for (const { tokens, reason } of texts) {
      expect(reason).toBe('stop');
      const value = JSON.parse(tokens.map(({ id }) => letters[id]).join('')) as number[];
      expect([2, 3]).toContain(value.length);
    }
  });

  it('ends texts where it is told', async () => {
    const { texts = [] } = await on(null).submit({
      ...{ ...plain, tokens: [3, 1, 4], maxTokens: 10 },
      beams: { width: 3, lengthPenalty: 1, count: 3, ends: (answer) => answer.at(-1) === 5 },
    });
    expect(texts[0]).toMatchObject({ reason: 'stop', tokens: [{ id: 5 }] });
  });

  it('frees its places when it is cancelled', async () => {
    const abort = new AbortController();
    let steps = 0;
    const cancelled = on(null).submit({
      ...{ ...plain, tokens: [1], maxTokens: 15, signal: abort.signal },
      beams: {
        ...{ width: 8, lengthPenalty: 1, count: 1 },
        ends: () => {
          if (++steps === 20) abort.abort();
          return false;
        },
      },
    });
    const next = on(null).submit({ ...plain, tokens: [1], maxTokens: 2 });
    expect((await cancelled).reason).toBe('cancelled');
    expect((await next).tokens).toHaveLength(2);
    expect(on(null).status()).toMatchObject({ running: 0, waiting: 0 });
  });

  it('refuses what cannot be searched', async () => {
    const ask = (beams: object, tokens = [1]) =>
      on(null).submit({
        ...{ ...plain, tokens, maxTokens: 3 },
        beams: { width: 2, lengthPenalty: 1, count: 1, ...beams },
      });
    expect(() => ask({ width: 9 })).toThrow(/9 beams/);
    expect(() => ask({ width: 0 })).toThrow(/0 beams/);
    expect(() => ask({ count: 3 })).toThrow(/3 texts/);
    expect(() => ask({ lengthPenalty: Number.NaN })).toThrow(/length penalty/);
    expect(() => ask({}, new Array(17).fill(1))).toThrow(/longer than the context/);
    await expect(
      ask({
        ends: () => {
          throw new Error('broken');
        },
      }),
    ).rejects.toThrow('broken');
    expect((await ask({})).tokens).toHaveLength(3);
  });
});
