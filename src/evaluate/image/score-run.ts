/**
 * All scores of a generator of pictures as docs/protocol-image.md has them: against real pictures, with the floor of real
 * against real. Knows no files.
 */
import type { ImageSet } from '../../data/image/array-file.ts';
import { makeInParts, type PictureMaker, type Pictures } from '../../generate/image/request.ts';
import type { Backend } from '../../runtime/contract.ts';
import type { FeatureNetwork } from './features.ts';
import { compare, floorOf, realInceptionScore, standardOf } from './floor.ts';
import { type Features, frechetDistance, type Gaussian, gaussianOf } from './frechet.ts';
import type { ClassJudge } from './judge.ts';
import { perceptualScores } from './perceptual-scores.ts';
import { backendProducts } from './products.ts';
import { inceptionScore } from './scores.ts';

/** What the protocol starts its seeds from. */
const SEED = 99;
const MOST = 10_000;

export interface ScoreRunOptions {
  backend: Backend;
  network: FeatureNetwork;
  maker: PictureMaker;
  /** What the made pictures are compared with. */
  reference: ImageSet;
  /** Other real pictures, for the floor; without them one half of the reference against the other is the floor. */
  beside?: ImageSet | undefined;
  classes: number;
  judge?: ClassJudge | undefined;
  samples?: number;
  /** What is done next; what it throws ends the scoring. */
  progress?(what: string): void;
}

export interface ImageScores {
  samples: number;
  features: string;
  /**
   * `fid_lenet`, `fid_floor_lenet`, …: every score's name ends in its network's. `floor` says which real pictures the floors
   * are of, `floor_samples` and `is_floor_samples` of how many.
   */
  [score: string]: number | string;
}

/** Of up to `wanted` pictures that stand for all of the set. */
export async function realFeatures(network: FeatureNetwork, set: ImageSet, wanted = MOST): Promise<Features> {
  return (await network.extract(await standing(set, set.sample(wanted)))).features;
}

async function standing(set: ImageSet, places: readonly number[]): Promise<Pictures> {
  const { size, channels } = set.info;
  return { count: places.length, channels, size, pixels: await set.read(places) };
}

/** The judge of a training: FID against the statistics of pictures it learns from. */
export async function trainingJudge(
  network: FeatureNetwork,
  set: ImageSet,
): Promise<(pictures: Pictures) => Promise<number>> {
  const real: Gaussian = gaussianOf(await realFeatures(network, set));
  return async (pictures) => frechetDistance(gaussianOf((await network.extract(pictures)).features), real);
}

async function judgeAccuracy(judge: ClassJudge, set: ImageSet): Promise<number> {
  const places = set.sample(MOST);
  const found = await judge.classify(await standing(set, places));
  return found.filter((label, i) => label === set.labels[places[i] as number]).length / places.length;
}

/** Pictures between two words of progress: a denoiser takes many minutes for all. */
const PART = 640;

export async function scoreImages(options: ScoreRunOptions): Promise<ImageScores> {
  const { network, backend, reference, beside, classes, samples = MOST } = options;
  const say = options.progress ?? ((): void => undefined);
  const labels = Array.from({ length: samples }, (_, i) => (classes > 0 ? i % classes : 0));
  const seeds = labels.map((_, i) => SEED * 1_000_000 + i);
  const request = { seeds, ...(classes > 0 ? { labels } : {}) };
  const pictures = await makeInParts(options.maker, request, PART, (done) =>
    say(`making pictures: ${done}/${samples}`),
  );
  say('features');
  const made = await network.extract(pictures);
  const real = await network.extract(await standing(reference, reference.sample(MOST)));
  const named = (score: string): string => `${score}_${network.name}`;
  const scores: ImageScores = { samples, features: network.name };
  const quick = backendProducts(backend, real.features.width);
  try {
    const { products } = quick;
    say('Fréchet and kernel distance, precision and recall');
    const standard = standardOf(real.features);
    const found = await compare(standard, made.features, products);
    say('the same of real pictures');
    const other = beside === undefined ? undefined : await realFeatures(network, beside, samples);
    const floor = await floorOf(standard, other, { samples, products });
    for (const [name, value] of Object.entries(found)) {
      scores[named(name)] = value;
      const least = floor?.[name as keyof typeof floor];
      if (least !== undefined) scores[named(`${name}_floor`)] = least;
    }
    if (floor !== undefined) {
      scores.floor = floor.of;
      scores.floor_samples = floor.samples;
    }
  } finally {
    await quick.close();
  }
  if (network.distance !== undefined) {
    say('variety and path length');
    const { maker } = options;
    const found = await perceptualScores({ network, maker, made: pictures, reference, classes });
    for (const [name, value] of Object.entries(found ?? {})) scores[named(name)] = value;
  }
  if (made.classes !== undefined) {
    const score = inceptionScore(made.classes);
    scores[named('is')] = score.mean;
    scores[named('is_deviation')] = score.deviation;
    if (real.classes !== undefined) {
      const mixed = reference.info.container === 'idx';
      scores[named('is_floor')] = realInceptionScore(real.classes, { samples, mixed });
      scores.is_floor_samples = Math.min(samples, real.classes.count);
    }
  }
  if (options.judge !== undefined && classes > 0) {
    const found = await options.judge.classify(pictures);
    scores.class_accuracy = labels.filter((label, i) => found[i] === label).length / samples;
    // A judge is worth what it knows of real pictures.
    scores.judge_accuracy = await judgeAccuracy(options.judge, reference);
  }
  return scores;
}
