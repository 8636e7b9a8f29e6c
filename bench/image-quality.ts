/**
 * `inkstone bench image-quality`: every architecture of pictures on MNIST with the same batch and steps, scored against the
 * test pictures; and Diffusion-GAN against the same GAN without it, over seeds. The protocol is in docs/protocol-image.md.
 */
import path from 'node:path';
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { scoreFolder } from '../src/cli/evaluate-image.ts';
import { featureNetwork } from '../src/cli/image-features.ts';
import { aboutFile, ImageSet, type ImageSetFile, pixelsFile } from '../src/data/image/array-file.ts';
import { findIdx } from '../src/data/image/idx.ts';
import { prepareImages } from '../src/data/image/prepare.ts';
import type { FeatureNetwork } from '../src/evaluate/image/features.ts';
import { type ImageScores, trainingJudge } from '../src/evaluate/image/score-run.ts';
import { studentInterval } from '../src/evaluate/index.ts';
import { imagePreset } from '../src/models/image/presets.ts';
import { createBackend } from '../src/runtime/index.ts';
import { trainImages } from '../src/train/image-run.ts';
import { KeptWork, partOf } from './kept.ts';
import { type BenchCase, type BenchResult, type BenchRow, commit, round } from './report.ts';
import type { QualityOptions } from './text-quality.ts';

/** Both of these with three seeds: one is to be better than the other. */
const PLAIN = 'mnist-gan';
const NOISED = 'mnist-diffusiongan';
export const COMPARED = [
  ...[PLAIN, NOISED, 'mnist-stylegan1', 'mnist-stylegan2', 'mnist-vae', 'mnist-ddpm', 'mnist-cgan'],
] as const;

/** The equal budget of docs/protocol-image.md; the small one is for tests. */
const BUDGET = { steps: 6000, batch: 32, samples: 10_000 };
const SMALL = { steps: 6, batch: 8, samples: 60 };

/** A denoiser's samples cost more than its training: half of the usual steps, and no second pass for guidance. */
const DENOISING = { steps: 25, guidance: 1 };

export interface ImageQualityOptions extends QualityOptions {
  /** Presets; default: all of them. */
  only?: readonly string[] | undefined;
  /** Of every chosen preset; default: 1 to 3 of the two that are compared, 1 of the others. */
  seeds?: readonly number[] | undefined;
  steps?: number | undefined;
  /** Learn from the first so many training pictures only; default: all. */
  pictures?: number | undefined;
}

/** What is kept of one training and its scores. */
interface Part {
  preset: string;
  seed: number;
  scores: ImageScores;
  parameters: number;
  best_step: number;
  /** Of the two that are compared: the scores of the state at the end, which nothing chose. */
  at_end?: ImageScores;
  training_seconds: number;
  scoring_seconds: number;
  commit: string;
}

/**
 * Parts that are done are kept until a call that names neither presets nor seeds has them all: several calls may share the
 * work, each with presets of its own.
 * @throws InkstoneError `data_missing`; `run_locked` where another call trains the same part
 */
export async function benchImageQuality(options: ImageQualityOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const { only = COMPARED, seeds, signal, threads } = options;
  const budget = options.effort < 1 ? SMALL : BUDGET;
  const { batch, samples } = budget;
  const steps = options.steps ?? budget.steps;
  const data = await digitsFolder(options.data);
  const folder = await host.makeTemporaryFolder('inkstone-image-quality');
  const judging = await createBackend('cpu', { threads });
  let set: ImageSet | undefined;
  let network: FeatureNetwork | undefined;
  try {
    set = await prepareImages(data, {
      ...{ folder, size: 28, channels: 1 },
      progress: (done) => options.show(`preparing pictures: ${done}`),
    });
    if (options.pictures !== undefined) set = await firstOf(set, options.pictures, folder);
    network = await featureNetwork(undefined, data, set.info, judging);
    // Not the commit: hours of work outlive changes of what they do not touch. Each part says which one made it.
    const kept = new KeptWork('image-quality', {
      ...{ steps, batch, samples, threads, denoising: DENOISING },
      ...{ data: set.info.fingerprint, features: network.name },
    });
    const call = {
      ...{ options, kept, set, data, network, work: folder, budget: { steps, batch, samples } },
      judge: await trainingJudge(network, set),
    };
    const parts: Part[] = [];
    for (const preset of COMPARED.filter((id) => only.includes(id))) {
      const usual = options.effort < 1 || (preset !== PLAIN && preset !== NOISED) ? [1] : [1, 2, 3];
      for (const seed of seeds ?? usual) {
        const name = partName(preset, seed);
        const part = await kept.result(name, () => trainAndScore(preset, seed, call));
        if (preset === PLAIN || preset === NOISED)
          part.at_end =
            part.best_step === steps
              ? part.scores
              : await kept.result(`${name}-end`, () => scoreEnd(part, kept.run(name), call));
        parts.push(part);
        options.note(said(part));
        signal?.throwIfAborted();
      }
    }
    if (options.only === undefined && seeds === undefined) await kept.finish();
    return {
      bench: 'image-quality',
      commit: await commit(),
      machine: { ...host.machine(), threads, runtime: 'onnxruntime-node' },
      data: `MNIST (${set.info.count} pictures, SHA-256 ${set.info.fingerprint}), ${steps} steps of ${batch} pictures, ${samples} samples`,
      seconds: round((host.monotonic() - started) / 1000),
      cases: [...parts.map(distanceCase), ...comparison(parts)],
      table: parts.map(row),
    };
  } finally {
    await network?.close();
    await judging.close();
    await set?.close();
    await host.removeFile(folder);
  }
}

