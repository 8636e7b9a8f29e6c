/**
 * The models of tokenizer.json: a piece of text to ids. Byte-pair encoding of characters with a fall back to bytes
 * (Sennrich et al. 2016), WordPiece, whole words, and Unigram (Kudo 2018: the likeliest way to cut, by Viterbi).
 */
import { z } from 'zod';
import { type Merge, Merger } from '../bpe-merge.ts';
import { invalidFile, unsupportedPart } from './errors.ts';
import { Trie } from './trie.ts';
import { checkMerges, vocabularyMap } from './vocabulary.ts';

export interface PieceModel {
  readonly kind: 'bpe' | 'wordpiece' | 'words' | 'unigram';
  /** Token → id, without added tokens. */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Tokens like `<0x41>` stand for bytes. */
  readonly bytes: boolean;
  encode(piece: string): number[];
}

const hex = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
const encoder = new TextEncoder();

/** Ids of a text's bytes; undefined where one has none. */
function byteIds(vocabulary: ReadonlyMap<string, number>, text: string): number[] | undefined {
  const ids: number[] = [];
  for (const byte of encoder.encode(text)) {
    const id = vocabulary.get(hex(byte));
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return ids;
}

const bpe = z.object({
  vocab: z.unknown(),
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])).default([]),
  dropout: z.number().nullish(),
  unk_token: z.string().nullish(),
  continuing_subword_prefix: z.string().nullish(),
  end_of_word_suffix: z.string().nullish(),
  fuse_unk: z.boolean().nullish(),
  byte_fallback: z.boolean().nullish(),
  ignore_merges: z.boolean().nullish(),
});

export class PairModel implements PieceModel {
  readonly kind = 'bpe';
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly bytes: boolean;
  private readonly prefix: string;
  private readonly suffix: string;
  private readonly unknown: number | undefined;
  private readonly fuse: boolean;
  private readonly whole: boolean;
  private readonly merger: Merger;

  constructor(raw: unknown) {
    const read = bpe.parse(raw);
    if (read.dropout) throw unsupportedPart('a tokenizer with dropout');
    this.vocabulary = vocabularyMap(read.vocab);
    this.prefix = read.continuing_subword_prefix ?? '';
    this.suffix = read.end_of_word_suffix ?? '';
    this.fuse = read.fuse_unk === true;
    this.whole = read.ignore_merges === true;
    this.bytes = read.byte_fallback === true;
    if (typeof read.unk_token === 'string') {
      this.unknown = this.vocabulary.get(read.unk_token);
      if (this.unknown === undefined)
        throw invalidFile(`the unknown token ${read.unk_token} is not in the vocabulary`);
    }
    this.merger = new Merger(
      checkMerges(read.merges, (left, right): Merge => {
        const joined = left + right.slice(right.startsWith(this.prefix) ? this.prefix.length : 0);
        const ids = [left, right, joined].map((token) => this.vocabulary.get(token));
        if (ids.includes(undefined)) throw invalidFile(`the merge ${left} ${right} is not in the vocabulary`);
        return ids as [number, number, number];
      }),
    );
  }

  encode(piece: string): number[] {
    if (this.whole) {
      const id = this.vocabulary.get(piece);
      if (id !== undefined) return [id];
    }
    const ids: number[] = [];
    let unknown = false;
    const flush = (): void => {
      if (unknown) ids.push(this.unknown as number);
      unknown = false;
    };
    const characters = [...piece];
    characters.forEach((character, i) => {
      const spelled =
        (i > 0 ? this.prefix : '') + character + (i === characters.length - 1 ? this.suffix : '');
      const id = this.vocabulary.get(spelled);
      if (id !== undefined) {
        flush();
        ids.push(id);
        return;
      }
      const bytes = this.bytes ? byteIds(this.vocabulary, spelled) : undefined;
      if (bytes !== undefined) ids.push(...bytes);
      else if (this.unknown !== undefined) {
        if (!this.fuse) flush();
        unknown = true;
      }
    });
    flush();
    return this.merger.merge(ids);
  }
}

const words = z.object({
  vocab: z.unknown(),
  unk_token: z.string().default('[UNK]'),
  continuing_subword_prefix: z.string().default('##'),
  max_input_chars_per_word: z.number().int().min(0).default(100),
});

/** WordPiece, or whole words only. */
export class WordModel implements PieceModel {
  readonly kind: 'wordpiece' | 'words';
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly bytes = false;
  private readonly unknown: number | undefined;
  private readonly prefix: string;
  private readonly limit: number;
  private readonly starts: Trie;
  private readonly insides: Trie;

