/**
 * Going on from another model of pictures with a few of one's own: the shape and settings that its folder stands for, made
 * gentler; starting values where the classes are others; the layers there are to freeze. Runs nothing.
 */
import type { PictureTraits } from '../base/contracts/pictures.ts';
import { InkstoneError } from '../base/errors.ts';
import { type HostTensor, type HostTensors, sizeOf } from '../base/tensor.ts';
import { classesOf, type ImageConfig } from '../models/image/any.ts';
import { describeImageModel, type ImageModelInfo } from '../models/image/load.ts';
import { type ImagePreset, imagePresets } from '../models/image/presets.ts';
import type { ImageTraining, ImageTrainingInput } from '../models/image/training.ts';
import type { AdversarialConfig } from '../nn/adversarial/config.ts';
import { initialise, type ParameterSpec } from '../nn/parameters.ts';
import { isAlone, learningSpecs, readImageTraining } from './image-kinds.ts';
import { RunFolder } from './run-folder.ts';

/** What a training of pictures needs of a preset. */
export type ImagePlan = Pick<ImagePreset, 'id' | 'model' | 'labels' | 'training'>;

/** What a run was started with, as a preset of its own. */
export function planOf(run: { preset: string; model: ImageConfig; training: ImageTrainingInput }): ImagePlan {
  const { preset, model, training } = run;
  return { id: preset, model, labels: classesOf(model) > 0, training };
}

/** A few dozen pictures: short, with small batches, judged often. */
const SHORT = {
  ...{ steps: 500, batch: 8, evaluateEvery: 100, checkpointEvery: 100, sampleEvery: 100 },
} as const;
/** Part of the rates that what is known is changed with. */
const GENTLE = 1 / 4;

/**
 * The plan for going on from a model: its own shape, its own settings made gentler. Pairs get adaptive augmentation where they
 * had none: a critic knows a few pictures by heart soon.
 * @throws InkstoneError `model_missing`, `model_invalid`
 */
export async function tuningPlan(folder: string): Promise<ImagePlan> {
  const info = await describeImageModel(folder);
  const kept = await new RunFolder(folder).readJson<{ preset?: unknown; training?: unknown }>('config.json');
  const like = imagePresets.find(({ model }) => model.architecture === info.architecture) as ImagePreset;
  const preset = typeof kept?.preset === 'string' ? kept.preset : info.architecture;
  const training = readImageTraining(info.config.architecture, {
    ...((kept?.training as ImageTrainingInput | undefined) ?? like.training),
    // What it was frozen for does not count here.
    frozen: [],
  });
  return planOf({ preset, model: info.config, training: gentler(info.config, training) });
}

function gentler({ architecture }: ImageConfig, training: ImageTraining): ImageTraining {
  if (isAlone(architecture)) {
    const alone = training as Extract<ImageTraining, { learningRate: number }>;
    return {
      ...{ ...alone, ...SHORT, evaluationSamples: 100, learningRate: alone.learningRate * GENTLE },
      schedule: { name: 'linear', warmup: 20, decay: 0.5, floor: 0 },
      // The average of the usual length would still be what it started from.
      ema: alone.ema === 0 ? 0 : 0.99,
    };
  }
  const pair = training as AdversarialConfig;
  return {
    ...{ ...pair, ...SHORT, evaluationSamples: 500, generatorRate: pair.generatorRate * GENTLE },
    averageHalfLife: Math.min(pair.averageHalfLife, 500),
    augment: pair.augment.name === 'none' ? augmentNamed('ada') : pair.augment,
    // It has grown already.
    growth: undefined,
  };
}

/** A perturbation by its name, quick enough for a short run. */
export function augmentNamed(name: AdversarialConfig['augment']['name']): AdversarialConfig['augment'] {
  switch (name) {
    case 'none':
      return { name };
    case 'ada':
      return { name, target: 0.6, span: 20_000, kinds: ['blit', 'geometry', 'colour'] };
    case 'diffusion':
      return { name, target: 0.6, least: 10, most: 1000, sigma: 0.05, span: 20_000 };
  }
}

/** Another model's values as far as they fit, and the layers that are not wholly its own. */
export interface Overlap {
  values: HostTensors;
  /** Layers that begin as the seed has them. */
  fresh: string[];
  /** Layers of which a part was taken. */
  partly: string[];
}

