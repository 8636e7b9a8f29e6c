/**
 * What trains an image model, by its architecture: a pair of networks, a denoiser, or an autoencoder; and what each takes of
 * a batch of pictures. Knows no files and no clock.
 */
import type { StepResult, Trainable } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { read } from '../base/schema.ts';
import { type HostTensor, type HostTensors, sizeOf, tensor } from '../base/tensor.ts';
import type { ImageConfig } from '../models/image/any.ts';
import { adversarialImageModel } from '../models/image/architectures.ts';
import { diffusionEvaluate, diffusionLoss, drawDiffusion, unetConfig } from '../models/image/diffusion.ts';
import {
  drawLatentDiffusion,
  type LatentDiffusionConfig,
  latentDenoiserSpecs,
  latentDiffusionEvaluate,
  latentDiffusionLoss,
} from '../models/image/latent-diffusion.ts';
import {
  type ImageTraining,
  type ImageTrainingInput,
  type OneLossImageTraining,
  oneLossImageTraining,
} from '../models/image/training.ts';
import { unetSpecs } from '../models/image/unet.ts';
import { latentShape, vaeEvaluate, vaeLoss, vaeSpecs } from '../models/image/vae.ts';
import { type AdversarialConfig, adversarialConfig } from '../nn/adversarial/config.ts';
import { QuickRandom } from '../nn/adversarial/draw.ts';
import { learned } from '../nn/adversarial/programs.ts';
import { createAdversarial } from '../nn/adversarial/trainable.ts';
import { countParameters, initialise, type ParameterSpec, parameterTypes } from '../nn/parameters.ts';
import type { LossProgram } from '../nn/train-step.ts';
import { createTrainable } from '../nn/trainable.ts';
import type { Backend } from '../runtime/contract.ts';
import { createGrowing, stagesOf, workBefore } from './image-growth.ts';

/** Networks that minimise one loss by themselves. */
type Alone = 'ddpm' | 'latent-ddpm' | 'vae';
const ALONE: readonly string[] = ['ddpm', 'latent-ddpm', 'vae'] satisfies Alone[];
export const isAlone = (architecture: string): boolean => ALONE.includes(architecture);

export interface ImageKind {
  trainable: Trainable;
  /** Pictures of one step. */
  rows: number;
  rollbacks: number;
  /** Of a pair that grows: the last step before it has its full size. */
  wholeAfter?: number;
  /** Work of the steps before one, where steps differ. */
  work?: (step: number) => number;
  /** What the trainable takes, from `rows` pictures −1 … 1 and their labels. */
  batch(images: HostTensor, labels: HostTensor | undefined, step: number, attempt: number): HostTensors;
  astray?(result: StepResult, step: number): string | undefined;
}

/** @throws InkstoneError `setting_invalid` */
export const readImageTraining = (
  architecture: ImageConfig['architecture'],
  training: ImageTrainingInput,
): ImageTraining =>
  isAlone(architecture) ? read(oneLossImageTraining, training) : read(adversarialConfig, training);

/** @throws InkstoneError `layer_unknown`, `nothing_learns`, `autoencoder_missing`: what would be refused when the networks are made */
export function checkImageStart(
  model: ImageConfig,
  training: ImageTraining,
  from: HostTensors | undefined,
): void {
  if (model.architecture === 'latent-ddpm') {
    const missing = vaeSpecs(model.autoencoder).find(
      ({ name, shape }) => from?.[name]?.shape.join() !== shape.join(),
    );
    if (missing !== undefined)
      throw new InkstoneError(
        'autoencoder_missing',
        `there is no autoencoder's "${missing.name}" to start from`,
        {
          kind: 'usage',
          hint: 'name the run of an autoencoder with a latent map: --from RUN (preset mnist-vae-map)',
        },
      );
  }
  requireLayers(model, training);
  if (!isAlone(model.architecture)) stagesOf(model, training as AdversarialConfig);
}

/** That all that is to be frozen is there, and something else, too. @throws InkstoneError `layer_unknown`, `nothing_learns` */
export function requireLayers(model: ImageConfig, training: ImageTraining): void {
  const { frozen = [] } = training;
  if (frozen.length === 0) return;
  const networks = learningSpecs(model, training as Partial<AdversarialConfig>);
  const names = networks.flat().map(({ name }) => name);
  const strange = frozen.find((start) => !names.some((name) => name.startsWith(start)));
  const layers = new Set(names.map((name) => name.replace(/\.[a-z]+$/, '')));
  if (strange !== undefined)
    throw new InkstoneError('layer_unknown', `no layer's name begins with "${strange}"`, {
      kind: 'usage',
      hint: `the layers are ${[...layers].join(', ')}`,
    });
  const still = networks.find((specs) => learned(specs, frozen).length === 0);
  if (still === undefined) return;
  const [network] = (still[0] as ParameterSpec).name.split('.');
  throw new InkstoneError(
    'nothing_learns',
    networks.length === 1 ? 'all layers are frozen' : `all layers of the ${network} are frozen`,
    { kind: 'usage', hint: `leave some of these to learn: ${[...layers].join(', ')}` },
  );
}

