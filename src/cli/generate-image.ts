/** `inkstone generate` of an image model: pictures by seed, as files, as an array, as a way from one to another. */
import { randomInt } from 'node:crypto';
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { makeFolder, monotonic, readBytes, writeFile } from '../base/host.ts';
import { z } from '../base/schema.ts';
import { tensor } from '../base/tensor.ts';
import { codeVersion } from '../base/version.ts';
import { writeNpz } from '../formats/npz.ts';
import { aboutPicture, aboutWay } from '../generate/image/about.ts';
import { pictureMaker } from '../generate/image/any.ts';
import type { MakeByDenoising } from '../generate/image/diffusion.ts';
import {
  encodeAnimation,
  encodePicture,
  type Parameters,
  PICTURE_FORMATS,
  type PictureFormat,
} from '../generate/image/encode.ts';
import { denoisingOf, type Given } from '../generate/image/given.ts';
import { makeInParts, type Pictures } from '../generate/image/request.ts';
import { upscaled } from '../generate/image/upscale.ts';
import { wayBetween } from '../generate/image/way.ts';
import { classesOf } from '../models/image/any.ts';
import { type ImageModelInfo, loadImageModel } from '../models/image/load.ts';
import { createBackend } from '../runtime/index.ts';
import type { CommandContext } from './command.ts';

const own = { environment: false } as const;
const whole = z.number().int();

/** Flags that only pictures have. */
export const imageFlags = {
  out: z
    .string()
    .min(1)
    .optional()
    .describe(
      'pictures: a folder, one file, an .npz (images and labels), or a .webp/.gif with --between; default runs-out/MODEL-pictures',
    )
    .meta(own),
  label: z
    .array(z.string().min(1))
    .default([])
    .describe('pictures: their class, by name or number; several take turns; default: all classes in turn')
    .meta(own),
  truncation: z
    .number()
    .min(0)
    .max(2)
    .default(1)
    .describe('pictures: 1 for the whole variety, 0.7 for typical ones')
    .meta(own),
  format: z.enum(PICTURE_FORMATS).default('png').describe('pictures: the file format in a folder').meta(own),
  pixels: whole
    .min(8)
    .max(4096)
    .optional()
    .describe('pictures: side of the files; default: as made')
    .meta(own),
  upscale: whole
    .min(2)
    .max(4)
    .optional()
    .describe('pictures: this many times larger, by a Lanczos convolution: smooth, without new detail')
    .meta(own),
  mix: whole.min(0).optional().describe('StyleGAN: later layers take the styles of this seed').meta(own),
  mixFrom: whole.min(1).max(16).default(4).describe('StyleGAN: the layer from which --mix counts').meta(own),
  between: whole
    .min(2)
    .max(500)
    .optional()
    .describe('pictures: frames from each seed to the next, as an animation (.webp or .gif)')
    .meta(own),
  guidance: z
    .number()
    .min(0)
    .max(20)
    .optional()
    .describe('diffusion: how strongly the label counts')
    .meta(own),
  denoise: whole.min(1).max(1000).optional().describe('diffusion: denoising steps; default 50').meta(own),
  eta: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('diffusion: fresh noise in each step; 0 (default) for none, DDIM; 1 as in DDPM')
    .meta(own),
  from: z.string().min(1).optional().describe('diffusion: a picture to start from').meta(own),
  strength: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .describe('diffusion: how much of --from may change; default 0.6')
    .meta(own),
  mask: z
    .string()
    .min(1)
    .optional()
    .describe('diffusion: a picture that is white where --from is to be made anew')
    .meta(own),
};
/** Pictures between two words of progress. */
const PART = 256;

const flags = z.object(imageFlags);

export interface GenerateImageSettings extends z.output<typeof flags> {
  seed?: number | undefined;
  count: number;
  device: 'cpu' | 'webgpu';
  threads?: number | undefined;
}

export interface GenerateImageResult {
  model: string;
  count: number;
  seed: number;
  out: string;
  files?: string[];
  pictures_per_second: number;
}

