/**
 * Makes pictures from a generator network: a seed is a picture, whatever it is made together with. Truncation, labels,
 * mixed and interpolated styles. Knows no files and no formats.
 */
import { InkstoneError } from '../../base/errors.ts';
import { type HostTensor, type HostTensors, sizeOf, tensor } from '../../base/tensor.ts';
import type { GeneratorNetwork } from '../../nn/adversarial/contract.ts';
import { QuickRandom } from '../../nn/adversarial/draw.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import { type Program, type TensorType, trace } from '../../program/index.ts';
import type { Backend, Executable } from '../../runtime/contract.ts';

export interface MakePictures {
  /** One picture a seed. */
  seeds: readonly number[];
  /** Class of each; left out where the model has no classes. */
  labels?: readonly number[];
  /** 1 leaves the variety as it was trained; nearer to 0, pictures come nearer to the average. */
  truncation?: number;
}

/** `[count, channels, size, size]`, 0 … 255. */
export interface Pictures {
  count: number;
  channels: number;
  size: number;
  pixels: Uint8Array<ArrayBuffer>;
}

export interface PictureMaker {
  make(request: MakePictures): Promise<Pictures>;
  close(): Promise<void>;
}

export interface NetworkModel {
  backend: Backend;
  generator: GeneratorNetwork;
  parameters: HostTensors;
  channels: number;
  size: number;
  classes: number;
}

/** Pictures of one run: enough to fill the cores. */
const BATCHES = [1, 16, 64] as const;
/** Latents whose mean style stands for the average picture. */
const AVERAGED = 1024;

/** Values −1 … 1 to bytes. */
export function toBytes(values: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++)
    bytes[i] = Math.round(Math.min(255, Math.max(0, ((values[i] as number) + 1) * 127.5)));
  return bytes;
}

export class NetworkMaker implements PictureMaker {
  private readonly model: NetworkModel;
  private readonly compiled = new Map<string, Promise<Executable>>();
  private readonly averages = new Map<number, Promise<Float32Array>>();

  constructor(model: NetworkModel) {
    this.model = model;
  }

  /** @throws InkstoneError `label_unknown`, `truncation_invalid` */
  async make({ seeds, labels, truncation = 1 }: MakePictures): Promise<Pictures> {
    const { channels, size } = this.model;
    this.check(labels, truncation);
    const pixels = new Uint8Array(seeds.length * channels * size * size);
    for (let at = 0; at < seeds.length; ) {
      const left = seeds.length - at;
      const batch = BATCHES.filter((b) => b <= left).at(-1) as number;
      const values = await this.batch(
        seeds.slice(at, at + batch),
        labels?.slice(at, at + batch) ?? new Array<number>(batch).fill(0),
        truncation,
      );
      pixels.set(toBytes(values), at * channels * size * size);
      at += batch;
    }
    return { count: seeds.length, channels, size, pixels };
  }

  private check(labels: readonly number[] | undefined, truncation: number): void {
    const { classes } = this.model;
    const wrong = labels?.find(
      (label) => !Number.isInteger(label) || label < 0 || label >= Math.max(1, classes),
    );
    if (wrong !== undefined)
      throw new InkstoneError('label_unknown', `there is no class ${wrong}`, {
        kind: 'usage',
        hint: classes === 0 ? 'this model has no classes' : `classes are 0 to ${classes - 1}`,
      });
    if (!(truncation >= 0 && truncation <= 2))
      throw new InkstoneError('truncation_invalid', `a truncation of ${truncation} is not between 0 and 2`, {
        kind: 'usage',
        hint: '0.7 gives typical pictures, 1 the whole variety',
      });
  }

  private async batch(
    seeds: readonly number[],
    labels: readonly number[],
    truncation: number,
  ): Promise<Float32Array> {
    const batch = seeds.length;
    const inputs = this.drawn(seeds, labels);
    if (this.model.generator.styles === undefined) {
      if (truncation !== 1) inputs.latents = scaled(inputs.latents as HostTensor<'f32'>, truncation);
      return valuesOf(await this.run('images', batch, inputs), 'images');
    }
    const styles = await this.run('styles', batch, inputs);
    const given = styles.styles as HostTensor<'f32'>;
    if (truncation !== 1) {
      const width = given.data.length / batch;
      for (let row = 0; row < batch; row++) {
        const mean = await this.average(labels[row] as number);
        for (let i = 0; i < width; i++) {
          const center = mean[i % mean.length] as number;
          const at = row * width + i;
          given.data[at] = center + truncation * ((given.data[at] as number) - center);
        }
      }
    }
    return valuesOf(await this.run('synthesis', batch, { ...inputs, given }), 'images');
  }