/** Parameters of each network that learns: of a pair both, else one. */
export function learningSpecs(
  model: ImageConfig,
  training: Partial<Pick<AdversarialConfig, 'augment'>>,
): (readonly ParameterSpec[])[] {
  if (model.architecture === 'ddpm') return [unetSpecs(unetConfig(model))];
  if (model.architecture === 'latent-ddpm') return [latentDenoiserSpecs(model)];
  if (model.architecture === 'vae') return [vaeSpecs(model)];
  const { generator, critic } = adversarialImageModel(model, training.augment ?? { name: 'none' });
  return [generator.specs, critic.specs];
}

/** Of all networks that are trained. */
export function trainedParameters(model: ImageConfig): number {
  if (model.architecture === 'ddpm') return countParameters(unetSpecs(unetConfig(model)));
  if (model.architecture === 'latent-ddpm') return countParameters(latentDenoiserSpecs(model));
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
  switch (model.architecture) {
    case 'ddpm':
    case 'vae':
      return alone(backend, model, training as OneLossImageTraining, from);
    case 'latent-ddpm':
      return inLatents(backend, model, training as OneLossImageTraining, from);
    default:
      return pair(backend, model, training as AdversarialConfig, from);
  }
}

async function pair(
  backend: Backend,
  model: Exclude<ImageConfig, { architecture: Alone }>,
  training: AdversarialConfig,
  from: HostTensors | undefined,
): Promise<ImageKind> {
  const stages = stagesOf(model, training);
  const trainable =
    model.architecture === 'stylegan2' && training.growth !== undefined
      ? await createGrowing({ backend, model, config: training })
      : await createAdversarial({
          ...{ name: model.architecture, backend, config: training },
          ...(from === undefined ? {} : { parameters: from }),
          model: adversarialImageModel(model, training.augment),
        });
  return {
    trainable,
    rows: training.batch * training.criticSteps,
    rollbacks: training.rollbacks,
    wholeAfter: stages.at(-1)?.first ?? 0,
    work: (step) => workBefore(stages, step),
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
  const whole = isDenoiser ? diffusionLoss(model, batch) : vaeLoss(model, batch);
  const { program, start } = partlyFrozen(whole, training, from);
  const evaluate = isDenoiser ? diffusionEvaluate(model, batch) : vaeEvaluate(model, batch);
  const trainable = await createTrainable({
    name: model.architecture,
    backend,
    model: program,
    evaluate,
    config: { ...training, context: 1, patience: 0 },
    ...start,
  });
  return {
    trainable,
    rows: batch,
    rollbacks: 0,
    batch(images, labels, step) {
      const random = new QuickRandom(seed, 'step', step);
      if (isDenoiser)
        return { images, ...drawDiffusion(model, random, batch, labels?.data as Int32Array | undefined) };
      const shape = [batch, ...latentShape(model)];
      const noise = tensor('f32', shape, random.normals(sizeOf(shape)));
      return { images, noise };
    },
  };
}

/**
 * The autoencoder takes part as it is. It stands in the state and among the parameters, so that the run makes pictures
 * without the autoencoder's own run.
 */
async function inLatents(
  backend: Backend,
  model: LatentDiffusionConfig,
  training: OneLossImageTraining,
  from: HostTensors | undefined,
): Promise<ImageKind> {
  const { batch, seed } = training;
  const autoencoder = fitting(vaeSpecs(model.autoencoder), from as HostTensors);
  const goesOn = latentDenoiserSpecs(model).every(({ name }) => from?.[name] !== undefined);
  const { program, start } = partlyFrozen(
    latentDiffusionLoss(model, batch),
    training,
    goesOn ? from : undefined,
  );
  const trainable = await createTrainable({
    ...{ name: 'latent_ddpm', backend, model: program, ...start },
    still: { ...start.still, ...autoencoder },
    evaluate: latentDiffusionEvaluate(model, batch),
    config: { ...training, context: 1, patience: 0 },
  });
  return {
    trainable,
    rows: batch,
    rollbacks: 0,
    batch(images, labels, step) {
      const random = new QuickRandom(seed, 'step', step);
      const drawn = drawLatentDiffusion(model, random, batch, labels?.data as Int32Array | undefined);
      return { ...drawn, images };
    },
  };
}

/** A loss whose frozen parameters do not learn, and what its parameters start from: another run's, else of the seed. */
function partlyFrozen(
  whole: LossProgram,
  { frozen = [], seed }: OneLossImageTraining,
  from: HostTensors | undefined,
): { program: LossProgram; start: { parameters: HostTensors; still?: HostTensors } } {
  const parameters = from === undefined ? initialise(whole.specs, seed) : fitting(whole.specs, from);
  if (frozen.length === 0) return { program: whole, start: { parameters } };
  const specs = learned(whole.specs, frozen);
  const still = whole.specs.filter((spec) => !specs.includes(spec));
  return {
    program: { ...whole, specs, frozen: { ...whole.frozen, ...parameterTypes(still) } },
    start: { parameters, still: fitting(still, parameters) },
  };
}

/** Those of another run's parameters that this model has. */
const fitting = (specs: readonly ParameterSpec[], from: HostTensors): HostTensors =>
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
