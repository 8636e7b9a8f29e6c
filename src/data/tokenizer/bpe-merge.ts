/** The merges of byte-pair encoding, applied to the ids of a word in the order they were learned. Knows no text. */

/** A pair of token ids as one number. */
export const pairKey = (left: number, right: number): number => left * 2 ** 26 + right;

/** [left id, right id, merged id] */
export type Merge = readonly [number, number, number];

/** Words longer than this are merged with a heap instead of by looking again at all pairs. */
export const SHORT_WORD = 48;

export class Merger {
  private readonly merges: readonly Merge[];
  /** pair → rank */
  private readonly ranks = new Map<number, number>();

  constructor(merges: readonly Merge[]) {
    this.merges = merges;
    merges.forEach(([left, right], rank) => {
      this.ranks.set(pairKey(left, right), rank);
    });
  }

  /** Merges in place where it can. */
  merge(ids: number[]): number[] {
    return ids.length <= SHORT_WORD ? this.short(ids) : this.long(ids);
  }

  short(ids: number[]): number[] {
    for (;;) {
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i + 1 < ids.length; i++) {
        const rank = this.ranks.get(pairKey(ids[i] as number, ids[i + 1] as number));
        if (rank !== undefined && rank < best) best = rank;
      }
      if (best === Number.POSITIVE_INFINITY) return ids;
      const [left, right, merged] = this.merges[best] as Merge;
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
  long(ids: number[]): number[] {
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
      ids[place] = (this.merges[rank] as Merge)[2];
      ids[after] = -1;
      next[place] = next[after] as number;
      if ((next[place] as number) >= 0) previous[next[place] as number] = place;
      offer(place);
      if ((previous[place] as number) >= 0) offer(previous[place] as number);
    }
    return ids.filter((id) => id !== -1);
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
