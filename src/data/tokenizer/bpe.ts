/**
 * Byte-level byte-pair encoding (Sennrich et al. 2016; bytes as in GPT-2): text → words → bytes → merges in
 * the order they were learned.
 */
import { byteOrder, byteToCharacter, ownCopy, WORDS } from './byte-alphabet.ts';
import { decodeAll, type Tokenizer } from './tokenizer.ts';

/** A pair of token ids as one number. */
export const pairKey = (left: number, right: number): number => left * 2 ** 26 + right;

/** Words longer than this are merged with a heap instead of by looking again at all pairs. */
const SHORT = 48;
const CACHE_LIMIT = 1 << 17;

export const END_OF_TEXT = '<|endoftext|>';

export interface BpeParts {
  /** Bytes of each token, by id. */
  tokens: readonly Uint8Array[];
  /** [left id, right id, merged id], in the order they were learned. */
  merges: readonly (readonly [number, number, number])[];
  endOfText: number | undefined;
}

export class BpeTokenizer implements Tokenizer {
  readonly kind = 'bpe';
  readonly vocabularySize: number;
  readonly endOfText: number | undefined;
  readonly parts: BpeParts;
  private readonly byteIds = new Int32Array(256);
  /** pair → rank and pair → merged id. */
  private readonly ranks = new Map<number, number>();
  private readonly merged: Int32Array;
  private cache = new Map<string, readonly number[]>();
  private readonly encoder = new TextEncoder();

  constructor(parts: BpeParts) {
    this.parts = parts;
    this.endOfText = parts.endOfText;
    this.vocabularySize = parts.tokens.length;
    parts.tokens.forEach((bytes, id) => {
      if (bytes.length === 1) this.byteIds[bytes[0] as number] = id;
    });
    this.merged = Int32Array.from(parts.merges, (m) => m[2]);
    parts.merges.forEach(([left, right], rank) => {
      this.ranks.set(pairKey(left, right), rank);
    });
  }

  encode(text: string): number[] {
    const result: number[] = [];
    for (const match of text.matchAll(WORDS)) {
      const word = match[0];
      let ids = this.cache.get(word);
      if (ids === undefined) {
        ids = this.mergeWord(word);
        if (this.cache.size >= CACHE_LIMIT) this.cache = new Map();
        if (word.length <= SHORT) this.cache.set(ownCopy(word), ids);
      }
      for (const id of ids) result.push(id);
    }
    return result;
  }

  private mergeWord(word: string): number[] {
    const ids = Array.from(this.encoder.encode(word), (byte) => this.byteIds[byte] as number);
    return ids.length <= SHORT ? this.mergeShort(ids) : this.mergeLong(ids);
  }

  private mergeShort(ids: number[]): number[] {
    for (;;) {
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i + 1 < ids.length; i++) {
        const rank = this.ranks.get(pairKey(ids[i] as number, ids[i + 1] as number));
        if (rank !== undefined && rank < best) best = rank;
      }
      if (best === Number.POSITIVE_INFINITY) return ids;
      const [left, right, merged] = this.parts.merges[best] as readonly [number, number, number];
      let to = 0;
      for (let i = 0; i < ids.length; i++) {
        const hit = ids[i] === left && ids[i + 1] === right;
        ids[to++] = hit ? merged : (ids[i] as number);
        if (hit) i++;
      }
      ids.length = to;
    }
  }

  /** The same result in n·log n: a linked list, and a heap of pairs by (rank, place). */
  private mergeLong(ids: number[]): number[] {
    const next = Int32Array.from(ids, (_, i) => (i + 1 < ids.length ? i + 1 : -1));
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const heap = new PairHeap();
    const offer = (place: number): void => {
      const after = next[place] as number;
      if (after < 0) return;
      const rank = this.ranks.get(pairKey(ids[place] as number, ids[after] as number));
      if (rank !== undefined) heap.push(rank, place);
    };
    for (let i = 0; i + 1 < ids.length; i++) offer(i);
    for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
      const { rank, place } = top;
      const after = next[place] as number;
      if (
        ids[place] === -1 ||
        after < 0 ||
        this.ranks.get(pairKey(ids[place] as number, ids[after] as number)) !== rank
      )
        continue;
      ids[place] = this.merged[rank] as number;
      ids[after] = -1;
      next[place] = next[after] as number;
      if ((next[place] as number) >= 0) previous[next[place] as number] = place;
      offer(place);
      if ((previous[place] as number) >= 0) offer(previous[place] as number);
    }
    return ids.filter((id) => id !== -1);
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

/** A binary heap of places, the lowest rank first, then the leftmost place. */
class PairHeap {
  private readonly items: { rank: number; place: number }[] = [];

  push(rank: number, place: number): void {
    const { items } = this;
    items.push({ rank, place });
    let at = items.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(at, parent)) return;
      this.swap(at, parent);
      at = parent;
    }
  }

  pop(): { rank: number; place: number } | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (top === undefined || last === undefined || items.length === 0) return top;
    items[0] = last;
    for (let at = 0; ; ) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.before(child + 1, child)) child++;
      if (!this.before(child, at)) break;
      this.swap(at, child);
      at = child;
    }
    return top;
  }

  private before(a: number, b: number): boolean {
    const [x, y] = [this.items[a], this.items[b]] as [
      { rank: number; place: number },
      { rank: number; place: number },
    ];
    return x.rank < y.rank || (x.rank === y.rank && x.place < y.place);
  }

  private swap(a: number, b: number): void {
    [this.items[a], this.items[b]] = [this.items[b] as never, this.items[a] as never];
  }
}

/** The 256 single-byte tokens in vocabulary order. */
export function byteTokens(): Uint8Array[] {
  return byteOrder.map((byte) => Uint8Array.of(byte));
}
