/** Somebody else's engine behind our decoding: places, waiting, cancelling, full contexts, tenants, failures. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { LogitsDecoder, type LogitsEngine, type LogitsPlace } from './logits-decoder.ts';

const VOCABULARY = 7;

/** Likes the token after the last one best; remembers what it was asked. */
class CountingPlace implements LogitsPlace {
  read: number[] = [];
  forgotten = 0;
  longest = 0;
  likeliest: number[] = [];
  fails = false;
  wait: Promise<void> = Promise.resolve();

  known(tokens: readonly number[]): number {
    let same = 0;
    while (same < tokens.length && this.read[same] === tokens[same]) same++;
    return same;
  }

  async forget(): Promise<void> {
    this.read = [];
    this.forgotten++;
  }

  async scores(tokens: readonly number[], likeliest: number): Promise<Float32Array> {
    await this.wait;
    if (this.fails) throw new Error('out of memory');
    this.read = [...tokens];
    this.longest = Math.max(this.longest, tokens.length);
    this.likeliest.push(likeliest);
    const last = tokens.at(-1) as number;
    return Float32Array.from({ length: VOCABULARY }, (_, id) => -((id - last - 1 + VOCABULARY) % VOCABULARY));
  }
}

function engineOf(
  places: readonly CountingPlace[],
  more: Partial<LogitsEngine> = {},
): LogitsEngine & { closed: number } {
  const engine = {
    vocabulary: VOCABULARY,
    context: 6,
    ends: new Set([0]),
    places,
    closed: 0,
    close: async () => {
      engine.closed++;
    },
    ...more,
  };
  return engine;
}

const greedy = { temperature: 0, topK: 0, topP: 1, seed: 0, maxTokens: 20 };

