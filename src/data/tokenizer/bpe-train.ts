/**
 * Learns byte-level merges: words are counted once, then the most frequent pair is merged again and again
 * while only the words that hold it are touched (Sennrich et al. 2016, alg. 1, with incremental counts).
 */
import { InkstoneError } from '../../base/errors.ts';
import { BpeTokenizer, byteTokens } from './bpe.ts';
import { ownCopy, WORDS } from './byte-alphabet.ts';
import { PairTable } from './pair-table.ts';

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
  const merges = learnMerges(byteWords(words, byteId), {
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

/** Words one after another, as ids. */
export interface WordList {
  ids: Int32Array;
  /** Where each word ends. */
  ends: Int32Array;
  /** How often each comes. */
  counts: Float64Array;
}

export function wordList(sequences: readonly (readonly number[])[], counts: readonly number[]): WordList {
  let end = 0;
  const ends = Int32Array.from(sequences, ({ length }) => {
    end += length;
    return end;
  });
  const ids = new Int32Array(end);
  sequences.forEach((sequence, i) => {
    ids.set(sequence, (ends[i] as number) - sequence.length);
  });
  return { ids, ends, counts: Float64Array.from(counts) };
}

function byteWords(words: ReadonlyMap<string, number>, byteId: Int32Array): WordList {
  let most = 0;
  for (const word of words.keys()) most += 3 * word.length;
  const bytes = new Uint8Array(most);
  const ends = new Int32Array(words.size);
  const counts = new Float64Array(words.size);
  const encoder = new TextEncoder();
  let [at, i] = [0, 0];
  for (const [word, count] of words) {
    at += encoder.encodeInto(word, bytes.subarray(at)).written;
    ends[i] = at;
    counts[i++] = count;
  }
  const ids = new Int32Array(at);
  for (let place = 0; place < at; place++) ids[place] = byteId[bytes[place] as number] as number;
  return { ids, ends, counts };
}

/** Up to this many ids the first pairs are looked up in a square table. */
const SQUARE = 1024;

/** The pairs that stand in the words, entered place by place. */
function firstPairs({ ids, ends, counts }: WordList, alphabet: number): PairTable {
  const pairs = new PairTable(ids.length);
  const square = alphabet <= SQUARE ? new Int32Array(alphabet * alphabet).fill(-1) : undefined;
  const others = new Map<number, number>();
  const pairOf = (left: number, right: number): number => {
    const key = left * alphabet + right;
    const known = square === undefined ? (others.get(key) ?? -1) : (square[key] as number);
    if (known >= 0) return known;
    const made = pairs.make(left, right);
    if (square === undefined) others.set(key, made);
    else square[key] = made;
    return made;
  };
  let place = 0;
  for (let word = 0; word < ends.length; word++) {
    const end = ends[word] as number;
    const count = counts[word] as number;
    for (; place + 1 < end; place++)
      pairs.add(pairOf(ids[place] as number, ids[place + 1] as number), place, count);
    place = end;
  }
  for (let pair = 0; pair < pairs.size; pair++) pairs.offer(pair);
  return pairs;
}

/** Pairs that hold the id that has just been made: each is looked up by its other side. */
class NewPairs {
  private readonly pairs: PairTable;
  private before = new Int32Array(0);
  private after = new Int32Array(0);
  private readonly touched: number[] = [];
  private id = 0;

  constructor(pairs: PairTable) {
    this.pairs = pairs;
  }

  /** @param known whether the id stood in the words before: then its pairs are found first */
  begin(id: number, ids: number, known: boolean): void {
    this.id = id;
    if (this.before.length < ids) {
      this.before = new Int32Array(2 * ids).fill(-1);
      this.after = new Int32Array(2 * ids).fill(-1);
    }
    const { pairs } = this;
    for (let pair = 0; known && pair < pairs.size; pair++)
      if (pairs.left[pair] === id || pairs.right[pair] === id) this.enter(pair);
  }

  private enter(pair: number): void {
    const [left, right] = [this.pairs.left[pair] as number, this.pairs.right[pair] as number];
    if (left === this.id) this.after[right] = pair;
    else this.before[left] = pair;
    this.touched.push(pair);
  }

  of(left: number, right: number): number {
    const known = left === this.id ? (this.after[right] as number) : (this.before[left] as number);
    if (known >= 0) return known;
    const made = this.pairs.make(left, right);
    this.enter(made);
    return made;
  }

  end(): void {
    for (const pair of this.touched) {
      this.pairs.offer(pair);
      this.before[this.pairs.left[pair] as number] = -1;
      this.after[this.pairs.right[pair] as number] = -1;
    }
    this.touched.length = 0;
  }
}

/**
 * Merges the most frequent pair again and again. All words stand in one flat list with links to the neighbours; a pair
 * knows its places, so a merge touches only these.
 * @param words changed on the way
 * @param vocabulary says whether there is room for `more`, and takes a pair up as a new id, or one that it has
 */
export function learnMerges(
  words: WordList,
  vocabulary: { more(): boolean; add(left: number, right: number): number },
): [left: number, right: number, merged: number][] {
  const { ids, ends, counts } = words;
  const next = new Int32Array(ids.length).fill(-1);
  const previous = new Int32Array(ids.length).fill(-1);
  const word = new Int32Array(ids.length);
  let highest = ids.reduce((most, id) => Math.max(most, id), 0);
  for (let w = 0, place = 0; w < ends.length; w++)
    for (const start = place; place < (ends[w] as number); place++) {
      word[place] = w;
      if (place === start) continue;
      previous[place] = place - 1;
      next[place - 1] = place;
    }
  const pairs = firstPairs(words, highest + 1);
  const fresh = new NewPairs(pairs);
  const merges: [number, number, number][] = [];
  while (vocabulary.more()) {
    const best = pairs.best();
    if (best === undefined) break;
    const [left, right] = [pairs.left[best] as number, pairs.right[best] as number];
    const id = vocabulary.add(left, right);
    merges.push([left, right, id]);
    fresh.begin(id, Math.max(highest, id) + 1, id <= highest);
    highest = Math.max(highest, id);
    for (const place of pairs.placesOf(best)) {
      // Of places that overlap the first ones are merged: the others begin another pair by then.
      if (pairs.pairAt[place] !== best) continue;
      const count = counts[word[place] as number] as number;
      const after = next[place] as number;
      const before = previous[place] as number;
      const beyond = next[after] as number;
      pairs.remove(place, count);
      pairs.remove(after, count);
      ids[place] = id;
      next[place] = beyond;
      if (before >= 0) {
        pairs.remove(before, count);
        pairs.add(fresh.of(ids[before] as number, id), before, count);
      }
      if (beyond >= 0) {
        previous[beyond] = place;
        pairs.add(fresh.of(id, ids[beyond] as number), place, count);
      }
    }
    fresh.end();
  }
  return merges;
}