/**
 * Values of another model for one that has other classes, another size or other colours: what is of the same shape as it is;
 * of other sizes as far as both reach, the rest as the seed begins.
 * @throws InkstoneError `parameters_differ` where nothing fits
 */
export function overlapping(specs: readonly ParameterSpec[], from: HostTensors, seed: number): Overlap {
  const values: Record<string, HostTensor> = { ...initialise(specs, seed) };
  const taken = new Map<string, Set<'whole' | 'part' | 'none'>>();
  for (const { name } of specs) {
    const [own, given] = [values[name] as HostTensor<'f32'>, from[name] as HostTensor<'f32'> | undefined];
    const alike = given?.shape.length === own.shape.length;
    const same = given?.shape.join() === own.shape.join();
    if (given !== undefined && alike) values[name] = same ? given : laidOver(own, given);
    const [layer] = layersOf([{ name }]) as [string];
    taken.set(layer, (taken.get(layer) ?? new Set()).add(same ? 'whole' : alike ? 'part' : 'none'));
  }
  const all = [...taken];
  const fresh = all.filter(([, parts]) => parts.size === 1 && parts.has('none')).map(([layer]) => layer);
  if (fresh.length === all.length)
    throw new InkstoneError('parameters_differ', 'nothing of the model to start from fits this one', {
      kind: 'conflict',
      hint: 'start from a model of the same architecture, or leave --from out',
    });
  const partly = all.filter(
    ([layer, parts]) => !fresh.includes(layer) && (parts.size > 1 || parts.has('part')),
  );
  return { values, fresh, partly: partly.map(([layer]) => layer) };
}

/** What is not wholly the other model's, for people; undefined where all is. A network that is fresh altogether is named once. */
export function overlapTold({ values, fresh, partly }: Overlap): string | undefined {
  const layers = layersOf(Object.keys(values).map((name) => ({ name })));
  const networkOf = (layer: string): string => layer.split('.')[0] as string;
  const isFresh = (network: string): boolean =>
    layers.filter((layer) => networkOf(layer) === network).every((layer) => fresh.includes(layer));
  const anew = [...new Set(fresh.map((layer) => (isFresh(networkOf(layer)) ? networkOf(layer) : layer)))];
  const parts = [
    ...(anew.length === 0 ? [] : [`begins anew: ${anew.join(', ')}`]),
    ...(partly.length === 0 ? [] : [`taken in part: ${partly.join(', ')}`]),
  ];
  return parts.length === 0 ? undefined : parts.join('; ');
}

function laidOver(own: HostTensor<'f32'>, given: HostTensor<'f32'>): HostTensor<'f32'> {
  const data = Float32Array.from(own.data);
  const shared = own.shape.map((size, axis) => Math.min(size, given.shape[axis] as number));
  const strides = ({ shape }: HostTensor): number[] => shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const [to, of] = [strides(own), strides(given)];
  const places = sizeOf(shared);
  for (let i = 0; i < places; i++) {
    let [rest, at, from] = [i, 0, 0];
    for (let axis = shared.length - 1; axis >= 0; axis--) {
      const place = rest % (shared[axis] as number);
      rest = Math.floor(rest / (shared[axis] as number));
      at += place * (to[axis] as number);
      from += place * (of[axis] as number);
    }
    data[at] = given.data[from] as number;
  }
  return { ...own, data };
}

/**
 * What can be chosen when a model is gone on from: beginnings of names to freeze; of the critic's those nearest to the picture,
 * which know what edges and strokes are (FreezeD, Mo et al. 2020); augmentation. A model that ships has no critic to keep.
 */
export function tuningTraits({
  config,
  source,
}: Pick<ImageModelInfo, 'config' | 'source'>): PictureTraits['tuning'] {
  const hasCritic = source === 'run';
  const specs = learningSpecs(config, {}).flat();
  const layers = layersOf(specs.filter(({ name }) => hasCritic || !name.startsWith('critic.')));
  const early = layers.filter((layer) => /^critic\.(picture|size\d+)$/.test(layer));
  return {
    layers,
    early: early.slice(0, Math.ceil(early.length / 2)),
    augments: !isAlone(config.architecture),
  };
}

/** `critic.size28.same.weight` → `critic.size28`, `down28.0.conv1.weight` → `down28.0`; each once. */
const layersOf = (specs: readonly Pick<ParameterSpec, 'name'>[]): string[] => [
  ...new Set(specs.map(({ name }) => name.split('.').slice(0, -1).slice(0, 2).join('.'))),
];
