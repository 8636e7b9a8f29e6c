/**
 * The trainable behind every family that minimises one loss: resident parameters and state, steps through
 * the train programs, evaluation through the family's own. Knows no architecture and no data.
 */
import type { StepResult, Trainable } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { Random } from '../base/rng.ts';
import { type HostTensor, type HostTensors, tensor, zeros } from '../base/tensor.ts';
import type { Program } from '../program/types.ts';
import type { Backend, Executable, Resident } from '../runtime/contract.ts';
import { scalarsAt } from './optimiser.ts';
import { initialise } from './parameters.ts';
import { type LossProgram, maskShape, type TrainPrograms, trainPrograms } from './train-step.ts';
import { learningRateAt, type TrainingConfig } from './training-config.ts';

export interface TrainableOptions {
  name: string;
  backend: Backend;
  model: LossProgram;
  /** Output `total` f32 []: the sum of losses; inputs parameters and a batch with `weights`. */
  evaluate: Program;
  config: TrainingConfig;
  /** Starting values; default: initialised from the seed. */
  parameters?: HostTensors;
  /** Values of the model's frozen parameters. */
  frozen?: HostTensors;
  /** More of them, which belong to what is trained: saved, restored and handed out with what learns. */
  still?: HostTensors;
  profile?: boolean;
}

export interface ProfiledTrainable extends Trainable {
  /** The train step's executable, for its profile. */
  readonly stepExecutable: Executable;
}

/** @throws InkstoneError `parameters_differ` where given parameters do not fit the model */
export async function createTrainable(options: TrainableOptions): Promise<ProfiledTrainable> {
  const { backend, model, config } = options;
  const programs = trainPrograms(options.name, model, config);
  const start = options.parameters ?? initialise(model.specs, config.seed);
  const state: Record<string, HostTensor> = {};
  for (const { name, shape } of model.specs) {
    const given = start[name];
    if (given === undefined || given.shape.join() !== shape.join()) {
      throw new InkstoneError(
        'parameters_differ',
        `the checkpoint's "${name}" is ${given === undefined ? 'missing' : `[${given.shape}]`}, the model's is [${shape}]`,
        {
          kind: 'conflict',
          hint: 'start from a checkpoint of the same configuration and vocabulary',
        },
      );
    }
    state[name] = given;
  }
  for (const [name, { shape, start: from }] of Object.entries(programs.state)) {
    state[name] = from === 'zero' ? zeros('f32', shape as readonly number[]) : (state[from] as HostTensor);
  }
  Object.assign(state, options.still);
  const compile = (program: Program): Promise<Executable> =>
    backend.compile(program, { profile: options.profile ?? false });
  const main = await compile((programs.step ?? programs.accumulate) as Program);
  const apply = programs.apply === undefined ? undefined : await compile(programs.apply);
  const frozen = options.frozen === undefined ? [] : [await backend.resident(options.frozen)];
  return new OneLossTrainable(options, programs, main, apply, await backend.resident(state), frozen);
}

class OneLossTrainable implements ProfiledTrainable {
  readonly stepExecutable: Executable;
  private readonly options: TrainableOptions;
  private readonly apply: Executable | undefined;
  private readonly resident: Resident;
  private readonly frozen: readonly Resident[];
  private readonly updates: { main: Record<string, string>; apply: Record<string, string> };
  private evaluation: Executable | undefined;

  constructor(
    options: TrainableOptions,
    programs: TrainPrograms,
    main: Executable,
    apply: Executable | undefined,
    resident: Resident,
    frozen: readonly Resident[],
  ) {
    this.options = options;
    this.stepExecutable = main;
    this.apply = apply;
    this.resident = resident;
    this.frozen = frozen;
    const updatesOf = (program: Program | undefined): Record<string, string> =>
      Object.fromEntries(
        (program?.outputs ?? [])
          .filter((o) => o.name.startsWith('next/'))
          .map((o) => [o.name, o.name.slice(5)]),
      );
    this.updates = {
      main: updatesOf(programs.step ?? programs.accumulate),
      apply: updatesOf(programs.apply),
    };
  }

  state(): Promise<HostTensors> {
    return this.resident.read();
  }

  async restore(state: HostTensors): Promise<void> {
    const missing = this.resident.names.filter((name) => state[name] === undefined);
    if (missing.length > 0) {
      throw new InkstoneError('state_incomplete', `the checkpoint lacks ${missing.slice(0, 3).join(', ')}`, {
        kind: 'conflict',
        hint: 'resume with the configuration it was made with',
      });
    }
    await this.resident.write(
      Object.fromEntries(this.resident.names.map((name) => [name, state[name] as HostTensor])),
    );
  }

