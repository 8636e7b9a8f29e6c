/**
 * StyleGAN (Karras et al. 2019) and StyleGAN 2 (Karras et al. 2020b): a mapping network makes styles from latents; the
 * synthesis network grows a learned constant into a picture, each layer steered by its style and fed with noise.
 * Version 1 normalises and rescales features (AdaIN); version 2 modulates and demodulates the weights, and sums the
 * pictures of all sizes. Knows no loss.
 */
import { z } from 'zod';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import type { Draw, GeneratorNetwork, Tensors, Types } from '../../nn/adversarial/contract.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import {
  add,
  broadcastTo,
  concat,
  conv,
  div,
  gather,
  iota,
  less,
  matmul,
  mean,
  mul,
  reshape,
  slice,
  sqrt,
  square,
  sub,
  sum,
  swapAxes,
  type Tensor,
  tanh,
  where,
} from '../../program/index.ts';
import {
  convolutionSpecs,
  dense,
  denseSpecs,
  GAIN,
  kernelOf,
  perChannel,
  pixelNorm,
  rectify,
  upsample,
} from './layers.ts';
import { channelsAt, imageSizes, ladder } from './sizes.ts';

export const styleganConfig = z.object({
  architecture: z.enum(['stylegan1', 'stylegan2']),
  ...imageSizes,
  /** Numbers of a style. */
  style: z.number().int().min(1).default(64),
  /** Layers of the mapping network. */
  mapping: z.number().int().min(1).max(8).default(4),
  /** The mapping network's part of the learning rate. */
  mappingRate: z.number().positive().default(0.01),
  /** Part of the pictures that take their styles from two latents. */
  mixing: z.number().min(0).max(1).default(0.9),
  /** Neighbours whose deviation the critic sees; 0 for none. */
  group: z.number().int().min(0).default(4),
  /**
   * What the picture's numbers go through at the end. The papers' is linear, the default; with tanh large parts that are all
   * black or white, as around digits and icons, are reached at once and exactly.
   */
  output: z.enum(['linear', 'tanh']).optional(),
});
export type StyleganConfig = z.infer<typeof styleganConfig>;

/** One convolution of the synthesis network. */
interface Layer {
  name: string;
  size: number;
  from: number;
  to: number;
  /** Doubles the size first. */
  up: boolean;
  /** Which of the styles it takes. */
  style: number;
}

/** Two layers a size: the constant and one convolution at the smallest, two convolutions at the others. */
function layersOf(config: StyleganConfig): Layer[] {
  const layers: Layer[] = [];
  ladder(config.size).forEach((size, i, sizes) => {
    const to = channelsAt(size, config);
    const from = i === 0 ? to : channelsAt(sizes[i - 1] as number, config);
    const name = `generator.size${size}`;
    if (i > 0) layers.push({ name: `${name}.up`, size, from, to, up: true, style: 2 * i - 1 });
    layers.push({ name: `${name}.same`, size, from: to, to, up: false, style: 2 * i });
  });
  return layers;
}

/** How many styles a picture has. */
export const styleLayers = (config: StyleganConfig): number => 2 * ladder(config.size).length;

