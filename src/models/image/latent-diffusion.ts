/**
 * Diffusion in the latents of a variational autoencoder (Rombach et al. 2022): the same denoiser as in pixels, over the
 * autoencoder's latent map, which is smaller. The autoencoder has learned before and takes part as it is. Its latents are
 * near N(0, 1) by its own loss, so they are not scaled. Knows no files.
 */
import { z } from 'zod';
import { type HostTensors, tensor } from '../../base/tensor.ts';
import type { Draw } from '../../nn/adversarial/contract.ts';
import { type ParameterSpec, parameterTypes } from '../../nn/parameters.ts';
import type { LossProgram } from '../../nn/train-step.ts';
import { mean, mul, type Program, sum, type Tensor, type TensorType, trace } from '../../program/index.ts';
import {
  type DiffusionConfig,
  denoiserConfig,
  diffusionErrors,
  diffusionTypes,
  drawDiffusion,
  unetConfig,
} from './diffusion.ts';
import { unetSpecs } from './unet.ts';
import { latentShape, vaeConfig, vaeDecode, vaeEncode, vaeSample, vaeSpecs } from './vae.ts';

export const latentDiffusionConfig = z.object({
  architecture: z.literal('latent-ddpm'),
  ...denoiserConfig,
  /** Whose latents; with a latent map. */
  autoencoder: vaeConfig.refine(({ map }) => map > 0, { message: 'the autoencoder needs a latent map' }),
});
export type LatentDiffusionConfig = z.infer<typeof latentDiffusionConfig>;

/** The denoiser's own view: "pictures" are latent maps. */
export function denoiserOf({ autoencoder, ...config }: LatentDiffusionConfig): DiffusionConfig {
  return { ...config, architecture: 'ddpm', size: autoencoder.map, channels: autoencoder.latent };
}

export const latentDenoiserSpecs = (config: LatentDiffusionConfig): ParameterSpec[] =>
  unetSpecs(unetConfig(denoiserOf(config)));

/** Names never meet: the autoencoder's begin with `encoder.` and `decoder.`. */
export const latentDiffusionSpecs = (config: LatentDiffusionConfig): ParameterSpec[] => [
  ...latentDenoiserSpecs(config),
  ...vaeSpecs(config.autoencoder),
];

const grainType = ({ autoencoder }: LatentDiffusionConfig, batch: number): TensorType => ({
  dtype: 'f32',
  shape: [batch, ...latentShape(autoencoder)],
});

function types(config: LatentDiffusionConfig, batch: number): Record<string, TensorType> {
  const { channels, size } = config;
  return {
    ...diffusionTypes(denoiserOf(config), batch),
    images: { dtype: 'f32', shape: [batch, channels, size, size] },
    // Where in the autoencoder's own uncertainty the latent lies.
    grain: grainType(config, batch),
  };
}

/** What a step needs beside pictures and labels. */
export function drawLatentDiffusion(
  config: LatentDiffusionConfig,
  random: Draw,
  batch: number,
  labels: ArrayLike<number> | undefined,
): HostTensors {
  const { shape } = grainType(config, batch) as { shape: readonly number[] };
  const size = shape.reduce((a, b) => a * b, 1);
  return {
    ...drawDiffusion(denoiserOf(config), random, batch, labels),
    grain: tensor('f32', shape, random.normals(size)),
  };
}

function errors(config: LatentDiffusionConfig, x: Readonly<Record<string, Tensor>>): Tensor {
  const found = vaeEncode(config.autoencoder, x, x.images as Tensor);
  const images = vaeSample(found, x.grain as Tensor);
  return diffusionErrors(denoiserOf(config), { ...x, images });
}

export function latentDiffusionLoss(config: LatentDiffusionConfig, batch: number): LossProgram {
  return {
    specs: latentDenoiserSpecs(config),
    frozen: parameterTypes(vaeSpecs(config.autoencoder)),
    inputs: types(config, batch),
    loss: (x) => mean(errors(config, x)),
    dropped: 0,
  };
}

export function latentDiffusionEvaluate(config: LatentDiffusionConfig, batch: number): Program {
  const inputs = {
    ...parameterTypes(latentDiffusionSpecs(config)),
    ...types(config, batch),
    weights: { dtype: 'f32' as const, shape: [batch] },
  };
  return trace('latent_diffusion_evaluate', inputs, (x) => ({
    total: sum(mul(errors(config, x), x.weights as Tensor)),
  }));
}

/** `images` → `latents`: the middle of what the encoder says. */
export function latentEncoder({ autoencoder }: LatentDiffusionConfig, batch: number): Program {
  const { channels, size } = autoencoder;
  const inputs = {
    ...parameterTypes(vaeSpecs(autoencoder)),
    images: { dtype: 'f32' as const, shape: [batch, channels, size, size] },
  };
  return trace('latent_encode', inputs, (x) => ({
    latents: vaeEncode(autoencoder, x, x.images as Tensor).center,
  }));
}

/** `latents` → `images`. */
export function latentDecoder(config: LatentDiffusionConfig, batch: number): Program {
  const { autoencoder } = config;
  const inputs = { ...parameterTypes(vaeSpecs(autoencoder)), latents: grainType(config, batch) };
  return trace('latent_decode', inputs, (x) => ({
    images: vaeDecode(autoencoder, x, x.latents as Tensor),
  }));
}
