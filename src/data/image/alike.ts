/**
 * Pictures that look alike, within a collection or between two. Difference hashes of 64 bits, compared in bands, say which may
 * be; their pixels decide. Knows no formats, and misses what was cropped, turned or mirrored.
 */

/** Bits that may differ between hashes of pictures that look alike. */
const NEAR = 3;
/** More such pairs than this are not listed. */
const MOST = 1000;
/** Hashes, and bytes of pictures, that are compared before the search is given up. */
const WORK = 5e8;
const SIDE = 8;
const BANDS = 4;
/**
 * Mean absolute difference of two pictures that look alike, once the mean of each is taken off and its contrast (mean absolute
 * deviation from the mean) is made 1. Drawings and digits are mostly ground: a part of 255 would find many alike.
 */
const DIFFERENCE = 0.05;
/** How far their means may be apart, of 255. */
const BRIGHTNESS = 16;
/** What the greater contrast may be of the lesser. */
const CONTRAST = 1.25;

export interface Alike {
  /** Places, each picture with the first that it looks like: `[first, picture]`. */
  pairs: [number, number][];
  /** False where there may be more: the list, or the search, was cut. */
  complete: boolean;
}

/** `[channels, size, size]` of the picture at a place. */
export type ReadPicture = (place: number) => Promise<Uint8Array>;

export interface Looks {
  /** @param pixels `[channels, size, size]` */
  add(pixels: Uint8Array, channels: number, size: number): void;
  /** Each picture with the first earlier one that it looks like. @param read pictures as they were added */
  pairs(read: ReadPicture): Promise<Alike>;
  /** Places here and there that look alike: a test picture that was trained on. */
  pairsWith(other: Looks, read: ReadPicture, readOther: ReadPicture): Promise<Alike>;
  readonly looks: readonly Look[];
}

export interface Look {
  /** Four words of 16 bits. */
  hash: readonly number[];
  /** Means over 8 rows of 9 cells. */
  cells: Uint8Array;
  mean: number;
  contrast: number;
}

/**
 * The hash says whether each of 8 × 8 cells is brighter than its right neighbour, over 9 × 8 means (Krawetz 2013). A picture
 * with little in it has few bits set by what it shows; which of those are alike is what the pixels are for.
 */
export function lookOf(pixels: Uint8Array, channels: number, size: number): Look {
  const means = new Float64Array((SIDE + 1) * SIDE);
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column <= SIDE; column++)
      means[row * (SIDE + 1) + column] = meanOf(pixels, channels, size, {
        top: (row * size) / SIDE,
        bottom: ((row + 1) * size) / SIDE,
        left: (column * size) / (SIDE + 1),
        right: ((column + 1) * size) / (SIDE + 1),
      });
  const hash = new Array<number>(BANDS).fill(0);
  for (let bit = 0; bit < SIDE * SIDE; bit++) {
    const at = Math.floor(bit / SIDE) * (SIDE + 1) + (bit % SIDE);
    if ((means[at] as number) <= (means[at + 1] as number)) continue;
    // Along diagonals, so that each word has its share of the middle: borders are often bare, and say little.
    const [row, column] = [bit >> 3, bit & 7];
    const word = (row + column) % BANDS;
    hash[word] = (hash[word] as number) | (1 << (2 * row + (column >> 2)));
  }
  let total = 0;
  for (const value of pixels) total += value;
  const mean = total / pixels.length;
  let deviation = 0;
  for (const value of pixels) deviation += Math.abs(value - mean);
  return { hash, cells: Uint8Array.from(means, Math.round), mean, contrast: deviation / pixels.length };
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

/** Two words of a hash as one of 32 bits. */
const half = (hash: readonly number[], at: 0 | 2): number =>
  (hash[at] as number) | ((hash[at + 1] as number) << 16);