export function styleganGenerator(config: StyleganConfig): GeneratorNetwork {
  const { latent, classes, style: width } = config;
  const layers = layersOf(config);
  const count = styleLayers(config);
  const noise = (batch: number): Types =>
    Object.fromEntries(
      layers.map((layer, i) => [`noise.${i}`, { dtype: 'f32', shape: [batch, 1, layer.size, layer.size] }]),
    );
  return {
    specs: [...mappingSpecs(config), ...synthesisSpecs(config, layers)],
    inputs: (batch) => ({
      latents: { dtype: 'f32', shape: [batch, latent] },
      mixed: { dtype: 'f32', shape: [batch, latent] },
      crossover: { dtype: 'i32', shape: [batch] },
      ...noise(batch),
      ...(classes > 0 ? { labels: { dtype: 'i32' as const, shape: [batch] } } : {}),
    }),
    draw: (random, batch) => ({
      latents: tensor('f32', [batch, latent], random.normals(batch * latent)),
      mixed: tensor('f32', [batch, latent], random.normals(batch * latent)),
      crossover: crossovers(random, batch, count, config.mixing),
      ...drawNoise(config, random, batch),
    }),
    styles(x) {
      const batch = (x.latents as Tensor).shape[0] as number;
      const own = reshape(styleOf(config, x, x.latents as Tensor), [batch, 1, width]);
      const other = reshape(styleOf(config, x, x.mixed as Tensor), [batch, 1, width]);
      const first = less(reshape(iota(count), [1, count, 1]), reshape(x.crossover as Tensor, [batch, 1, 1]));
      const shape = [batch, count, width];
      return where(broadcastTo(first, shape), broadcastTo(own, shape), broadcastTo(other, shape));
    },
    images(x, styles) {
      const given = styles ?? (this.styles as (x: Tensors) => Tensor)(x);
      const made = synthesise(config, layers, x, given);
      return config.output === 'tanh' ? tanh(made) : made;
    },
  };
}

/** `[batch]`: the layer from which the second latent counts; `count` for none. */
function crossovers(random: Draw, batch: number, count: number, mixing: number): HostTensor {
  return tensor(
    'i32',
    [batch],
    Int32Array.from({ length: batch }, () =>
      random.uniform() < mixing ? 1 + Math.floor(random.uniform() * (count - 1)) : count,
    ),
  );
}

export function drawNoise(config: StyleganConfig, random: Draw, batch: number): HostTensors {
  return Object.fromEntries(
    layersOf(config).map(({ size }, i) => [
      `noise.${i}`,
      tensor('f32', [batch, 1, size, size], random.normals(batch * size * size)),
    ]),
  );
}

function mappingSpecs({ latent, classes, style, mapping, mappingRate }: StyleganConfig): ParameterSpec[] {
  const specs: ParameterSpec[] = [];
  if (classes > 0)
    specs.push({
      name: 'generator.labels.weight',
      shape: [classes, latent],
      initialiser: { name: 'normal', deviation: 1 },
      role: 'embedding',
    });
  for (let i = 0; i < mapping; i++) {
    const from = i === 0 ? latent * (classes > 0 ? 2 : 1) : style;
    specs.push(...denseSpecs(`generator.mapping${i}`, from, style, { rate: mappingRate }));
  }
  return specs;
}

/** `[batch, latent] → [batch, style]` */
export function styleOf(config: StyleganConfig, x: Tensors, latents: Tensor): Tensor {
  let h = pixelNorm(latents);
  if (config.classes > 0)
    h = concat([h, pixelNorm(gather(x['generator.labels.weight'] as Tensor, x.labels as Tensor))], 1);
  for (let i = 0; i < config.mapping; i++)
    h = rectify(dense(x, `generator.mapping${i}`, h, { gain: GAIN, rate: config.mappingRate }));
  return h;
}

function synthesisSpecs(config: StyleganConfig, layers: readonly Layer[]): ParameterSpec[] {
  const { architecture, style, channels } = config;
  const second = architecture === 'stylegan2';
  const first = layers[0] as Layer;
  const specs: ParameterSpec[] = [
    {
      name: 'generator.constant',
      shape: [1, first.from, first.size, first.size],
      initialiser: { name: second ? 'normal' : 'ones', deviation: 1 } as ParameterSpec['initialiser'],
      role: 'vector',
    },
  ];
  for (const { name, from, to } of layers) {
    specs.push(
      ...convolutionSpecs(name, from, to, 3),
      // Version 2 steers what goes in, version 1 what comes out: a scale and an offset.
      ...denseSpecs(`${name}.style`, style, second ? from : 2 * to, { bias: second ? 1 : 0 }),
      {
        name: `${name}.noise`,
        shape: [second ? 1 : to],
        initialiser: { name: 'zeros' },
        role: 'vector',
      },
    );
  }
  for (const size of second ? ladder(config.size) : [config.size]) {
    const from = channelsAt(size, config);
    specs.push(...convolutionSpecs(`generator.picture${size}`, from, channels, 1));
    if (second) specs.push(...denseSpecs(`generator.picture${size}.style`, style, from, { bias: 1 }));
  }
  return specs;
}

