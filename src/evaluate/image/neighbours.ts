/**
 * Made pictures beside the training pictures that are nearest to them, by features and by pixels: a generator that copies is
 * seen, and counted. Knows no files and no models.
 */
import { type ImageSet, spread } from '../../data/image/array-file.ts';
import type { Pictures } from '../../generate/image/request.ts';
import type { FeatureNetwork } from './features.ts';
import type { Features } from './frechet.ts';
import { type Products, plainProducts } from './scores.ts';

export interface Neighbour {
  /** Place among the training pictures. */
  place: number;
  /** Euclidean. */
  distance: number;
}

/** Rows of features that need not be in memory at once. */
export interface RowSource {
  count: number;
  rows(from: number, count: number): Promise<Features>;
}

const BLOCK = 2000;
/** Candidates a wanted neighbour: quick products round, and what is nearest by them is measured again. */
const SPARE = 4;

const rowOf = ({ data, width }: Features, i: number): Float32Array | Float64Array =>
  data.subarray(i * width, (i + 1) * width);

/** The `k` nearest of each query, the nearest first. `without` names a place that does not count: a picture's own. */
export async function nearestOf(
  queries: Features,
  source: RowSource,
  {
    k,
    products = plainProducts,
    without,
  }: { k: number; products?: Products; without?: (query: number) => number },
): Promise<Neighbour[][]> {
  const most = k * SPARE;
  const found: Neighbour[][] = Array.from({ length: queries.count }, () => []);
  const squares = squaresOf(queries);
  for (let from = 0; from < source.count; from += BLOCK) {
    const block = await source.rows(from, Math.min(BLOCK, source.count - from));
    const own = squaresOf(block);
    const all = await products(queries, block);
    for (let query = 0; query < queries.count; query++) {
      const list = found[query] as Neighbour[];
      const left = without?.(query);
      for (let i = 0; i < block.count; i++) {
        if (from + i === left) continue;
        const about = (squares[query] as number) + (own[i] as number);
        const square = about - 2 * (all[query * block.count + i] as number);
        // Nearer than the farthest that is kept, or rounding may hide that it is.
        const farthest = list.length < most ? Number.POSITIVE_INFINITY : (list.at(-1) as Neighbour).distance;
        if (square - 1e-4 * about > farthest ** 2) continue;
        const distance = between(rowOf(queries, query), rowOf(block, i));
        if (distance < farthest) insert(list, { place: from + i, distance }, most);
      }
    }
  }
  return found.map((list) => list.slice(0, k));
}

function squaresOf(features: Features): Float64Array {
  return Float64Array.from({ length: features.count }, (_, i) => {
    let total = 0;
    for (const value of rowOf(features, i)) total += value * value;
    return total;
  });
}

function between(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += ((a[i] as number) - (b[i] as number)) ** 2;
  return Math.sqrt(total);
}

function insert(list: Neighbour[], one: Neighbour, most: number): void {
  let at = list.length;
  while (at > 0 && (list[at - 1] as Neighbour).distance > one.distance) at--;
  list.splice(at, 0, one);
  if (list.length > most) list.pop();
}

/** Every pixel is a feature, 0 … 1, scaled so that a distance is the root of the mean squared difference of two pixels. */
export function pixelRows({ count, channels, size, pixels }: Pictures): Features {
  const width = channels * size * size;
  const scale = 1 / (255 * Math.sqrt(width));
  return { count, width, data: Float32Array.from(pixels, (value) => value * scale) };
}

/** The same pictures by both views of them. */
export type View = 'features' | 'pixels';

export interface MadeNeighbours {
  /** Name of the network that `features` are of. */
  network: string;
  /** Nearest training pictures of each made one. */
  features: Neighbour[][];
  pixels: Neighbour[][];
  summary: Record<View, NeighbourSummary>;
}

export interface NeighbourSummary {
  /** Median distance of a made picture to its nearest training picture. */
  made: number;
  /** Median distance of a training picture to its nearest other: the floor. */
  real: number;
  /**
   * Part of the made pictures that are nearer to a training picture than 95 % of the training pictures are to each other: 0.05
   * where nothing is copied and nothing is missed.
   */
  copies: number;
}

