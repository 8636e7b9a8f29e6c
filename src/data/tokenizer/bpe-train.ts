/**
 * Learns byte-level merges: words are counted once, then the most frequent pair is merged again and again
 * while only the words that hold it are touched (Sennrich et al. 2016, alg. 1, with incremental counts).
 */
import { InkstoneError } from '../../base/errors.ts';
import { BpeTokenizer, byteTokens } from './bpe.ts';
import { pairKey } from './bpe-merge.ts';
import { ownCopy, WORDS } from './byte-alphabet.ts';

/** Counts words as text arrives. */
export class WordCounter {
  readonly counts = new Map<string, number>();

  add(text: string): void {
    for (const match of text.matchAll(WORDS)) {
      const word = match[0];
      const count = this.counts.get(word);
      this.counts.set(count === undefined ? ownCopy(word) : word, (count ?? 0) + 1);
    }
  }
}

/** @param size tokens in all: 256 bytes, merges, and the end of text @throws InkstoneError `vocabulary_small` */
export function trainBpe(words: ReadonlyMap<string, number>, size: number): BpeTokenizer {
  if (!Number.isInteger(size) || size < 257) {
    throw new InkstoneError(
      'vocabulary_small',
      `a byte-level vocabulary has at least 257 tokens, not ${size}`,
      { kind: 'usage' },
    );
  }
  const tokens = byteTokens();
  const byteId = new Int32Array(256);
  tokens.forEach((bytes, id) => {
    byteId[bytes[0] as number] = id;
  });
  const encoder = new TextEncoder();
  const sequences: number[][] = [];
  const counts: number[] = [];
  for (const [word, count] of words) {
    sequences.push(Array.from(encoder.encode(word), (byte) => byteId[byte] as number));
    counts.push(count);
  }
  const merges = learnMerges(sequences, counts, {
    more: () => tokens.length < size - 1,
    add: (left, right) => {
      tokens.push(Uint8Array.from([...(tokens[left] as Uint8Array), ...(tokens[right] as Uint8Array)]));
      return tokens.length - 1;
    },
  });
  const endOfText = tokens.length;
  tokens.push(new TextEncoder().encode('<|endoftext|>'));
  return new BpeTokenizer({ tokens, merges, endOfText });
}

/**
 * Merges the most frequent pair again and again, in place.
 * @param sequences the words, as ids @param counts how often each word comes
 * @param vocabulary says whether there is room for `more`, and takes a pair up as a new id
 */
export function learnMerges(
  sequences: readonly number[][],
  counts: readonly number[],
  vocabulary: { more(): boolean; add(left: number, right: number): number },
): [left: number, right: number, merged: number][] {
  const pairs = new PairTable();
  sequences.forEach((ids, word) => {
    for (let i = 0; i + 1 < ids.length; i++)
      pairs.change(ids[i] as number, ids[i + 1] as number, counts[word] as number, word);
  });
  const merges: [number, number, number][] = [];
  while (vocabulary.more()) {
    const best = pairs.takeBest();
    if (best === undefined) break;
    const { left, right, holders } = best;
    const id = vocabulary.add(left, right);
    merges.push([left, right, id]);
    for (const word of holders)
      mergeIn(sequences[word] as number[], left, right, id, (a, b, sign) =>
        pairs.change(a, b, sign * (counts[word] as number), word),
      );
    pairs.flush();
  }
  return merges;
}

/** Merges a pair in one word and reports the neighbours that come and go. */
function mergeIn(
  ids: number[],
  left: number,
  right: number,
  id: number,
  change: (a: number, b: number, sign: 1 | -1) => void,
): void {
  let hit = false;
  for (let i = 0; i + 1 < ids.length && !hit; i++) hit = ids[i] === left && ids[i + 1] === right;
  if (!hit) return;
  for (let i = 0; i + 1 < ids.length; i++) change(ids[i] as number, ids[i + 1] as number, -1);
  let to = 0;
  for (let i = 0; i < ids.length; i++) {
    const pair = ids[i] === left && ids[i + 1] === right;
    ids[to++] = pair ? id : (ids[i] as number);
    if (pair) i++;
  }
  ids.length = to;
  for (let i = 0; i + 1 < ids.length; i++) change(ids[i] as number, ids[i + 1] as number, 1);
}

interface Pair {
  left: number;
  right: number;
  count: number;
  /** Words that have held the pair (some may no longer). */
  holders: Set<number>;
  touched: boolean;
}

/** Pairs by count; ties go to the smaller ids, so that the result depends on the counts alone. */
class PairTable {
  private readonly pairs = new Map<number, Pair>();
  /** Entries may be stale: an entry counts only while its pair still has that count. */
  private readonly heap: { count: number; pair: Pair }[] = [];
  private touched: Pair[] = [];
  private started = false;

  change(left: number, right: number, by: number, word: number): void {
    const key = pairKey(left, right);
    let pair = this.pairs.get(key);
    if (pair === undefined) {
      pair = { left, right, count: 0, holders: new Set(), touched: false };
      this.pairs.set(key, pair);
    }
    pair.count += by;
    if (by > 0) pair.holders.add(word);
    if (!pair.touched) {
      pair.touched = true;
      this.touched.push(pair);
    }
  }

  /** Enters what changed. */
  flush(): void {
    for (const pair of this.touched) {
      pair.touched = false;
      if (pair.count > 0) this.push({ count: pair.count, pair });
    }
    this.touched = [];
  }

  /** The most frequent pair that stands at least twice; it is taken out. */
  takeBest(): Pair | undefined {
    if (!this.started) this.flush();
    this.started = true;
    for (let top = this.pop(); top !== undefined; top = this.pop()) {
      const { count, pair } = top;
      if (pair.count !== count) continue;
      if (count < 2) return undefined;
      this.pairs.delete(pairKey(pair.left, pair.right));
      pair.count = 0;
      return pair;
    }
    return undefined;
  }

  private before(a: { count: number; pair: Pair }, b: { count: number; pair: Pair }): boolean {
    if (a.count !== b.count) return a.count > b.count;
    return a.pair.left < b.pair.left || (a.pair.left === b.pair.left && a.pair.right < b.pair.right);
  }

  private push(entry: { count: number; pair: Pair }): void {
    const { heap } = this;
    heap.push(entry);
    let at = heap.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(entry, heap[parent] as typeof entry)) break;
      heap[at] = heap[parent] as typeof entry;
      at = parent;
    }
    heap[at] = entry;
  }

  private pop(): { count: number; pair: Pair } | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.before(heap[child + 1] as typeof last, heap[child] as typeof last))
        child++;
      if (!this.before(heap[child] as typeof last, last)) break;
      heap[at] = heap[child] as typeof last;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}
