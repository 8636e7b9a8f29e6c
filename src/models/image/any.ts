/** All image architectures that make pictures, by their configuration. */
import { z } from 'zod';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { adversarialImageConfig, imageGenerator } from './architectures.ts';
import { diffusionConfig, unetConfig } from './diffusion.ts';
import { latentDiffusionConfig, latentDiffusionSpecs } from './latent-diffusion.ts';
import { unetSpecs } from './unet.ts';
import { vaeConfig, vaeSpecs } from './vae.ts';

export const imageConfig = z.discriminatedUnion('architecture', [
  adversarialImageConfig,
  diffusionConfig,
  latentDiffusionConfig,
  vaeConfig,
]);
export type ImageConfig = z.infer<typeof imageConfig>;

/** Of what makes the pictures: a pair's generator, without its critic. */
export function imageParameters(config: ImageConfig): readonly ParameterSpec[] {
  switch (config.architecture) {
    case 'ddpm':
      return unetSpecs(unetConfig(config));
    case 'latent-ddpm':
      return latentDiffusionSpecs(config);
    case 'vae':
      return vaeSpecs(config);
    default:
      return imageGenerator(config).specs;
  }
}

/** Classes that can be asked for; 0 where there are none. */
export const classesOf = (config: ImageConfig): number =>
  config.architecture === 'vae' ? 0 : config.classes;

/** Whether it makes pictures by taking away noise, in pixels or in latents. */
export const isDenoiser = ({ architecture }: Pick<ImageConfig, 'architecture'>): boolean =>
  architecture === 'ddpm' || architecture === 'latent-ddpm';
