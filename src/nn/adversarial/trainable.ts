/**
 * Two networks that train against each other, as one trainable: the critic's steps, then the generator's; lazy penalties;
 * the average generator; the strength of the perturbation. Knows no architecture and no data.
 */
import type { StepResult, Trainable } from '../../base/contracts/trainable.ts';
import { InkstoneError } from '../../base/errors.ts';
import { type HostTensor, type HostTensors, tensor, zeros } from '../../base/tensor.ts';
import type { Program } from '../../program/index.ts';
import type { Backend, Executable, Resident } from '../../runtime/contract.ts';
import { scalarsAt } from '../optimiser.ts';
import { initialise, type ParameterSpec } from '../parameters.ts';
import { learningRateAt } from '../training-config.ts';
import type { AdversarialConfig } from './config.ts';
import type { AdversarialModel, Draw } from './contract.ts';
import { QuickRandom } from './draw.ts';
import { AVERAGE_SHARE, adversarialPrograms, LENGTH } from './programs.ts';
import { adapted, type Strength } from './strength.ts';

export interface AdversarialOptions {
  name: string;
  backend: Backend;
  model: AdversarialModel;
  config: AdversarialConfig;
  /** Starting values of both networks; what is missing is initialised from the seed. */
  parameters?: HostTensors;
  /** Of an adaptive perturbation at the start; default 0. */
  strength?: number;
}

type Side = 'critic' | 'generator';
/** State of the host: the strength of the perturbation and what it goes by. */
const STRENGTH = 'host/strength';

/** @throws InkstoneError `parameters_differ` */
export async function createAdversarial(options: AdversarialOptions): Promise<AdversarialTrainable> {
  const { backend, model, config } = options;
  const programs = adversarialPrograms(options.name, model, config);
  const resident = {} as Record<Side, Resident>;
  for (const side of ['critic', 'generator'] as const) {
    const state = startingValues(model[side].specs, config.seed, options.parameters);
    for (const [name, { shape }] of Object.entries(programs.state[side])) {
      state[name] = name.startsWith('average.')
        ? (state[name.slice('average.'.length)] as HostTensor)
        : zeros('f32', shape as readonly number[]);
    }
    resident[side] = await backend.resident(state);
  }
  const { state: _, ...all } = programs;
  const compiled: Record<string, Executable> = {};
  for (const [name, program] of Object.entries(all))
    compiled[name] = await backend.compile(program as Program);
  return new AdversarialTrainable(options, resident, compiled);
}

function startingValues(
  specs: readonly ParameterSpec[],
  seed: number,
  given: HostTensors | undefined,
): Record<string, HostTensor> {
  const fresh: Record<string, HostTensor> = { ...initialise(specs, seed) };
  for (const { name, shape } of specs) {
    const value = given?.[name];
    if (value === undefined) continue;
    if (value.shape.join() !== shape.join())
      throw new InkstoneError(
        'parameters_differ',
        `the checkpoint's "${name}" is [${value.shape}], the model's is [${shape}]`,
        { kind: 'conflict', hint: 'start from a checkpoint of the same architecture and widths' },
      );
    fresh[name] = value;
  }
  return fresh;
}

export class AdversarialTrainable implements Trainable {
  private readonly options: AdversarialOptions;
  private readonly resident: Record<Side, Resident>;
  private readonly programs: Readonly<Record<string, Executable>>;
  private strength: Strength;

  constructor(
    options: AdversarialOptions,
    resident: Record<Side, Resident>,
    programs: Readonly<Record<string, Executable>>,
  ) {
    this.options = options;
    this.resident = resident;
    this.programs = programs;
    const { augment } = options.config;
    const fixed = augment.name === 'ada' ? augment.fixed : undefined;
    this.strength = { now: fixed ?? options.strength ?? 0, signs: 0, counted: 0 };
  }

  /** Of the perturbation, 0 … 1. */
  get strengthNow(): number {
    return this.strength.now;
  }

