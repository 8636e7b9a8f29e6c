/** BLEU (Papineni et al. 2002) as sacreBLEU 2 computes it (Post 2018): any number of references, four smoothings. */
import { counts, runs, stripEnd } from './python-text.ts';
import { type BleuTokenizer, tokenizeForBleu } from './tokenize.ts';

export const BLEU_SMOOTHINGS = ['exp', 'floor', 'add-k', 'none'] as const;
export type BleuSmoothing = (typeof BLEU_SMOOTHINGS)[number];

export interface BleuOptions {
  tokenizer?: BleuTokenizer;
  smoothing?: BleuSmoothing;
  /** For `floor` (default 0.1) and `add-k` (default 1). */
  smoothingValue?: number;
  lowercase?: boolean;
  /** Leaves out the orders that a short segment cannot have: for single sentences. */
  effectiveOrder?: boolean;
}

export interface BleuScore {
  /** 0 to 100. */
  score: number;
  /** Of orders 1 to 4, 0 to 100. */
  precisions: number[];
  brevityPenalty: number;
  length: number;
  referenceLength: number;
}

const ORDERS = 4;

interface Statistics {
  length: number;
  referenceLength: number;
  correct: number[];
  total: number[];
}

/** The length nearest to the hypothesis's; the shorter of two that are as near. */
function closest(length: number, references: readonly number[]): number {
  let best = references[0] as number;
  for (const one of references) {
    const [distance, before] = [Math.abs(one - length), Math.abs(best - length)];
    if (distance < before || (distance === before && one < best)) best = one;
  }
  return best;
}

function statisticsOf(hypothesis: readonly string[], references: readonly (readonly string[])[]): Statistics {
  const correct: number[] = [];
  const total: number[] = [];
  for (let n = 1; n <= ORDERS; n++) {
    const allowed = new Map<string, number>();
    for (const reference of references)
      for (const [run, count] of counts(runs(reference, n)))
        allowed.set(run, Math.max(allowed.get(run) ?? 0, count));
    let right = 0;
    let all = 0;
    for (const [run, count] of counts(runs(hypothesis, n))) {
      all += count;
      right += Math.min(count, allowed.get(run) ?? 0);
    }
    correct.push(right);
    total.push(all);
  }
  const referenceLength = closest(
    hypothesis.length,
    references.map((r) => r.length),
  );
  return { length: hypothesis.length, referenceLength, correct, total };
}

function scoreOf(statistics: Statistics, options: BleuOptions): BleuScore {
  const { length, referenceLength } = statistics;
  const smoothing = options.smoothing ?? 'exp';
  const value = options.smoothingValue ?? (smoothing === 'floor' ? 0.1 : 1);
  const brevityPenalty =
    length >= referenceLength ? 1 : length > 0 ? Math.exp(1 - referenceLength / length) : 0;
  const precisions = new Array<number>(ORDERS).fill(0);
  const result = (score: number): BleuScore => ({
    score,
    precisions,
    brevityPenalty,
    length,
    referenceLength,
  });
  if (statistics.correct.every((count) => count === 0)) return result(0);
  let doubling = 1;
  let orders = ORDERS;
  for (let n = 0; n < ORDERS; n++) {
    const added = smoothing === 'add-k' && n > 0 ? value : 0;
    const correct = (statistics.correct[n] as number) + added;
    const total = (statistics.total[n] as number) + added;
    if (total === 0) break;
    if (options.effectiveOrder === true) orders = n + 1;
    if (correct > 0) precisions[n] = (100 * correct) / total;
    else if (smoothing === 'exp') {
      doubling *= 2;
      precisions[n] = 100 / (doubling * total);
    } else if (smoothing === 'floor') precisions[n] = (100 * value) / total;
  }
  const logs = precisions.slice(0, orders).map((p) => (p === 0 ? Number.NEGATIVE_INFINITY : Math.log(p)));
  return result(brevityPenalty * Math.exp(logs.reduce((a, b) => a + b, 0) / orders));
}

/**
 * Of a corpus.
 * @param hypotheses one segment each @param references for each hypothesis all its references
 */
export function bleu(
  hypotheses: readonly string[],
  references: readonly (readonly string[])[],
  options: BleuOptions = {},
): BleuScore {
  const prepare = (line: string): string[] => {
    const cased = options.lowercase === true ? line.toLowerCase() : line;
    return tokenizeForBleu(stripEnd(cased), options.tokenizer ?? '13a');
  };
  const sum: Statistics = { length: 0, referenceLength: 0, correct: [0, 0, 0, 0], total: [0, 0, 0, 0] };
  hypotheses.forEach((hypothesis, i) => {
    const one = statisticsOf(prepare(hypothesis), (references[i] as readonly string[]).map(prepare));
    sum.length += one.length;
    sum.referenceLength += one.referenceLength;
    for (let n = 0; n < ORDERS; n++) {
      sum.correct[n] = (sum.correct[n] as number) + (one.correct[n] as number);
      sum.total[n] = (sum.total[n] as number) + (one.total[n] as number);
    }
  });
  return scoreOf(sum, options);
}

/** Of one sentence, over the orders it has. */
export function sentenceBleu(
  hypothesis: string,
  references: readonly string[],
  options: BleuOptions = {},
): BleuScore {
  return bleu([hypothesis], [references], { effectiveOrder: true, ...options });
}