function synthesise(config: StyleganConfig, layers: readonly Layer[], x: Tensors, styles: Tensor): Tensor {
  const batch = styles.shape[0] as number;
  const second = config.architecture === 'stylegan2';
  const styleAt = (i: number): Tensor =>
    reshape(slice(styles, { axis: 1, start: i, end: i + 1 }), [batch, config.style]);
  const constant = x['generator.constant'] as Tensor;
  let h = broadcastTo(constant, [batch, ...(constant.shape.slice(1) as number[])]);
  let picture: Tensor | undefined;
  layers.forEach((layer, i) => {
    const call = { x, layer, style: styleAt(layer.style), noise: x[`noise.${i}`] as Tensor };
    h = second ? modulated(call, h) : normalised(call, h);
    const ends = layers[i + 1]?.size !== layer.size;
    if (second && ends) {
      const own = toPicture(x, layer.size, h, styleAt(layer.style + 1));
      picture = picture === undefined ? own : add(upsample(picture), own);
    }
  });
  if (second) return picture as Tensor;
  const name = `generator.picture${config.size}`;
  return conv(h, kernelOf(x, name, 1), { bias: x[`${name}.bias`] });
}

interface LayerCall {
  x: Tensors;
  layer: Layer;
  /** `[batch, style]` */
  style: Tensor;
  /** `[batch, 1, size, size]` */
  noise: Tensor;
}

const overPlaces = (scale: Tensor): Tensor => reshape(scale, [...scale.shape, 1, 1]);

/**
 * Modulation of the weights by s and demodulation (equations 1 and 3), done to what goes in and what comes out: the same
 * arithmetic, and one convolution for the whole batch.
 */
function modulated({ x, layer, style, noise }: LayerCall, input: Tensor): Tensor {
  const { name } = layer;
  const scale = dense(x, `${name}.style`, style);
  const kernel = kernelOf(x, name, 1);
  const energy = sum(square(kernel), { axes: [2, 3] });
  const norm = sqrt(add(matmul(square(scale), swapAxes(energy)), 1e-8));
  const source = mul(input, overPlaces(scale));
  const y = conv(layer.up ? upsample(source) : source, kernel, { padding: 1 });
  return finished(x, name, mul(y, overPlaces(div(1, norm))), noise);
}

/** Convolution, noise, rectifier, then each channel to mean 0 and deviation 1, scaled and moved by the style. */
function normalised({ x, layer, style, noise }: LayerCall, input: Tensor): Tensor {
  const { name, to } = layer;
  const y = conv(layer.up ? upsample(input) : input, kernelOf(x, name, GAIN), { padding: 1 });
  const h = finished(x, name, y, noise);
  const centred = sub(h, mean(h, { axes: [2, 3], keep: true }));
  const deviation = sqrt(add(mean(square(centred), { axes: [2, 3], keep: true }), 1e-8));
  const both = dense(x, `${name}.style`, style);
  const scale = add(slice(both, { axis: 1, start: 0, end: to }), 1);
  const offset = slice(both, { axis: 1, start: to, end: 2 * to });
  return add(mul(div(centred, deviation), overPlaces(scale)), overPlaces(offset));
}

function finished(x: Tensors, name: string, y: Tensor, noise: Tensor): Tensor {
  const strength = perChannel(x[`${name}.noise`] as Tensor);
  const biased = add(add(y, mul(noise, strength)), perChannel(x[`${name}.bias`] as Tensor));
  return mul(rectify(biased), GAIN);
}

/** A picture from features: modulated, not demodulated. */
function toPicture(x: Tensors, size: number, h: Tensor, style: Tensor): Tensor {
  const name = `generator.picture${size}`;
  const scale = dense(x, `${name}.style`, style);
  return conv(mul(h, overPlaces(scale)), kernelOf(x, name, 1), { bias: x[`${name}.bias`] });
}
