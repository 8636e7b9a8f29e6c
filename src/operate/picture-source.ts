/** An image model ready to answer: requests in, pictures' files out. Knows neither HTTP nor processes. */
import type {
  PictureFile,
  PictureRequest,
  PictureSource,
  PictureTraits,
} from '../base/contracts/pictures.ts';
import type { ModelDescription } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';
import { codeVersion } from '../base/version.ts';
import { aboutPicture, aboutWay, type Maker } from '../generate/image/about.ts';
import { pictureMaker } from '../generate/image/any.ts';
import type { MakeByDenoising } from '../generate/image/diffusion.ts';
import { encodeAnimation, encodePicture, type Parameters } from '../generate/image/encode.ts';
import { denoisingOf } from '../generate/image/given.ts';
import { makeInParts, type PictureMaker, type Pictures } from '../generate/image/request.ts';
import { upscaled } from '../generate/image/upscale.ts';
import { wayBetween } from '../generate/image/way.ts';
import { classesOf, isDenoiser } from '../models/image/any.ts';
import { type ImageModelInfo, loadImageModel } from '../models/image/load.ts';
import { styleLayers } from '../models/image/stylegan.ts';
import type { Backend } from '../runtime/contract.ts';
import { tuningTraits } from '../train/image-tuning.ts';

export function describePictures(info: ImageModelInfo, id: string): ModelDescription {
  return {
    id,
    family: info.family,
    created: info.created,
    parameters: info.parameters,
    context: 0,
    consumes: isDenoiser(info.config) ? ['text', 'image'] : ['text'],
    produces: ['image'],
    chat: false,
    classes: info.classes,
  };
}

export function traitsOf(info: ImageModelInfo): PictureTraits {
  const { config, classes } = info;
  const { architecture, size, channels } = config;
  const known = classesOf(config);
  return {
    ...{ architecture, size, channels },
    classes: Array.from({ length: known }, (_, i) => classes[i] ?? String(i)),
    styles: architecture === 'stylegan1' || architecture === 'stylegan2' ? styleLayers(config) : 0,
    between: !isDenoiser(config),
    edits: isDenoiser(config),
    masks: config.architecture === 'ddpm',
    steps: 'steps' in config ? config.steps : 0,
    tuning: tuningTraits(info),
  };
}

/** Pictures between two looks at whether somebody still waits. */
const PART = 16;

export class LocalPictures implements PictureSource {
  readonly info: ImageModelInfo;
  private readonly name: string;
  private readonly maker: PictureMaker;
  private readonly backend: Backend;

  private constructor(name: string, info: ImageModelInfo, maker: PictureMaker, backend: Backend) {
    this.name = name;
    this.info = info;
    this.maker = maker;
    this.backend = backend;
  }

  static async open(folder: string, name: string, backend: Backend): Promise<LocalPictures> {
    const { weights, ...info } = await loadImageModel(folder);
    return new LocalPictures(name, info, pictureMaker(info.config, backend, weights), backend);
  }

  async pictures(request: PictureRequest, signal?: AbortSignal): Promise<PictureFile[]> {
    if (request.way !== undefined) return this.along({ ...request, way: request.way }, signal);
    const { count, seed, mix, upscale } = request;
    const seeds = Array.from({ length: count }, (_, i) => seed + i);
    const labels = this.labels(request.labels, count);
    const asked: MakeByDenoising = {
      seeds,
      ...(labels === undefined ? {} : { labels }),
      ...(request.truncation === undefined ? {} : { truncation: request.truncation }),
      ...(mix === undefined ? {} : { mixWith: { seeds: seeds.map(() => mix.seed), crossover: mix.layer } }),
      ...(await this.denoising(request, count)),
    };
    const made = await this.make(signal, asked);
    const shown = upscale === undefined ? made : await upscaled(this.backend, made, upscale);
    const maker = { ...(await this.told()), upscale };
    return this.files(shown, request, (i) => aboutPicture(maker, asked, i));
  }

  /** Frames of the way, or one file that shows them. */
  private async along(
    request: PictureRequest & Required<Pick<PictureRequest, 'way'>>,
    signal: AbortSignal | undefined,
  ): Promise<PictureFile[]> {
    const { way, truncation, size, mix } = request;
    const labels = this.labels(request.labels, way.seeds.length);
    const asked = {
      seeds: way.seeds,
      ...(labels === undefined ? {} : { labels }),
      ...(truncation === undefined ? {} : { truncation }),
      ...(mix === undefined
        ? {}
        : { mixWith: { seeds: way.seeds.map(() => mix.seed), crossover: mix.layer } }),
    };
    const made = await this.make(signal, wayBetween(this.info.config, asked, way.frames));
    const about = aboutWay(await this.told(), asked, way.frames);
    const first = way.seeds[0] as number;
    if (way.animation === undefined)
      return this.files(made, request, (frame) => ({ ...about, seed: first, frame }));
    const bytes = await encodeAnimation(made, {
      gif: way.animation === 'gif',
      parameters: about,
      ...(way.delay === undefined ? {} : { delay: way.delay }),
      ...(size === undefined ? {} : { size }),
    });
    return [
      { data: Buffer.from(bytes).toString('base64'), mediaType: `image/${way.animation}`, seed: first },
    ];
  }

  /** All pictures, made in parts. @throws InkstoneError `cancelled` once nobody waits any more */
  private make(signal: AbortSignal | undefined, request: MakeByDenoising): Promise<Pictures> {
    return makeInParts(this.maker, request, PART, () => {
      if (signal?.aborted === true)
        throw new InkstoneError('cancelled', 'nobody waits for these pictures any more', {
          kind: 'conflict',
        });
    });
  }

  private denoising(request: PictureRequest, rows: number): Promise<Partial<MakeByDenoising>> {
    const decode = (file: string | undefined): Uint8Array | undefined =>
      file === undefined ? undefined : Buffer.from(file, 'base64');
    return denoisingOf(this.info.config, rows, {
      guidance: request.guidance,
      steps: request.steps,
      eta: request.eta,
      strength: request.strength,
      from: decode(request.from),
      mask: decode(request.mask),
    });
  }

  /** What was asked for in turn; nothing asked for, all classes in turn. */
  private labels(wanted: readonly number[] | undefined, count: number): readonly number[] | undefined {
    const known = classesOf(this.info.config);
    if (known === 0) return wanted;
    const all =
      wanted === undefined || wanted.length === 0 ? Array.from({ length: known }, (_, i) => i) : wanted;
    return Array.from({ length: count }, (_, i) => all[i % all.length] as number);
  }

  /** What files say of who made them. */
  private async told(): Promise<Maker> {
    const { config, classes } = this.info;
    return { model: this.name, config, classes, version: await codeVersion() };
  }

  private async files(
    made: Pictures,
    { format, size }: PictureRequest,
    about: (i: number) => Parameters & { seed: number; class?: string },
  ): Promise<PictureFile[]> {
    const files: PictureFile[] = [];
    for (let i = 0; i < made.count; i++) {
      const parameters = about(i);
      const bytes = await encodePicture(made, i, {
        ...{ format, parameters },
        ...(size === undefined ? {} : { size }),
      });
      files.push({
        data: Buffer.from(bytes).toString('base64'),
        mediaType: `image/${format}`,
        seed: parameters.seed,
        ...(parameters.class === undefined ? {} : { label: parameters.class }),
      });
    }
    return files;
  }

  close(): Promise<void> {
    return this.maker.close();
  }
}
