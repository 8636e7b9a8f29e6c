/**
 * A training of pictures, from prepared pictures to a finished run folder: steps, sample sheets, judgement,
 * resume. How pictures are judged and drawn is handed in. Everything that can be refused is refused before the first step.
 */
import type { Trainable } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, makeFolder, now, removeFile, writeFile } from '../base/host.ts';
import { Permutation } from '../base/rng.ts';
import { read } from '../base/schema.ts';
import { type HostTensors, tensor } from '../base/tensor.ts';
import type { ImageSet, ImageSetInfo } from '../data/image/array-file.ts';
import { crop, jitter, mirror } from '../data/image/perturb.ts';
import { pictureMaker } from '../generate/image/any.ts';
import type { Denoising } from '../generate/image/diffusion.ts';
import type { PictureMaker, Pictures } from '../generate/image/request.ts';
import { classesOf, type ImageConfig, imageConfig } from '../models/image/any.ts';
import type { ImageTraining, ImageTrainingInput } from '../models/image/training.ts';
import type { AdversarialConfig } from '../nn/adversarial/config.ts';
import { QuickRandom } from '../nn/adversarial/draw.ts';
import type { Backend } from '../runtime/contract.ts';
import {
  checkImageStart,
  type ImageKind,
  imageKind,
  learningSpecs,
  readImageTraining,
  trainedParameters,
} from './image-kinds.ts';
import { type ImagePlan, overlapping, overlapTold } from './image-tuning.ts';
import { RunFolder } from './run-folder.ts';
import { type TrainOutcome, type TrainProgress, train } from './trainer.ts';

export interface ImageRunOptions {
  preset: ImagePlan;
  /** Prepared pictures of the preset's size. */
  data: ImageSet;
  out: string;
  backend: Backend;
  training?: Partial<ImageTrainingInput> | undefined;
  resume?: boolean;
  /** Overwrites a run that is there. */
  force?: boolean;
  /** Starting values, from another run: of both networks, as far as they fit. */
  from?: HostTensors | undefined;
  /** What the score is called, and the score of made pictures: the lower, the better. */
  judge: { name: string; score(pictures: Pictures): Promise<number> };
  /** How a denoiser makes the pictures that are judged and shown. */
  denoising?: Denoising;
  /** A sheet of pictures as a file's bytes; none where left out. */
  sheet?(pictures: Pictures): Promise<Uint8Array>;
  signal?: AbortSignal;
  report?(progress: TrainProgress): void;
  /** Told once: what was not taken from another run, that a run went back. */
  note?(text: string): void;
  provenance?: Record<string, unknown>;
}

/** config.json of a run folder: enough to repeat the run, and to make pictures. */
export interface ImageRunConfig {
  family: 'image';
  architecture: string;
  preset: string;
  model: ImageConfig;
  training: ImageTraining;
  data: Omit<ImageSetInfo, 'skipped' | 'alike'> & { skipped: number; alike: number };
  parameters: number;
  created: number;
  provenance: Record<string, unknown>;
}

export interface ImageRunResult extends TrainOutcome {
  /** What `validationLoss` and `bestValidationLoss` are. */
  score: string;
  parameters: number;
  out: string;
}

/** Pictures of a sample sheet. */
const SHEET = 64;
const SHEET_SEED = 1000;
const JUDGE_SEED = 99_000_000;

export async function trainImages(options: ImageRunOptions): Promise<ImageRunResult> {
  const folder = new RunFolder(options.out);
  const made = !(await exists(folder.path));
  await folder.open();
  const unlock = await folder.lock();
  try {
    const before = await folder.readJson<ImageRunConfig>('config.json');
    if (before !== undefined && options.resume !== true && options.force !== true)
      throw new InkstoneError('run_exists', `${options.out} holds a run already`, {
        kind: 'conflict',
        hint: 'go on with it (--resume), replace it (--force), or choose another --out',
      });
    const config = configOf(options, options.resume === true ? before : undefined);
    const from = startOf(options, config);
    checkImageStart(config.model, config.training, from);
    if (options.resume !== true || before === undefined) {
      await folder.clear();
      await removeFile(folder.file('samples'));
      await folder.writeJson('config.json', config);
    }
    const outcome = await run({ ...options, from }, folder, config);
    const result = { ...outcome, score: options.judge.name, parameters: config.parameters, out: options.out };
    await folder.writeJson('result.json', result);
    return result;
  } catch (thrown) {
    // Refused before there was a run: nothing is left behind.
    if (made && !(await folder.exists())) await removeFile(folder.path);
    throw thrown;
  } finally {
    await unlock();
  }
}

/** Another run's values as far as they fit. @throws InkstoneError `parameters_differ` */
function startOf(
  { from, note }: ImageRunOptions,
  { model, training }: ImageRunConfig,
): HostTensors | undefined {
  if (from === undefined) return undefined;
  const specs = learningSpecs(model, training as Partial<AdversarialConfig>).flat();
  // Of an autoencoder that a denoiser begins with nothing is the denoiser's.
  if (model.architecture === 'latent-ddpm' && specs.every(({ name }) => from[name] === undefined))
    return from;
  const overlap = overlapping(specs, from, training.seed);
  const told = overlapTold(overlap);
  if (told !== undefined) note?.(`of the model to start from: ${told}`);
  return { ...from, ...overlap.values };
}

