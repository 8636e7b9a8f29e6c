/** Scores of sets of pictures over their features: KID, Inception score, precision and recall. Knows no network. */
import { Random } from '../../base/rng.ts';
import type { Features } from './frechet.ts';

/** All products of rows: `[a.count, b.count]`. */
export type Products = (a: Features, b: Features) => Promise<Float32Array | Float64Array>;

/** In float64, one by one; a backend's matrix product is a hundred times quicker. */
export const plainProducts: Products = (a, b) => {
  const result = new Float64Array(a.count * b.count);
  for (let i = 0; i < a.count; i++)
    for (let j = 0; j < b.count; j++) result[i * b.count + j] = dot(rowOf(a, i), rowOf(b, j));
  return Promise.resolve(result);
};

/** Row i of the features. */
const rowOf = ({ data, width }: Features, i: number): Float32Array | Float64Array =>
  data.subarray(i * width, (i + 1) * width);

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += (a[i] as number) * (b[i] as number);
  return total;
}

export interface KidOptions {
  subsets?: number;
  /** Most pictures of a subset. */
  size?: number;
  seed?: number;
  products?: Products;
}

/**
 * Kernel distance (Bińkowski et al. 2018): the unbiased squared maximum mean discrepancy with the kernel (x·y/d + 1)³, mean
 * and deviation over random subsets.
 */
export async function kernelDistance(
  a: Features,
  b: Features,
  { subsets = 100, size = 1000, seed = 0, products = plainProducts }: KidOptions = {},
): Promise<{ mean: number; deviation: number }> {
  const m = Math.min(size, a.count, b.count);
  const values: number[] = [];
  for (let subset = 0; subset < subsets; subset++) {
    const left = chosen(a, m, seed, subset, 'kernel a');
    const right = chosen(b, m, seed, subset, 'kernel b');
    values.push(await discrepancy(left, right, products));
  }
  return meanAndDeviation(values);
}

/** `m` rows at random; all in order where there are no more. */
function chosen(from: Features, m: number, seed: number, subset: number, name: string): Features {
  const { count, width } = from;
  if (m === count) return from;
  const random = new Random(seed, name, subset);
  const places = Array.from({ length: count }, (_, i) => i);
  const data = new Float32Array(m * width);
  for (let i = 0; i < m; i++) {
    const j = i + random.integer(count - i);
    [places[i], places[j]] = [places[j] as number, places[i] as number];
    data.set(rowOf(from, places[i] as number), i * width);
  }
  return { count: m, width, data };
}

async function discrepancy(a: Features, b: Features, products: Products): Promise<number> {
  const m = a.count;
  const total = async (x: Features, y: Features): Promise<number> => {
    let sum = 0;
    const all = await products(x, y);
    for (let i = 0; i < all.length; i++)
      if (x !== y || i % m !== Math.floor(i / m)) sum += ((all[i] as number) / a.width + 1) ** 3;
    return sum;
  };
  const within = (await total(a, a)) + (await total(b, b));
  return within / (m * (m - 1)) - (2 * (await total(a, b))) / (m * m);
}

function meanAndDeviation(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
  return { mean, deviation };
}

/**
 * exp of the mean divergence of each picture's classes from those of its split (Salimans et al. 2016), over splits in order.
 * @param logits before the softmax
 */
export function inceptionScore(logits: Features, splits = 10): { mean: number; deviation: number } {
  const { count, width } = logits;
  const scores: number[] = [];
  for (let split = 0; split < splits; split++) {
    const from = Math.floor((split * count) / splits);
    const to = Math.floor(((split + 1) * count) / splits);
    const marginal = new Float64Array(width);
    const rows = [];
    for (let i = from; i < to; i++) {
      const p = softmax(rowOf(logits, i));
      rows.push(p);
      for (let k = 0; k < width; k++) marginal[k] = (marginal[k] as number) + (p[k] as number) / (to - from);
    }
    let divergence = 0;
    for (const p of rows)
      for (let k = 0; k < width; k++)
        if ((p[k] as number) > 0)
          divergence += (p[k] as number) * (Math.log(p[k] as number) - Math.log(marginal[k] as number));
    scores.push(Math.exp(divergence / rows.length));
  }
  return meanAndDeviation(scores);
}

function softmax(logits: ArrayLike<number>): Float64Array {
  let highest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) highest = Math.max(highest, logits[i] as number);
  const p = Float64Array.from({ length: logits.length }, (_, i) => Math.exp((logits[i] as number) - highest));
  const total = p.reduce((a, b) => a + b, 0);
  return p.map((value) => value / total);
}

/**
 * Improved precision and recall (Kynkäänniemi et al. 2019, algorithm 1): the part of the made pictures that fall within the
 * real ones' manifold, and the other way round. A manifold is the union of balls that reach to each one's third neighbour.
 * @param reach `radii` of the real ones, where they are known
 */
export async function precisionAndRecall(
  real: Features,
  fake: Features,
  { products = plainProducts, reach }: { products?: Products; reach?: Float64Array } = {},
): Promise<{ precision: number; recall: number }> {
  return {
    precision: await partWithin(fake, real, reach ?? (await radii(real, products)), products),
    recall: await partWithin(real, fake, await radii(fake, products), products),
  };
}

/** The neighbour that a ball reaches to. */
const NEIGHBOUR = 3;

const squares = (features: Features): Float64Array =>
  Float64Array.from({ length: features.count }, (_, i) => dot(rowOf(features, i), rowOf(features, i)));

/** Rows that are compared at a time: the products of all would not fit into memory. */
const BLOCK = 1000;

async function* blocks(
  a: Features,
  b: Features,
  products: Products,
): AsyncGenerator<{ row: number; distances: Float64Array }> {
  const left = squares(a);
  const right = squares(b);
  for (let from = 0; from < a.count; from += BLOCK) {
    const count = Math.min(BLOCK, a.count - from);
    const part = { count, width: a.width, data: a.data.subarray(from * a.width, (from + count) * a.width) };
    const all = await products(part, b);
    for (let i = 0; i < count; i++) {
      const distances = new Float64Array(b.count);
      for (let j = 0; j < b.count; j++)
        distances[j] =
          (left[from + i] as number) + (right[j] as number) - 2 * (all[i * b.count + j] as number);
      yield { row: from + i, distances };
    }
  }
}

/** Squared distance of each row to its third nearest other: what a manifold is made of, for several comparisons with it. */
export async function radii(features: Features, products: Products): Promise<Float64Array> {
  const reach = new Float64Array(features.count);
  for await (const { row, distances } of blocks(features, features, products)) {
    const nearest = new Float64Array(NEIGHBOUR).fill(Number.POSITIVE_INFINITY);
    distances.forEach((distance, other) => {
      if (other !== row) insert(nearest, distance);
    });
    reach[row] = Math.max(0, nearest[NEIGHBOUR - 1] as number);
  }
  return reach;
}

/** Keeps the smallest, in order. */
function insert(list: Float64Array, value: number): void {
  let at = list.length - 1;
  if (value >= (list[at] as number)) return;
  for (; at > 0 && (list[at - 1] as number) > value; at--) list[at] = list[at - 1] as number;
  list[at] = value;
}

async function partWithin(
  points: Features,
  manifold: Features,
  reach: Float64Array,
  products: Products,
): Promise<number> {
  let inside = 0;
  for await (const { distances } of blocks(points, manifold, products))
    if (distances.some((distance, j) => distance <= (reach[j] as number))) inside++;
  return inside / points.count;
}
