/** Pictures that somebody gives a diffusion model to start from, as files' bytes: decoded to what the model takes. */
import sharp from 'sharp';
import { InkstoneError } from '../../base/errors.ts';
import { decodePicture } from '../../data/image/decode.ts';
import { type ImageConfig, isDenoiser } from '../../models/image/any.ts';
import type { MakeByDenoising } from './diffusion.ts';

export interface Given {
  guidance?: number | undefined;
  steps?: number | undefined;
  eta?: number | undefined;
  strength?: number | undefined;
  /** A picture's file. */
  from?: Uint8Array | undefined;
  /** A picture's file: white where `from` is to be made anew. */
  mask?: Uint8Array | undefined;
}

/** @throws InkstoneError `unsupported_setting` for a model that does not denoise, `setting_missing`, `picture_invalid` */
export async function denoisingOf(
  config: ImageConfig,
  count: number,
  { guidance, steps, eta, strength, from, mask }: Given,
): Promise<Partial<MakeByDenoising>> {
  if (!isDenoiser(config)) {
    if ([guidance, steps, eta, strength, from, mask].every((setting) => setting === undefined)) return {};
    throw new InkstoneError(
      'unsupported_setting',
      'only a diffusion model can be guided or start from a picture',
      { kind: 'unsupported', hint: 'train one: inkstone train image --preset mnist-ddpm' },
    );
  }
  if (from === undefined && (mask !== undefined || strength !== undefined))
    throw new InkstoneError(
      'setting_missing',
      `a ${mask === undefined ? 'strength' : 'mask'} needs the picture that it belongs to`,
      {
        kind: 'usage',
        hint: 'give the picture, too',
      },
    );
  const start = from === undefined ? undefined : await pixels(from, config.size, config.channels as 1 | 3);
  const free = mask === undefined ? undefined : await pixels(mask, config.size, 1);
  return {
    ...(guidance === undefined ? {} : { guidance }),
    ...(steps === undefined ? {} : { steps }),
    ...(eta === undefined ? {} : { eta }),
    ...(strength === undefined ? {} : { strength }),
    ...(start === undefined
      ? {}
      : {
          from: repeated(
            Float32Array.from(start, (v) => v / 127.5 - 1),
            count,
          ),
        }),
    ...(free === undefined ? {} : { keep: Float32Array.from(free, (v) => 1 - v / 255) }),
  };
}

async function pixels(file: Uint8Array, size: number, channels: 1 | 3): Promise<Uint8Array> {
  const decoded = await decodePicture(file, { size, channels, fit: 'contain' });
  if ('pixels' in decoded) return decoded.pixels;
  throw new InkstoneError('picture_invalid', `the picture cannot be read: ${decoded.problem}`, {
    kind: 'data',
    hint: 'give a PNG, JPEG, WebP, AVIF, GIF or SVG',
  });
}

function repeated(one: Float32Array, count: number): Float32Array {
  const all = new Float32Array(one.length * count);
  for (let i = 0; i < count; i++) all.set(one, i * one.length);
  return all;
}

/**
 * OpenAI's mask, transparent where the picture is to be made anew, as ours: white there, black where it stays. A mask
 * without transparency is taken as it is.
 */
export async function maskOf(file: Uint8Array): Promise<Uint8Array> {
  try {
    const image = sharp(file, { limitInputPixels: 64e6 });
    const { hasAlpha } = await image.metadata();
    if (!hasAlpha) return file;
    return new Uint8Array(await image.extractChannel('alpha').negate().png().toBuffer());
  } catch (cause) {
    throw new InkstoneError('picture_invalid', 'the mask is no picture', {
      kind: 'data',
      hint: 'give a PNG, transparent where the picture is to be made anew',
      cause,
    });
  }
}
