/**
 * Pairs of ids with how often each stands somewhere, the places where it does, and which is the most frequent. Places are
 * only ever added: where a pair has gone since, the one who asks knows. Knows ids and places, no text.
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
  /** Places that were there at the start, pair by pair, and where those of each pair begin. */
  private early = new Int32Array(0);
  private starts = new Int32Array(1);
  /** A place and where the pair's next one stands, for all that came later; those of one pair are a chain. */
  private chains = new Int32Array(0);
  private chained = 0;
  private first = new Int32Array(0);
  private last = new Int32Array(0);
  private found = new Int32Array(0);
  /** Largest count first; ties go to the smaller ids, so that the result depends on the counts alone. */
  private heapPair = new Int32Array(0);
  private heapCount = new Float64Array(0);
  private heapSize = 0;

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

  /** Enters places in order, once, before any other: the pair at each of them, −1 for none. */
  settle(pairAt: Int32Array, countAt: (place: number) => number): void {
    const starts = new Int32Array(this.size + 2);
    for (const pair of pairAt) if (pair !== NONE) starts[pair + 2] = (starts[pair + 2] as number) + 1;
    for (let i = 2; i < starts.length; i++) starts[i] = (starts[i] as number) + (starts[i - 1] as number);
    this.early = new Int32Array(starts[this.size + 1] as number);
    for (let place = 0; place < pairAt.length; place++) {
      const pair = pairAt[place] as number;
      if (pair === NONE) continue;
      const at = starts[pair + 1] as number;
      this.early[at] = place;
      starts[pair + 1] = at + 1;
      this.count[pair] = (this.count[pair] as number) + countAt(place);
    }
    this.starts = starts.subarray(0, this.size + 1);
  }

  add(pair: number, place: number, count: number): void {
    const at = this.chained;
    this.chained += 2;
    if (this.chained > this.chains.length) this.chains = grown(this.chains, this.chained);
    this.chains[at] = place;
    this.chains[at + 1] = NONE;
    const before = this.last[pair] as number;
    if (before === NONE) this.first[pair] = at;
    else this.chains[before + 1] = at;
    this.last[pair] = at;
    this.count[pair] = (this.count[pair] as number) + count;
  }

  /** It is gone from one place. */
  lessen(pair: number, count: number): void {
    this.count[pair] = (this.count[pair] as number) - count;
  }

  /** Where it stands or stood, in order; good until the next call. */
  placesOf(pair: number): Int32Array {
    const { starts } = this;
    const early =
      pair + 1 < starts.length
        ? this.early.subarray(starts[pair] as number, starts[pair + 1] as number)
        : undefined;
    let at = this.first[pair] as number;
    if (at === NONE) return early ?? new Int32Array(0);
    const size = early?.length ?? 0;
    let end = size;
    let ordered = true;
    if (this.found.length < end) this.found = grown(this.found, end);
    if (early !== undefined) this.found.set(early);
    for (; at !== NONE; at = this.chains[at + 1] as number) {
      const place = this.chains[at] as number;
      if (end === this.found.length) this.found = grown(this.found, end + 1);
      if (end > 0 && (this.found[end - 1] as number) > place) ordered = false;
      this.found[end++] = place;
    }
    const places = this.found.subarray(0, end);
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
