/** All adversarial architectures of pictures by their configuration: their networks, and what may stand before the critic. */
import { z } from 'zod';
import type { AugmentConfig } from '../../nn/adversarial/config.ts';
import type {
  AdversarialModel,
  CriticNetwork,
  GeneratorNetwork,
  Perturbation,
} from '../../nn/adversarial/contract.ts';
import { augmentation } from './augment.ts';
import { diffusionNoise } from './diffusion-noise.ts';
import { ganConfig, ganCritic, ganGenerator } from './gan.ts';
import { styleganConfig, styleganGenerator } from './stylegan.ts';
import { styleganCritic } from './stylegan-critic.ts';

export const adversarialImageConfig = z.discriminatedUnion('architecture', [ganConfig, styleganConfig]);
export type AdversarialImageConfig = z.infer<typeof adversarialImageConfig>;

export function imageGenerator(config: AdversarialImageConfig): GeneratorNetwork {
  return config.architecture === 'gan' ? ganGenerator(config) : styleganGenerator(config);
}

function imageCritic(config: AdversarialImageConfig, times: number | undefined): CriticNetwork {
  const options = times === undefined ? {} : { times };
  return config.architecture === 'gan' ? ganCritic(config, options) : styleganCritic(config, options);
}

export function adversarialImageModel(
  config: AdversarialImageConfig,
  augment: AugmentConfig,
): AdversarialModel {
  const shape = [config.channels, config.size, config.size] as const;
  return {
    generator: imageGenerator(config),
    critic: imageCritic(config, augment.name === 'diffusion' ? augment.most : undefined),
    perturbation: perturbationOf(augment, shape),
    shape,
    classes: config.classes,
  };
}

function perturbationOf(
  augment: AugmentConfig,
  shape: readonly [number, number, number],
): Perturbation | undefined {
  switch (augment.name) {
    case 'none':
      return undefined;
    case 'ada':
      return augmentation({ shape, kinds: augment.kinds });
    case 'diffusion':
      return diffusionNoise({ ...augment, shape });
  }
}