/** The first pictures of a set as one of their own; the whole one is closed. */
async function firstOf(whole: ImageSet, count: number, folder: string): Promise<ImageSet> {
  const part = path.join(folder, 'first');
  const about = JSON.parse(await host.readText(aboutFile(folder))) as ImageSetFile;
  const kept = Math.min(count, about.count);
  await host.makeFolder(part);
  await host.writeFile(pixelsFile(part), await whole.readRange(0, kept));
  await host.writeFile(
    aboutFile(part),
    JSON.stringify({
      ...about,
      ...{ count: kept, fingerprint: `${about.fingerprint}, the first ${kept}`, alike: [] },
      ...{ labels: about.labels.slice(0, kept), names: about.names.slice(0, kept) },
    }),
  );
  await whole.close();
  return ImageSet.open(part);
}

interface PartCall {
  options: ImageQualityOptions;
  kept: KeptWork;
  set: ImageSet;
  data: string;
  network: FeatureNetwork;
  judge: Awaited<ReturnType<typeof trainingJudge>>;
  /** A folder for prepared pictures. */
  work: string;
  budget: { steps: number; batch: number; samples: number };
}

/** A preset that changes makes its own parts anew, and no other's. */
const partName = (preset: string, seed: number): string => partOf(`${preset}-${seed}`, imagePreset(preset));

async function trainAndScore(preset: string, seed: number, call: PartCall): Promise<Part> {
  const { options, kept, set, data, network, work, budget } = call;
  const { signal } = options;
  const { steps, batch, samples } = budget;
  const out = kept.run(partName(preset, seed));
  const name = `${preset}, seed ${seed}`;
  const backend = await createBackend('cpu', {
    threads: options.threads,
    choices: path.join(out, 'convolutions.json'),
  });
  try {
    const result = await trainImages({
      ...{ preset: imagePreset(preset), data: set, out, backend, resume: true, denoising: DENOISING },
      ...(signal === undefined ? {} : { signal }),
      // Judged as often as in 6,000 steps, whatever the number: the best of three states is scored.
      training: {
        ...{ seed, steps, batch, evaluateEvery: Math.ceil(steps / 3), sampleEvery: 0 },
        ...(samples < 500 ? { evaluationSamples: samples } : {}),
      },
      judge: { name: `fid_${network.name}`, score: call.judge },
      report: ({ step, loss, remaining, phase }) =>
        options.show(
          `${name}: step ${step}/${steps}, loss ${loss.toFixed(3)}, ${phase === 'training' ? `${Math.round(remaining)} s left` : phase}`,
        ),
    });
    signal?.throwIfAborted();
    const begun = host.monotonic();
    const note = (what: string): void => {
      signal?.throwIfAborted();
      options.show(`${name}: ${what}`);
    };
    const scores = await scoreFolder(
      { data, work, folder: out, set, network, backend },
      { samples, denoising: DENOISING, note },
    );
    return {
      ...{ preset, seed, scores, parameters: result.parameters, best_step: result.bestStep },
      training_seconds: round(result.seconds),
      scoring_seconds: round((host.monotonic() - begun) / 1000),
      commit: await commit(),
    };
  } finally {
    await backend.close();
  }
}

/** Scores of the last state: of a folder that has no other. */
async function scoreEnd({ preset, seed }: Part, run: string, call: PartCall): Promise<ImageScores> {
  const { options, set, data, network, work, budget } = call;
  const folder = path.join(work, `${preset}-${seed}-end`);
  await host.makeFolder(path.join(folder, 'checkpoints'));
  for (const file of ['config.json', 'checkpoints/last.safetensors'])
    await host.copyFile(path.join(run, file), path.join(folder, file));
  const backend = await createBackend('cpu', {
    threads: options.threads,
    choices: path.join(run, 'convolutions.json'),
  });
  const note = (what: string): void => {
    options.signal?.throwIfAborted();
    options.show(`${preset}, seed ${seed}, at the end: ${what}`);
  };
  try {
    return await scoreFolder(
      { data, work, folder, set, network, backend },
      { samples: budget.samples, note },
    );
  } finally {
    await backend.close();
  }
}

