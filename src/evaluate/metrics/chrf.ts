/** chrF and chrF++ (Popović 2015, 2017) as sacreBLEU 2 computes them: β = 2, orders that nobody has are left out. */
import { characters, counts, runs, words } from './python-text.ts';

export interface ChrfOptions {
  characterOrder?: number;
  /** 0 for chrF, 2 for chrF++. */
  wordOrder?: number;
  beta?: number;
  lowercase?: boolean;
}

/** For each order: n-grams of the hypothesis, of the reference, and of both. */
type Statistics = [number, number, number][];

const PUNCTUATION = new Set('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~');

/** One punctuation mark at an end of a word stands by itself. */
function splitPunctuation(line: string): string[] {
  return words(line).flatMap((word) => {
    const all = characters(word);
    if (all.length === 1) return [word];
    const [first, last] = [all[0] as string, all[all.length - 1] as string];
    if (PUNCTUATION.has(last)) return [all.slice(0, -1).join(''), last];
    return PUNCTUATION.has(first) ? [first, all.slice(1).join('')] : [word];
  });
}

function ngramsOf(line: string, { characterOrder = 6, wordOrder = 0 }: ChrfOptions): Map<string, number>[] {
  const letters = characters(words(line).join(''));
  const parts = wordOrder > 0 ? splitPunctuation(line) : [];
  return [
    ...Array.from({ length: characterOrder }, (_, i) => counts(runs(letters, i + 1))),
    ...Array.from({ length: wordOrder }, (_, i) => counts(runs(parts, i + 1))),
  ];
}

const total = (of: Map<string, number>): number => {
  let sum = 0;
  for (const count of of.values()) sum += count;
  return sum;
};

function compare(
  hypothesis: readonly Map<string, number>[],
  reference: readonly Map<string, number>[],
): Statistics {
  return hypothesis.map((own, i) => {
    const theirs = reference[i] as Map<string, number>;
    let match = 0;
    for (const [ngram, count] of own) match += Math.min(count, theirs.get(ngram) ?? 0);
    return [theirs.size > 0 ? total(own) : 0, total(theirs), match];
  });
}

function fScore(statistics: Statistics, beta: number): number {
  let [precision, recall, orders] = [0, 0, 0];
  for (const [own, theirs, match] of statistics) {
    if (own === 0 || theirs === 0) continue;
    precision += match / own;
    recall += match / theirs;
    orders += 1;
  }
  if (orders === 0 || precision + recall === 0) return 0;
  precision /= orders;
  recall /= orders;
  const factor = beta ** 2;
  return (100 * (1 + factor) * precision * recall) / (factor * precision + recall);
}

/** Of a corpus, 0 to 100; each segment counts against the reference that it is nearest to. */
export function chrf(
  hypotheses: readonly string[],
  references: readonly (readonly string[])[],
  options: ChrfOptions = {},
): number {
  const beta = options.beta ?? 2;
  const prepare = (line: string): Map<string, number>[] =>
    ngramsOf(options.lowercase === true ? line.toLowerCase() : line, options);
  const sum: Statistics = [];
  hypotheses.forEach((hypothesis, i) => {
    const own = prepare(hypothesis);
    let best: Statistics | undefined;
    let bestScore = -1;
    for (const reference of references[i] as readonly string[]) {
      const statistics = compare(own, prepare(reference));
      const score = fScore(statistics, beta);
      if (score > bestScore) [best, bestScore] = [statistics, score];
    }
    best?.forEach((one, order) => {
      const before = sum[order] ?? [0, 0, 0];
      sum[order] = [before[0] + one[0], before[1] + one[1], before[2] + one[2]];
    });
  });
  return fScore(sum, beta);
}
