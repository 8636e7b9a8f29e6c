/** The maker of pictures that an architecture needs. */
import type { HostTensor, HostTensors } from '../../base/tensor.ts';
import { classesOf, type ImageConfig } from '../../models/image/any.ts';
import { imageGenerator } from '../../models/image/architectures.ts';
import { denoiserOf, latentDenoiserSpecs } from '../../models/image/latent-diffusion.ts';
import { vaeGenerator } from '../../models/image/vae.ts';
import type { Backend } from '../../runtime/contract.ts';
import { type Denoising, DiffusionMaker } from './diffusion.ts';
import { latentsOf } from './latents.ts';
import { NetworkMaker } from './maker.ts';
import type { PictureMaker } from './request.ts';

export function pictureMaker(
  config: ImageConfig,
  backend: Backend,
  parameters: HostTensors,
  denoising: Denoising = {},
): PictureMaker {
  if (config.architecture === 'ddpm') return new DiffusionMaker({ backend, config, parameters }, denoising);
  if (config.architecture === 'latent-ddpm') {
    const own = Object.fromEntries(
      latentDenoiserSpecs(config).map(({ name }) => [name, parameters[name] as HostTensor]),
    );
    const latents = latentsOf(backend, config, parameters);
    return new DiffusionMaker({ backend, config: denoiserOf(config), parameters: own, latents }, denoising);
  }
  const generator = config.architecture === 'vae' ? vaeGenerator(config) : imageGenerator(config);
  const { channels, size } = config;
  return new NetworkMaker({ backend, generator, parameters, channels, size, classes: classesOf(config) });
}
