/**
 * A feature network for pictures of one's own: the LeNet-like classifier learns from labelled pictures, and what it sees
 * before its last layer is what scores are computed on. A tenth is kept apart to judge it. Knows no score.
 */
import { createHash } from 'node:crypto';
import { InkstoneError } from '../base/errors.ts';
import { exists, now, removeFile, writeFile } from '../base/host.ts';
import { Permutation } from '../base/rng.ts';
import { read } from '../base/schema.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import type { ImageSet } from '../data/image/array-file.ts';
import { writeSafetensors } from '../formats/safetensors.ts';
import {
  type LenetConfig,
  lenetConfig,
  lenetEvaluate,
  lenetLoss,
  lenetParameters,
  lenetProgram,
} from '../models/image/lenet.ts';
import { countParameters } from '../nn/parameters.ts';
import { createTrainable } from '../nn/trainable.ts';
import { type TrainingConfig, trainingConfig } from '../nn/training-config.ts';
import type { Backend } from '../runtime/contract.ts';
import { overlapping } from './image-tuning.ts';
import { goesOn } from './resume.ts';
import { RunFolder } from './run-folder.ts';
import { type TrainOutcome, type TrainProgress, train } from './trainer.ts';

/** The network in its run folder, for `--features`. */
export const FEATURES_FILE = 'features.safetensors';

export interface FeaturesOptions {
  /** With classes. */
  data: ImageSet;
  /** What the data are called in messages. */
  name: string;
  out: string;
  backend: Backend;
  training?: Partial<TrainingConfig>;
  /** Weights of another such network: what fits is taken, the rest begins anew. */
  from?: HostTensors | undefined;
  resume?: boolean;
  force?: boolean;
  signal?: AbortSignal;
  report?(progress: TrainProgress): void;
  provenance?: Record<string, unknown>;
}

export interface FeaturesResult extends TrainOutcome {
  out: string;
  /** What it is called in a score's name, until it has learned to the end. */
  features: string | undefined;
  file: string | undefined;
  classes: readonly string[];
  parameters: number;
  /** Pictures that were learned from, and those kept apart. */
  pictures: number;
  kept: number;
  /** Share of the pictures kept apart that it tells the class of. */
  accuracy: number | undefined;
}

const BATCH = 64;
const LEAST = 20;

/** Twenty passes, at most two thousand steps: enough for small pictures. */
const settings = (options: FeaturesOptions, count: number): TrainingConfig => {
  const batch = options.training?.batch ?? Math.min(BATCH, count);
  const steps = options.training?.steps ?? Math.min(2000, Math.max(60, Math.ceil((20 * count) / batch)));
  return read(trainingConfig, {
    ...{ learningRate: 1e-3, optimiser: { name: 'adamw', weightDecay: 0.01 } },
    schedule: { name: 'linear', warmup: Math.min(50, Math.ceil(steps / 10)), decay: 0.7, floor: 0 },
    evaluateEvery: Math.max(1, Math.ceil(steps / 4)),
    checkpointEvery: Math.max(1, Math.min(500, Math.ceil(steps / 4))),
    ...options.training,
    ...{ batch, steps, sampleEvery: 0, context: 1, patience: 0 },
  });
};

