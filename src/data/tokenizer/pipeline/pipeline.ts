/**
 * A tokenizer put together as its tokenizer.json says: added tokens, normaliser, pre-tokenizer, model, decoder; the same
 * ids and the same text as Hugging Face's tokenizers. Knows the order of the parts, nothing of what each does.
 */
import { z } from 'zod';
import { InkstoneError } from '../../../base/errors.ts';
import { ownCopy } from '../byte-alphabet.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { AddedTokens, addedToken, checkAdded } from './added-tokens.ts';
import { byteOf, decoderOf, spelledBytes, type TokenDecoder } from './decoders.ts';
import { invalidFile } from './errors.ts';
import { modelOf, type PieceModel } from './models.ts';
import { type Normaliser, normaliserOf } from './normalisers.ts';
import { frameOf } from './post-processor.ts';
import { type PreTokenizer, preTokenizerOf } from './pre-tokenizers.ts';

const CACHE_LIMIT = 1 << 16;
const LONGEST_CACHED = 64;

/** What ends a text, by the names that makers gave it; the first that a vocabulary has counts. */
const ENDS = [
  '<|endoftext|>',
  '</s>',
  '<|end_of_text|>',
  '<|eot_id|>',
  '<|im_end|>',
  '<eos>',
  '<|endofsentence|>',
  '<｜end▁of▁sentence｜>',
];

const file = z.object({
  added_tokens: z.array(addedToken).default([]),
  normalizer: z.unknown().optional(),
  pre_tokenizer: z.unknown().optional(),
  post_processor: z.unknown().optional(),
  decoder: z.unknown().optional(),
  model: z.unknown(),
});

export class PipelineTokenizer implements Tokenizer {
  readonly kind: PieceModel['kind'];
  readonly vocabularySize: number;
  readonly endOfText: number | undefined;
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  private readonly raw: unknown;
  private readonly model: PieceModel;
  private readonly normalise: Normaliser;
  private readonly cut: PreTokenizer;
  private readonly decodeTokens: TokenDecoder;
  private readonly exact: AddedTokens;
  private readonly normalised: AddedTokens;
  private readonly tokens: (string | undefined)[] = [];
  private readonly special = new Set<number>();
  private readonly spell: (token: string) => Uint8Array;
  private cache = new Map<string, readonly number[]>();

  /** @throws InkstoneError `tokenizer_invalid`, `tokenizer_unsupported`; ZodError */
  constructor(raw: unknown) {
    this.raw = raw;
    const read = file.parse(raw);
    this.model = modelOf(read.model);
    this.kind = this.model.kind;
    this.normalise = normaliserOf(read.normalizer);
    this.cut = preTokenizerOf(read.pre_tokenizer);
    this.decodeTokens = decoderOf(read.decoder);
    const added = checkAdded(read.added_tokens, this.model.vocabulary);
    this.exact = new AddedTokens(added.filter(({ normalized }) => !normalized));
    this.normalised = new AddedTokens(
      added.filter(({ normalized }) => normalized),
      this.normalise,
    );
    for (const [token, id] of this.model.vocabulary) this.enter(token, id);
    for (const { content, id, special } of added) {
      this.enter(content, id);
      if (special) this.special.add(id);
    }
    const named = new Map([
      ...this.model.vocabulary,
      ...added.map(({ content, id }) => [content, id] as const),
    ]);
    this.vocabularySize = this.tokens.length;
    // A few numbers may be free, as some makers left them; a file with mostly holes lies about its ids.
    if (this.vocabularySize > 2 * named.size + 1024)
      throw invalidFile(`its ${named.size} tokens have ids up to ${this.vocabularySize - 1}`);
    this.endOfText = ENDS.map((name) => named.get(name)).find((id) => id !== undefined);
    if (this.endOfText !== undefined) this.special.add(this.endOfText);
    const frame = frameOf(read.post_processor, named);
    this.prefix = frame.prefix;
    this.suffix = frame.suffix;
    this.spell = spellingOf(read.decoder);
  }

