/** The maker of pictures that an architecture needs. */
import type { HostTensors } from '../../base/tensor.ts';
import type { ImageConfig } from '../../models/image/any.ts';
import { imageGenerator } from '../../models/image/architectures.ts';
import { vaeGenerator } from '../../models/image/vae.ts';
import type { Backend } from '../../runtime/contract.ts';
import { DiffusionMaker } from './diffusion.ts';
import { NetworkMaker, type PictureMaker } from './maker.ts';

export function pictureMaker(config: ImageConfig, backend: Backend, parameters: HostTensors): PictureMaker {
  if (config.architecture === 'ddpm') return new DiffusionMaker({ backend, config, parameters });
  const generator = config.architecture === 'vae' ? vaeGenerator(config) : imageGenerator(config);
  const { channels, size } = config;
  const classes = config.architecture === 'vae' ? 0 : config.classes;
  return new NetworkMaker({ backend, generator, parameters, channels, size, classes });
}
