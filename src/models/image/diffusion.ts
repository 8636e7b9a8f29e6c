/**
 * Denoising diffusion of pictures (Ho et al. 2020), with the cosine schedule (Nichol and Dhariwal 2021), v-prediction
 * (Salimans and Ho 2022) and labels that are left out now and then, for guidance without a classifier (Ho and Salimans 2022).
 */
import { z } from 'zod';
import { type HostTensors, tensor } from '../../base/tensor.ts';
import type { Draw } from '../../nn/adversarial/contract.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import type { LossProgram } from '../../nn/train-step.ts';
import {
  add,
  mean,
  mul,
  type Program,
  reshape,
  square,
  sub,
  sum,
  type Tensor,
  type TensorType,
  trace,
} from '../../program/index.ts';
import { signalAndNoise } from './diffusion-noise.ts';
import { imageSizes } from './sizes.ts';
import { type UnetConfig, unet, unetSpecs } from './unet.ts';

const { latent: _, ...sizes } = imageSizes;

/** Of every denoiser, in pixels or in latents. */
export const denoiserConfig = {
  ...sizes,
  /** Residual blocks a size, each way. */
  blocks: z.number().int().min(1).max(4).default(1),
  /** Steps from a picture to pure noise. */
  steps: z.number().int().min(10).max(4000).default(1000),
  schedule: z.enum(['linear', 'cosine']).default('cosine'),
  /** What the network gives: the noise, or v = √ᾱ·noise − √(1−ᾱ)·picture. */
  prediction: z.enum(['noise', 'v']).default('v'),
  /** Part of the labels that are left out in training. */
  unlabelled: z.number().min(0).max(1).default(0.1),
};
export const diffusionConfig = z.object({ architecture: z.literal('ddpm'), ...denoiserConfig });
export type DiffusionConfig = z.infer<typeof diffusionConfig>;

export const unetConfig = (config: DiffusionConfig): UnetConfig => config;

/** √ᾱ and √(1−ᾱ) at t = 0 … steps − 1. */
export function scheduleOf({ schedule, steps }: Pick<DiffusionConfig, 'schedule' | 'steps'>): {
  signal: Float64Array;
  noise: Float64Array;
} {
  if (schedule === 'linear') {
    const { signal, noise } = signalAndNoise(steps);
    return { signal: signal.subarray(1), noise: noise.subarray(1) };
  }
  const offset = 0.008;
  const at = (t: number): number => Math.cos((((t / steps + offset) / (1 + offset)) * Math.PI) / 2) ** 2;
  const signal = new Float64Array(steps);
  const noise = new Float64Array(steps);
  let kept = 1;
  for (let t = 0; t < steps; t++) {
    kept *= Math.max(1e-3, at(t + 1) / at(t));
    signal[t] = Math.sqrt(kept);
    noise[t] = Math.sqrt(1 - kept);
  }
  return { signal, noise };
}

/** What a step takes. */
export function diffusionTypes(config: DiffusionConfig, batch: number): Record<string, TensorType> {
  const shape = [batch, config.channels, config.size, config.size];
  return {
    images: { dtype: 'f32', shape },
    noise: { dtype: 'f32', shape },
    times: { dtype: 'i32', shape: [batch] },
    signal: { dtype: 'f32', shape: [batch] },
    amount: { dtype: 'f32', shape: [batch] },
    ...(config.classes > 0 ? { labels: { dtype: 'i32' as const, shape: [batch] } } : {}),
  };
}

/** What a step needs beside pictures and labels; some labels are left out. */
export function drawDiffusion(
  config: DiffusionConfig,
  random: Draw,
  batch: number,
  labels: ArrayLike<number> | undefined,
): HostTensors {
  const { signal, noise } = scheduleOf(config);
  const shape = [batch, config.channels, config.size, config.size];
  const times = Int32Array.from({ length: batch }, () => Math.floor(random.uniform() * config.steps));
  const given = Int32Array.from({ length: batch }, (_, i) =>
    random.uniform() < config.unlabelled ? config.classes : Number(labels?.[i] ?? config.classes),
  );
  return {
    noise: tensor('f32', shape, random.normals(shape.reduce((a, b) => a * b, 1))),
    times: tensor('i32', [batch], times),
    signal: tensor(
      'f32',
      [batch],
      Float32Array.from(times, (t) => signal[t] as number),
    ),
    amount: tensor(
      'f32',
      [batch],
      Float32Array.from(times, (t) => noise[t] as number),
    ),
    ...(config.classes > 0 ? { labels: tensor('i32', [batch], given) } : {}),
  };
}

/** Squared error of each picture's prediction, `[batch]`. */
export function diffusionErrors(config: DiffusionConfig, x: Readonly<Record<string, Tensor>>): Tensor {
  const each = (name: string): Tensor => reshape(x[name] as Tensor, [-1, 1, 1, 1]);
  const images = x.images as Tensor;
  const noise = x.noise as Tensor;
  const noisy = add(mul(images, each('signal')), mul(noise, each('amount')));
  const found = unet(unetConfig(config), x, noisy, x.times as Tensor, x.labels);
  const wanted =
    config.prediction === 'noise' ? noise : sub(mul(noise, each('signal')), mul(images, each('amount')));
  return mean(square(sub(found, wanted)), { axes: [1, 2, 3] });
}

export function diffusionLoss(config: DiffusionConfig, batch: number): LossProgram {
  return {
    specs: unetSpecs(unetConfig(config)),
    inputs: diffusionTypes(config, batch),
    loss: (x) => mean(diffusionErrors(config, x)),
    dropped: 0,
  };
}

export function diffusionEvaluate(config: DiffusionConfig, batch: number): Program {
  const inputs = {
    ...parameterTypes(unetSpecs(unetConfig(config))),
    ...diffusionTypes(config, batch),
    weights: { dtype: 'f32' as const, shape: [batch] },
  };
  return trace('diffusion_evaluate', inputs, (x) => ({
    total: sum(mul(diffusionErrors(config, x), x.weights as Tensor)),
  }));
}

/** `images` and `times` (and `labels`) → `prediction`, for sampling. */
export function diffusionPredict(config: DiffusionConfig, batch: number): Program {
  const { images, times, labels } = diffusionTypes(config, batch);
  const inputs = {
    ...parameterTypes(unetSpecs(unetConfig(config))),
    images: images as TensorType,
    times: times as TensorType,
    ...(labels === undefined ? {} : { labels }),
  };
  return trace('diffusion_predict', inputs, (x) => ({
    prediction: unet(unetConfig(config), x, x.images as Tensor, x.times as Tensor, x.labels),
  }));
}
