/**
 * A variational autoencoder of pictures (Kingma and Welling 2014): a convolutional encoder to the mean and log-variance of a
 * latent map or vector, and a decoder back. Knows no data.
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
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
import {
  convolution,
  convolutionSpecs,
  dense,
  denseSpecs,
  GAIN,
  rectify,
  truncated,
  upsample,
} from './layers.ts';
import { channelsAt, imageSizes, ladder } from './sizes.ts';

export const vaeConfig = z.object({
  architecture: z.literal('vae'),
  ...imageSizes,
  /** Weight of the divergence from N(0, 1) (β of Higgins et al. 2017). */
  beta: z.number().min(0).default(1),
  /** Side of a latent map, whose channels `latent` are then, for diffusion to work in; 0 for one latent vector. */
  map: z.number().int().min(0).max(128).default(0),
});
export type VaeConfig = z.infer<typeof vaeConfig>;

/** Sizes that the features grow through, the latent's first. @throws InkstoneError `image_size` */
function sizesOf({ size, map }: VaeConfig): number[] {
  const all = ladder(size);
  if (map === 0) return all;
  const at = all.indexOf(map);
  if (at < 0)
    throw new InkstoneError('image_size', `a latent map of ${map} × ${map} does not double to ${size}`, {
      kind: 'usage',
      hint: `maps of ${all.join(', ')} do`,
    });
  return all.slice(at);
}

/** Of one picture's latent. */
export const latentShape = ({ latent, map }: VaeConfig): number[] =>
  map === 0 ? [latent] : [latent, map, map];

export function vaeSpecs(config: VaeConfig): ParameterSpec[] {
  const { latent, channels, map } = config;
  const sizes = sizesOf(config);
  const widths = sizes.map((size) => channelsAt(size, config));
  const first = sizes[0] as number;
  const deepest = widths[0] as number;
  const specs: ParameterSpec[] = [];
  [...sizes].reverse().forEach((size, i) => {
    const width = channelsAt(size, config);
    const from = i === 0 ? channels : channelsAt(size * 2, config);
    specs.push(...convolutionSpecs(`encoder.size${size}`, from, width, 3));
  });
  if (map > 0)
    specs.push(
      ...convolutionSpecs('encoder.latent', deepest, 2 * latent, 1),
      ...convolutionSpecs('decoder.start', latent, deepest, 3),
    );
  else
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

/** `[batch, channels, size, size]`, −1 … 1 → mean and log-variance, each `[batch, …latentShape]`. */
export function vaeEncode(config: VaeConfig, p: P, images: Tensor): { center: Tensor; spread: Tensor } {
  let h = images;
  sizesOf(config)
    .reverse()
    .forEach((size, i) => {
      h = rectify(convolution(p, `encoder.size${size}`, h, { gain: GAIN, stride: i === 0 ? 1 : 2 }));
    });
  const both =
    config.map > 0
      ? convolution(p, 'encoder.latent', h)
      : dense(p, 'encoder.latent', reshape(h, [h.shape[0] as number, -1]));
  const { latent } = config;
  return {
    center: slice(both, { axis: 1, start: 0, end: latent }),
    spread: slice(both, { axis: 1, start: latent, end: 2 * latent }),
  };
}

/** `[batch, …latentShape]` → scores of each pixel, `[batch, channels, size, size]`; their tanh of the half is the picture. */
function vaeScores(config: VaeConfig, p: P, latents: Tensor): Tensor {
  const sizes = sizesOf(config);
  const first = sizes[0] as number;
  let h =
    config.map > 0
      ? rectify(convolution(p, 'decoder.start', latents, { gain: GAIN }))
      : rectify(dense(p, 'decoder.start', latents, { gain: GAIN }));
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
  noise: { dtype: 'f32', shape: [batch, ...latentShape(config)] },
});

/** A latent of the picture's, from standard normal noise. */
export const vaeSample = ({ center, spread }: { center: Tensor; spread: Tensor }, noise: Tensor): Tensor =>
  add(center, mul(exp(mul(spread, 0.5)), noise));

/** Negative evidence bound of each picture in nats, pixels as Bernoulli variables of their brightness (appendix C.1). */
function bound(config: VaeConfig, x: P): Tensor {
  const images = x.images as Tensor;
  const { center, spread } = vaeEncode(config, x, images);
  const latents = vaeSample({ center, spread }, x.noise as Tensor);
  const scores = vaeScores(config, x, latents);
  const brightness = mul(add(images, 1), 0.5);
  const surprise = sum(sub(softplus(scores), mul(scores, brightness)), { axes: [1, 2, 3] });
  const divergence = mul(
    sum(sub(add(square(center), exp(spread)), add(spread, 1)), {
      axes: latentShape(config).map((_, i) => i + 1),
    }),
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
  const shape = latentShape(config);
  const size = shape.reduce((a, b) => a * b, 1);
  return {
    specs: vaeSpecs(config).filter(({ name }) => name.startsWith('decoder.')),
    inputs: (batch) => ({ latents: { dtype: 'f32', shape: [batch, ...shape] } }),
    draw: (random, batch) => ({ latents: tensor('f32', [batch, ...shape], random.normals(batch * size)) }),
    images: (x) => vaeDecode(config, x, truncated(x, x.latents as Tensor)),
  };
}