  /** Each row from its own seed alone. */
  private drawn(seeds: readonly number[], labels: readonly number[]): Record<string, HostTensor> {
    const { generator } = this.model;
    const rows = seeds.map((seed) => generator.draw(new QuickRandom(seed, 'picture'), 1));
    const joined: Record<string, HostTensor> = { labels: tensor('i32', [labels.length], labels) };
    for (const [name, { dtype, shape }] of Object.entries(rows[0] as HostTensors)) {
      const all = tensor(
        dtype,
        [seeds.length, ...shape.slice(1)],
        rows.flatMap((row) => [...(row[name] as HostTensor).data].map(Number)),
      );
      joined[name] = name === 'crossover' ? unmixed(all as HostTensor<'i32'>) : all;
    }
    return joined;
  }

  /** The mean style of a class, `[width]`. */
  private average(label: number): Promise<Float32Array> {
    const known = this.averages.get(label);
    if (known !== undefined) return known;
    const work = this.averageOf(label);
    this.averages.set(label, work);
    return work;
  }

  private async averageOf(label: number): Promise<Float32Array> {
    const batch = BATCHES.at(-1) as number;
    let total: Float64Array | undefined;
    for (let at = 0; at < AVERAGED; at += batch) {
      const seeds = Array.from({ length: batch }, (_, i) => at + i);
      const result = await this.run('styles', batch, this.drawn(seeds, new Array<number>(batch).fill(label)));
      const { data, shape } = result.styles as HostTensor<'f32'>;
      const [, layers, width] = shape as readonly [number, number, number];
      total ??= new Float64Array(width);
      for (let row = 0; row < batch; row++)
        for (let i = 0; i < width; i++)
          total[i] = (total[i] as number) + (data[row * layers * width + i] as number) / AVERAGED;
    }
    return Float32Array.from(total as Float64Array);
  }

  private async run(
    kind: 'images' | 'styles' | 'synthesis',
    batch: number,
    inputs: HostTensors,
  ): Promise<HostTensors> {
    const key = `${kind} ${batch}`;
    let executable = this.compiled.get(key);
    if (executable === undefined) {
      const program = this.program(kind, batch);
      const names = new Set(program.inputs.map((input) => input.name));
      const constants = Object.fromEntries(
        Object.entries(this.model.parameters).filter(([name]) => names.has(name)),
      );
      executable = this.model.backend.compile(program, { constants });
      this.compiled.set(key, executable);
    }
    const ready = await executable;
    const wanted = new Set(ready.program.inputs.map((input) => input.name));
    return ready.run({
      inputs: Object.fromEntries(
        Object.entries(inputs).filter(([name]) => wanted.has(name) && !(name in this.model.parameters)),
      ),
    });
  }

  private program(kind: 'images' | 'styles' | 'synthesis', batch: number): Program {
    const { generator } = this.model;
    const parameters = parameterTypes(generator.specs);
    const inputs = generator.inputs(batch);
    if (kind === 'images')
      return trace('images', { ...parameters, ...inputs }, (x) => ({ images: generator.images(x) }));
    const styles = trace('styles', { ...parameters, ...inputs }, (x) => ({
      styles: (generator.styles as NonNullable<GeneratorNetwork['styles']>)(x),
    }));
    if (kind === 'styles') return styles;
    const given = styles.outputs[0]?.tensor as TensorType;
    const type = { dtype: given.dtype, shape: given.shape };
    return trace('synthesis', { ...parameters, ...inputs, given: type }, (x) => ({
      images: generator.images(x, x.given),
    }));
  }

  async close(): Promise<void> {
    for (const executable of this.compiled.values()) await (await executable).free();
    this.compiled.clear();
  }
}

const valuesOf = (result: HostTensors, name: string): Float32Array =>
  (result[name] as HostTensor<'f32'>).data;

const scaled = (x: HostTensor<'f32'>, by: number): HostTensor =>
  tensor(
    'f32',
    x.shape,
    x.data.map((v) => v * by),
  );

/** Nobody asked for a mixture: all layers take the first latent. */
const unmixed = (x: HostTensor<'i32'>): HostTensor =>
  tensor('i32', x.shape, new Int32Array(sizeOf(x.shape)).fill(2 ** 30));
