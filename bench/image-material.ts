/**
 * The networks of pictures that benchmarks time, and the files that all participants read: the same initial parameters,
 * and the random numbers that our own training draws at each step. Measures nothing.
 */
import path from 'node:path';
import * as host from '../src/base/host.ts';
import { Random } from '../src/base/rng.ts';
import { bytesOf, type HostTensor, type HostTensors, tensor } from '../src/base/tensor.ts';
import { type ImageConfig, imageConfig, imageParameters } from '../src/models/image/any.ts';
import { adversarialImageConfig, adversarialImageModel } from '../src/models/image/architectures.ts';
import { drawDiffusion, scheduleOf } from '../src/models/image/diffusion.ts';
import { imagePreset } from '../src/models/image/presets.ts';
import { QuickRandom } from '../src/nn/adversarial/draw.ts';
import { LENGTH } from '../src/nn/adversarial/programs.ts';
import { initialise } from '../src/nn/parameters.ts';
import type { PictureSettings, StepInputs, TensorList, Work } from './protocol.ts';

export const SEED = 1;

export interface PictureCase {
  model: ImageConfig;
  batch: number;
  settings: PictureSettings;
}

const PAIR = {
  generatorRate: 2e-3,
  criticRate: 2e-3,
  optimiser: { beta1: 0, beta2: 0.99, epsilon: 1e-8 },
  averageHalfLife: 10_000,
};
const ALONE = {
  learningRate: 2e-3,
  optimiser: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 },
  clip: 1,
  ema: 0.998,
};

const mnist = (preset: string): ImageConfig =>
  imageConfig.parse({ ...imagePreset(preset).model, classes: 10 });
const stylegan = imageConfig.parse({
  ...{ architecture: 'stylegan2', size: 32, channels: 3, latent: 64, width: 32, widest: 128 },
});
const tiny = { size: 8, channels: 1, width: 4, widest: 8, latent: 4, classes: 3 };

/** Penalties come every few steps only: the plain step is one case, the step with them another. */
export const PICTURE_CASES = {
  'mnist-cgan': { model: mnist('mnist-cgan'), batch: 32, settings: { ...PAIR, r1: 0, pathLength: 0 } },
  'mnist-cgan-penalised': {
    model: mnist('mnist-cgan'),
    batch: 32,
    settings: { ...PAIR, r1: 16, pathLength: 0 },
  },
  'stylegan2-32': { model: stylegan, batch: 16, settings: { ...PAIR, r1: 0, pathLength: 0 } },
  'stylegan2-32-penalised': { model: stylegan, batch: 16, settings: { ...PAIR, r1: 16, pathLength: 8 } },
  'mnist-ddpm': { model: mnist('mnist-ddpm'), batch: 32, settings: ALONE },
  'tiny-gan': {
    model: imageConfig.parse({ architecture: 'gan', ...tiny }),
    batch: 4,
    settings: { ...PAIR, r1: 1, pathLength: 0 },
  },
  'tiny-stylegan2': {
    model: imageConfig.parse({ architecture: 'stylegan2', ...tiny, classes: 0, style: 4 }),
    batch: 4,
    settings: { ...PAIR, r1: 1, pathLength: 1 },
  },
  'tiny-ddpm': {
    model: imageConfig.parse({ architecture: 'ddpm', ...tiny, steps: 20 }),
    batch: 4,
    settings: ALONE,
  },
} satisfies Record<string, PictureCase>;
export type PictureCaseName = keyof typeof PICTURE_CASES;

/** Of all networks that train, or of what makes pictures alone. */
export async function writePictureParameters(
  folder: string,
  name: string,
  model: ImageConfig,
  making = false,
): Promise<TensorList> {
  const { data: pairConfig } = adversarialImageConfig.safeParse(model);
  const pair =
    pairConfig !== undefined && !making ? adversarialImageModel(pairConfig, { name: 'none' }) : undefined;
  const specs = pair === undefined ? imageParameters(model) : [...pair.generator.specs, ...pair.critic.specs];
  const values = initialise(specs, SEED);
  const file = path.join(folder, `${name}${making ? '-making' : ''}.parameters`);
  await host.writeFile(file, Buffer.concat(specs.map((spec) => bytesOf(values[spec.name] as HostTensor))));
  return { file, tensors: specs.map(({ name: own, shape }) => ({ name: own, shape })) };
}

async function writeSteps(file: string, steps: readonly HostTensors[]): Promise<StepInputs> {
  const entries = Object.entries(steps[0] as HostTensors);
  const parts = steps.flatMap((step) => entries.map(([name]) => bytesOf(step[name] as HostTensor)));
  await host.writeFile(file, Buffer.concat(parts));
  const tensors = entries.map(([name, { dtype, shape }]) => ({ name, dtype: dtype as 'f32' | 'i32', shape }));
  return { file, count: steps.length, tensors };
}

