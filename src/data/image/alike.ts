/**
 * Pictures that look alike, within a collection or between two: difference hashes of 64 bits, compared in bands. Knows no
 * formats.
 */

/** Bits that may differ between pictures that look alike. */
const NEAR = 3;
/** More such pairs than this are not listed. */
const MOST = 1000;
const SIDE = 8;
const BANDS = 4;

export interface Looks {
  /** @param pixels `[channels, size, size]` */
  add(pixels: Uint8Array, channels: number, size: number): void;
  /** Pairs of places, each picture with the first that it looks like. */
  pairs(): [number, number][];
  /** Places here and there that look alike: a test picture that was trained on. */
  pairsWith(other: Looks): [number, number][];
  readonly hashes: readonly Hash[];
}

/** Four words of 16 bits. */
type Hash = readonly number[];

/**
 * Whether each of 8 × 8 cells is brighter than its right neighbour, over 9 × 8 means (Krawetz 2013). A picture with
 * little in it has few bits set by what it shows; such are compared exactly.
 */
export function differenceHash(pixels: Uint8Array, channels: number, size: number): Hash {
  const cells = new Float64Array((SIDE + 1) * SIDE);
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column <= SIDE; column++)
      cells[row * (SIDE + 1) + column] = meanOf(pixels, channels, size, {
        top: (row * size) / SIDE,
        bottom: ((row + 1) * size) / SIDE,
        left: (column * size) / (SIDE + 1),
        right: ((column + 1) * size) / (SIDE + 1),
      });
  const words = new Array<number>(BANDS).fill(0);
  for (let bit = 0; bit < SIDE * SIDE; bit++) {
    const at = Math.floor(bit / SIDE) * (SIDE + 1) + (bit % SIDE);
    if ((cells[at] as number) > (cells[at + 1] as number))
      words[bit >> 4] = (words[bit >> 4] as number) | (1 << (bit & 15));
  }
  return words;
}

function meanOf(
  pixels: Uint8Array,
  channels: number,
  size: number,
  box: { top: number; bottom: number; left: number; right: number },
): number {
  let total = 0;
  let count = 0;
  const bottom = Math.max(Math.floor(box.top) + 1, Math.ceil(box.bottom));
  const right = Math.max(Math.floor(box.left) + 1, Math.ceil(box.right));
  for (let y = Math.floor(box.top); y < bottom; y++)
    for (let x = Math.floor(box.left); x < right; x++)
      for (let c = 0; c < channels; c++) {
        total += pixels[(c * size + y) * size + x] as number;
        count++;
      }
  return total / count;
}

function distance(a: Hash, b: Hash): number {
  let bits = 0;
  for (let i = 0; i < BANDS; i++) {
    let word = (a[i] as number) ^ (b[i] as number);
    for (; word !== 0; word &= word - 1) bits++;
  }
  return bits;
}

/** Of hashes within NEAR bits of each other, one of the four words is the same (pigeonholes). */
class Index {
  private readonly bands = Array.from({ length: BANDS }, () => new Map<number, number[]>());
  private readonly hashes: Hash[] = [];

  add(hash: Hash): void {
    const place = this.hashes.push(hash) - 1;
    hash.forEach((word, band) => {
      const map = this.bands[band] as Map<number, number[]>;
      const list = map.get(word);
      if (list === undefined) map.set(word, [place]);
      else list.push(place);
    });
  }

  first(hash: Hash): number | undefined {
    let best: number | undefined;
    hash.forEach((word, band) => {
      for (const place of this.bands[band]?.get(word) ?? []) {
        if (best !== undefined && place >= best) break;
        if (distance(this.hashes[place] as Hash, hash) <= NEAR) best = place;
      }
    });
    return best;
  }
}

export function readLooks(): Looks {
  const hashes: Hash[] = [];
  return {
    hashes,
    add: (pixels, channels, size) => {
      hashes.push(differenceHash(pixels, channels, size));
    },
    pairs() {
      const index = new Index();
      const found: [number, number][] = [];
      hashes.forEach((hash, place) => {
        const first = found.length < MOST ? index.first(hash) : undefined;
        if (first !== undefined) found.push([first, place]);
        index.add(hash);
      });
      return found;
    },
    pairsWith(other) {
      const index = new Index();
      for (const hash of hashes) index.add(hash);
      const found: [number, number][] = [];
      other.hashes.forEach((hash, place) => {
        const first = found.length < MOST ? index.first(hash) : undefined;
        if (first !== undefined) found.push([first, place]);
      });
      return found;
    },
  };
}
