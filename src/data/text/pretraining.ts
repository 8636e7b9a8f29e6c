/**
 * BERT's examples (Devlin et al. 2019, section 3.1): pairs of passages, of which half follow each other, with 15 % of
 * the tokens asked for. An example is a pure function of seed and number, so a resumed run sees what the first one
 * would have seen. Knows tokens, no network.
 */
import { InkstoneError } from '../../base/errors.ts';
import { Random } from '../../base/rng.ts';
import { type HostTensors, tensor } from '../../base/tensor.ts';
import type { WordPieceTokenizer } from '../tokenizer/wordpiece.ts';
import type { SentenceCorpus } from './sentences.ts';

/** `follows`: the second passage comes next; else it is of another book, or of another place of the same book. */
export type PairKind = 'follows' | 'other book' | 'same book';

export interface PretrainingSpecials {
  cls: number;
  sep: number;
  mask: number;
  /** Ordinary tokens are those from here on: what a masked one may be replaced by. */
  firstOrdinary: number;
  vocabulary: number;
}

export interface PretrainingShape {
  batch: number;
  time: number;
  /** Masked places of a row, at most. */
  masked: number;
}

/** Which kinds of negatives there must be: both, any one, or none. */
export type Negatives = boolean | 'any';

export function pretrainingPairs(
  corpus: SentenceCorpus,
  tokenizer: WordPieceTokenizer,
  negatives: Negatives = true,
): PretrainingPairs {
  const specials = {
    cls: tokenizer.special('[CLS]'),
    sep: tokenizer.special('[SEP]'),
    mask: tokenizer.special('[MASK]'),
    firstOrdinary: 5,
    vocabulary: tokenizer.vocabularySize,
  };
  return new PretrainingPairs(corpus, specials, negatives);
}

/** 15 % of the window's tokens and a little room. */
export const pretrainingShape = (batch: number, time: number): PretrainingShape => ({
  batch,
  time,
  masked: Math.ceil(0.16 * time),
});

/** Share of tokens that are asked for; of those 80 % are masked and 10 % replaced. */
const ASKED = 0.15;
/** Sentences between two places of one book that count as apart. */
const APART = 1000;
/** Sentences of a book that has such places for every passage. */
const LONG = 2 * APART + 100;

interface Example {
  first: Int32Array;
  second: Int32Array;
  kind: PairKind;
}

export class PretrainingPairs {
  /** The kinds that these books can give. */
  readonly negatives: readonly Exclude<PairKind, 'follows'>[];
  private readonly corpus: SentenceCorpus;
  private readonly specials: PretrainingSpecials;

  /**
   * @param negatives false where only pairs that follow each other are asked for: then one short book will do
   * @throws InkstoneError `data_too_small` where there is no other book or no place far enough away
   */
  constructor(corpus: SentenceCorpus, specials: PretrainingSpecials, negatives: Negatives = true) {
    this.corpus = corpus;
    this.specials = specials;
    const sizes = corpus.books.slice(1).map((end, book) => end - (corpus.books[book] as number));
    this.negatives = [
      ...(sizes.filter((size) => size > 0).length >= 2 ? (['other book'] as const) : []),
      ...(sizes.some((size) => size >= LONG) ? (['same book'] as const) : []),
    ];
    const enough = negatives === true ? 2 : negatives === 'any' ? 1 : 0;
    if (this.negatives.length < enough)
      throw new InkstoneError(
        'data_too_small',
        `next-sentence pairs need two books${enough === 2 ? ',' : ' or'} one of at least ${LONG} sentences`,
        { kind: 'data', hint: 'give a folder or an archive of long texts, one file each' },
      );
  }

  /** The passage that begins at a sentence, at least `length` tokens long, and the sentence after it. */
  private passage(start: number, end: number, length: number): { ids: Int32Array; next: number } {
    let next = start;
    const { starts } = this.corpus;
    while (next < end && (starts[next] as number) - (starts[start] as number) < length) next++;
    return { ids: this.corpus.between(start, next), next };
  }