const named = (prefix: string, values: HostTensors): HostTensors =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}/${name}`, value]));

/** Made-up pictures and labels, and beside them what our training draws itself at each step, for the others. */
export async function writeTrainingSteps(
  folder: string,
  name: string,
  { model, batch, settings }: PictureCase,
  count: number,
): Promise<StepInputs> {
  const { channels, size } = model;
  const classes = model.architecture === 'vae' ? 0 : model.classes;
  const shape = [batch, channels, size, size];
  const pixels = shape.reduce((a, b) => a * b, 1);
  const steps = Array.from({ length: count }, (_, step): HostTensors => {
    const random = new Random(SEED, 'bench pictures', step);
    const images = tensor(
      'f32',
      shape,
      Float32Array.from({ length: pixels }, () => random.uniform() * 2 - 1),
    );
    const labels = tensor(
      'i32',
      [batch],
      Int32Array.from({ length: batch }, () => random.integer(Math.max(1, classes))),
    );
    if (model.architecture === 'ddpm')
      return { images, ...drawDiffusion(model, new QuickRandom(SEED, 'step', step), batch, labels.data) };
    return {
      real: images,
      ...(classes > 0 ? { real_labels: labels } : {}),
      ...drawnByPair(model as Parameters<typeof adversarialImageModel>[0], batch, settings, step, labels),
    };
  });
  return writeSteps(path.join(folder, `${name}.steps`), steps);
}

/** As nn/adversarial/trainable.ts draws it; were it not the same, the losses would differ and the benchmark fail. */
function drawnByPair(
  config: Parameters<typeof adversarialImageModel>[0],
  batch: number,
  settings: PictureSettings,
  step: number,
  labels: HostTensor<'i32'>,
): HostTensors {
  const { generator, shape, classes } = adversarialImageModel(config, { name: 'none' });
  const labelled = (rows: number): HostTensors =>
    classes > 0 ? { labels: tensor('i32', [rows], labels.data.slice(0, rows)) } : {};
  const critic = new QuickRandom(SEED, 'critic 0', step);
  const own = new QuickRandom(SEED, 'generator 0', step);
  const made = {
    ...named('critic', { ...generator.draw(critic, batch), ...labelled(batch) }),
    ...named('generator', { ...generator.draw(own, batch), ...labelled(batch) }),
  };
  if (!('pathLength' in settings) || settings.pathLength === 0) return made;
  const part = Math.floor(batch / 2);
  const latents = { ...generator.draw(own, part), ...labelled(part) };
  const all = [part, ...shape];
  const directions = tensor('f32', all, own.normals(all.reduce((a, b) => a * b, 1)));
  return { ...made, ...named(LENGTH.replace('.', ''), { ...latents, directions }) };
}

/** Denoising steps and guidance of the sampling that is timed: what `generate` does where nobody says otherwise. */
const SAMPLING = { steps: 50, guidance: 1.5 };

/** What the seeds 0 … batch − 1 stand for, and their labels in turn. */
export async function makingWork(
  folder: string,
  name: string,
  model: ImageConfig,
  batch: number,
): Promise<Work> {
  const common = {
    work: 'generate-image' as const,
    model: model as Record<string, unknown>,
    batch,
    parameters: await writePictureParameters(folder, name, model, true),
  };
  const file = path.join(folder, `${name}-${batch}.making`);
  const labels = tensor('i32', [batch], pictureLabels(model, batch));
  const rows = Array.from({ length: batch }, (_, seed) => new QuickRandom(seed, 'picture'));
  if (model.architecture === 'ddpm') {
    const shape = [batch, model.channels, model.size, model.size];
    const stride = model.channels * model.size * model.size;
    const noise = tensor('f32', shape, new Float32Array(batch * stride));
    rows.forEach((random, i) => noise.data.set(random.normals(stride), i * stride));
    const steps = Math.min(SAMPLING.steps, model.steps);
    const times = Array.from(
      { length: steps },
      (_, i) => Math.round(((steps - i) * model.steps) / steps) - 1,
    );
    const { signal, noise: amount } = scheduleOf(model);
    return {
      ...common,
      inputs: await writeSteps(file, [{ noise, labels }]),
      sampling: {
        ...{ steps, guidance: SAMPLING.guidance, times },
        signal: times.map((t) => signal[t] as number),
        noise: times.map((t) => amount[t] as number),
      },
    };
  }
  const { generator } = adversarialImageModel(model as Parameters<typeof adversarialImageModel>[0], {
    name: 'none',
  });
  const each = rows.map((random) => generator.draw(random, 1));
  const joined = Object.fromEntries(
    Object.entries(each[0] as HostTensors).map(([key, first]) => [
      key,
      {
        ...first,
        shape: [batch, ...first.shape.slice(1)],
        data: concatenated(each.map((one) => (one[key] as HostTensor<'f32'>).data)),
      } as HostTensor,
    ]),
  );
  // A picture's own style throughout.
  if (joined.crossover !== undefined)
    joined.crossover = tensor('i32', [batch], new Int32Array(batch).fill(2 ** 30));
  return { ...common, inputs: await writeSteps(file, [{ ...joined, labels }]) };
}

export const pictureLabels = (model: ImageConfig, batch: number): Int32Array<ArrayBuffer> =>
  Int32Array.from({ length: batch }, (_, i) =>
    model.architecture === 'vae' ? 0 : i % Math.max(1, model.classes),
  );

function concatenated(parts: readonly (Float32Array | Int32Array)[]): Float32Array | Int32Array {
  const size = parts.reduce((total, part) => total + part.length, 0);
  const all = parts[0] instanceof Int32Array ? new Int32Array(size) : new Float32Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
