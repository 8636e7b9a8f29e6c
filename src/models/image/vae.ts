/**
 * A variational autoencoder of pictures (Kingma and Welling 2014): a convolutional encoder to the mean and log-variance of a
 * latent map or vector, and a decoder back. Knows no data.
 */
import { z } from 'zod';
import { tensor } from '../../base/tensor.ts';
import type { GeneratorNetwork } from '../../nn/adversarial/contract.ts';
import { type ParameterSpec, parameterTypes } from '../../nn/parameters.ts';
import type { LossProgram } from '../../nn/train-step.ts';
import {
  add,
  exp,
  mean,
  mul,
  type Program,
  reshape,
  slice,
  softplus,
  square,
  sub,
  sum,
  type Tensor,
  type TensorType,
  tanh,
  trace,
} from '../../program/index.ts';
import { convolution, convolutionSpecs, dense, denseSpecs, GAIN, rectify, upsample } from './layers.ts';
import { channelsAt, imageSizes, ladder } from './sizes.ts';

export const vaeConfig = z.object({
  architecture: z.literal('vae'),
  ...imageSizes,
  /** Weight of the divergence from N(0, 1) (β of Higgins et al. 2017). */
  beta: z.number().min(0).default(1),
});
export type VaeConfig = z.infer<typeof vaeConfig>;

export function vaeSpecs(config: VaeConfig): ParameterSpec[] {
  const { latent, channels } = config;
  const sizes = ladder(config.size);
  const widths = sizes.map((size) => channelsAt(size, config));
  const first = sizes[0] as number;
  const deepest = widths[0] as number;
  const specs: ParameterSpec[] = [];
  [...sizes].reverse().forEach((size, i) => {
    const width = channelsAt(size, config);
    const from = i === 0 ? channels : channelsAt(size * 2, config);
    specs.push(...convolutionSpecs(`encoder.size${size}`, from, width, 3));
  });
  specs.push(
    ...denseSpecs('encoder.latent', deepest * first * first, 2 * latent),
    ...denseSpecs('decoder.start', latent, deepest * first * first),
  );
  sizes.forEach((size, i) => {
    specs.push(
      ...convolutionSpecs(
        `decoder.size${size}`,
        widths[Math.max(0, i - 1)] as number,
        widths[i] as number,
        3,
      ),
    );
  });
  specs.push(...convolutionSpecs('decoder.picture', widths.at(-1) as number, channels, 3));
  return specs;
}

type P = Readonly<Record<string, Tensor>>;

/** `[batch, channels, size, size]`, −1 … 1 → mean and log-variance, each `[batch, latent]`. */
export function vaeEncode(config: VaeConfig, p: P, images: Tensor): { center: Tensor; spread: Tensor } {
  let h = images;
  [...ladder(config.size)].reverse().forEach((size, i) => {
    h = rectify(convolution(p, `encoder.size${size}`, h, { gain: GAIN, stride: i === 0 ? 1 : 2 }));
  });
  const both = dense(p, 'encoder.latent', reshape(h, [h.shape[0] as number, -1]));
  const { latent } = config;
  return {
    center: slice(both, { axis: 1, start: 0, end: latent }),
    spread: slice(both, { axis: 1, start: latent, end: 2 * latent }),
  };
}

/** `[batch, latent]` → scores of each pixel, `[batch, channels, size, size]`; their tanh of the half is the picture. */
function vaeScores(config: VaeConfig, p: P, latents: Tensor): Tensor {
  const sizes = ladder(config.size);
  const first = sizes[0] as number;
  let h = rectify(dense(p, 'decoder.start', latents, { gain: GAIN }));
  h = reshape(h, [latents.shape[0] as number, channelsAt(first, config), first, first]);
  sizes.forEach((size, i) => {
    if (i > 0) h = upsample(h);
    h = rectify(convolution(p, `decoder.size${size}`, h, { gain: GAIN }));
  });
  return convolution(p, 'decoder.picture', h);
}

/** Pictures −1 … 1: the mean of each pixel. */
export const vaeDecode = (config: VaeConfig, p: P, latents: Tensor): Tensor =>
  tanh(mul(vaeScores(config, p, latents), 0.5));

const types = (config: VaeConfig, batch: number): Record<string, TensorType> => ({
  images: { dtype: 'f32', shape: [batch, config.channels, config.size, config.size] },
  noise: { dtype: 'f32', shape: [batch, config.latent] },
});

/** Negative evidence bound of each picture in nats, pixels as Bernoulli variables of their brightness (appendix C.1). */
function bound(config: VaeConfig, x: P): Tensor {
  const images = x.images as Tensor;
  const { center, spread } = vaeEncode(config, x, images);
  const latents = add(center, mul(exp(mul(spread, 0.5)), x.noise as Tensor));
  const scores = vaeScores(config, x, latents);
  const brightness = mul(add(images, 1), 0.5);
  const surprise = sum(sub(softplus(scores), mul(scores, brightness)), { axes: [1, 2, 3] });
  const divergence = mul(
    sum(sub(add(square(center), exp(spread)), add(spread, 1)), { axes: [1] }),
    0.5 * config.beta,
  );
  return add(surprise, divergence);
}

export function vaeLoss(config: VaeConfig, batch: number): LossProgram {
  return {
    specs: vaeSpecs(config),
    inputs: types(config, batch),
    loss: (x) => mean(bound(config, x)),
    dropped: 0,
  };
}

export function vaeEvaluate(config: VaeConfig, batch: number): Program {
  const inputs = {
    ...parameterTypes(vaeSpecs(config)),
    ...types(config, batch),
    weights: { dtype: 'f32' as const, shape: [batch] },
  };
  return trace('vae_evaluate', inputs, (x) => ({ total: sum(mul(bound(config, x), x.weights as Tensor)) }));
}

/** The decoder as a generator of pictures: latents from N(0, 1). */
export function vaeGenerator(config: VaeConfig): GeneratorNetwork {
  const { latent } = config;
  return {
    specs: vaeSpecs(config).filter(({ name }) => name.startsWith('decoder.')),
    inputs: (batch) => ({ latents: { dtype: 'f32', shape: [batch, latent] } }),
    draw: (random, batch) => ({ latents: tensor('f32', [batch, latent], random.normals(batch * latent)) }),
    images: (x) => vaeDecode(config, x, x.latents as Tensor),
  };
}
