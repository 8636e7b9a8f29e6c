/**
 * Byte-level byte-pair encoding (Sennrich et al. 2016; bytes as in GPT-2): text → words → bytes → merges in
 * the order they were learned.
 */
import { type Merge, Merger, SHORT_WORD } from './bpe-merge.ts';
import { byteOrder, byteToCharacter, ownCopy, WORDS } from './byte-alphabet.ts';
import { decodeAll, type Tokenizer } from './tokenizer.ts';

const CACHE_LIMIT = 1 << 17;

export const END_OF_TEXT = '<|endoftext|>';

export interface BpeParts {
  /** Bytes of each token, by id. */
  tokens: readonly Uint8Array[];
  /** [left id, right id, merged id], in the order they were learned. */
  merges: readonly Merge[];
  endOfText: number | undefined;
}

export class BpeTokenizer implements Tokenizer {
  readonly kind = 'bpe';
  readonly vocabularySize: number;
  readonly endOfText: number | undefined;
  readonly parts: BpeParts;
  private readonly byteIds = new Int32Array(256);
  private readonly merger: Merger;
  private cache = new Map<string, readonly number[]>();
  private readonly encoder = new TextEncoder();

  constructor(parts: BpeParts) {
    this.parts = parts;
    this.endOfText = parts.endOfText;
    this.vocabularySize = parts.tokens.length;
    parts.tokens.forEach((bytes, id) => {
      if (bytes.length === 1) this.byteIds[bytes[0] as number] = id;
    });
    this.merger = new Merger(parts.merges);
  }

  encode(text: string): number[] {
    const result: number[] = [];
    const parts = this.endOfText === undefined ? [text] : text.split(END_OF_TEXT);
    parts.forEach((part, i) => {
      if (i > 0) result.push(this.endOfText as number);
      this.encodePart(part, result);
    });
    return result;
  }

  private encodePart(text: string, result: number[]): void {
    for (const match of text.matchAll(WORDS)) {
      const word = match[0];
      let ids = this.cache.get(word);
      if (ids === undefined) {
        ids = this.mergeWord(word);
        if (this.cache.size >= CACHE_LIMIT) this.cache = new Map();
        if (word.length <= SHORT_WORD) this.cache.set(ownCopy(word), ids);
      }
      for (const id of ids) result.push(id);
    }
  }

  private mergeWord(word: string): number[] {
    return this.merger.merge(Array.from(this.encoder.encode(word), (byte) => this.byteIds[byte] as number));
  }

  decode(ids: Iterable<number>): string {
    return decodeAll(this, ids);
  }

  bytes(id: number): Uint8Array {
    return id === this.endOfText ? new Uint8Array(0) : (this.parts.tokens[id] ?? new Uint8Array(0));
  }

  toJson(): string {
    const spell = (id: number): string =>
      id === this.endOfText
        ? END_OF_TEXT
        : Array.from(this.parts.tokens[id] as Uint8Array, (byte) => byteToCharacter[byte]).join('');
    const vocab = Object.fromEntries(this.parts.tokens.map((_, id) => [spell(id), id]));
    const merges = this.parts.merges.map(([left, right]) => `${spell(left)} ${spell(right)}`);
    const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
    const added = {
      id: this.endOfText,
      content: END_OF_TEXT,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    };
    return JSON.stringify(
      {
        version: '1.0',
        truncation: null,
        padding: null,
        added_tokens: this.endOfText === undefined ? [] : [added],
        normalizer: null,
        pre_tokenizer: byteLevel,
        post_processor: null,
        decoder: byteLevel,
        model: {
          type: 'BPE',
          dropout: null,
          unk_token: null,
          continuing_subword_prefix: null,
          end_of_word_suffix: null,
          fuse_unk: false,
          byte_fallback: false,
          ignore_merges: false,
          vocab,
          merges,
        },
      },
      null,
      1,
    );
  }
}

/** The 256 single-byte tokens in vocabulary order. */
export function byteTokens(): Uint8Array[] {
  return byteOrder.map((byte) => Uint8Array.of(byte));
}
