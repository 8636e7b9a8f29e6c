/**
 * Scores that need to know how different two pictures look: variety (mean distance of two pictures of a class) with its floor
 * of real ones, and path length. Knows which pictures are compared; knows no files.
 */
import { type ImageSet, type ImageSetInfo, spread } from '../../data/image/array-file.ts';
import { NetworkMaker } from '../../generate/image/maker.ts';
import type { MakePictures, PictureMaker, Pictures } from '../../generate/image/request.ts';
import type { FeatureNetwork, PictureValues } from './features.ts';
import { perceptualPathLength } from './path-length.ts';

export interface PerceptualOptions {
  network: FeatureNetwork;
  maker: PictureMaker;
  /** Pictures that were made for the other scores, classes taking turns. */
  made: Pictures;
  reference: Pick<ImageSet, 'labels' | 'read'> & {
    info: Pick<ImageSetInfo, 'size' | 'channels' | 'container'>;
  };
  classes: number;
  /** Pairs, and ways. */
  pairs?: number;
  seed?: number;
}

export interface PerceptualScores {
  /** Mean distance of two made pictures of one class; and of two real ones. */
  diversity: number;
  diversity_floor: number;
  /** Between latents, and, where there are styles, between those. */
  path_length_z?: number;
  path_length_w?: number;
}

const PAIRS = 1000;

/** Undefined for a network whose layers are not known. */
export async function perceptualScores(options: PerceptualOptions): Promise<PerceptualScores | undefined> {
  const { network, maker, made, reference, classes, pairs = PAIRS } = options;
  const distance = network.distance?.bind(network);
  if (distance === undefined) return undefined;
  const diversity = await meanDistance(distance, made, madePairs(made.count, classes, pairs));
  const { size, channels, container } = reference.info;
  const all = realPairs(reference.labels);
  // In IDX files the classes come mixed.
  const real =
    container === 'idx' ? all.slice(0, pairs) : spread(all.length, pairs).map((at) => all[at] as Pair);
  const pixels = await reference.read(real.flat());
  const floor = await meanDistance(
    distance,
    { count: 2 * real.length, channels, size, pixels },
    real.map((_, i) => [2 * i, 2 * i + 1] as const),
  );
  const scores: PerceptualScores = { diversity, diversity_floor: floor };
  if (!(maker instanceof NetworkMaker)) return scores;
  scores.path_length_z = await pathLength(distance, maker, options, 'z');
  if (maker.hasStyles) scores.path_length_w = await pathLength(distance, maker, options, 'w');
  return scores;
}

type Distance = NonNullable<FeatureNetwork['distance']>;
type Pair = readonly [number, number];

/** Classes take turns: pictures `classes` apart are of one class. */
function madePairs(count: number, classes: number, pairs: number): Pair[] {
  const step = Math.max(1, classes);
  const most = Math.min(pairs, count - step);
  return Array.from({ length: Math.max(0, most) }, (_, i) => [i, i + step] as const);
}

/** Each with the next one of its class, in their order. */
function realPairs(labels: Int32Array): Pair[] {
  const before = new Map<number, number>();
  const found: Pair[] = [];
  for (let place = 0; place < labels.length; place++) {
    const label = labels[place] as number;
    const other = before.get(label);
    if (other !== undefined) found.push([other, place]);
    before.set(label, place);
  }
  return found;
}

async function meanDistance(distance: Distance, pictures: Pictures, pairs: readonly Pair[]): Promise<number> {
  const stride = pictures.pixels.length / pictures.count;
  const side = (which: 0 | 1): PictureValues => {
    const values = new Float32Array(pairs.length * stride);
    pairs.forEach((pair, i) => {
      const from = pair[which] * stride;
      for (let j = 0; j < stride; j++) values[i * stride + j] = (pictures.pixels[from + j] as number) / 255;
    });
    return { count: pairs.length, channels: pictures.channels, size: pictures.size, values };
  };
  const all = await distance(side(0), side(1));
  return all.reduce((total, value) => total + value, 0) / Math.max(1, all.length);
}

/** In z along the sphere, in w along the line; both ends of a way have one class and one noise. */
async function pathLength(
  distance: Distance,
  maker: NetworkMaker,
  { made: { channels, size }, classes, pairs = PAIRS, seed = 0 }: PerceptualOptions,
  space: 'z' | 'w',
): Promise<number> {
  const seedsOf = (from: number, to: number, end: 0 | 1): number[] =>
    Array.from({ length: to - from }, (_, i) => seed * 1_000_000 + 2 * (from + i) + end);
  const labelsOf = (from: number, to: number): Pick<MakePictures, 'labels'> =>
    classes === 0 ? {} : { labels: Array.from({ length: to - from }, (_, i) => (from + i) % classes) };
  const endsOf = (from: number, to: number, end: 0 | 1): Promise<Float32Array[]> => {
    const seeds = seedsOf(from, to, end);
    return space === 'z'
      ? Promise.resolve(maker.latentsOf(seeds))
      : maker.stylesOf({ seeds, ...labelsOf(from, to) });
  };
  const pictures = async (given: readonly Float32Array[], from: number): Promise<PictureValues> => {
    const to = from + given.length;
    const values = await maker.values({
      seeds: seedsOf(from, to, 0),
      ...labelsOf(from, to),
      ...(space === 'z' ? { latents: given } : { styles: given }),
    });
    // As it would be written, but for the rounding: a step of this size is less than one of 255.
    return {
      ...{ count: given.length, channels, size },
      values: values.map((value) => Math.min(1, Math.max(0, (value + 1) / 2))),
    };
  };
  return perceptualPathLength({
    ...{ pairs, seed, along: space === 'z' ? 'sphere' : 'line' },
    ends: async (from, to) => {
      const other = await endsOf(from, to, 1);
      return (await endsOf(from, to, 0)).map((one, i) => [one, other[i] as Float32Array] as const);
    },
    distances: async (one, other, from) => distance(await pictures(one, from), await pictures(other, from)),
  });
}
