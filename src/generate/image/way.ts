/**
 * The way from each seed's picture to the next one's and back to the first, along the sphere of latents (Shoemake 1985).
 * Says what to make; makes nothing.
 */
import { InkstoneError } from '../../base/errors.ts';
import type { ImageConfig } from '../../models/image/any.ts';
import { imageGenerator } from '../../models/image/architectures.ts';
import { vaeGenerator } from '../../models/image/vae.ts';
import { between, latentOf } from './maker.ts';
import type { MakePictures } from './request.ts';

/** Seeds that the way leads past: a single one goes to the number after it and back. */
export const seedsOnWay = (seeds: readonly number[]): readonly number[] =>
  seeds.length > 1 ? seeds : [seeds[0] as number, (seeds[0] as number) + 1];

/**
 * `frames` pictures a stretch. Labels and the seeds of mixed styles count for stretches, in turn.
 * @throws InkstoneError `unsupported_setting` for a model without latents
 */
export function wayBetween(config: ImageConfig, request: MakePictures, frames: number): MakePictures {
  if (config.architecture === 'ddpm' || config.architecture === 'latent-ddpm')
    throw new InkstoneError('unsupported_setting', 'a diffusion model has no latent to go along', {
      kind: 'unsupported',
      hint: 'use a GAN, a StyleGAN or an autoencoder',
    });
  const generator = config.architecture === 'vae' ? vaeGenerator(config) : imageGenerator(config);
  const first = request.seeds[0] as number;
  const ends = seedsOnWay(request.seeds).map((seed) => latentOf(generator, seed));
  const latents = ends.flatMap((from, i) => {
    const to = ends[(i + 1) % ends.length] as Float32Array;
    return Array.from({ length: frames }, (_, frame) => between(from, to, frame / frames));
  });
  const { labels, mixWith } = request;
  /** Of each frame: its stretch's. */
  const spread = (each: readonly number[]): number[] =>
    latents.map((_, i) => each[Math.floor(i / frames) % each.length] as number);
  return {
    ...request,
    // One noise for all frames: only the latent moves.
    seeds: latents.map(() => first),
    latents,
    ...(labels === undefined ? {} : { labels: spread(labels) }),
    ...(mixWith === undefined ? {} : { mixWith: { ...mixWith, seeds: spread(mixWith.seeds) } }),
  };
}
