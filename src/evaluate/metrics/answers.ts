/**
 * Scores of short answers and of classes: exact match and F1 as SQuAD's evaluation has them (Rajpurkar et al. 2016),
 * accuracy with Wilson's interval (Wilson 1927), and how varied texts are (Li et al. 2016, distinct-n).
 */
import { counts, runs, words } from './python-text.ts';

const PUNCTUATION = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g;

/** Lower case, no ASCII punctuation, no articles, single spaces. */
export function normaliseAnswer(text: string): string {
  const bare = text.toLowerCase().replace(PUNCTUATION, '');
  return words(bare.replace(/(?<![\p{L}\p{N}_])(a|an|the)(?![\p{L}\p{N}_])/gu, ' ')).join(' ');
}

export function exactMatch(prediction: string, references: readonly string[]): number {
  const own = normaliseAnswer(prediction);
  return references.some((reference) => normaliseAnswer(reference) === own) ? 1 : 0;
}

/** Of the tokens that prediction and reference share; the best over the references. */
export function answerF1(prediction: string, references: readonly string[]): number {
  const own = words(normaliseAnswer(prediction));
  return Math.max(
    ...references.map((reference) => {
      const theirs = words(normaliseAnswer(reference));
      const left = counts(theirs);
      let shared = 0;
      for (const [token, count] of counts(own)) shared += Math.min(count, left.get(token) ?? 0);
      return shared === 0 ? 0 : (2 * shared) / (own.length + theirs.length);
    }),
  );
}

export interface Proportion {
  value: number;
  lower: number;
  upper: number;
  count: number;
}

/** Wilson's interval at 95 %: honest for small counts and near 0 and 1. */
export function proportion(right: number, count: number): Proportion {
  if (count === 0) return { value: Number.NaN, lower: 0, upper: 1, count };
  const z = 1.959963984540054;
  const p = right / count;
  const denominator = 1 + z ** 2 / count;
  const centre = (p + z ** 2 / (2 * count)) / denominator;
  const half = (z / denominator) * Math.sqrt((p * (1 - p)) / count + z ** 2 / (4 * count ** 2));
  return { value: p, lower: Math.max(0, centre - half), upper: Math.min(1, centre + half), count };
}

/** Different n-grams over all n-grams of the texts together; 0 where there are none. */
export function distinct(texts: readonly string[], n: number): number {
  const all = texts.flatMap((text) => runs(words(text), n));
  return all.length === 0 ? 0 : new Set(all).size / all.length;
}