/** Bits that are set in 32. */
function bitsOf(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Whether the difference, as DIFFERENCE has it, is at most `limit`; two that show nothing have none. */
function isWithin(limit: number, a: Look, b: Look, left: Uint8Array, right: Uint8Array): boolean {
  if (a.contrast === 0 && b.contrast === 0) return true;
  const [one, other] = [1 / a.contrast, 1 / b.contrast];
  const offset = a.mean * one - b.mean * other;
  const most = limit * left.length;
  let total = 0;
  for (let i = 0; i < left.length && total <= most; i++)
    total += Math.abs((left[i] as number) * one - (right[i] as number) * other - offset);
  return total <= most;
}

/**
 * What pixels could still find alike. Means over cells differ no more than their pixels, but for cells that share some and for
 * what was rounded.
 */
function mayBeAlike(a: Look, b: Look): boolean {
  const [less, more] = a.contrast < b.contrast ? [a.contrast, b.contrast] : [b.contrast, a.contrast];
  return (
    Math.abs(a.mean - b.mean) <= BRIGHTNESS &&
    more <= CONTRAST * less &&
    isWithin(1.5 * DIFFERENCE + (less === 0 ? 0 : 0.5 / less), a, b, a.cells, b.cells)
  );
}

/** Of hashes within NEAR bits of each other, one of the four words is the same (pigeonholes). */
class Index {
  /** What was done so far. */
  work = 0;
  private readonly bands = Array.from({ length: BANDS }, () => new Map<number, number[]>());
  private readonly looks: Look[] = [];
  private readonly lows: Int32Array;
  private readonly highs: Int32Array;
  private readonly read: ReadPicture;

  constructor(read: ReadPicture, most: number) {
    this.read = read;
    this.lows = new Int32Array(most);
    this.highs = new Int32Array(most);
  }

  add(look: Look): void {
    const place = this.looks.push(look) - 1;
    this.lows[place] = half(look.hash, 0);
    this.highs[place] = half(look.hash, 2);
    look.hash.forEach((word, band) => {
      const map = this.bands[band] as Map<number, number[]>;
      const list = map.get(word);
      if (list === undefined) map.set(word, [place]);
      else list.push(place);
    });
  }

  async first(look: Look, pixels: () => Promise<Uint8Array>): Promise<number | undefined> {
    const maybe = new Set<number>();
    const { lows, highs } = this;
    const [low, high] = [half(look.hash, 0), half(look.hash, 2)];
    look.hash.forEach((word, band) => {
      const list = this.bands[band]?.get(word) ?? [];
      this.work += list.length;
      for (const place of list) {
        const bits = bitsOf((lows[place] as number) ^ low) + bitsOf((highs[place] as number) ^ high);
        if (bits <= NEAR && mayBeAlike(this.looks[place] as Look, look)) maybe.add(place);
      }
    });
    if (maybe.size === 0) return undefined;
    const own = await pixels();
    for (const place of [...maybe].sort((a, b) => a - b)) {
      this.work += own.length;
      if (isWithin(DIFFERENCE, this.looks[place] as Look, look, await this.read(place), own)) return place;
    }
    return undefined;
  }
}

/** @param learns whether each picture joins those that later ones are compared with */
async function pairsIn(
  index: Index,
  looks: readonly Look[],
  read: ReadPicture,
  { learns }: { learns: boolean },
): Promise<Alike> {
  const pairs: [number, number][] = [];
  for (const [place, look] of looks.entries()) {
    if (pairs.length >= MOST || index.work > WORK) return { pairs, complete: false };
    const first = await index.first(look, () => read(place));
    if (first !== undefined) pairs.push([first, place]);
    if (learns) index.add(look);
  }
  return { pairs, complete: true };
}

export function readLooks(): Looks {
  const looks: Look[] = [];
  return {
    looks,
    add: (pixels, channels, size) => {
      looks.push(lookOf(pixels, channels, size));
    },
    pairs: (read) => pairsIn(new Index(read, looks.length), looks, read, { learns: true }),
    pairsWith(other, read, readOther) {
      const index = new Index(read, looks.length);
      for (const look of looks) index.add(look);
      return pairsIn(index, other.looks, readOther, { learns: false });
    },
  };
}