/** @throws InkstoneError `labels_missing`, `pictures_too_few`, `parameters_differ`, `run_exists`, `data_differs`, `config_differs` */
export async function trainFeatures(options: FeaturesOptions): Promise<FeaturesResult> {
  const { data, backend, name } = options;
  const { info } = data;
  if (info.classes.length < 2)
    throw new InkstoneError('labels_missing', `${name} has no classes to tell apart`, {
      kind: 'data',
      hint: 'give each class a folder of its own, or list every picture in labels.csv',
    });
  if (info.count < LEAST)
    throw new InkstoneError('pictures_too_few', `${name} has ${info.count} pictures`, {
      kind: 'data',
      hint: `a feature network learns from ${LEAST} at least, better from thousands`,
    });
  const kept = Math.ceil(info.count / 10);
  const training = settings(options, info.count - kept);
  const model = lenetConfig.parse({
    ...{ architecture: 'lenet', size: info.size, channels: info.channels, classes: info.classes.length },
  });
  const parameters = countParameters(lenetParameters(model));
  const folder = new RunFolder(options.out);
  const made = !(await exists(folder.path));
  await folder.open();
  const unlock = await folder.lock();
  try {
    const { fingerprint } = info;
    const resume = await goesOn(folder, options, { data: name, fingerprint, training, model });
    if (!resume) {
      await folder.clear();
      await folder.writeJson('config.json', {
        ...{ family: 'image', architecture: 'lenet', task: 'features', model, training, parameters },
        data: { fingerprint, count: info.count, kept, classes: info.classes },
        ...{ created: Math.floor(now() / 1000), provenance: options.provenance ?? {} },
      });
    }
    const { from } = options;
    const trainable = await createTrainable({
      ...{ name: 'lenet', backend, config: training },
      model: lenetLoss(model, training.batch),
      evaluate: lenetEvaluate(model),
      ...(from === undefined
        ? {}
        : { parameters: overlapping(lenetParameters(model), from, training.seed).values }),
    });
    try {
      const places = new Permutation(info.count, training.seed, 'kept pictures');
      const outcome = await train({
        ...{ folder, trainable, config: training, resume, keepStart: from !== undefined },
        tokensPerStep: training.batch,
        batch: (step) => batchOf(data, learned(places, step, training, info.count, kept)),
        evaluate: () => meanLoss(options, trainable, places, kept, training.batch),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...(options.report === undefined ? {} : { report: options.report }),
      });
      const facts = {
        out: options.out,
        classes: info.classes,
        parameters,
        pictures: info.count - kept,
        kept,
      };
      const whole =
        outcome.state === 'succeeded'
          ? await written(options, model, await trainable.parameters(), places, kept)
          : { features: undefined, file: undefined, accuracy: undefined };
      const result = { ...outcome, ...facts, ...whole };
      await folder.writeJson('result.json', result);
      return result;
    } finally {
      await trainable.close();
    }
  } catch (thrown) {
    if (made && !(await folder.exists())) await removeFile(folder.path);
    throw thrown;
  } finally {
    await unlock();
  }
}

/** Places of a step's pictures; the first `kept` of the order are never among them. */
function learned(
  places: Permutation,
  step: number,
  { batch, seed }: TrainingConfig,
  count: number,
  kept: number,
): number[] {
  const rest = count - kept;
  return Array.from({ length: batch }, (_, i) => {
    const at = step * batch + i;
    return places.at(kept + new Permutation(rest, seed, 'pass', Math.floor(at / rest)).at(at % rest));
  });
}

async function batchOf(data: ImageSet, places: readonly number[]): Promise<HostTensors> {
  const { channels, size } = data.info;
  const images = Float32Array.from(await data.read(places), (value) => value / 255);
  return {
    images: tensor('f32', [places.length, channels, size, size], images),
    labels: tensor(
      'i32',
      [places.length],
      places.map((place) => data.labels[place] as number),
    ),
  };
}

/** The pictures kept apart, a batch at a time. */
async function* apart(data: ImageSet, places: Permutation, kept: number, batch: number) {
  for (let first = 0; first < kept; first += batch)
    yield await batchOf(
      data,
      Array.from({ length: Math.min(batch, kept - first) }, (_, i) => places.at(first + i)),
    );
}

async function meanLoss(
  { data, signal }: FeaturesOptions,
  trainable: Awaited<ReturnType<typeof createTrainable>>,
  places: Permutation,
  kept: number,
  batch: number,
): Promise<number> {
  let [total, count] = [0, 0];
  for await (const part of apart(data, places, kept, batch)) {
    signal?.throwIfAborted();
    const rows = part.labels?.shape[0] as number;
    const weights = tensor('f32', [rows], new Float32Array(rows).fill(1));
    const loss = await trainable.evaluate({ ...part, weights });
    total += loss.total;
    count += loss.count;
  }
  return total / count;
}

/** The network as a file that scores can be computed with, named after its own bytes, and how many classes it tells. */
async function written(
  { data, out, backend }: FeaturesOptions,
  model: LenetConfig,
  weights: HostTensors,
  places: Permutation,
  kept: number,
): Promise<{ features: string; file: string; accuracy: number }> {
  const network = await backend.compile(lenetProgram(model), { constants: weights });
  let right = 0;
  try {
    for await (const { images, labels } of apart(data, places, kept, 200)) {
      const { logits } = await network.run({ inputs: { images: images as HostTensor } });
      const values = (logits as HostTensor<'f32'>).data;
      ((labels as HostTensor<'i32'>).data as Int32Array).forEach((label, row) => {
        const own = values.subarray(row * model.classes, (row + 1) * model.classes);
        if (own.indexOf(Math.max(...own)) === label) right++;
      });
    }
  } finally {
    await network.free();
  }
  const digest = createHash('sha256').update(writeSafetensors(weights)).digest('hex');
  const features = `lenet_${digest.slice(0, 8)}`;
  const file = `${out}/${FEATURES_FILE}`;
  await writeFile(
    file,
    writeSafetensors(weights, { architecture: 'lenet', name: features, size: String(model.size) }),
  );
  return { features, file, accuracy: right / kept };
}
