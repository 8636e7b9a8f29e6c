/**
 * Makes pictures from a generator network: a seed is a picture, whatever it is made together with. Truncation, labels,
 * mixed and interpolated styles. Knows no files and no formats.
 */
import { InkstoneError } from '../../base/errors.ts';
import { allocate, type HostTensor, type HostTensors, sizeOf, tensor } from '../../base/tensor.ts';
import type { GeneratorNetwork } from '../../nn/adversarial/contract.ts';
import { QuickRandom } from '../../nn/adversarial/draw.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import { type Named, type Program, type TensorType, trace } from '../../program/index.ts';
import type { Backend, Executable } from '../../runtime/contract.ts';
import {
  BATCHES,
  inBatches,
  type MakePictures,
  type PictureMaker,
  type Pictures,
  requireLabels,
  rowsOf,
} from './request.ts';

export interface NetworkModel {
  backend: Backend;
  generator: GeneratorNetwork;
  parameters: HostTensors;
  channels: number;
  size: number;
  classes: number;
}

/** Programs: latents to pictures, as they are or truncated; and the two halves of that where there are styles. */
type Kind = 'images' | 'truncated' | 'styles' | 'synthesis';

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

  /** @throws InkstoneError `label_unknown`, `truncation_invalid`, `styles_missing` */
  async make(request: MakePictures): Promise<Pictures> {
    const { channels, size } = this.model;
    const pixels = toBytes(await this.values(request));
    return { count: request.seeds.length, channels, size, pixels };
  }

  /** As `make`, before it is rounded: `[count, channels, size, size]`, about −1 … 1. */
  async values(request: MakePictures): Promise<Float32Array> {
    const { channels, size } = this.model;
    this.check(request);
    const { seeds } = request;
    const all = new Float32Array(seeds.length * channels * size * size);
    await inBatches(seeds.length, async (from, to) => {
      all.set(await this.batch(rowsOf(request, from, to)), from * channels * size * size);
    });
    return all;
  }

  /** Whether there are styles between latents and pictures. */
  get hasStyles(): boolean {
    return this.model.generator.styles !== undefined;
  }

  /** Numbers of each latent. */
  latentsOf(seeds: readonly number[]): Float32Array[] {
    return seeds.map((seed) => latentOf(this.model.generator, seed));
  }

  /** Styles of all layers of each picture, before truncation. @throws InkstoneError as `make` */
  async stylesOf(request: MakePictures): Promise<Float32Array[]> {
    this.check(request);
    const all: Float32Array[] = [];
    await inBatches(request.seeds.length, async (from, to) => {
      const part = rowsOf(request, from, to);
      const labels = part.labels ?? new Array<number>(to - from).fill(0);
      const { data } = (await this.run('styles', to - from, this.drawn(part, labels)))
        .styles as HostTensor<'f32'>;
      const width = data.length / (to - from);
      for (let row = 0; row < to - from; row++) all.push(data.slice(row * width, (row + 1) * width));
    });
    return all;
  }

  private check({ labels, truncation = 1, mixWith, styles }: MakePictures): void {
    const { classes, generator } = this.model;
    if ((mixWith !== undefined || styles !== undefined) && generator.styles === undefined)
      throw new InkstoneError('styles_missing', 'this model has no styles to mix', {
        kind: 'unsupported',
        hint: 'StyleGAN has; train with a stylegan preset',
      });
    requireLabels(labels, classes);
    if (!(truncation >= 0 && truncation <= 2))
      throw new InkstoneError('truncation_invalid', `a truncation of ${truncation} is not between 0 and 2`, {
        kind: 'usage',
        hint: '0.7 gives typical pictures, 1 the whole variety',
      });
  }

  private async batch(request: MakePictures): Promise<Float32Array> {
    const { seeds, truncation = 1 } = request;
    const batch = seeds.length;
    const labels = request.labels ?? new Array<number>(batch).fill(0);
    const inputs = this.drawn(request, labels);
    if (this.model.generator.styles === undefined) {
      if (truncation === 1) return valuesOf(await this.run('images', batch, inputs), 'images');
      inputs.truncation = tensor('f32', [], [truncation]);
      return valuesOf(await this.run('truncated', batch, inputs), 'images');
    }
    const given =
      request.styles === undefined
        ? ((await this.run('styles', batch, inputs)).styles as HostTensor<'f32'>)
        : this.givenStyles(request.styles);
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
  private drawn(
    { seeds, mixWith, latents }: MakePictures,
    labels: readonly number[],
  ): Record<string, HostTensor> {
    const { generator } = this.model;
    const rowFor = (seed: number): HostTensors => generator.draw(new QuickRandom(seed, 'picture'), 1);
    const joined: Record<string, HostTensor> = {
      ...stacked(seeds.map(rowFor)),
      labels: tensor('i32', [labels.length], labels),
    };
    if (latents !== undefined)
      joined.latents = { ...stackedValues(latents), shape: (joined.latents as HostTensor).shape };
    if (joined.crossover !== undefined)
      joined.crossover = everywhere(joined.crossover, mixWith?.crossover ?? NEVER);
    if (mixWith !== undefined) joined.mixed = stacked(mixWith.seeds.map(rowFor)).latents as HostTensor;
    return joined;
  }

  /** Styles as one tensor, `[batch, layers, width]`. */
  private givenStyles(styles: readonly Float32Array[]): HostTensor<'f32'> {
    const [output] = this.program('styles', 1).outputs as readonly [Named];
    const [, layers, width] = output.tensor.shape as readonly [number, number, number];
    const flat = stackedValues(styles) as HostTensor<'f32'>;
    return tensor('f32', [styles.length, layers, width], flat.data);
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
      const result = await this.run(
        'styles',
        batch,
        this.drawn({ seeds }, new Array<number>(batch).fill(label)),
      );
      const { data, shape } = result.styles as HostTensor<'f32'>;
      const [, layers, width] = shape as readonly [number, number, number];
      total ??= new Float64Array(width);
      for (let row = 0; row < batch; row++)
        for (let i = 0; i < width; i++)
          total[i] = (total[i] as number) + (data[row * layers * width + i] as number) / AVERAGED;
    }
    return Float32Array.from(total as Float64Array);
  }

  private async run(kind: Kind, batch: number, inputs: HostTensors): Promise<HostTensors> {
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

  private program(kind: Kind, batch: number): Program {
    const { generator } = this.model;
    const parameters = parameterTypes(generator.specs);
    const inputs = generator.inputs(batch);
    if (kind === 'images' || kind === 'truncated') {
      const more = kind === 'images' ? {} : { truncation: { dtype: 'f32', shape: [] } as const };
      return trace(kind, { ...parameters, ...inputs, ...more }, (x) => ({ images: generator.images(x) }));
    }
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

/** No layer takes the second latent's style. */
const NEVER = 2 ** 30;

const everywhere = (x: HostTensor, value: number): HostTensor =>
  tensor('i32', x.shape, new Int32Array(sizeOf(x.shape)).fill(value));

/** Rows of one picture each, one after another. */
function stacked(rows: readonly HostTensors[]): Record<string, HostTensor> {
  const all: Record<string, HostTensor> = {};
  for (const [name, { dtype, shape }] of Object.entries(rows[0] as HostTensors)) {
    const width = sizeOf(shape);
    const data = allocate(dtype as 'f32', width * rows.length);
    rows.forEach((row, i) => data.set((row[name] as HostTensor<'f32'>).data, i * width));
    all[name] = tensor(dtype as 'f32', [rows.length, ...shape.slice(1)], data);
  }
  return all;
}

function stackedValues(rows: readonly Float32Array[]): HostTensor {
  const width = (rows[0] as Float32Array).length;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => data.set(row, i * width));
  return tensor('f32', [rows.length, width], data);
}

/** The way between two latents on the sphere that they lie on (Shoemake 1985), `part` 0 … 1. */
export function between(a: Float32Array, b: Float32Array, part: number): Float32Array {
  const length = (x: Float32Array): number => Math.sqrt(x.reduce((total, v) => total + v * v, 0));
  const cosine = a.reduce((total, v, i) => total + v * (b[i] as number), 0) / (length(a) * length(b));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const share = (x: number): number => (angle < 1e-4 ? x : Math.sin(x * angle) / Math.sin(angle));
  return a.map((v, i) => share(1 - part) * v + share(part) * (b[i] as number));
}

/** The latent that a seed stands for. */
export function latentOf(generator: GeneratorNetwork, seed: number): Float32Array {
  return (generator.draw(new QuickRandom(seed, 'picture'), 1).latents as HostTensor<'f32'>).data;
}
