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
 * Merges the most frequent pair again and again. All words stand in one flat list with links to the neighbours; a pair
 * knows its places, so a merge touches only these.
 * @param sequences the words, as ids @param counts how often each word comes
 * @param vocabulary says whether there is room for `more`, and takes a pair up as a new id
 */
export function learnMerges(
  sequences: readonly (readonly number[])[],
  counts: readonly number[],
  vocabulary: { more(): boolean; add(left: number, right: number): number },
): [left: number, right: number, merged: number][] {
  const text = new LinkedWords(sequences, counts);
  const pairs = new PairTable();
  text.eachPair((left, right, place) => pairs.add(left, right, text.countAt(place), place));
  const merges: [number, number, number][] = [];
  while (vocabulary.more()) {
    const best = pairs.takeBest();
    if (best === undefined) break;
    const { left, right } = best;
    const id = vocabulary.add(left, right);
    merges.push([left, right, id]);
    for (const place of best.places.sorted()) {
      const after = text.next[place] as number;
      if (text.ids[place] !== left || after < 0 || text.ids[after] !== right) continue;
      const before = text.previous[place] as number;
      const beyond = text.next[after] as number;
      const count = text.countAt(place);
      const old = before < 0 ? -1 : (text.ids[before] as number);
      const following = beyond < 0 ? -1 : (text.ids[beyond] as number);
      // The pair itself has been taken out of the table; overlapping places of it go without a trace.
      if (before >= 0 && !(old === left && left === right)) pairs.lessen(old, left, count);
      if (beyond >= 0 && !(following === right && left === right)) pairs.lessen(right, following, count);
      text.merge(place, after, id);
      if (before >= 0) pairs.add(old, id, count, before);
      if (beyond >= 0) pairs.add(id, following, count, place);
    }
    pairs.flush();
  }
  return merges;
}

class LinkedWords {
  readonly ids: Int32Array;
  readonly next: Int32Array;
  readonly previous: Int32Array;
  private readonly word: Int32Array;
  private readonly counts: readonly number[];

  constructor(sequences: readonly (readonly number[])[], counts: readonly number[]) {
    const size = sequences.reduce((total, { length }) => total + length, 0);
    this.ids = new Int32Array(size);
    this.next = new Int32Array(size).fill(-1);
    this.previous = new Int32Array(size).fill(-1);
    this.word = new Int32Array(size);
    this.counts = counts;
    let at = 0;
    for (const [word, ids] of sequences.entries()) {
      for (const [i, id] of ids.entries()) {
        this.ids[at] = id;
        this.word[at] = word;
        if (i > 0) {
          this.previous[at] = at - 1;
          this.next[at - 1] = at;
        }
        at++;
      }
    }
  }

  countAt(place: number): number {
    return this.counts[this.word[place] as number] as number;
  }

  eachPair(visit: (left: number, right: number, place: number) => void): void {
    for (let place = 0; place < this.ids.length; place++)
      if ((this.next[place] as number) >= 0)
        visit(this.ids[place] as number, this.ids[place + 1] as number, place);
  }

  /** `place` becomes the merged token, `after` goes. */
  merge(place: number, after: number, id: number): void {
    const beyond = this.next[after] as number;
    this.ids[place] = id;
    this.ids[after] = -1;
    this.next[place] = beyond;
    if (beyond >= 0) this.previous[beyond] = place;
  }
}

/** Whole numbers that come mostly in order. */
class Places {
  private readonly all: number[] = [];
  private ordered = true;

  push(place: number): void {
    const { all } = this;
    if (all.length > 0 && (all[all.length - 1] as number) > place) this.ordered = false;
    all.push(place);
  }

  sorted(): readonly number[] {
    return this.ordered ? this.all : this.all.sort((a, b) => a - b);
  }
}

interface Pair {
  left: number;
  right: number;
  count: number;
  /** Places of its left side, now or once. */
  places: Places;
  touched: boolean;
}

/** Pairs by count; ties go to the smaller ids, so that the result depends on the counts alone. */
class PairTable {
  private readonly pairs = new Map<number, Pair>();
  /** Entries may be stale: an entry counts only while its pair still has that count. */
  private readonly heap: { count: number; pair: Pair }[] = [];
  private touched: Pair[] = [];
  private started = false;

  add(left: number, right: number, count: number, place: number): void {
    const key = pairKey(left, right);
    let pair = this.pairs.get(key);
    if (pair === undefined) {
      pair = { left, right, count: 0, places: new Places(), touched: false };
      this.pairs.set(key, pair);
    }
    pair.count += count;
    pair.places.push(place);
    this.touch(pair);
  }

  lessen(left: number, right: number, count: number): void {
    const pair = this.pairs.get(pairKey(left, right));
    if (pair === undefined) return;
    pair.count -= count;
    this.touch(pair);
  }

  private touch(pair: Pair): void {
    if (pair.touched) return;
    pair.touched = true;
    this.touched.push(pair);
  }

  /** Enters what changed. */
  flush(): void {
    for (const pair of this.touched) {
      pair.touched = false;
      if (pair.count > 0) this.push({ count: pair.count, pair });
      // Most pairs come once or twice and go: their places would fill the memory.
      else this.pairs.delete(pairKey(pair.left, pair.right));
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