function configOf(options: ImageRunOptions, before: ImageRunConfig | undefined): ImageRunConfig {
  const { preset, data } = options;
  const model = read(imageConfig, {
    ...preset.model,
    classes: preset.labels ? data.info.classes.length : 0,
  });
  if (data.info.size !== model.size || data.info.channels !== model.channels)
    throw new InkstoneError(
      'image_size',
      `the pictures are [${data.info.channels}, ${data.info.size}, ${data.info.size}], the model's [${model.channels}, ${model.size}, ${model.size}]`,
      { kind: 'usage', hint: 'prepare them at the size of the preset' },
    );
  const training = readImageTraining(model.architecture, {
    ...preset.training,
    ...options.training,
    // What is gone on from has its size: it does not begin small again.
    ...(options.from === undefined ? {} : { growth: undefined }),
  } as ImageTrainingInput);
  if (data.info.count < training.batch)
    throw new InkstoneError(
      'data_too_little',
      `${data.info.count} pictures do not fill a batch of ${training.batch}`,
      {
        kind: 'data',
        hint: `give more pictures, or a smaller batch (--batch)`,
      },
    );
  const { skipped, alike, ...info } = data.info;
  const config: ImageRunConfig = {
    family: 'image',
    architecture: model.architecture,
    preset: preset.id,
    model,
    training,
    data: { ...info, skipped: skipped.length, alike: alike.length },
    parameters: trainedParameters(model),
    created: before?.created ?? Math.floor(now() / 1000),
    provenance: before?.provenance ?? options.provenance ?? {},
  };
  if (before === undefined) return config;
  // What is only told of the data, as how many look alike, may be told otherwise by now.
  const told = ({ model, training, data }: ImageRunConfig) => ({ model, training, data: data.fingerprint });
  for (const part of ['model', 'training', 'data'] as const)
    if (JSON.stringify(told(before)[part]) !== JSON.stringify(told(config)[part]))
      throw new InkstoneError(
        part === 'data' ? 'data_differs' : 'settings_differ',
        `the ${part} ${part === 'data' ? 'are' : 'is'} not what this run was started with`,
        { kind: 'conflict', hint: 'resume with the same settings and data, or start a new run' },
      );
  return config;
}

async function run(
  options: ImageRunOptions,
  folder: RunFolder,
  config: ImageRunConfig,
): Promise<TrainOutcome> {
  const { backend, data, judge } = options;
  const { model, training } = config;
  const kind = await imageKind(backend, model, training, options.from);
  const classes = classesOf(model);
  const making = async <T>(from: Trainable, work: (maker: PictureMaker) => Promise<T>): Promise<T> => {
    const maker = pictureMaker(model, backend, await from.parameters(), options.denoising);
    try {
      return await work(maker);
    } finally {
      await maker.close();
    }
  };
  const pictures = (count: number, first: number) => (maker: PictureMaker) =>
    maker.make({
      seeds: Array.from({ length: count }, (_, i) => first + i),
      ...(classes > 0 ? { labels: Array.from({ length: count }, (_, i) => i % classes) } : {}),
    });
  const sheet = options.sheet;
  try {
    return await train({
      folder,
      trainable: kind.trainable,
      config: { ...training, patience: 0 },
      batch: (step, attempt) => batchOf(data, config, kind, step, attempt),
      score: judge.name,
      ...{ wholeAfter: kind.wholeAfter, work: kind.work },
      evaluate: (from) =>
        making(from, async (maker) =>
          judge.score(await pictures(training.evaluationSamples, JUDGE_SEED)(maker)),
        ),
      ...(sheet === undefined
        ? {}
        : {
            sample: async (from: Trainable, step: number) => {
              const file = `samples/step-${String(step).padStart(7, '0')}.png`;
              await makeFolder(folder.file('samples'));
              const bytes = await making(from, async (maker) =>
                sheet(await pictures(SHEET, SHEET_SEED)(maker)),
              );
              await writeFile(folder.file(file), bytes);
              return { file };
            },
          }),
      ...(kind.astray === undefined ? {} : { astray: kind.astray }),
      rollbacks: kind.rollbacks,
      wentBack: ({ why, from, step, rollbacks, most }) =>
        options.note?.(
          `step ${from}: ${why}; back to step ${step} on another course (${rollbacks} of ${most})`,
        ),
      tokensPerStep: training.batch,
      resume: options.resume === true,
      keepStart: options.from !== undefined,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.report === undefined ? {} : { report: options.report }),
    });
  } finally {
    await kind.trainable.close();
  }
}

/** Pictures −1 … 1 in the order of a permutation anew for each pass, perturbed at random as the training says. */
async function batchOf(
  data: ImageSet,
  { model, training }: ImageRunConfig,
  kind: ImageKind,
  step: number,
  attempt: number,
): Promise<HostTensors> {
  const { seed, flip, crop: cropped = 0, jitter: jittered = 0 } = training;
  const { rows } = kind;
  const { count } = data.info;
  const places = Array.from({ length: rows }, (_, i) => {
    const at = step * rows + i;
    return new Permutation(count, seed, 'pictures', Math.floor(at / count)).at(at % count);
  });
  const bytes = await data.read(places);
  const values = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) values[i] = (bytes[i] as number) / 127.5 - 1;
  const pictures = { values, rows, channels: model.channels, size: model.size };
  const chance = (of: string): (() => number) => {
    const random = new QuickRandom(seed, of, step);
    return () => random.uniform();
  };
  if (flip) mirror(pictures, chance('flip'));
  if (cropped > 0) crop(pictures, cropped, chance('crop'));
  if (jittered > 0) jitter(pictures, jittered, chance('jitter'));
  const labels = tensor(
    'i32',
    [rows],
    places.map((place) => data.labels[place] as number),
  );
  const images = tensor('f32', [rows, model.channels, model.size, model.size], values);
  return kind.batch(images, classesOf(model) > 0 ? labels : undefined, step, attempt);
}
