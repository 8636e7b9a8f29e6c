/**
 * What a training of pictures may be asked to have otherwise than its preset, or the model it goes on from, has it: the
 * pictures' size and colour, labels, the game; anything else by its place in config.json. Runs nothing.
 */
import { InkstoneError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { read, z } from '../base/schema.ts';
import { type ImageConfig, imageConfig } from '../models/image/any.ts';
import type { ImageTrainingInput } from '../models/image/training.ts';
import type { AdversarialConfig } from '../nn/adversarial/config.ts';
import { ADVERSARIAL_LOSSES, type AdversarialLoss } from '../nn/adversarial/losses.ts';
import { stagesOf } from './image-growth.ts';
import { isAlone, readImageTraining, trainedParameters } from './image-kinds.ts';
import type { ImagePlan } from './image-tuning.ts';

/** The same for the command line and over HTTP. */
export const imageChoices = z.object({
  size: z
    .number()
    .int()
    .min(16)
    .max(128)
    .optional()
    .describe(
      'pixels a side: 3 to 7 times a power of two (16, 28, 32, 48, 64, 96, 128); default the preset’s',
    ),
  colour: z.boolean().optional().describe('red, green and blue instead of grey'),
  labels: z
    .boolean()
    .optional()
    .describe('whether pictures can be asked for by their class; not in autoencoders'),
  loss: z
    .enum(ADVERSARIAL_LOSSES)
    .optional()
    .describe('GANs: the game that both networks play; the slope penalty of wgan-gp takes the place of R1'),
  conditioning: z
    .enum(['concatenation', 'projection'])
    .optional()
    .describe('plain GANs with labels: how the critic is told of them'),
  flip: z.boolean().optional().describe('mirror pictures at random; not for letters and digits'),
  crop: z
    .number()
    .min(0)
    .max(0.5)
    .optional()
    .describe('show a random square of each picture: the largest part of a side that is cut away'),
  jitter: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('change contrast, brightness and saturation of pictures at random: by how much at most'),
  set: z
    .array(z.string().min(1).max(200))
    .max(50)
    .optional()
    .describe(
      'NAME=VALUE for anything else that stands in a run’s config.json under model or training: training.r1.weight=4, model.prediction=noise; may be given several times',
    ),
});
export type ImageChoices = z.infer<typeof imageChoices>;

/** What has a flag of its own, or comes from elsewhere. */
const ELSEWHERE: Record<string, string> = {
  'model.architecture': 'preset',
  'model.size': 'size',
  'model.channels': 'colour',
  'model.classes': 'labels',
  'model.conditioning': 'conditioning',
  'model.autoencoder': 'from',
  'training.loss': 'loss',
  'training.flip': 'flip',
  'training.crop': 'crop',
  'training.jitter': 'jitter',
  'training.steps': 'steps',
  'training.seed': 'seed',
};

/**
 * The plan with what was chosen, whole and checked as far as it can be without pictures.
 * @throws InkstoneError `unsupported_setting`, `image_size`, `setting_unknown`, `setting_elsewhere`, `invalid_input`
 */
export function withChoices(plan: ImagePlan, choices: ImageChoices): ImagePlan & { model: ImageConfig } {
  requireFitting(plan, choices);
  const { size, colour, labels = plan.labels, loss, conditioning, flip, crop, jitter, set = [] } = choices;
  const model = {
    ...plan.model,
    ...(size === undefined ? {} : { size, ...mapFor(plan.model, size) }),
    ...(colour === undefined ? {} : { channels: colour ? 3 : 1 }),
    ...(conditioning === undefined ? {} : { conditioning }),
  };
  const training = {
    ...plan.training,
    ...(flip === undefined ? {} : { flip }),
    ...(crop === undefined ? {} : { crop }),
    ...(jitter === undefined ? {} : { jitter }),
    ...(loss === undefined ? {} : { loss }),
    ...(loss === 'wgan-gp' ? { r1: { weight: 0 } } : {}),
  };
  const whole = set.reduce(placed, checked({ model, training } as Parts));
  trainedParameters(whole.model);
  if (!isAlone(whole.model.architecture)) stagesOf(whole.model, whole.training as AdversarialConfig);
  return { ...plan, labels, model: whole.model, training: whole.training };
}

/** The games that the networks of a plan can play, its own first; none for a network that is alone. */
export function lossesOf({ model, training }: Pick<ImagePlan, 'model' | 'training'>): AdversarialLoss[] {
  if (isAlone(model.architecture)) return [];
  const { loss } = readImageTraining(model.architecture, training) as AdversarialConfig;
  return [loss, ...ADVERSARIAL_LOSSES.filter((other) => other !== loss)];
}

interface Parts {
  model: ImageConfig;
  training: ImageTrainingInput;
}

function checked({ model, training }: Parts): Parts {
  const config = read(imageConfig, model, (key) => `model.${key}`);
  return { model: config, training: readImageTraining(config.architecture, training) };
}

/** A latent map keeps its part of the picture. */
function mapFor(model: ImagePlan['model'], size: number): object {
  if (model.architecture !== 'vae' || model.map === undefined || model.map === 0) return {};
  return { map: Math.round((model.map * size) / model.size) };
}

const refusal = (param: string, message: string, hint: string): InkstoneError =>
  new InkstoneError('unsupported_setting', message, { kind: 'unsupported', hint, details: { param } });

function requireFitting(plan: ImagePlan, choices: ImageChoices): void {
  const { architecture } = plan.model;
  const { size, colour, labels, loss, conditioning } = choices;
  if (loss !== undefined && isAlone(architecture))
    throw refusal(
      'loss',
      `a ${architecture} model has one network and a loss of its own`,
      'leave loss out; it is for GANs and StyleGANs',
    );
  if (labels === true && architecture === 'vae')
    throw refusal('labels', 'an autoencoder knows no labels', 'leave labels out, or take another preset');
  if (architecture === 'latent-ddpm' && (size ?? colour) !== undefined)
    throw refusal(
      size === undefined ? 'colour' : 'size',
      'diffusion in latents makes pictures of the size and colour of its autoencoder',
      'train the autoencoder with this size and colour, then go on from its run',
    );
  if (conditioning === undefined) return;
  if (architecture !== 'gan')
    throw refusal(
      'conditioning',
      `a ${architecture} model takes labels in one way only`,
      'leave conditioning out; it is for plain GANs (preset mnist-cgan)',
    );
  if (!(labels ?? plan.labels))
    throw refusal(
      'conditioning',
      'this model is not told of labels',
      'add labels, or leave conditioning out',
    );
}

/** One `NAME=VALUE` laid into its place; the value is JSON, else text. */
function placed(parts: Parts, text: string): Parts {
  const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  const keys = name.trim().split('.');
  const hint = 'write it like training.r1.weight=4 or model.width=32';
  const wrong = (code: string, message: string, hint: string): InkstoneError =>
    new InkstoneError(code, message, { kind: 'usage', hint, details: { param: 'set' } });
  if (keys.length < 2) throw wrong('setting_unknown', `"${text}" is no setting of model or training`, hint);
  const elsewhere = ELSEWHERE[keys.slice(0, 2).join('.')];
  if (elsewhere !== undefined)
    throw wrong('setting_elsewhere', `${name} is not set by its place`, `it comes from ${elsewhere}`);
  const before = at(parts, keys.slice(0, -1));
  const next = laid(parts, keys, readValue(value));
  const after = checked(next as unknown as Parts);
  // What a schema does not know it leaves out.
  if (at(after, keys) === undefined) {
    const known = Object.keys((before ?? {}) as object);
    const meant = nearest(keys.at(-1) as string, known);
    const there = known.length === 0 ? hint : `there are ${known.join(', ')}`;
    throw wrong(
      'setting_unknown',
      `there is no setting ${name}`,
      meant === undefined ? there : `did you mean ${[...keys.slice(0, -1), meant].join('.')}?`,
    );
  }
  return after;
}

function readValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

type Tree = Readonly<Record<string, unknown>>;

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const at = (tree: unknown, keys: readonly string[]): unknown =>
  keys.reduce<unknown>(
    (here, key) => (isTree(here) && Object.hasOwn(here, key) ? here[key] : undefined),
    tree,
  );

function laid(tree: unknown, [first = '', ...rest]: readonly string[], value: unknown): Tree {
  const own = isTree(tree) ? tree : {};
  return { ...own, [first]: rest.length === 0 ? value : laid(own[first], rest, value) };
}
