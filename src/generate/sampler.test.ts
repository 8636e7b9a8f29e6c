/** Sampled tokens against the exact distribution: chi-square over twenty thousand draws with fixed seeds. */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/rng.ts';
import { adjusting, checkAdjustments } from './adjustments.ts';
import { checkSampling, Sampler, type SamplingOptions } from './sampler.ts';

const DRAWS = 20_000;
const logits = Float32Array.from({ length: 24 }, (_, i) => 1.5 * new Random(7, 'logits', i).normal());
const plain = { temperature: 1, topK: 0, topP: 1, seed: 11 };

/** The distribution, written as its definition says: sort, cut, normalise. */
function exact(scores: ArrayLike<number>, options: Partial<SamplingOptions>): number[] {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = options;
  const normal = (list: { id: number; p: number }[]): { id: number; p: number }[] => {
    const sum = list.reduce((total, { p }) => total + p, 0);
    return list.map(({ id, p }) => ({ id, p: p / sum }));
  };
  let kept = normal(Array.from(scores, (score, id) => ({ id, p: Math.exp(score / temperature) })));
  kept.sort((a, b) => b.p - a.p);
  if (topK > 0) kept = normal(kept.slice(0, topK));
  let mass = 0;
  kept = normal(
    kept.filter(({ p }) => {
      const before = mass;
      mass += p;
      return before < topP;
    }),
  );
  kept = normal(kept.filter(({ p }) => p >= minP * (kept[0]?.p as number)));
  const result = new Array<number>(scores.length).fill(0);
  for (const { id, p } of kept) result[id] = p;
  return result;
}

function counted(scores: Float32Array, options: Partial<SamplingOptions>): number[] {
  const sampler = new Sampler();
  const counts = new Array<number>(scores.length).fill(0);
  for (let i = 0; i < DRAWS; i++) {
    const id = sampler.sample(scores, { ...plain, ...options }, i);
    counts[id] = (counts[id] as number) + 1;
  }
  return counts;
}

/** Pearson's statistic in standard deviations (Wilson and Hilferty 1931); rare tokens are taken together. */
function deviation(counts: readonly number[], expected: readonly number[]): number {
  const cells: { seen: number; due: number }[] = [];
  const rare = { seen: 0, due: 0 };
  counts.forEach((seen, id) => {
    const due = DRAWS * (expected[id] as number);
    if (due === 0) expect(seen, `token ${id} was cut`).toBe(0);
    else if (due >= 8) cells.push({ seen, due });
    else {
      rare.seen += seen;
      rare.due += due;
    }
  });
  if (rare.due > 0) cells.push(rare);
  const freedom = cells.length - 1;
  const statistic = cells.reduce((sum, { seen, due }) => sum + (seen - due) ** 2 / due, 0);
  const ninth = 2 / (9 * freedom);
  return (Math.cbrt(statistic / freedom) - (1 - ninth)) / Math.sqrt(ninth);
}

describe('sampling', () => {
  const settings: Partial<SamplingOptions>[] = [
    {},
    { temperature: 0.6 },
    { temperature: 1.7 },
    { topK: 5 },
    { topP: 0.8 },
    { minP: 0.1 },
    { topK: 9, topP: 0.7 },
    { topK: 12, minP: 0.2, temperature: 1.4 },
    { topP: 0.95, minP: 0.05, temperature: 0.9 },
    { topK: 15, topP: 0.9, minP: 0.04, temperature: 2 },
  ];
  it.each(settings.map((one) => [JSON.stringify(one), one] as const))(
    'follows the exact distribution: %s',
    (_, options) => {
      // Three standard deviations: one false alarm in a thousand, were the seeds not fixed.
      expect(deviation(counted(logits, options), exact(logits, options))).toBeLessThan(3);
    },
  );

  it('is told from a distribution that is a little off', () => {
    expect(deviation(counted(logits, { temperature: 1.1 }), exact(logits, {}))).toBeGreaterThan(5);
  });

  it('gives the same token for the same seed and position, another for others', () => {
    const draw = (seed: number): number[] =>
      Array.from({ length: 40 }, (_, i) => new Sampler().sample(logits, { ...plain, seed }, i));
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
  });

  it('keeps everything at min-p 0 and the likeliest alone at 1', () => {
    const best = logits.indexOf(Math.max(...logits));
    expect(new Set(counted(logits, { minP: 1 }).flatMap((n, id) => (n > 0 ? [id] : [])))).toEqual(
      new Set([best]),
    );
  });

  it.each([{ minP: -0.1 }, { minP: 1.1 }, { topK: 1.5 }, { temperature: -1 }, { seed: -1 }, { topP: 0 }])(
    'refuses %j',
    (options) => {
      expect(() => checkSampling({ ...plain, ...options })).toThrow(
        expect.objectContaining({ code: 'sampling_invalid' }),
      );
    },
  );
});