  private enter(token: string, id: number): void {
    const before = this.tokens[id];
    if (before !== undefined && before !== token)
      throw invalidFile(`the id ${id} belongs to ${JSON.stringify(before)} and to ${JSON.stringify(token)}`);
    this.tokens[id] = token;
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    for (const { start, end, token } of this.exact.split(text)) {
      if (token !== undefined) {
        ids.push(token.id);
        continue;
      }
      const piece = text.slice(start, end);
      const normal = this.normalise(piece);
      // What is left of a piece whose first character was dropped no longer stands at the beginning.
      const front = String.fromCodePoint(piece.codePointAt(0) as number);
      const first = start === 0 && this.normalise(front) !== '';
      for (const part of this.normalised.split(normal)) {
        if (part.token !== undefined) ids.push(part.token.id);
        else this.encodePiece(normal.slice(part.start, part.end), first && part.start === 0, ids);
      }
    }
    return ids;
  }

  private encodePiece(text: string, first: boolean, ids: number[]): void {
    for (const piece of this.cut(text, first)) {
      if (piece === '') continue;
      let made = this.cache.get(piece);
      if (made === undefined) {
        made = this.model.encode(piece);
        if (this.cache.size >= CACHE_LIMIT) this.cache = new Map();
        if (piece.length <= LONGEST_CACHED) this.cache.set(ownCopy(piece), made);
      }
      for (const id of made) ids.push(id);
    }
  }

  /** Special tokens are left out, as Hugging Face's `skip_special_tokens` has it. */
  decode(ids: Iterable<number>): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = this.tokens[id];
      if (token !== undefined && !this.special.has(id)) tokens.push(token);
    }
    return this.decodeTokens(tokens).join('');
  }

  /** What a token adds to a text that has begun; a decoder that knows the first token drops its space there. */
  bytes(id: number): Uint8Array {
    const token = this.tokens[id];
    if (token === undefined || this.special.has(id)) return new Uint8Array(0);
    const byte = this.model.bytes ? byteOf(token) : undefined;
    return byte === undefined ? this.spell(token) : Uint8Array.of(byte);
  }

  /** The id of an added token or any other by its name. @throws InkstoneError `tokenizer_invalid` */
  idOf(token: string): number {
    const id = this.tokens.indexOf(token);
    if (id >= 0) return id;
    throw new InkstoneError('tokenizer_invalid', `the vocabulary has no ${token}`, { kind: 'data' });
  }

  toJson(): string {
    return JSON.stringify(this.raw, null, 1);
  }
}

/** Types of all decoders in a file, those in sequences too, with what says how they spell. */
function decodersIn(raw: unknown): Record<string, unknown>[] {
  if (typeof raw !== 'object' || raw === null) return [];
  const own = raw as Record<string, unknown>;
  return own.type === 'Sequence' && Array.isArray(own.decoders) ? own.decoders.flatMap(decodersIn) : [own];
}

/** Bytes of one token, whatever stands before and after it. */
function spellingOf(raw: unknown): (token: string) => Uint8Array {
  const encoder = new TextEncoder();
  const all = decodersIn(raw);
  const has = (type: string): Record<string, unknown> | undefined => all.find((one) => one.type === type);
  if (has('ByteLevel') !== undefined) return spelledBytes;
  const piece = has('WordPiece');
  if (piece !== undefined) {
    const prefix = typeof piece.prefix === 'string' ? piece.prefix : '##';
    return (token) => encoder.encode(token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`);
  }
  const pair = has('BPEDecoder');
  if (pair !== undefined) {
    const suffix = typeof pair.suffix === 'string' ? pair.suffix : '</w>';
    return (token) => encoder.encode(token.replaceAll(suffix, ' '));
  }
  const space = has('Metaspace');
  const mark = typeof space?.replacement === 'string' ? space.replacement : '\u2581';
  return (token) => encoder.encode(token.replaceAll(mark, ' '));
}
