/**
 * Pictures by denoising: DDIM (Song et al. 2021) from a seed's noise, guided towards a label (Ho and Salimans 2022); from a
 * given picture, or around the parts of one that stay. Knows no files.
 */
import { InkstoneError } from '../../base/errors.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { type DiffusionConfig, diffusionPredict, scheduleOf } from '../../models/image/diffusion.ts';
import { QuickRandom } from '../../nn/adversarial/draw.ts';
import type { Backend, Executable } from '../../runtime/contract.ts';
import { toBytes } from './maker.ts';
import {
  inBatches,
  type MakePictures,
  type PictureMaker,
  type Pictures,
  requireLabels,
  rowsOf,
} from './request.ts';

/** How a denoiser works where a request does not say; of no meaning to other makers. */
export interface Denoising {
  /** Denoising steps; default 50. */
  steps?: number | undefined;
  /** How strongly the label counts; 1 leaves it as it was learned, 0 leaves it out. Default 1.5. */
  guidance?: number | undefined;
  /** 0 (the default) for the same picture always, DDIM; 1 for fresh noise each step, DDPM (η of Song et al. 2021). */
  eta?: number | undefined;
}

export interface MakeByDenoising extends MakePictures, Denoising {
  /** Pictures to start from, −1 … 1, one a seed. */
  from?: Float32Array;
  /** How much of `from` is lost first, 0 … 1; default 0.6. With `keep`, everything that may change is made anew. */
  strength?: number;
  /** 1 where `from` stays as it is, one value a pixel `[size · size]`. */
  keep?: Float32Array;
}

export interface DiffusionModel {
  backend: Backend;
  config: DiffusionConfig;
  parameters: HostTensors;
  /** Where the denoiser works in an autoencoder's latents: `config` is of the latent maps then. */
  latents?: Latents | undefined;
}

/** The way from pictures −1 … 1 to latents and back, any number at once. */
export interface Latents {
  /** Of the pictures. */
  channels: number;
  size: number;
  encode(pictures: Float32Array, count: number): Promise<Float32Array>;
  decode(latents: Float32Array, count: number): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Latents are standard normal, nearly: beyond this there is nothing. */
const FARTHEST = 5;

/** Where nobody says; fewer steps where the model has fewer. */
const USUAL = { steps: 50, guidance: 1.5, eta: 0, strength: 0.6 };

/** The numbers that a request is denoised with, defaults spelled out; only those that have a part in it. */
export function denoisingUsed(
  { steps: most, classes }: Pick<DiffusionConfig, 'steps' | 'classes'>,
  { labels, from, keep, ...request }: MakeByDenoising,
): Required<Pick<MakeByDenoising, 'steps' | 'eta'>> & Pick<MakeByDenoising, 'guidance' | 'strength'> {
  const { steps = Math.min(USUAL.steps, most), guidance = USUAL.guidance } = request;
  const { eta = USUAL.eta, strength = USUAL.strength } = request;
  return {
    ...{ steps, eta },
    ...(classes > 0 && labels !== undefined ? { guidance } : {}),
    ...(from !== undefined && keep === undefined ? { strength } : {}),
  };
}

export class DiffusionMaker implements PictureMaker {
  private readonly model: DiffusionModel;
  private readonly usual: Denoising;
  private readonly compiled = new Map<number, Promise<Executable>>();

  constructor(model: DiffusionModel, usual: Denoising = {}) {
    this.model = model;
    this.usual = usual;
  }

  /** @throws InkstoneError `label_unknown`, `picture_differs`, `steps_invalid`, `unsupported_setting` */
  async make(asked: MakeByDenoising): Promise<Pictures> {
    const { channels, size } = this.pictures;
    const { seeds, steps = this.usual.steps, guidance = this.usual.guidance, eta = this.usual.eta } = asked;
    const request = { ...asked, steps, guidance, eta };
    this.check(request);
    const stride = channels * size * size;
    const pixels = new Uint8Array(seeds.length * stride);
    await inBatches(seeds.length, async (from, to) => {
      pixels.set(toBytes(await this.makeBatch(rowsOf(request, from, to))), from * stride);
    });
    return { count: seeds.length, channels, size, pixels };
  }

  private get pictures(): { channels: number; size: number } {
    return this.model.latents ?? this.model.config;
  }

  /** `from` and what comes back are pictures, whatever the denoiser works in. */
  private async makeBatch(request: MakeByDenoising): Promise<Float32Array> {
    const { latents } = this.model;
    if (latents === undefined) return this.denoise(request);
    const count = request.seeds.length;
    const from = request.from === undefined ? {} : { from: await latents.encode(request.from, count) };
    return latents.decode(await this.denoise({ ...request, ...from }), count);
  }

  private check(request: MakeByDenoising): void {
    const { seeds, labels, from, keep, steps, mixWith, truncation = 1 } = request;
    const { classes, steps: most } = this.model.config;
    const { channels, size } = this.pictures;
    if (mixWith !== undefined || truncation !== 1)
      throw new InkstoneError(
        'unsupported_setting',
        `a diffusion model has no ${truncation === 1 ? 'styles to mix' : 'latent to truncate'}`,
        {
          kind: 'unsupported',
          hint: `leave it out, or use ${truncation === 1 ? 'a StyleGAN' : 'a GAN, a StyleGAN or an autoencoder'}`,
        },
      );
    if (keep !== undefined && this.model.latents !== undefined)
      throw new InkstoneError(
        'unsupported_setting',
        'a latent stands for more than one pixel: no mask fits it',
        {
          kind: 'unsupported',
          hint: 'use a diffusion model that works in pixels',
        },
      );
    requireLabels(labels, classes);
    if (steps !== undefined && (!Number.isInteger(steps) || steps < 1 || steps > most))
      throw new InkstoneError('steps_invalid', `${steps} denoising steps are not between 1 and ${most}`, {
        kind: 'usage',
        hint: '25 to 100 steps are usual',
      });
    const fits =
      (from === undefined || from.length === seeds.length * channels * size * size) &&
      (keep === undefined || (keep.length === size * size && from !== undefined));
    if (!fits)
      throw new InkstoneError('picture_differs', `the picture or its mask is not ${size} × ${size}`, {
        kind: 'usage',
        hint: `give pictures of ${size} × ${size} with ${channels === 1 ? 'one channel' : `${channels} channels`}`,
      });
  }