describe('penalties and bias', () => {
  const scores = (): Float32Array => Float32Array.of(2, -1, 0.5, 0, -3);
  const adjusted = (given: Parameters<typeof adjusting>[0], tokens: number[], prompt: number): number[] => {
    const result = scores();
    adjusting(given, prompt)?.(result, tokens);
    return [...result].map((value) => Math.round(value * 1e4) / 1e4);
  };

  it('divide what is likely and multiply what is unlikely, in prompt and answer', () => {
    expect(adjusted({ repetitionPenalty: 2 }, [0, 1, 1, 3], 2)).toEqual([1, -2, 0.5, 0, -3]);
  });

  it('take presence once and frequency for each time, from the answer alone', () => {
    expect(adjusted({ presencePenalty: 0.5 }, [0, 2, 2, 4], 1)).toEqual([2, -1, 0, 0, -3.5]);
    expect(adjusted({ frequencyPenalty: 0.5 }, [0, 2, 2, 4], 1)).toEqual([2, -1, -0.5, 0, -3.5]);
    expect(adjusted({ frequencyPenalty: -0.5, presencePenalty: 1 }, [0, 2, 2], 1)).toEqual([
      2, -1, 0.5, 0, -3,
    ]);
  });

  it('add bias, also so much that a token never or always comes', () => {
    expect(adjusted({ logitBias: { 1: 100, 0: -100 } }, [], 0)).toEqual([-98, 99, 0.5, 0, -3]);
    const never = scores();
    adjusting({ logitBias: { 0: -100 } }, 0)?.(never, []);
    expect(counted(never, {})[0]).toBe(0);
  });

  it('change nothing where nothing is asked for', () => {
    expect(adjusting({ repetitionPenalty: 1, presencePenalty: 0, logitBias: { 1: 0 } }, 0)).toBeUndefined();
  });

  it('change the distribution as they say', () => {
    const changed = logits.slice();
    adjusting({ repetitionPenalty: 1.3, presencePenalty: 0.4, frequencyPenalty: 0.3 }, 2)?.(
      changed,
      [1, 2, 3, 3, 5],
    );
    const expected = [...logits];
    for (const id of [1, 2, 3, 5]) {
      const score = expected[id] as number;
      expected[id] = score > 0 ? score / 1.3 : score * 1.3;
    }
    expected[3] = (expected[3] as number) - 0.4 - 0.6;
    expected[5] = (expected[5] as number) - 0.4 - 0.3;
    expect(deviation(counted(changed, {}), exact(expected, {}))).toBeLessThan(3);
  });

  it.each([
    [{ repetitionPenalty: 0 }, 'sampling_invalid'],
    [{ presencePenalty: Number.NaN }, 'sampling_invalid'],
    [{ frequencyPenalty: Number.POSITIVE_INFINITY }, 'sampling_invalid'],
    [{ logitBias: { 5: 1 } }, 'token_invalid'],
    [{ logitBias: { x: 1 } }, 'token_invalid'],
    [{ logitBias: { 1: Number.NaN } }, 'sampling_invalid'],
  ])('refuse %j', (given, code) => {
    expect(() => checkAdjustments(given, 5)).toThrow(expect.objectContaining({ code }));
  });
});