export async function generateImages(
  { id, folder }: { id: string; folder: string },
  settings: GenerateImageSettings,
  context: CommandContext,
): Promise<GenerateImageResult> {
  const model = await loadImageModel(folder);
  const backend = await createBackend(
    settings.device,
    settings.threads === undefined ? {} : { threads: settings.threads },
  );
  const maker = pictureMaker(model.config, backend, model.weights);
  try {
    const seed = settings.seed ?? randomInt(2 ** 31);
    const seeds = Array.from({ length: settings.count }, (_, i) => seed + i);
    const labels = labelsOf(settings.label, model, settings.count);
    const request: MakeByDenoising = {
      seeds,
      ...(labels === undefined ? {} : { labels }),
      truncation: settings.truncation,
      ...(await denoisingOf(model.config, settings.count, await given(settings))),
      ...(settings.mix === undefined
        ? {}
        : { mixWith: { seeds: seeds.map(() => settings.mix as number), crossover: settings.mixFrom } }),
    };
    const { config, classes } = model;
    const told = { model: id, config, classes, version: await codeVersion(), upscale: settings.upscale };
    const enlarged = async (pictures: Pictures): Promise<Pictures> =>
      settings.upscale === undefined ? pictures : upscaled(backend, pictures, settings.upscale);
    const begun = monotonic();
    const out = settings.out ?? path.join('runs-out', `${id.replaceAll('/', '-')}-pictures`);
    const result = { model: id, count: settings.count, seed, out };
    if (settings.between !== undefined) {
      const frames = await enlarged(await maker.make(wayBetween(config, request, settings.between)));
      const file = /\.(webp|gif)$/i.test(out) ? out : `${out}.webp`;
      await makeFolder(path.dirname(file));
      const parameters = aboutWay(told, request, settings.between);
      const gif = /\.gif$/i.test(file);
      await writeFile(file, await encodeAnimation(frames, { gif, parameters, ...sized(settings) }));
      return { ...result, out: file, count: frames.count, pictures_per_second: rate(frames.count, begun) };
    }
    const made = await makeInParts(maker, request, PART, (done) => {
      context.signal.throwIfAborted();
      if (settings.count > PART) context.progress.show(`${done}/${settings.count} pictures`);
    });
    const pictures = await enlarged(made);
    const speed = rate(settings.count, begun);
    if (/\.npz$/i.test(out)) {
      await makeFolder(path.dirname(out));
      await writeFile(out, asArrays(pictures, labels));
      return { ...result, pictures_per_second: speed };
    }
    const files = await writePictures(pictures, out, settings, (i) => aboutPicture(told, request, i));
    return { ...result, files, pictures_per_second: speed };
  } finally {
    await maker.close();
    await backend.close();
  }
}

const rate = (count: number, begun: number): number =>
  Number((count / Math.max(1e-6, (monotonic() - begun) / 1000)).toPrecision(4));

const sized = ({ pixels }: GenerateImageSettings): { size?: number } =>
  pixels === undefined ? {} : { size: pixels };

/** @throws InkstoneError `label_unknown` */
export function labelsOf(
  wanted: readonly string[],
  { classes, config }: ImageModelInfo,
  count: number,
): number[] | undefined {
  const known = classesOf(config);
  if (known === 0) {
    if (wanted.length === 0) return undefined;
    throw new InkstoneError('label_unknown', 'this model has no classes', {
      kind: 'usage',
      hint: 'leave --label out',
    });
  }
  const numbers = wanted.map((label) => {
    const named = classes.indexOf(label);
    const number = named >= 0 ? named : Number(label);
    if (Number.isInteger(number) && number >= 0 && number < known) return number;
    throw new InkstoneError('label_unknown', `there is no class ${label}`, {
      kind: 'usage',
      hint: `the classes are ${classes.slice(0, 20).join(', ') || `0 to ${known - 1}`}`,
    });
  });
  return Array.from({ length: count }, (_, i) =>
    numbers.length > 0 ? (numbers[i % numbers.length] as number) : i % known,
  );
}

async function given(settings: GenerateImageSettings): Promise<Given> {
  const { guidance, denoise, eta, from, mask, strength } = settings;
  return {
    guidance,
    steps: denoise,
    eta,
    strength,
    from: from === undefined ? undefined : await readBytes(from),
    mask: mask === undefined ? undefined : await readBytes(mask),
  };
}

/** `images` `[n, size, size]` (`[n, channels, size, size]` for colour) u8, and `labels` `[n]` i32. */
function asArrays(
  { count, channels, size, pixels }: Pictures,
  labels: readonly number[] | undefined,
): Uint8Array {
  const shape = channels === 1 ? [count, size, size] : [count, channels, size, size];
  return writeNpz({
    images: tensor('u8', shape, pixels),
    labels: tensor('i32', [count], labels ?? new Int32Array(count)),
  });
}

async function writePictures(
  pictures: Pictures,
  out: string,
  settings: GenerateImageSettings,
  about: (i: number) => Parameters & { seed: number },
): Promise<string[]> {
  const ending = /\.(png|webp|jpe?g|avif)$/i.exec(out)?.[1]?.toLowerCase();
  if (ending !== undefined && pictures.count > 1)
    throw new InkstoneError(
      'out_single',
      `${out} is one file, and ${pictures.count} pictures were asked for`,
      {
        kind: 'usage',
        hint: 'give a folder with --out',
      },
    );
  const format =
    ending === undefined ? settings.format : ((ending === 'jpg' ? 'jpeg' : ending) as PictureFormat);
  await makeFolder(ending === undefined ? out : path.dirname(out));
  const files: string[] = [];
  for (let i = 0; i < pictures.count; i++) {
    const parameters = about(i);
    const file =
      ending === undefined
        ? path.join(
            out,
            `${String(i).padStart(5, '0')}-seed${parameters.seed}.${format === 'jpeg' ? 'jpg' : format}`,
          )
        : out;
    await writeFile(file, await encodePicture(pictures, i, { format, parameters, ...sized(settings) }));
    files.push(file);
  }
  return files;
}