/** MNIST's folder: the one that was named, or `image/` in it. */
async function digitsFolder(folder: string | undefined): Promise<string> {
  const base = folder ?? path.join(host.packageFolder, '..', 'shared', 'data');
  for (const place of [base, path.join(base, 'image')]) {
    const parts = [await findIdx(place, 'train'), await findIdx(place, 'test')];
    if (parts.every((part) => part !== undefined)) return place;
  }
  throw new InkstoneError('data_missing', `${base} has no digits`, {
    kind: 'missing',
    hint: "name the folder that holds MNIST's IDX files with --data",
  });
}

const scoreOf = (scores: ImageScores, score: string): number | undefined => {
  const value = scores[`${score}_${scores.features}`];
  return typeof value === 'number' ? value : undefined;
};

const fid = (scores: ImageScores): number => scoreOf(scores, 'fid') as number;

/** A line of the table by architecture. */
function row(part: Part): BenchRow {
  const { preset, seed, scores, parameters, best_step, training_seconds, scoring_seconds } = part;
  const named = (...names: string[]): BenchRow =>
    Object.fromEntries(names.map((name) => [name, rounded(scoreOf(scores, name))]));
  return {
    ...{ preset, seed },
    ...named('fid', 'kid', 'precision', 'recall', 'diversity', 'path_length_z'),
    class_accuracy: rounded(scores.class_accuracy as number | undefined),
    ...(part.at_end === undefined ? {} : { fid_at_end: rounded(fid(part.at_end)) }),
    ...{ parameters, best_step, training_seconds, scoring_seconds, commit: part.commit },
  };
}

const rounded = (value: number | undefined): number | null => (value === undefined ? null : round(value));

function said(part: Part): string {
  const { preset, seed, class_accuracy, training_seconds } = row(part);
  const scores = ['fid', 'kid', 'precision', 'recall'].map((name) => `${name} ${row(part)[name]}`);
  const right = class_accuracy === null ? '' : `, class accuracy ${class_accuracy}`;
  return `${preset}, seed ${seed}: ${scores.join(', ')}${right}; trained in ${training_seconds} s`;
}

/** Beside what as many real pictures get against real ones; of fewer the distance is larger, and no measure of this one. */
function distanceCase(part: Part): BenchCase {
  const { samples, floor_samples } = part.scores;
  const found = scoreOf(part.scores, 'fid_floor');
  const floor = floor_samples === samples ? found : undefined;
  return {
    case: `${part.preset}, seed ${part.seed}`,
    unit: `fid_${part.scores.features}`,
    better: 'lower',
    ours: round(fid(part.scores), 5),
    peer: floor === undefined ? null : round(floor, 5),
    peer_name: floor === undefined ? null : 'training pictures',
    peer_version: null,
    ratio: floor === undefined ? null : round(fid(part.scores) / floor),
    ...(floor !== undefined || found === undefined
      ? {}
      : { note: `${floor_samples} training pictures against the test pictures: ${found.toFixed(2)}` }),
  };
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** States that are compared, and what they are called. */
const STATES = [
  ['the best of three states', (part: Part) => part.scores],
  ['at the end', (part: Part) => part.at_end],
] as const;

/** Diffusion-GAN against the GAN, seed by seed; nothing where fewer than two seeds have both. */
function comparison(parts: readonly Part[]): BenchCase[] {
  return STATES.flatMap(([state, of]) => {
    const scored = (preset: string) =>
      parts.flatMap((part) => {
        const scores = part.preset === preset ? of(part) : undefined;
        return scores === undefined ? [] : [{ seed: part.seed, features: scores.features, fid: fid(scores) }];
      });
    const noised = scored(NOISED);
    const pairs = scored(PLAIN).flatMap((plain) => {
      const other = noised.find(({ seed }) => seed === plain.seed);
      return other === undefined ? [] : [{ plain: plain.fid, noised: other.fid, features: plain.features }];
    });
    const [first] = pairs;
    if (first === undefined || pairs.length < 2) return [];
    const { value, lower, upper } = studentInterval(pairs.map(({ plain, noised }) => plain - noised));
    const ours = mean(pairs.map(({ noised }) => noised));
    const theirs = mean(pairs.map(({ plain }) => plain));
    return {
      case: `${NOISED} against ${PLAIN}, ${state}, mean of ${pairs.length} seeds`,
      ...{ unit: `fid_${first.features}`, better: 'lower', peer_version: null },
      ...{ ours: round(ours, 5), peer: round(theirs, 5), peer_name: 'the same GAN without diffusion' },
      ratio: round(ours / theirs),
      note: `${PLAIN} less ${NOISED}: ${value.toFixed(3)}, 95 % from ${lower.toFixed(3)} to ${upper.toFixed(3)} (t, ${pairs.length - 1} degrees of freedom)`,
    };
  });
}
