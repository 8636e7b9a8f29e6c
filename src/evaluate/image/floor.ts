/**
 * What two sets of features get against each other, and what real pictures get against real ones: the floor of every score.
 * Knows features; knows no pictures and no network.
 */
import { Random } from '../../base/rng.ts';
import { type Features, frechetDistance, type Gaussian, gaussianOf } from './frechet.ts';
import { inceptionScore, kernelDistance, type Products, precisionAndRecall, radii } from './scores.ts';

/** What a network says of real pictures. */
export interface Real {
  features: Features;
  /** Before the softmax. */
  classes?: Features;
}

/** Where there are others than the training pictures. */
export const HELD_OUT = 'training pictures against the test pictures';
export const HALVES = 'one half of the real pictures against the other half';

export interface Floor {
  of: typeof HELD_OUT | typeof HALVES;
  /** Pictures that stood in for the made ones. */
  samples: number;
  fid: number;
  kid: number;
  precision: number;
  recall: number;
}

export interface Comparison {
  fid: number;
  kid: number;
  kid_deviation: number;
  precision: number;
  recall: number;
}

/** Real features that several sets are compared with. */
export interface Standard {
  features: Features;
  gaussian: Gaussian;
  /** Of its manifold, once asked for. */
  reach?: Promise<Float64Array>;
}

export const standardOf = (features: Features): Standard => ({ features, gaussian: gaussianOf(features) });

export async function compare(standard: Standard, made: Features, products: Products): Promise<Comparison> {
  const { features: real, gaussian } = standard;
  const fid = frechetDistance(gaussianOf(made), gaussian);
  const { mean, deviation } = await kernelDistance(real, made, { products });
  standard.reach ??= radii(real, products);
  return {
    fid,
    kid: mean,
    kid_deviation: deviation,
    ...(await precisionAndRecall(real, made, { products, reach: await standard.reach })),
  };
}

/** Fewer pictures than this a half have no third neighbour, and no variance worth the name. */
const FEWEST = 5;
const SEED = 99;

/**
 * Of as many pictures as `samples` says, or as there are. With other real pictures beside the standard, those against it; else
 * one half of the standard, drawn by chance, against the other. Undefined of too few.
 */
export async function floorOf(
  standard: Standard,
  beside: Features | undefined,
  { samples, products }: { samples: number; products: Products },
): Promise<Floor | undefined> {
  const { features } = standard;
  const half = Math.floor(features.count / 2);
  const count = Math.min(samples, beside?.count ?? half);
  if (count < FEWEST) return undefined;
  const mixed = beside === undefined ? shuffled(features) : features;
  const against = beside === undefined ? standardOf(rowsOf(mixed, half, 2 * half)) : standard;
  const found = await compare(against, rowsOf(beside ?? mixed, 0, count), products);
  const { fid, kid, precision, recall } = found;
  return { of: beside === undefined ? HALVES : HELD_OUT, samples: count, fid, kid, precision, recall };
}

/** The Inception score of up to `samples` real pictures. Its splits are in order, so classes must not stand together. */
export function realInceptionScore(
  classes: Features,
  { samples, mixed }: { samples: number; mixed: boolean },
): number {
  const all = mixed ? classes : shuffled(classes);
  return inceptionScore(rowsOf(all, 0, Math.min(samples, all.count))).mean;
}

const rowsOf = ({ width, data }: Features, from: number, to: number): Features => ({
  ...{ count: to - from, width },
  data: data.subarray(from * width, to * width),
});

/** The same rows in an order that is the same each time. */
function shuffled({ count, width, data }: Features): Features {
  const random = new Random(SEED, 'halves');
  const places = Array.from({ length: count }, (_, i) => i);
  const rows = new Float32Array(count * width);
  for (let i = 0; i < count; i++) {
    const j = i + random.integer(count - i);
    [places[i], places[j]] = [places[j] as number, places[i] as number];
    const at = (places[i] as number) * width;
    rows.set(data.subarray(at, at + width), i * width);
  }
  return { count, width, data: rows };
}
