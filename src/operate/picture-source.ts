/** An image model ready to answer: requests in, pictures' files out. Knows neither HTTP nor processes. */
import type { PictureFile, PictureRequest, PictureSource } from '../base/contracts/pictures.ts';
import type { ModelDescription } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';
import { pictureMaker } from '../generate/image/any.ts';
import type { MakeByDenoising } from '../generate/image/diffusion.ts';
import { encodePicture } from '../generate/image/encode.ts';
import { denoisingOf } from '../generate/image/given.ts';
import type { PictureMaker } from '../generate/image/maker.ts';
import { type ImageModelInfo, loadImageModel } from '../models/image/load.ts';
import type { Backend } from '../runtime/contract.ts';

export function describePictures(info: ImageModelInfo, id: string): ModelDescription {
  return {
    id,
    family: info.family,
    created: info.created,
    parameters: info.parameters,
    context: 0,
    consumes: info.architecture === 'ddpm' ? ['text', 'image'] : ['text'],
    produces: ['image'],
    chat: false,
    classes: info.classes,
  };
}

/** Pictures between two looks at whether somebody still waits. */
const PART = 16;

export class LocalPictures implements PictureSource {
  readonly info: ImageModelInfo;
  private readonly name: string;
  private readonly maker: PictureMaker;

  private constructor(name: string, info: ImageModelInfo, maker: PictureMaker) {
    this.name = name;
    this.info = info;
    this.maker = maker;
  }

  static async open(folder: string, name: string, backend: Backend): Promise<LocalPictures> {
    const { weights, ...info } = await loadImageModel(folder);
    return new LocalPictures(name, info, pictureMaker(info.config, backend, weights));
  }

  async pictures(request: PictureRequest, signal?: AbortSignal): Promise<PictureFile[]> {
    const { config, classes } = this.info;
    const { count, seed, format, mix } = request;
    const known = config.architecture === 'vae' ? 0 : config.classes;
    const decode = (file: string | undefined): Uint8Array | undefined =>
      file === undefined ? undefined : Buffer.from(file, 'base64');
    const files: PictureFile[] = [];
    for (let at = 0; at < count; at += PART) {
      if (signal?.aborted === true)
        throw new InkstoneError('cancelled', 'nobody waits for these pictures any more', {
          kind: 'conflict',
        });
      const rows = Math.min(PART, count - at);
      const seeds = Array.from({ length: rows }, (_, i) => seed + at + i);
      const labels = known === 0 ? request.labels : turns(request.labels, known, at, rows);
      const made: MakeByDenoising = {
        seeds,
        ...(labels === undefined ? {} : { labels }),
        ...(request.truncation === undefined ? {} : { truncation: request.truncation }),
        ...(mix === undefined ? {} : { mixWith: { seeds: seeds.map(() => mix.seed), crossover: mix.layer } }),
        ...(await denoisingOf(config, rows, {
          guidance: request.guidance,
          steps: request.steps,
          strength: request.strength,
          from: decode(request.from),
          mask: decode(request.mask),
        })),
      };
      const pictures = await this.maker.make(made);
      for (let i = 0; i < rows; i++) {
        const label = labels?.[i];
        const own = label === undefined || known === 0 ? undefined : (classes[label] ?? String(label));
        const about = { model: this.name, architecture: config.architecture, seed: seeds[i] };
        const bytes = await encodePicture(pictures, i, {
          format,
          parameters: own === undefined ? about : { ...about, class: own },
          ...(request.size === undefined ? {} : { size: request.size }),
        });
        files.push({
          data: Buffer.from(bytes).toString('base64'),
          mediaType: `image/${format}`,
          seed: seeds[i] as number,
          ...(own === undefined ? {} : { label: own }),
        });
      }
    }
    return files;
  }

  close(): Promise<void> {
    return this.maker.close();
  }
}

/** What was asked for in turn; nothing asked for, all classes in turn. */
function turns(labels: readonly number[] | undefined, known: number, from: number, count: number): number[] {
  const all =
    labels === undefined || labels.length === 0 ? Array.from({ length: known }, (_, i) => i) : labels;
  return Array.from({ length: count }, (_, i) => all[(from + i) % all.length] as number);
}
