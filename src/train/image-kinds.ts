/**
 * What trains an image model, by its architecture: a pair of networks, a denoiser, or an autoencoder; and what each takes of
 * a batch of pictures. Knows no files and no clock.
 */
import type { StepResult, Trainable } from '../base/contracts/trainable.ts';
import { read } from '../base/schema.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import type { ImageConfig } from '../models/image/any.ts';
import { adversarialImageModel } from '../models/image/architectures.ts';
import { diffusionEvaluate, diffusionLoss, drawDiffusion, unetConfig } from '../models/image/diffusion.ts';
import {
  type ImageTraining,
  type ImageTrainingInput,
  type OneLossImageTraining,
  oneLossImageTraining,
} from '../models/image/training.ts';
import { unetSpecs } from '../models/image/unet.ts';
import { vaeEvaluate, vaeLoss, vaeSpecs } from '../models/image/vae.ts';
import { type AdversarialConfig, adversarialConfig } from '../nn/adversarial/config.ts';
import { QuickRandom } from '../nn/adversarial/draw.ts';
import type { learned } from '../nn/adversarial/programs.ts';
import { createAdversarial } from '../nn/adversarial/trainable.ts';
import { countParameters } from '../nn/parameters.ts';
import { createTrainable } from '../nn/trainable.ts';
import type { Backend } from '../runtime/contract.ts';

export interface ImageKind {
  trainable: Trainable;
  /** Pictures of one step. */
  rows: number;
  rollbacks: number;
  /** What the trainable takes, from `rows` pictures −1 … 1 and their labels. */
  batch(images: HostTensor, labels: HostTensor | undefined, step: number, attempt: number): HostTensors;
  astray?(result: StepResult, step: number): string | undefined;
}

/** @throws InkstoneError `setting_invalid` */
export function readImageTraining(
  architecture: ImageConfig['architecture'],
  training: ImageTrainingInput,
): ImageTraining {
  const alone = architecture === 'ddpm' || architecture === 'vae';
  return alone ? read(oneLossImageTraining, training) : read(adversarialConfig, training);
}

/** Of all networks that are trained. */
export function trainedParameters(model: ImageConfig): number {
  if (model.architecture === 'ddpm') return countParameters(unetSpecs(unetConfig(model)));
  if (model.architecture === 'vae') return countParameters(vaeSpecs(model));
  const { generator, critic } = adversarialImageModel(model, { name: 'none' });
  return countParameters([...generator.specs, ...critic.specs]);
}

export async function imageKind(
  backend: Backend,
  model: ImageConfig,
  training: ImageTraining,
  from: HostTensors | undefined,
): Promise<ImageKind> {
  if (model.architecture === 'ddpm' || model.architecture === 'vae')
    return alone(backend, model, training as OneLossImageTraining, from);
  return pair(backend, model, training as AdversarialConfig, from);
}

async function pair(
  backend: Backend,
  model: Exclude<ImageConfig, { architecture: 'ddpm' | 'vae' }>,
  training: AdversarialConfig,
  from: HostTensors | undefined,
): Promise<ImageKind> {
  const trainable = await createAdversarial({
    name: model.architecture,
    backend,
    model: adversarialImageModel(model, training.augment),
    config: training,
    ...(from === undefined ? {} : { parameters: from }),
  });
  return {
    trainable,
    rows: training.batch * training.criticSteps,
    rollbacks: training.rollbacks,
    batch: (images, labels, _, attempt) => ({
      real: images,
      ...(model.classes > 0 && labels !== undefined ? { real_labels: labels } : {}),
      attempt: tensor('i32', [1], [attempt]),
    }),
    astray: (result, step) => astray(result, step, training.steps),
  };
}

async function alone(
  backend: Backend,
  model: Extract<ImageConfig, { architecture: 'ddpm' | 'vae' }>,
  training: OneLossImageTraining,
  from: HostTensors | undefined,
): Promise<ImageKind> {
  const { batch, seed } = training;
  const isDenoiser = model.architecture === 'ddpm';
  const program = isDenoiser ? diffusionLoss(model, batch) : vaeLoss(model, batch);
  const evaluate = isDenoiser ? diffusionEvaluate(model, batch) : vaeEvaluate(model, batch);
  const trainable = await createTrainable({
    name: model.architecture,
    backend,
    model: program,
    evaluate,
    config: { ...training, context: 1, patience: 0 },
    ...(from === undefined ? {} : { parameters: fitting(program.specs, from) }),
  });
  return {
    trainable,
    rows: batch,
    rollbacks: 0,
    batch(images, labels, step) {
      const random = new QuickRandom(seed, 'step', step);
      if (isDenoiser)
        return { images, ...drawDiffusion(model, random, batch, labels?.data as Int32Array | undefined) };
      const noise = tensor('f32', [batch, model.latent], random.normals(batch * model.latent));
      return { images, noise };
    },
  };
}

/** Those of another run's parameters that this model has. */
const fitting = (specs: Parameters<typeof learned>[0], from: HostTensors): HostTensors =>
  Object.fromEntries(specs.map(({ name }) => [name, from[name] as HostTensor]));

/** A step's deviation of pixels over the batch below this: every latent gives the same picture. */
const COLLAPSED = 0.02;
/** Scores beyond this: the critic no longer tells anything. */
const EXPLODED = 1e4;

/** What can be seen of a game that is lost. */
export function astray({ metrics = {} }: StepResult, step: number, steps: number): string | undefined {
  const { spread, real_score: real, fake_score: fake } = metrics;
  const wild = [real, fake].find((score) => score !== undefined && !(Math.abs(score) < EXPLODED));
  if (wild !== undefined) return `the critic's scores exploded (${wild})`;
  // At the very start all pictures are grey.
  if (step < Math.min(300, steps / 4) || spread === undefined || spread >= COLLAPSED) return undefined;
  return `the generator collapsed: its pictures differ by ${spread.toFixed(4)} only`;
}
