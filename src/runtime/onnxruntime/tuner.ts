/**
 * Chooses how each convolution is computed by measuring: all ways of a shape take turns, once on a machine. The choice is
 * kept in INKSTONE_HOME and, where a run asks for it, in the run's own file, because another way rounds otherwise: a run
 * that goes on must compute as it began. Knows no networks.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { exists, homeFolder, machine, makeFolder, readText, writeFile } from '../../base/host.ts';
import { Random } from '../../base/rng.ts';
import { type HostTensor, type HostTensors, sizeOf, tensor } from '../../base/tensor.ts';
import { type LowerOptions, lower } from '../../program/lower.ts';
import { apply, operationOf } from '../../program/operation.ts';
import { type ConvolutionCase, caseKey, usualWay, type Way } from '../../program/settle.ts';
import { trace } from '../../program/trace.ts';
import type { Program, Tensor } from '../../program/types.ts';

export interface TunerOptions {
  /** Channels of the runtime's blocks; 0 for none. */
  blocks: number;
  threads: number;
  /** The runtime's version. */
  runtime: string;
  /** A run's own choices, read first and written after. */
  file?: string | undefined;
}

type Choices = Record<string, Way>;
type Measure = (call: { models: Uint8Array[]; inputs: HostTensors; runs: number }) => Promise<unknown>;

/** Multiplications below which the usual way is as good as any: measuring would take longer than it saves. */
const SMALL = 5e6;
const RUNS = 6;
/** Part of the usual way's time that another must save to be taken: what is even stays the same on every machine. */
const WORTH = 0.1;

export class Tuner {
  private readonly options: TunerOptions;
  private readonly measure: Measure;
  private readonly shared: string;
  private known: Choices | undefined;
  private readonly used: Choices = {};

  constructor(options: TunerOptions, measure: Measure) {
    this.options = options;
    this.measure = measure;
    const { blocks, threads, runtime } = options;
    const name = createHash('sha256').update(JSON.stringify([machine().cpu, runtime, threads, blocks]));
    this.shared = path.join(homeFolder(), 'lowering', `${name.digest('hex').slice(0, 16)}.json`);
  }

  /** ONNX of a program, each convolution in its chosen way. */
  async lower(program: Program, options: LowerOptions): Promise<Uint8Array> {
    this.known ??= {
      ...(await read(this.shared)),
      ...(this.options.file === undefined ? {} : await read(this.options.file)),
    };
    const { known } = this;
    const { blocks } = this.options;
    const missing = new Map<string, ConvolutionCase>();
    const before = Object.keys(this.used).length;
    const choose = (one: ConvolutionCase): Way => {
      const key = caseKey(one);
      const found = known[key];
      if (found === undefined && work(one) > SMALL) missing.set(key, one);
      this.used[key] = found !== undefined && one.ways.includes(found) ? found : usualWay(one);
      return this.used[key] as Way;
    };
    let bytes = lower(program, { ...options, blocks, choose });
    if (missing.size > 0) {
      const measured: Choices = {};
      for (const [key, one] of missing) measured[key] = await this.best(one);
      Object.assign(known, measured);
      await write(this.shared, { ...(await read(this.shared)), ...measured });
      bytes = lower(program, { ...options, blocks, choose });
    }
    if (this.options.file !== undefined && Object.keys(this.used).length > before)
      await write(this.options.file, { ...(await read(this.options.file)), ...this.used });
    return bytes;
  }

  private async best(one: ConvolutionCase): Promise<Way> {
    const { program, inputs } = aloneProgram(one);
    const models = one.ways.map((way) =>
      lower(program, { blocks: this.options.blocks, choose: (): Way => way }),
    );
    const times = (await this.measure({ models, inputs, runs: RUNS })) as number[];
    const usual = usualWay(one);
    const quickest = times.indexOf(Math.min(...times));
    const limit = (times[one.ways.indexOf(usual)] as number) * (1 - WORTH);
    return (times[quickest] as number) < limit ? (one.ways[quickest] as Way) : usual;
  }
}

/** Multiplications of a convolution, or of the gradient of its weights. */
function work({ op, types, attributes }: ConvolutionCase): number {
  const [x, other] = types.map(({ shape }) => shape as readonly number[]) as [
    readonly number[],
    readonly number[],
  ];
  const strides = attributes.strides as readonly number[];
  if (op === 'conv')
    return (sizeOf(x) / strides.reduce((a, b) => a * b, 1)) * (sizeOf(other) / (other[1] as number));
  return sizeOf(other) * (x[1] as number) * sizeOf(attributes.kernel as readonly number[]);
}

function aloneProgram({ op, types, attributes }: ConvolutionCase): {
  program: Program;
  inputs: HostTensors;
} {
  const random = new Random(1, 'measured');
  const given = types.slice(0, 2).map(({ shape }): HostTensor => {
    const made = tensor(
      'f32',
      shape as readonly number[],
      new Float32Array(sizeOf(shape as readonly number[])),
    );
    for (let i = 0; i < made.data.length; i++) made.data[i] = random.uniform() - 0.5;
    return made;
  });
  const names = ['x', 'other'];
  const program = trace(
    'measured',
    Object.fromEntries(names.map((name, i) => [name, { dtype: 'f32', shape: types[i]?.shape ?? [] }])),
    (x) => ({
      y: apply(
        operationOf(op),
        names.map((name) => x[name] as Tensor),
        attributes,
      )[0] as Tensor,
    }),
  );
  return { program, inputs: Object.fromEntries(names.map((name, i) => [name, given[i] as HostTensor])) };
}

/** Nothing where there is no such file, or none that can be read: it is measured again then. */
async function read(file: string): Promise<Choices> {
  if (!(await exists(file))) return {};
  try {
    return JSON.parse(await readText(file)) as Choices;
  } catch {
    return {};
  }
}

async function write(file: string, choices: Choices): Promise<void> {
  await makeFolder(path.dirname(file));
  const sorted = Object.fromEntries(Object.entries(choices).sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeFile(file, Buffer.from(`${JSON.stringify(sorted, undefined, 1)}\n`));
}