export interface NeighbourOptions {
  network: FeatureNetwork;
  /** What was learned from. */
  training: ImageSet;
  made: Pictures;
  /** Neighbours that are told. */
  k: number;
  /** Products by a backend, for features of a width. */
  products?: (width: number) => { products: Products; close(): Promise<void> };
}

/** Training pictures whose own neighbours are the floor. */
const FLOOR = 256;

export async function madeNeighbours({
  network,
  training,
  made,
  k,
  products,
}: NeighbourOptions): Promise<MadeNeighbours> {
  const { count, size, channels } = training.info;
  const pictures = async (from: number, rows: number): Promise<Pictures> => ({
    ...{ count: rows, channels, size },
    pixels: await training.readRange(from, rows),
  });
  const views: Record<View, (pictures: Pictures) => Promise<Features>> = {
    features: async (all) => (await network.extract(all)).features,
    pixels: (all) => Promise.resolve(pixelRows(all)),
  };
  // Spread evenly: classes often stand one after another.
  const places = spread(count, FLOOR);
  const real = { count: places.length, channels, size, pixels: await training.read(places) };
  const look = async (view: View): Promise<{ found: Neighbour[][]; summary: NeighbourSummary }> => {
    const source = {
      count,
      rows: async (from: number, n: number) => views[view](await pictures(from, n)),
    };
    const queries = await views[view](made);
    const quick = products?.(queries.width);
    try {
      const using = quick === undefined ? {} : { products: quick.products };
      const found = await nearestOf(queries, source, { k, ...using });
      const own = await nearestOf(await views[view](real), source, {
        ...{ k: 1, ...using },
        without: (query) => places[query] as number,
      });
      return { found, summary: summarise(found, own) };
    } finally {
      await quick?.close();
    }
  };
  const features = await look('features');
  const pixels = await look('pixels');
  return {
    network: network.name,
    features: features.found,
    pixels: pixels.found,
    summary: { features: features.summary, pixels: pixels.summary },
  };
}

function summarise(found: readonly Neighbour[][], own: readonly Neighbour[][]): NeighbourSummary {
  const nearest = (lists: readonly Neighbour[][]): number[] =>
    lists.flatMap(([first]) => (first === undefined ? [] : [first.distance])).sort((a, b) => a - b);
  const made = nearest(found);
  const real = nearest(own);
  const close = quantile(real, 0.05);
  return {
    made: quantile(made, 0.5),
    real: quantile(real, 0.5),
    copies: made.length === 0 ? 0 : made.filter((distance) => distance < close).length / made.length,
  };
}

/** Linear between the two nearest ranks; 0 of nothing. */
function quantile(sorted: readonly number[], part: number): number {
  const at = part * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? 0;
  const high = sorted[Math.ceil(at)] ?? low;
  return low + (high - low) * (at - Math.floor(at));
}

/**
 * A row for each made picture: itself, a gap, its nearest by features, a gap, its nearest by pixels.
 * @returns the pictures of all rows, and how many a row has
 */
export async function neighbourRows(
  made: Pictures,
  training: ImageSet,
  found: Pick<MadeNeighbours, View>,
  { rows, k }: { rows: number; k: number },
): Promise<{ pictures: Pictures; columns: number }> {
  const { channels, size } = made;
  const stride = channels * size * size;
  const columns = 2 * k + 3;
  const count = Math.min(rows, made.count);
  // The gaps have the grey of the lines between pictures.
  const pixels = new Uint8Array(count * columns * stride).fill(128);
  for (let row = 0; row < count; row++) {
    const put = (column: number, bytes: Uint8Array): void =>
      pixels.set(bytes, (row * columns + column) * stride);
    put(0, made.pixels.subarray(row * stride, (row + 1) * stride));
    for (const [view, first] of [
      ['features', 2],
      ['pixels', k + 3],
    ] as const)
      for (const [i, { place }] of (found[view][row] ?? []).slice(0, k).entries())
        put(first + i, await training.read([place]));
  }
  return { pictures: { count: count * columns, channels, size, pixels }, columns };
}