  private async denoise(request: MakeByDenoising): Promise<Float32Array> {
    const { seeds, from, keep, eta = USUAL.eta } = request;
    const { channels, size } = this.model.config;
    const stride = channels * size * size;
    const randoms = seeds.map((seed) => new QuickRandom(seed, 'picture'));
    const fresh = (): Float32Array => {
      const all = new Float32Array(seeds.length * stride);
      randoms.forEach((random, row) => all.set(random.normals(stride), row * stride));
      return all;
    };
    const times = this.times(request);
    const { signal, noise } = scheduleOf(this.model.config);
    const begin = times[0] as number;
    let x = fresh();
    if (from !== undefined && keep === undefined)
      x = mixed(from, signal[begin] as number, x, noise[begin] as number);
    for (let i = 0; i < times.length; i++) {
      const t = times[i] as number;
      const next = times[i + 1];
      const a = signal[t] as number;
      const b = noise[t] as number;
      // What is kept is at every step what it would be with that much noise (Lugmayr et al. 2022).
      if (from !== undefined && keep !== undefined) x = blended(x, mixed(from, a, fresh(), b), keep);
      const { picture, grain } = await this.split(request, x, t, a, b);
      if (next === undefined) {
        x = picture;
        break;
      }
      const c = signal[next] as number;
      const d = noise[next] as number;
      // Equation 16: the deviation of the noise that is added anew.
      const sigma = eta * (d / b) * Math.sqrt(Math.max(0, 1 - (a / c) ** 2));
      x = mixed(picture, c, grain, Math.sqrt(Math.max(0, d * d - sigma * sigma)));
      if (sigma > 0) x = mixed(x, 1, fresh(), sigma);
    }
    return from !== undefined && keep !== undefined ? blended(x, from, keep) : x;
  }

  /** Falling times, evenly spread. */
  private times({ steps = USUAL.steps, from, keep, strength = USUAL.strength }: MakeByDenoising): number[] {
    const { steps: all } = this.model.config;
    const reach = from !== undefined && keep === undefined ? Math.max(1, Math.round(all * strength)) : all;
    const count = Math.min(steps, reach);
    return Array.from({ length: count }, (_, i) => Math.round(((count - i) * reach) / count) - 1);
  }

  /** The clean picture and the noise that the network sees in x. */
  private async split(
    request: MakeByDenoising,
    x: Float32Array,
    t: number,
    a: number,
    b: number,
  ): Promise<{ picture: Float32Array; grain: Float32Array }> {
    const { config } = this.model;
    const { labels, guidance = USUAL.guidance } = request;
    const none = new Array<number>(request.seeds.length).fill(config.classes);
    const labelled = config.classes > 0 && labels !== undefined;
    let found = await this.predict(x, t, labelled && guidance !== 0 ? labels : none);
    if (labelled && guidance !== 0 && guidance !== 1)
      found = mixed(found, guidance, await this.predict(x, t, none), 1 - guidance);
    const isNoise = config.prediction === 'noise';
    const picture = isNoise ? mixed(x, 1 / a, found, -b / a) : mixed(x, a, found, -b);
    const limit = this.model.latents === undefined ? 1 : FARTHEST;
    for (let i = 0; i < picture.length; i++)
      picture[i] = Math.min(limit, Math.max(-limit, picture[i] as number));
    // From the picture as it was cut to its range, so that both belong together.
    return { picture, grain: mixed(x, 1 / b, picture, -a / b) };
  }

  private async predict(x: Float32Array, t: number, labels: readonly number[]): Promise<Float32Array> {
    const { backend, config, parameters } = this.model;
    const batch = labels.length;
    let compiled = this.compiled.get(batch);
    if (compiled === undefined) {
      compiled = backend.compile(diffusionPredict(config, batch), { constants: parameters });
      this.compiled.set(batch, compiled);
    }
    const { prediction } = await (await compiled).run({
      inputs: {
        images: tensor('f32', [batch, config.channels, config.size, config.size], Float32Array.from(x)),
        times: tensor('i32', [batch], new Int32Array(batch).fill(t)),
        ...(config.classes > 0 ? { labels: tensor('i32', [batch], labels) } : {}),
      },
    });
    return (prediction as HostTensor<'f32'>).data;
  }

  async close(): Promise<void> {
    for (const executable of this.compiled.values()) await (await executable).free();
    this.compiled.clear();
    await this.model.latents?.close();
  }
}

/** a·x + b·y */
function mixed(x: Float32Array, a: number, y: Float32Array, b: number): Float32Array {
  const result = new Float32Array(x.length);
  for (let i = 0; i < x.length; i++) result[i] = a * (x[i] as number) + b * (y[i] as number);
  return result;
}

/** y where the mask is 1, x where it is 0; the mask counts for every channel and picture. */
function blended(x: Float32Array, y: Float32Array, mask: Float32Array): Float32Array {
  return x.map((value, i) => {
    const share = mask[i % mask.length] as number;
    return value + share * ((y[i] as number) - value);
  });
}