  constructor(raw: unknown, kind: 'wordpiece' | 'words') {
    const read = words.parse(raw);
    this.kind = kind;
    this.vocabulary = vocabularyMap(read.vocab);
    this.unknown = this.vocabulary.get(read.unk_token);
    this.prefix = read.continuing_subword_prefix;
    this.limit = read.max_input_chars_per_word;
    const tokens = [...this.vocabulary].filter(([token]) => token !== '');
    this.starts = new Trie(kind === 'wordpiece' ? tokens : []);
    this.insides = new Trie(
      kind === 'words'
        ? []
        : tokens
            .filter(([token]) => token.startsWith(this.prefix) && token !== this.prefix)
            .map(([token, id]) => [token.slice(this.prefix.length), id] as const),
    );
  }

  private none(): number[] {
    if (this.unknown === undefined) throw invalidFile('it has no token for what it does not know');
    return [this.unknown];
  }

  encode(piece: string): number[] {
    if (this.kind === 'words') {
      const id = this.vocabulary.get(piece);
      return id === undefined ? this.none() : [id];
    }
    if ([...piece].length > this.limit) return this.none();
    const ids: number[] = [];
    for (let at = 0; at < piece.length; ) {
      const found = (at === 0 ? this.starts : this.insides).longest(piece, at);
      if (found === undefined) return this.none();
      ids.push(found.id);
      at = found.end;
    }
    return ids;
  }
}

const unigram = z.object({
  vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
  unk_id: z.number().int().min(0).nullish(),
  byte_fallback: z.boolean().nullish(),
});

/** What an unknown character costs beyond the least likely token (SentencePiece's). */
const UNKNOWN_PENALTY = 10;

export class UnigramModel implements PieceModel {
  readonly kind = 'unigram';
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly bytes: boolean;
  private readonly scores: Float64Array;
  private readonly unknown: number | undefined;
  private readonly unknownScore: number;
  private readonly trie: Trie;

  constructor(raw: unknown) {
    const read = unigram.parse(raw);
    this.bytes = read.byte_fallback === true;
    this.unknown = read.unk_id ?? undefined;
    if (this.unknown !== undefined && this.unknown >= read.vocab.length)
      throw invalidFile(`the unknown token's id ${this.unknown} is outside the vocabulary`);
    this.vocabulary = new Map(read.vocab.map(([token], id) => [token, id]));
    this.scores = Float64Array.from(read.vocab, ([, score]) => score);
    if (this.scores.some((score) => !Number.isFinite(score))) throw invalidFile('a score is no number');
    this.unknownScore = this.scores.reduce((least, score) => Math.min(least, score), 0) - UNKNOWN_PENALTY;
    this.trie = new Trie([...this.vocabulary].filter(([token]) => token !== ''));
  }

  encode(piece: string): number[] {
    const size = piece.length;
    const score = new Float64Array(size + 1).fill(Number.NEGATIVE_INFINITY);
    const from = new Int32Array(size + 1).fill(-1);
    /** −1 for a character that is in no token. */
    const token = new Int32Array(size + 1);
    score[0] = 0;
    let step = 1;
    for (let at = 0; at < size; at += step) {
      step = (piece.codePointAt(at) as number) > 0xffff ? 2 : 1;
      const till = score[at] as number;
      let single = false;
      const offer = (end: number, id: number, own: number): void => {
        if (from[end] !== -1 && own + till <= (score[end] as number)) return;
        score[end] = own + till;
        from[end] = at;
        token[end] = id;
      };
      this.trie.prefixes(piece, at, (end, id) => {
        offer(end, id, this.scores[id] as number);
        single ||= end === at + step;
      });
      if (!single) offer(at + step, -1, this.unknownScore);
    }
    // Neighbouring unknown characters are one token.
    const cuts: { start: number; end: number; unknown: boolean }[] = [];
    for (let end = size; end > 0; end = from[end] as number) {
      const start = from[end] as number;
      const unknown = token[end] === -1 || token[end] === this.unknown;
      const last = cuts.at(-1);
      if (unknown && last?.unknown === true) last.start = start;
      else cuts.push({ start, end, unknown });
    }
    return cuts.reverse().flatMap(({ start, end }) => this.idsOf(piece.slice(start, end)));
  }

  private idsOf(text: string): number[] {
    const id = this.vocabulary.get(text);
    if (id !== undefined) return [id];
    const bytes = this.bytes ? byteIds(this.vocabulary, text) : undefined;
    if (bytes !== undefined) return bytes;
    if (this.unknown === undefined) throw invalidFile('it has no token for what it does not know');
    return [this.unknown];
  }
}

/** @throws InkstoneError `tokenizer_unsupported`, `tokenizer_invalid`; ZodError */
export function modelOf(raw: unknown): PieceModel {
  const read = z.looseObject({ type: z.string().optional(), vocab: z.unknown() }).parse(raw);
  const type = read.type ?? (Array.isArray(read.vocab) ? 'Unigram' : 'BPE');
  switch (type) {
    case 'BPE':
      return new PairModel(raw);
    case 'WordPiece':
      return new WordModel(raw, 'wordpiece');
    case 'WordLevel':
      return new WordModel(raw, 'words');
    case 'Unigram':
      return new UnigramModel(raw);
    default:
      throw unsupportedPart(`a tokenizer of the type ${type}`);
  }
}
