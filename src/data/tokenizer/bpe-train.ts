/**
 * Learns byte-level merges: words are counted once, then the most frequent pair is merged again and again
 * while only the words that hold it are touched (Sennrich et al. 2016, alg. 1, with incremental counts).
 */
import { InkstoneError } from '../../base/errors.ts';
import { BpeTokenizer, byteTokens } from './bpe.ts';
import { ownCopy, WORDS } from './byte-alphabet.ts';
import { keepFrequent, MOST_WORDS } from './frequent.ts';
import { PairTable } from './pair-table.ts';

/** Counts words as text arrives; of more than four million the rarest are let go. */
export class WordCounter {
  readonly counts = new Map<string, number>();
  private readonly most: number;

  constructor(most: number = MOST_WORDS) {
    this.most = most;
  }

  add(text: string): void {
    for (const match of text.matchAll(WORDS)) {
      const word = match[0];
      const count = this.counts.get(word);
      this.counts.set(count === undefined ? ownCopy(word) : word, (count ?? 0) + 1);
    }
    keepFrequent(this.counts, this.most);
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

/**
 * The words with a gap before each and one at the end. A token is its first and its last place: the one after it begins
 * where it ends, the one before it is found by its last place. All that is looked at often fits into few bytes.
 */
class Text {
  /** Ids at the first and last place of each token; −1 in the gaps. */
  readonly ids: Int32Array;
  /** The pair that begins at a place, −1 for none. */
  readonly pair: Int32Array;
  readonly pairs = new PairTable();
  readonly highest: number;
  private readonly word: Int32Array;
  private readonly counts: Float64Array;

  constructor({ ids, ends, counts }: WordList) {
    const size = ids.length + ends.length + 1;
    this.ids = new Int32Array(size).fill(-1);
    this.pair = new Int32Array(size).fill(-1);
    this.word = new Int32Array(size);
    this.counts = counts;
    this.highest = ids.reduce((most, id) => Math.max(most, id), 0);
    let from = 0;
    ends.forEach((end, word) => {
      this.ids.set(ids.subarray(from, end), from + word + 1);
      this.word.fill(word, from + word + 1, end + word + 1);
      from = end;
    });
    this.findPairs(this.highest + 1);
  }

  countAt(place: number): number {
    return this.counts[this.word[place] as number] as number;
  }

  private findPairs(alphabet: number): void {
    const { ids, pairs } = this;
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
    for (let place = 1; place + 1 < ids.length; place++) {
      const [left, right] = [ids[place] as number, ids[place + 1] as number];
      if (left >= 0 && right >= 0) this.pair[place] = pairOf(left, right);
    }
    pairs.settle(this.pair, (place) => this.countAt(place));
    for (let pair = 0; pair < pairs.size; pair++) pairs.offer(pair);
  }
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
 * Merges the most frequent pair again and again. All words stand in one flat list; a pair knows its places, so a merge
 * touches only these.
 * @param vocabulary says whether there is room for `more`, and takes a pair up as a new id, or one that it has
 */
export function learnMerges(
  words: WordList,
  vocabulary: { more(): boolean; add(left: number, right: number): number },
): [left: number, right: number, merged: number][] {
  const text = new Text(words);
  const { ids, pair, pairs } = text;
  let { highest } = text;
  /** Places that a token takes. */
  const lengths = new Array<number>(highest + 1).fill(1);
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
    const [reach, length] = [lengths[left] as number, (lengths[left] as number) + (lengths[right] as number)];
    lengths[id] = length;
    for (const place of pairs.placesOf(best)) {
      // Of places that overlap the first ones are merged: the others begin another pair by then.
      if (pair[place] !== best) continue;
      const count = text.countAt(place);
      const [after, beyond] = [place + reach, place + length];
      const [old, following] = [ids[place - 1] as number, ids[beyond] as number];
      pairs.lessen(best, count);
      ids[place] = id;
      ids[beyond - 1] = id;
      pair[place] = -1;
      if (old >= 0) {
        const before = place - (lengths[old] as number);
        pairs.lessen(pair[before] as number, count);
        const made = fresh.of(old, id);
        pair[before] = made;
        pairs.add(made, before, count);
      }
      if (following >= 0) {
        pairs.lessen(pair[after] as number, count);
        const made = fresh.of(id, following);
        pair[place] = made;
        pairs.add(made, place, count);
      }
      pair[after] = -1;
    }
    fresh.end();
  }
  return merges;
}
