/**
 * A StyleGAN 2 that learns small pictures before large ones (Karras et al. 2018, section 2): its generator adds up pictures of
 * every size, so the small ones are the whole network with nothing added yet, and can be judged and drawn as such at any time.
 * A pair of networks for each size, one after the other; each takes what the one before it knows. Knows no files.
 */
import type { StepResult, Trainable } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { type HostTensor, type HostTensors, tensor, zeros } from '../base/tensor.ts';
import { adversarialImageModel, imageGenerator } from '../models/image/architectures.ts';
import { channelsAt, ladder } from '../models/image/sizes.ts';
import type { StyleganConfig } from '../models/image/stylegan.ts';
import type { AdversarialConfig } from '../nn/adversarial/config.ts';
import { type AdversarialTrainable, createAdversarial } from '../nn/adversarial/trainable.ts';
import { initialise } from '../nn/parameters.ts';
import type { Backend } from '../runtime/contract.ts';

/** Pictures of one size, from one step on. */
export interface Stage {
  size: number;
  first: number;
  steps: number;
}

/** State of the host: which stage the other tensors are of. */
const STAGE = 'host/stage';
/** What makes a size's own picture, which is added to the smaller ones'. */
const ADDS = /^generator\.picture\d+\.weight$/;

/** Smaller sizes share their part of the steps evenly; the full size has the rest. @throws InkstoneError `unsupported_setting` */
export function stagesOf(
  model: { architecture: string; size: number },
  { steps, growth }: Pick<AdversarialConfig, 'steps' | 'growth'>,
): Stage[] {
  if (growth === undefined) return [{ size: model.size, first: 0, steps }];
  if (model.architecture !== 'stylegan2')
    throw new InkstoneError(
      'unsupported_setting',
      `a ${model.architecture} does not grow with its pictures`,
      {
        kind: 'unsupported',
        hint: 'leave training.growth out; it is for stylegan2, which adds up pictures of every size',
      },
    );
  const smaller = ladder(model.size).filter((size) => size >= growth.from && size < model.size);
  const each = smaller.length === 0 ? 0 : Math.floor((growth.share * steps) / smaller.length);
  const stages = smaller.map((size, i) => ({ size, first: i * each, steps: each }));
  const spent = stages.length * each;
  return [...stages, { size: model.size, first: spent, steps: steps - spent }].filter(
    (stage) => stage.steps > 0,
  );
}

/** Work of the steps before one: a step took 0.22, 0.34 and 0.57 s at 16, 32 and 64 pixels a side (icons, one core). */
export const workBefore = (stages: readonly Stage[], step: number): number =>
  stages.reduce(
    (sum, { size, first, steps }) => sum + size ** 0.7 * Math.min(Math.max(step - first, 0), steps),
    0,
  );

/** The same networks for smaller pictures: what they share has the same names and shapes. */
export const modelAt = (model: StyleganConfig, size: number): StyleganConfig => ({
  ...model,
  ...{ size, width: channelsAt(size, model) },
});

/**
 * How one size is trained: R1 by the number of pixels, as StyleGAN 2's settings have it; rates fall at the end of the full
 * size only, over the same steps as without growth.
 */
export function trainingAt(config: AdversarialConfig, stage: Stage, full: number): AdversarialConfig {
  const { growth: _, ...rest } = config;
  return {
    ...rest,
    steps: stage.steps,
    decay: stage.size === full ? Math.min(1, (config.decay * config.steps) / stage.steps) : 0,
    r1: { ...config.r1, weight: config.r1.weight * (stage.size / full) ** 2 },
  };
}

export interface GrowingOptions {
  backend: Backend;
  model: StyleganConfig;
  config: AdversarialConfig;
}

/** @throws InkstoneError `unsupported_setting` */
export async function createGrowing(options: GrowingOptions): Promise<GrowingTrainable> {
  const stages = stagesOf(options.model, options.config);
  return new GrowingTrainable(options, stages, await pairAt(options, stages[0] as Stage, undefined));
}