  async parameters(): Promise<HostTensors> {
    const averaged = this.options.config.ema !== 0;
    const names = this.options.model.specs.map((s) => s.name);
    const still = Object.keys(this.options.still ?? {});
    const nameOf = (name: string): string => (averaged ? `average.${name}` : name);
    const values = await this.resident.read([...names.map(nameOf), ...still]);
    return {
      ...Object.fromEntries(names.map((n) => [n, values[nameOf(n)] as HostTensor])),
      ...Object.fromEntries(still.map((n) => [n, values[n] as HostTensor])),
    };
  }

  /** A batch holds `accumulation` times the rows of one pass. */
  async step(batch: HostTensors, step: number): Promise<StepResult> {
    const { config } = this.options;
    const scalars: Record<string, HostTensor> = {};
    for (const [name, value] of Object.entries(
      scalarsAt(step, learningRateAt(step, config), config.optimiser),
    ))
      scalars[name] = tensor('f32', [], [value]);
    let loss = 0;
    let norm: HostTensor | undefined;
    const parts = config.accumulation;
    for (let part = 0; part < parts; part++) {
      const inputs = {
        ...rowsOf(batch, part, parts),
        ...this.mask(step * parts + part, batch),
        ...(parts === 1 ? scalars : {}),
      };
      const result = await this.stepExecutable.run({
        inputs,
        resident: [this.resident, ...this.frozen],
        update: this.updates.main,
      });
      loss += Number(result.loss?.data[0]) / parts;
      norm = result.gradient_norm;
    }
    if (this.apply !== undefined) {
      norm = (
        await this.apply.run({ inputs: scalars, resident: [this.resident], update: this.updates.apply })
      ).gradient_norm;
    }
    return { loss, gradientNorm: Number(norm?.data[0]) };
  }

  private mask(pass: number, batch: HostTensors): HostTensors {
    const { config, model } = this.options;
    if (config.dropout === 0) return {};
    const shape = maskShape(model).map((size) =>
      typeof size === 'number' ? size : sizeIn(size, model, batch),
    );
    const size = shape.reduce((a, b) => a * b, 1);
    return { dropout: tensor('u8', shape, keepMask(config.seed, pass, size, config.dropout)) };
  }

  async evaluate(batch: HostTensors): Promise<{ total: number; count: number }> {
    const { backend, config, evaluate } = this.options;
    this.evaluation ??= await backend.compile(evaluate);
    // What is judged is what is served: the average, where one is kept.
    const judged = config.ema === 0 ? {} : await this.parameters();
    const { total } = await this.evaluation.run({
      inputs: { ...judged, ...batch },
      resident: [this.resident, ...this.frozen],
    });
    let count = 0;
    for (const weight of (batch.weights as HostTensor<'f32'>).data) count += weight;
    return { total: Number(total?.data[0]), count };
  }

  async close(): Promise<void> {
    await this.stepExecutable.free();
    await this.apply?.free();
    await this.evaluation?.free();
    await this.resident.free();
    for (const one of this.frozen) await one.free();
  }
}

/** What a batch makes of an open size. */
function sizeIn(name: string, { inputs }: LossProgram, batch: HostTensors): number {
  for (const [input, { shape }] of Object.entries(inputs)) {
    const found = batch[input]?.shape[shape.indexOf(name)];
    if (found !== undefined) return found;
  }
  throw new InkstoneError('batch_incomplete', `the batch does not say how large "${name}" is`, {
    kind: 'usage',
  });
}

function rowsOf(batch: HostTensors, part: number, parts: number): HostTensors {
  if (parts === 1) return batch;
  return Object.fromEntries(
    Object.entries(batch).map(([name, { dtype, shape, data }]) => {
      const rows = (shape[0] as number) / parts;
      const width = data.length / (shape[0] as number);
      return [
        name,
        {
          dtype,
          shape: [rows, ...shape.slice(1)],
          data: data.slice(part * rows * width, (part + 1) * rows * width),
        } as HostTensor,
      ];
    }),
  );
}

/** 1 with probability 1 − p (in 256ths), by xoshiro128** (Blackman and Vigna 2018) started from the pass's own Philox block. */
function keepMask(seed: number, pass: number, size: number, probability: number): Uint8Array<ArrayBuffer> {
  const random = new Random(seed, 'dropout', pass);
  let [a, b, c, d] = [random.next() | 0, random.next() | 0, random.next() | 0, random.next() | 1];
  const limit = Math.round(probability * 256);
  const mask = new Uint8Array(size);
  for (let i = 0; i < size; i += 4) {
    const m = Math.imul(b, 5);
    const word = Math.imul((m << 7) | (m >>> 25), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    mask[i] = (word & 255) < limit ? 0 : 1;
    mask[i + 1] = ((word >>> 8) & 255) < limit ? 0 : 1;
    mask[i + 2] = ((word >>> 16) & 255) < limit ? 0 : 1;
    mask[i + 3] = word >>> 24 < limit ? 0 : 1;
  }
  return mask;
}
