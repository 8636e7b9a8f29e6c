/** Every text metric against its reference implementation's own numbers (tools/golden/metrics.py). */
import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { answerF1, distinct, exactMatch, proportion } from './answers.ts';
import { type BleuSmoothing, bleu, sentenceBleu } from './bleu.ts';
import { chrf } from './chrf.ts';
import { characterErrorRate, edit, wordErrors } from './edit.ts';
import { porterStem } from './porter.ts';
import { ROUGE_KINDS, type RougeKind, rouge } from './rouge.ts';
import type { BleuTokenizer } from './tokenize.ts';

interface Corpus {
  hypotheses: string[];
  /** One list for each reference file. */
  references: string[][];
  bleu: Record<string, number>;
  sentences: number[];
  chrf: Record<'chrf' | 'chrf++', number>;
  rouge: Record<RougeKind, [number, number, number]>[];
  rouge_stem: Record<RougeKind, [number, number, number]>[];
  errors: { wer: number; mer: number; wil: number; cer: number };
}
const golden = JSON.parse(readFileSync(new URL('golden/metrics.json', import.meta.url), 'utf8')) as {
  corpora: Corpus[];
  multiline: { prediction: string; target: string; score: [number, number, number] }[];
  stems: Record<string, string>;
};

describe.each(golden.corpora.map((corpus, i) => [i, corpus] as const))('corpus %i', (_, corpus) => {
  const { hypotheses } = corpus;
  const references = hypotheses.map((_, i) => corpus.references.map((stream) => stream[i] as string));

  it('has sacreBLEU’s BLEU with every tokenizer and smoothing', () => {
    for (const [key, value] of Object.entries(corpus.bleu)) {
      const [tokenizer, smoothing, lower] = key.split('/') as [BleuTokenizer, BleuSmoothing, string?];
      const { score } = bleu(hypotheses, references, {
        tokenizer,
        smoothing,
        lowercase: lower !== undefined,
      });
      expect(score, key).toBeCloseTo(value, 8);
    }
    hypotheses.forEach((one, i) => {
      expect(sentenceBleu(one, references[i] as string[]).score).toBeCloseTo(
        corpus.sentences[i] as number,
        8,
      );
    });
  });
  it('has sacreBLEU’s chrF and chrF++', () => {
    expect(chrf(hypotheses, references)).toBeCloseTo(corpus.chrf.chrf, 8);
    expect(chrf(hypotheses, references, { wordOrder: 2 })).toBeCloseTo(corpus.chrf['chrf++'], 8);
  });
  it('has rouge_score’s ROUGE, with and without stems', () => {
    hypotheses.forEach((one, i) => {
      for (const stem of [false, true]) {
        const found = rouge(one, references[i] as string[], stem);
        const expected = (stem ? corpus.rouge_stem : corpus.rouge)[i] as Corpus['rouge'][number];
        for (const kind of ROUGE_KINDS) {
          const { p, r, f } = found[kind];
          [p, r, f].forEach((value, part) => {
            expect(value, `${kind} ${i}`).toBeCloseTo(expected[kind][part] as number, 10);
          });
        }
      }
    });
  });
  it('has jiwer’s error rates', () => {
    const first = corpus.references[0] as string[];
    const { wer, mer, wil } = wordErrors(hypotheses, first);
    expect(wer).toBeCloseTo(corpus.errors.wer, 10);
    expect(mer).toBeCloseTo(corpus.errors.mer, 10);
    expect(wil).toBeCloseTo(corpus.errors.wil, 10);
    expect(characterErrorRate(hypotheses, first)).toBeCloseTo(corpus.errors.cer, 10);
  });
});

test('stems are NLTK’s', () => {
  const found = Object.fromEntries(Object.keys(golden.stems).map((word) => [word, porterStem(word)]));
  expect(found).toEqual(golden.stems);
});

test('ROUGE-Lsum over several sentences', () => {
  for (const { prediction, target, score } of golden.multiline) {
    const { p, r, f } = rouge(prediction, [target]).rougeLsum;
    expect([p, r, f].map((v) => v.toFixed(10))).toEqual(score.map((v) => v.toFixed(10)));
  }
});

test('jiwer’s own vector, and what an edit counts', () => {
  expect(wordErrors(['X X Y Y'], ['X'])).toEqual({ wer: 3, mer: 0.75, wil: 0.75 });
  expect(edit([...'kitten'], [...'sitting'])).toEqual({
    hits: 4,
    substitutions: 2,
    deletions: 0,
    insertions: 1,
  });
  expect(edit([], ['a'])).toEqual({ hits: 0, substitutions: 0, deletions: 0, insertions: 1 });
});

test('answers as SQuAD judges them', () => {
  expect(exactMatch('The  Cat!', ['dog', 'cat'])).toBe(1);
  expect(exactMatch('cats', ['cat'])).toBe(0);
  expect(answerF1('the big cat', ['a cat sat', 'no'])).toBeCloseTo((2 * 0.5 * 0.5) / 1, 12);
  expect(answerF1('', ['x'])).toBe(0);
});

test('proportions have Wilson’s interval', () => {
  const { value, lower, upper } = proportion(8, 10);
  expect(value).toBe(0.8);
  expect(lower).toBeCloseTo(0.4901624715, 9);
  expect(upper).toBeCloseTo(0.9433178485, 9);
  expect(proportion(0, 5).lower).toBe(0);
});

test('distinct-n counts n-grams over all texts', () => {
  expect(distinct(['a b a', 'a b'], 1)).toBe(2 / 5);
  expect(distinct(['a b a', 'a b'], 2)).toBe(2 / 3);
  expect(distinct([''], 2)).toBe(0);
});