function pairAt(
  { backend, model, config }: GrowingOptions,
  stage: Stage,
  from: HostTensors | undefined,
  strength?: number,
): Promise<AdversarialTrainable> {
  const networks = adversarialImageModel(modelAt(model, stage.size), config.augment);
  const parameters: HostTensors = {};
  for (const { name, shape } of [...networks.generator.specs, ...networks.critic.specs]) {
    const given = from?.[name];
    if (given?.shape.join() === shape.join()) parameters[name] = given as HostTensor;
    // A size that is new begins by adding nothing to the picture.
    else if (from !== undefined && ADDS.test(name)) parameters[name] = zeros('f32', shape);
  }
  return createAdversarial({
    ...{ name: `${model.architecture}_${stage.size}`, backend, model: networks, parameters },
    config: trainingAt(config, stage, model.size),
    ...(strength === undefined ? {} : { strength }),
  });
}

export class GrowingTrainable implements Trainable {
  private readonly options: GrowingOptions;
  private readonly stages: readonly Stage[];
  private pair: AdversarialTrainable;
  private at = 0;

  constructor(options: GrowingOptions, stages: readonly Stage[], pair: AdversarialTrainable) {
    this.options = options;
    this.stages = stages;
    this.pair = pair;
  }

  /** Also what the generator has not grown to yet, so that the state holds a whole one, to draw with and to start from. */
  async state(): Promise<HostTensors> {
    const unborn: HostTensors = {};
    for (const [name, value] of Object.entries(this.beyond())) {
      unborn[`generator/${name}`] = value;
      unborn[`generator/average.${name}`] = value;
    }
    return { ...(await this.pair.state()), ...unborn, [STAGE]: tensor('i32', [1], [this.at]) };
  }

  async restore(state: HostTensors): Promise<void> {
    const at = Number(state[STAGE]?.data[0] ?? -1);
    const stage = this.stages[at];
    if (stage === undefined)
      throw new InkstoneError(
        'state_incomplete',
        'the checkpoint does not say how far its pictures had grown',
        {
          kind: 'conflict',
          hint: 'resume with the configuration it was made with',
        },
      );
    if (at !== this.at) await this.change(at, await pairAt(this.options, stage, undefined));
    await this.pair.restore(state);
  }

  /** The average generator at full size: where it has not grown to yet, it adds nothing. */
  async parameters(): Promise<HostTensors> {
    return { ...(await this.pair.parameters()), ...this.beyond() };
  }

  /** The generator's parameters of larger sizes, which add nothing to the picture. */
  private beyond(): HostTensors {
    const { model, config } = this.options;
    const { size } = this.stages[this.at] as Stage;
    const generatorAt = (config: StyleganConfig) => imageGenerator(config).specs;
    const known = new Set(generatorAt(modelAt(model, size)).map(({ name }) => name));
    const specs = generatorAt(model).filter(({ name }) => !known.has(name));
    return Object.fromEntries(
      Object.entries(initialise(specs, config.seed)).map(([name, value]) => [
        name,
        ADDS.test(name) ? zeros('f32', value.shape) : value,
      ]),
    );
  }

  /** As a pair's, with pictures of the full size. */
  async step(given: HostTensors, step: number): Promise<StepResult> {
    const at = this.stages.findLastIndex(({ first }) => step >= first);
    const stage = this.stages[at] as Stage;
    if (at !== this.at) {
      const before = this.pair;
      await this.change(at, await pairAt(this.options, stage, await before.networks(), before.strengthNow));
    }
    const real = averaged(given.real as HostTensor<'f32'>, this.options.model.size / stage.size);
    const result = await this.pair.step({ ...given, real }, step - stage.first);
    return { ...result, metrics: { ...result.metrics, size: stage.size } };
  }

  evaluate(): Promise<never> {
    return this.pair.evaluate();
  }

  close(): Promise<void> {
    return this.pair.close();
  }

  private async change(at: number, pair: AdversarialTrainable): Promise<void> {
    await this.pair.close();
    this.pair = pair;
    this.at = at;
  }
}

/** Means over squares of `factor` pixels a side: `[batch, channels, size, size] → [batch, channels, size/factor, size/factor]`. */
export function averaged(images: HostTensor<'f32'>, factor: number): HostTensor<'f32'> {
  if (factor === 1) return images;
  const [batch, channels, size] = images.shape as [number, number, number];
  const small = size / factor;
  const data = new Float32Array(batch * channels * small * small);
  images.data.forEach((value, i) => {
    const [line, x] = [Math.floor(i / size), i % size];
    const [plane, y] = [Math.floor(line / size), line % size];
    const at = (plane * small + Math.floor(y / factor)) * small + Math.floor(x / factor);
    data[at] = (data[at] as number) + value / (factor * factor);
  });
  return tensor('f32', [batch, channels, small, small], data) as HostTensor<'f32'>;
}
