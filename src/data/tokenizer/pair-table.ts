/**
 * The pairs of neighbours in a list of words: how often each stands there, and where. Every place begins one pair at most,
 * so the places of a pair are a list threaded through one array, and a place leaves it without being looked for.
 * Knows ids and places, no text.
 */

const NONE = -1;

const grown = <A extends Int32Array | Float64Array>(array: A, size: number): A => {
  const larger = new (array.constructor as new (size: number) => A)(Math.max(1024, 2 * array.length, size));
  larger.set(array as never);
  return larger;
};

export class PairTable {
  left = new Int32Array(0);
  right = new Int32Array(0);
  /** Weighted by how often the words come. */
  count = new Float64Array(0);
  size = 0;
  /** The pair that begins at a place, or −1. */
  readonly pairAt: Int32Array;
  private first = new Int32Array(0);
  private last = new Int32Array(0);
  /** Neighbours within the list of a pair's places. */
  private readonly following: Int32Array;
  private readonly preceding: Int32Array;
  private found = new Int32Array(0);
  /** Largest count first; ties go to the smaller ids, so that the result depends on the counts alone. */
  private heapPair = new Int32Array(0);
  private heapCount = new Float64Array(0);
  private heapSize = 0;

  constructor(places: number) {
    this.pairAt = new Int32Array(places).fill(NONE);
    this.following = new Int32Array(places);
    this.preceding = new Int32Array(places);
  }

  make(left: number, right: number): number {
    const pair = this.size++;
    if (pair === this.left.length) {
      this.left = grown(this.left, pair + 1);
      this.right = grown(this.right, pair + 1);
      this.count = grown(this.count, pair + 1);
      this.first = grown(this.first, pair + 1);
      this.last = grown(this.last, pair + 1);
    }
    this.left[pair] = left;
    this.right[pair] = right;
    this.first[pair] = NONE;
    this.last[pair] = NONE;
    return pair;
  }

  /** A place that begins no pair begins this one. */
  add(pair: number, place: number, count: number): void {
    const before = this.last[pair] as number;
    this.pairAt[place] = pair;
    this.preceding[place] = before;
    this.following[place] = NONE;
    if (before === NONE) this.first[pair] = place;
    else this.following[before] = place;
    this.last[pair] = place;
    this.count[pair] = (this.count[pair] as number) + count;
  }

  remove(place: number, count: number): void {
    const pair = this.pairAt[place] as number;
    if (pair === NONE) return;
    const [before, after] = [this.preceding[place] as number, this.following[place] as number];
    if (before === NONE) this.first[pair] = after;
    else this.following[before] = after;
    if (after === NONE) this.last[pair] = before;
    else this.preceding[after] = before;
    this.pairAt[place] = NONE;
    this.count[pair] = (this.count[pair] as number) - count;
  }

  /** Its places in order; good until the next call. */
  placesOf(pair: number): Int32Array {
    let size = 0;
    let ordered = true;
    for (let place = this.first[pair] as number; place !== NONE; place = this.following[place] as number) {
      if (size === this.found.length) this.found = grown(this.found, size + 1);
      if (size > 0 && (this.found[size - 1] as number) > place) ordered = false;
      this.found[size++] = place;
    }
    const places = this.found.subarray(0, size);
    return ordered ? places : places.sort();
  }

  /** Enters a pair whose count has risen; one that falls later need not be told. */
  offer(pair: number): void {
    const count = this.count[pair] as number;
    // What stands once is never merged.
    if (count < 2) return;
    if (this.heapSize === this.heapPair.length) {
      this.heapPair = grown(this.heapPair, this.heapSize + 1);
      this.heapCount = grown(this.heapCount, this.heapSize + 1);
    }
    let at = this.heapSize++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(count, pair, parent)) break;
      this.move(parent, at);
      at = parent;
    }
    this.heapPair[at] = pair;
    this.heapCount[at] = count;
  }

  /** The most frequent pair of those offered that stands at least twice. */
  best(): number | undefined {
    while (this.heapSize > 0) {
      const pair = this.heapPair[0] as number;
      const fresh = this.heapCount[0] === this.count[pair];
      this.pop();
      if (fresh) return pair;
      this.offer(pair);
    }
    return undefined;
  }

  private before(count: number, pair: number, at: number): boolean {
    const other = this.heapPair[at] as number;
    const than = this.heapCount[at] as number;
    if (count !== than) return count > than;
    const [left, theirs] = [this.left[pair] as number, this.left[other] as number];
    return left < theirs || (left === theirs && (this.right[pair] as number) < (this.right[other] as number));
  }

  private move(from: number, to: number): void {
    this.heapPair[to] = this.heapPair[from] as number;
    this.heapCount[to] = this.heapCount[from] as number;
  }

  private pop(): void {
    const end = --this.heapSize;
    if (end === 0) return;
    const [pair, count] = [this.heapPair[end] as number, this.heapCount[end] as number];
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= end) break;
      if (
        child + 1 < end &&
        this.before(this.heapCount[child + 1] as number, this.heapPair[child + 1] as number, child)
      )
        child++;
      if (this.before(count, pair, child)) break;
      this.move(child, at);
      at = child;
    }
    this.heapPair[at] = pair;
    this.heapCount[at] = count;
  }
}