  /** Both networks as they learn, by their own names: not the average. */
  async networks(): Promise<HostTensors> {
    const { generator, critic } = this.options.model;
    const names = (of: { specs: readonly ParameterSpec[] }): string[] => of.specs.map(({ name }) => name);
    return {
      ...(await this.resident.generator.read(names(generator))),
      ...(await this.resident.critic.read(names(critic))),
    };
  }

  async state(): Promise<HostTensors> {
    const { now, signs, counted } = this.strength;
    const all: HostTensors = { [STRENGTH]: tensor('f64', [3], [now, signs, counted]) };
    for (const side of ['critic', 'generator'] as const)
      for (const [name, value] of Object.entries(await this.resident[side].read()))
        all[`${side}/${name}`] = value;
    return all;
  }

  async restore(state: HostTensors): Promise<void> {
    const host = state[STRENGTH] as HostTensor<'f64'> | undefined;
    for (const side of ['critic', 'generator'] as const) {
      const values: HostTensors = {};
      for (const name of this.resident[side].names) {
        const value = state[`${side}/${name}`];
        if (value === undefined || host === undefined)
          throw new InkstoneError('state_incomplete', `the checkpoint lacks ${side}/${name}`, {
            kind: 'conflict',
            hint: 'resume with the configuration it was made with',
          });
        values[name] = value;
      }
      await this.resident[side].write(values);
    }
    const [now = 0, signs = 0, counted = 0] = (host as HostTensor<'f64'>).data;
    this.strength = { now, signs, counted };
  }

  /** The average generator. */
  async parameters(): Promise<HostTensors> {
    const names = this.options.model.generator.specs.map((spec) => spec.name);
    const values = await this.resident.generator.read(names.map((name) => `average.${name}`));
    return Object.fromEntries(names.map((name) => [name, values[`average.${name}`] as HostTensor]));
  }

  /** `real` `[criticSteps · batch, channels, size, size] f32`, `real_labels`, and `attempt` `[1]`, which begins other random streams. */
  async step(given: HostTensors, step: number): Promise<StepResult> {
    const { config } = this.options;
    const attempt = Number(given.attempt?.data[0] ?? 0);
    let critic: HostTensors = {};
    for (let part = 0; part < config.criticSteps; part++) {
      const round = step * config.criticSteps + part;
      const random = new QuickRandom(config.seed, `critic ${attempt}`, round);
      const batch = rowsOf(given, part * config.batch, config.batch);
      const penalised = config.r1.weight > 0 && round % config.r1.every === 0;
      critic = await this.run(
        'critic',
        penalised ? 'criticPenalised' : 'critic',
        {
          ...batch,
          ...this.made(random, batch.real_labels),
          ...this.perturbed(random, 2 * config.batch),
          ...(config.loss === 'wgan-gp' ? { between: uniforms(random, config.batch) } : {}),
        },
        round,
        config.criticRate,
      );
      this.strength = adapted(this.strength, Number(critic.sign?.data[0]), config);
    }
    const random = new QuickRandom(config.seed, `generator ${attempt}`, step);
    const labels = rowsOf(given, 0, config.batch).real_labels;
    const penalised = this.programs.generatorPenalised !== undefined && step % config.pathLength.every === 0;
    const generator = await this.run(
      'generator',
      penalised ? 'generatorPenalised' : 'generator',
      {
        ...this.made(random, labels),
        ...this.perturbed(random, config.batch),
        ...(penalised ? this.lengths(random, labels) : {}),
        [AVERAGE_SHARE]: tensor('f32', [], [averageShare(step, config)]),
      },
      step,
      config.generatorRate,
    );
    const number = (values: HostTensors, name: string): number => Number(values[name]?.data[0]);
    return {
      loss: number(generator, 'loss'),
      metrics: {
        critic_loss: number(critic, 'loss'),
        real_score: number(critic, 'real_score'),
        fake_score: number(critic, 'fake_score'),
        spread: number(generator, 'spread'),
        ...(config.augment.name === 'none' ? {} : { strength: this.strength.now }),
      },
    };
  }