describe('a decoder on another engine', () => {
  test('takes the likeliest until a token that ends the text, and asks for no more scores than it needs', async () => {
    const place = new CountingPlace();
    const decoder = new LogitsDecoder(engineOf([place]));
    const seen: number[] = [];
    const result = await decoder.submit({
      ...greedy,
      tokens: [2],
      onToken: ({ id }) => {
        seen.push(id);
        return true;
      },
    });
    expect(result).toEqual({ reason: 'stop', tokens: [3, 4, 5, 6] });
    expect(seen).toEqual([3, 4, 5, 6]);
    expect(new Set(place.likeliest)).toEqual(new Set([1]));
    place.likeliest = [];
    await decoder.submit({ ...greedy, temperature: 1, topK: 3, tokens: [1], maxTokens: 1 });
    await decoder.submit({ ...greedy, temperature: 1, tokens: [1], maxTokens: 1 });
    await decoder.submit({ ...greedy, tokens: [1], maxTokens: 1, logprobs: 1 });
    await decoder.submit({ ...greedy, tokens: [1], maxTokens: 1, logitBias: { '5': 9 } });
    expect(place.likeliest).toEqual([3, Infinity, Infinity, Infinity]);
  });

  test('bias, penalties, processors and log-probabilities are ours', async () => {
    const decoder = new LogitsDecoder(engineOf([new CountingPlace()]));
    const biased = await decoder.submit({ ...greedy, tokens: [1], maxTokens: 1, logitBias: { '5': 9 } });
    expect(biased.tokens).toEqual([5]);
    const forced = await decoder.submit({
      ...greedy,
      tokens: [1],
      maxTokens: 2,
      processors: [(logits) => logits.fill(-Infinity, 0, 6)],
    });
    expect(forced.tokens).toEqual([6, 6]);
    let top = 0;
    await decoder.submit({
      ...greedy,
      tokens: [1],
      maxTokens: 1,
      logprobs: 2,
      onToken: (token) => {
        top = token.logprob;
        return true;
      },
    });
    const total = [0, 1, 2, 3, 4, 5, 6].reduce((sum, i) => sum + Math.exp(-i), 0);
    expect(top).toBeCloseTo(-Math.log(total), 6);
  });

  test('a full context goes on from its last half', async () => {
    const place = new CountingPlace();
    const decoder = new LogitsDecoder(engineOf([place], { ends: new Set() }));
    const result = await decoder.submit({ ...greedy, tokens: [1, 1, 1, 1, 1, 1, 1, 1, 2], maxTokens: 9 });
    expect(result).toEqual({ reason: 'length', tokens: [3, 4, 5, 6, 0, 1, 2, 3, 4] });
    expect(place.longest).toBeLessThanOrEqual(6);
  });

  test('what finds no place waits, and the place that knows the beginning is taken', async () => {
    const places = [new CountingPlace(), new CountingPlace()];
    const decoder = new LogitsDecoder(engineOf(places));
    const results = [1, 2, 3].map((first) => decoder.submit({ ...greedy, tokens: [first] }));
    expect(decoder.status()).toEqual({ running: 2, waiting: 1 });
    expect((await Promise.all(results)).map(({ tokens }) => tokens.length)).toEqual([5, 4, 3]);
    expect(decoder.status()).toEqual({ running: 0, waiting: 0 });
    const reads = places.map(({ read }) => read[0]);
    const last = reads[0] as number;
    await decoder.submit({ ...greedy, tokens: [last, 6], tenant: undefined });
    expect(places[0]?.read.slice(0, 2)).toEqual([last, 6]);
  });

  test('what one tenant asked helps no other', async () => {
    const place = new CountingPlace();
    const decoder = new LogitsDecoder(engineOf([place]));
    await decoder.submit({ ...greedy, tokens: [1], tenant: 'a' });
    await decoder.submit({ ...greedy, tokens: [1], tenant: 'a' });
    expect(place.forgotten).toBe(0);
    await decoder.submit({ ...greedy, tokens: [1], tenant: 'b' });
    expect(place.forgotten).toBe(1);
  });

  test('cancelling ends at once, before its turn too, and frees the place', async () => {
    const place = new CountingPlace();
    const decoder = new LogitsDecoder(engineOf([place], { ends: new Set() }));
    const [first, second] = [new AbortController(), new AbortController()];
    const long = decoder.submit({
      ...greedy,
      tokens: [1],
      maxTokens: 1e9,
      signal: first.signal,
      onToken: () => {
        second.abort();
        return true;
      },
    });
    const waiting = decoder.submit({ ...greedy, tokens: [1], signal: second.signal });
    expect(await waiting).toEqual({ reason: 'cancelled', tokens: [] });
    first.abort();
    expect((await long).reason).toBe('cancelled');
    expect(await decoder.submit({ ...greedy, tokens: [1], maxTokens: 2 })).toEqual({
      reason: 'length',
      tokens: [2, 3],
    });
  });

  test('its own end holds nothing of requests that are over', async () => {
    const decoder = new LogitsDecoder(engineOf([new CountingPlace()]));
    for (let i = 0; i < 20; i++) await decoder.submit({ ...greedy, tokens: [5] });
    const end = (decoder as unknown as { closing: AbortController }).closing.signal;
    // Where Node notes down the signals that `AbortSignal.any` made of this one.
    const noted = Object.getOwnPropertySymbols(end)
      .map((symbol) => (end as unknown as Record<symbol, Set<unknown> | undefined>)[symbol])
      .filter((value) => Object.prototype.toString.call(value) === '[object Set]')
      .reduce((sum, { size } = new Set()) => sum + size, 0);
    expect(noted).toBe(0);
    expect(getEventListeners(end, 'abort')).toEqual([]);
  });

  test('a failure of the engine ends its request only', async () => {
    const place = new CountingPlace();
    const decoder = new LogitsDecoder(engineOf([place]));
    place.fails = true;
    await expect(decoder.submit({ ...greedy, tokens: [1] })).rejects.toThrow('out of memory');
    place.fails = false;
    expect((await decoder.submit({ ...greedy, tokens: [5] })).tokens).toEqual([6]);
  });

  test('closing ends what runs and takes nothing new', async () => {
    const engine = engineOf([new CountingPlace()], { ends: new Set() });
    const decoder = new LogitsDecoder(engine);
    const long = decoder.submit({ ...greedy, tokens: [1], maxTokens: 1e9 });
    await decoder.close();
    expect((await long).reason).toBe('cancelled');
    expect(engine.closed).toBe(1);
    expect(() => decoder.submit({ ...greedy, tokens: [1] })).toThrow(
      expect.objectContaining({ code: 'decoder_closed' }),
    );
  });

  test('bad requests are refused as our own decoder does', () => {
    const decoder = new LogitsDecoder(engineOf([new CountingPlace()]));
    const refused = (more: object, code: string): void => {
      expect(() => decoder.submit({ ...greedy, tokens: [1], ...more })).toThrow(
        expect.objectContaining({ code }),
      );
    };
    refused({ tokens: [] }, 'prompt_empty');
    refused({ tokens: [7] }, 'token_invalid');
    refused({ topP: 0 }, 'sampling_invalid');
    refused({ logitBias: { '7': 1 } }, 'token_invalid');
    refused({ repetitionPenalty: 0 }, 'sampling_invalid');
    refused({ beams: { width: 2, lengthPenalty: 1, count: 1 } }, 'beams_unsupported');
  });
});