  private example(random: Random, kind: PairKind, part: number): Example {
    const { corpus } = this;
    for (;;) {
      const sentence = random.integer(corpus.length);
      const book = corpus.bookOf(sentence);
      const [begin, end] = [corpus.books[book] as number, corpus.books[book + 1] as number];
      if (kind === 'same book' && end - begin < LONG) continue;
      const { ids, next } = this.passage(sentence, end, part);
      // The end of a book has nothing after it.
      if (next >= end - 1 || ids.length < part) continue;
      // What stands right before the second passage is kept: its beginning is cut.
      const first = ids.subarray(ids.length - part);
      const other = this.second(random, kind, { book, begin, end, next });
      const second = this.passage(other.start, other.end, part).ids;
      if (second.length < part) continue;
      return { first, second: second.subarray(0, part), kind };
    }
  }

  private second(
    random: Random,
    kind: PairKind,
    { book, begin, end, next }: { book: number; begin: number; end: number; next: number },
  ): { start: number; end: number } {
    const { corpus } = this;
    if (kind === 'follows') return { start: next, end };
    if (kind === 'same book') {
      for (;;) {
        const start = begin + random.integer(end - begin);
        if (Math.abs(start - next) >= APART) return { start, end };
      }
    }
    for (;;) {
      const start = random.integer(corpus.length);
      const other = corpus.bookOf(start);
      if (other !== book) return { start, end: corpus.books[other + 1] as number };
    }
  }

  /** A batch of training: half of the pairs follow, a quarter are of other books, a quarter of the same (as there are). */
  training(shape: PretrainingShape, seed: number, step: number): HostTensors {
    const random = new Random(seed, 'pretraining', step);
    const kinds = Array.from({ length: shape.batch }, (): PairKind => {
      if (random.uniform() < 0.5) return 'follows';
      const [first = 'follows', second = first] = this.negatives;
      return random.uniform() < 0.5 ? first : second;
    });
    return this.batch(shape, kinds, random);
  }

  /** A batch of fixed pairs for judging; `counted` is 1 for each row. */
  judging(shape: PretrainingShape, seed: number, number: number, kind: PairKind): HostTensors {
    const random = new Random(seed, `judging ${kind}`, number);
    const counted = tensor('f32', [shape.batch], new Float32Array(shape.batch).fill(1));
    return { ...this.batch(shape, Array<PairKind>(shape.batch).fill(kind), random), counted };
  }

  private batch(
    { batch, time, masked }: PretrainingShape,
    kinds: readonly PairKind[],
    random: Random,
  ): HostTensors {
    const { cls, sep } = this.specials;
    const part = Math.floor((time - 3) / 2);
    const tokens = new Int32Array(batch * time);
    const segments = new Int32Array(batch * time);
    const places = new Int32Array(batch * masked);
    const labels = new Int32Array(batch * masked);
    const weights = new Float32Array(batch * masked);
    const used = 2 * part + 3;
    kinds.forEach((kind, b) => {
      const { first, second } = this.example(random, kind, part);
      const row = tokens.subarray(b * time, (b + 1) * time);
      row.set([cls, ...first, sep, ...second, sep]);
      segments.fill(1, b * time + part + 2, b * time + used);
      // Every token but the special ones may be asked for.
      const open = Array.from({ length: used }, (_, t) => t).filter((t) => row[t] !== cls && row[t] !== sep);
      const count = Math.min(masked, Math.max(1, Math.round(ASKED * open.length)));
      for (let i = 0; i < count; i++) {
        const pick = i + random.integer(open.length - i);
        [open[i], open[pick]] = [open[pick] as number, open[i] as number];
        const t = open[i] as number;
        places[b * masked + i] = b * time + t;
        labels[b * masked + i] = row[t] as number;
        weights[b * masked + i] = 1;
        row[t] = this.disguised(row[t] as number, random);
      }
    });
    const whole = [batch, time];
    return {
      tokens: tensor('i32', whole, tokens),
      segments: tensor('i32', whole, segments),
      length: tensor('i32', [batch], new Int32Array(batch).fill(used)),
      places: tensor('i32', [batch * masked], places),
      labels: tensor('i32', [batch * masked], labels),
      weights: tensor('f32', [batch * masked], weights),
      // As Hugging Face has it: 0 for a pair that follows.
      next: tensor(
        'i32',
        [batch],
        Int32Array.from(kinds, (kind) => (kind === 'follows' ? 0 : 1)),
      ),
    };
  }

  private disguised(id: number, random: Random): number {
    const { mask, firstOrdinary, vocabulary } = this.specials;
    const draw = random.uniform();
    if (draw < 0.8) return mask;
    return draw < 0.9 ? firstOrdinary + random.integer(vocabulary - firstOrdinary) : id;
  }
}