  private async run(
    side: Side,
    name: string,
    inputs: HostTensors,
    count: number,
    rate: number,
  ): Promise<HostTensors> {
    const { config } = this.options;
    const executable = this.programs[name] as Executable;
    const steps = side === 'critic' ? config.steps * config.criticSteps : config.steps;
    const schedule = { name: 'linear' as const, warmup: 0, decay: config.decay, floor: 0 };
    const now = learningRateAt(count, { steps, learningRate: rate, schedule });
    const scalars: HostTensors = {};
    for (const [key, value] of Object.entries(scalarsAt(count, now, config.optimiser)))
      scalars[key] = tensor('f32', [], [value]);
    const other = side === 'critic' ? 'generator' : 'critic';
    const wanted = new Set(executable.program.inputs.map((input) => input.name));
    return executable.run({
      // Not every program takes all there is: the generator's never sees real pictures.
      inputs: Object.fromEntries(
        Object.entries({ ...scalars, ...inputs }).filter(([key]) => wanted.has(key)),
      ),
      resident: [this.resident[side], this.resident[other]],
      update: Object.fromEntries(
        executable.program.outputs
          .filter((output) => output.name.startsWith('next/'))
          .map((output) => [output.name, output.name.slice('next/'.length)]),
      ),
    });
  }

  /** Latents, noise and labels for one batch of made pictures. */
  private made(random: Draw, labels: HostTensor | undefined): HostTensors {
    const { model, config } = this.options;
    return {
      ...model.generator.draw(random, config.batch),
      ...(model.classes > 0 ? { labels: labels as HostTensor } : {}),
    };
  }

  private perturbed(random: Draw, pictures: number): HostTensors {
    return this.options.model.perturbation?.draw(random, pictures, this.strength.now) ?? {};
  }

  private lengths(random: Draw, labels: HostTensor | undefined): HostTensors {
    const { model, config } = this.options;
    const part = Math.max(1, Math.floor(config.batch / 2));
    const types = model.generator.inputs(part);
    const inputs = {
      ...model.generator.draw(random, part),
      ...('labels' in types && labels !== undefined
        ? { labels: rowsOf({ labels }, 0, part).labels as HostTensor }
        : {}),
    };
    const shape = [part, ...model.shape];
    const directions = tensor('f32', shape, random.normals(shape.reduce((a, b) => a * b, 1)));
    return Object.fromEntries(
      Object.entries({ ...inputs, directions }).map(([name, value]) => [LENGTH + name, value]),
    );
  }

  /** Nothing is to be minimised on pictures that were not learned from: judging is the scores' work. */
  evaluate(): Promise<never> {
    return Promise.reject(
      new InkstoneError(
        'evaluation_differs',
        'networks that play against each other have no validation loss',
        {
          kind: 'usage',
          hint: 'judge the pictures (FID)',
        },
      ),
    );
  }

  async close(): Promise<void> {
    for (const executable of Object.values(this.programs)) await executable.free();
    await this.resident.critic.free();
    await this.resident.generator.free();
  }
}

/** Half-life in pictures, shorter while the run is young (Karras et al. 2020, appendix C). */
function averageShare(step: number, { batch, averageHalfLife }: AdversarialConfig): number {
  const seen = (step + 1) * batch;
  return 1 - 0.5 ** (batch / Math.max(1, Math.min(averageHalfLife, seen * 0.05)));
}

function uniforms(random: Draw, size: number): HostTensor {
  return tensor(
    'f32',
    [size, 1, 1, 1],
    Float32Array.from({ length: size }, () => random.uniform()),
  );
}

/** Rows `from` … `from + count` of every tensor that has them. */
function rowsOf(values: HostTensors, from: number, count: number): HostTensors {
  return Object.fromEntries(
    Object.entries(values)
      .filter(([name]) => name !== 'attempt')
      .map(([name, { dtype, shape, data }]) => {
        const width = data.length / (shape[0] as number);
        return [
          name,
          {
            dtype,
            shape: [count, ...shape.slice(1)],
            data: data.slice(from * width, (from + count) * width),
          } as HostTensor,
        ];
      }),
  );
}
