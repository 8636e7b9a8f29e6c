/**
 * A classifier of small grey pictures after LeCun et al. 1998: two convolutions with pooling, two layers. Its features are
 * what the scores of pictures are computed on. Knows no score.
 */
import { z } from 'zod';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { kaiming, parameterTypes } from '../../nn/parameters.ts';
import type { LossProgram } from '../../nn/train-step.ts';
import {
  add,
  conv,
  matmul,
  maxPool,
  type Program,
  relu,
  reshape,
  type Size,
  swapAxes,
  type Tensor,
  trace,
} from '../../program/index.ts';
import { classifyingEvaluate, classifyingLoss, type PictureClassifier } from './classifying.ts';
import { perChannel } from './layers.ts';

export const lenetConfig = z.object({
  architecture: z.literal('lenet'),
  size: z.number().int().min(16).default(28),
  channels: z.number().int().min(1).default(1),
  classes: z.number().int().min(2).default(10),
  /** Channels of the two convolutions, and the width of the features. */
  first: z.number().int().min(1).default(20),
  second: z.number().int().min(1).default(50),
  features: z.number().int().min(1).default(500),
});
export type LenetConfig = z.infer<typeof lenetConfig>;

/** The side of the last feature map. */
const sideOf = (size: number): number => Math.floor((Math.floor((size - 4) / 2) - 4) / 2);

/** Names and shapes as PyTorch keeps them. */
export function lenetParameters(config: LenetConfig): ParameterSpec[] {
  const { size, channels, classes, first, second, features } = config;
  const flat = second * sideOf(size) ** 2;
  const layer = (name: string, shape: readonly number[]): ParameterSpec[] => [
    {
      name: `${name}.weight`,
      shape,
      initialiser: kaiming(shape.slice(1).reduce((a, b) => a * b, 1)),
      role: 'matrix',
    },
    { name: `${name}.bias`, shape: [shape[0] as number], initialiser: { name: 'zeros' }, role: 'vector' },
  ];
  return [
    ...layer('conv1', [first, channels, 5, 5]),
    ...layer('conv2', [second, first, 5, 5]),
    ...layer('fc1', [features, flat]),
    ...layer('fc2', [classes, features]),
  ];
}

/**
 * `[batch, channels, size, size]` of 0 … 1 → the layers: both convolutions after the rectifier, before pooling
 * (`first` `[batch, 20, 24, 24]`, `second` `[batch, 50, 8, 8]` at 28 × 28), `features` `[batch, 500]`, `logits`.
 */
export function lenetLayers(
  p: Readonly<Record<string, Tensor>>,
  images: Tensor,
): { first: Tensor; second: Tensor; features: Tensor; logits: Tensor } {
  const get = (name: string): Tensor => p[name] as Tensor;
  const block = (name: string, x: Tensor): Tensor =>
    relu(add(conv(x, get(`${name}.weight`)), perChannel(get(`${name}.bias`))));
  const line = (name: string, x: Tensor): Tensor =>
    add(matmul(x, swapAxes(get(`${name}.weight`))), get(`${name}.bias`));
  const first = block('conv1', images);
  const second = block('conv2', maxPool(first, 2));
  const flat = reshape(maxPool(second, 2), [images.shape[0] as Size, get('fc1.weight').shape[1] as number]);
  const features = relu(line('fc1', flat));
  return { first, second, features, logits: line('fc2', features) };
}

/** `features` and `logits` of `lenetLayers`. */
export function lenet(
  p: Readonly<Record<string, Tensor>>,
  images: Tensor,
): { features: Tensor; logits: Tensor } {
  const { features, logits } = lenetLayers(p, images);
  return { features, logits };
}

/** `images` `[batch, channels, size, size] f32` → `features`, `logits`; the batch is open. */
export function lenetProgram(config: LenetConfig): Program {
  const parameters = parameterTypes(lenetParameters(config));
  const shape = ['batch', config.channels, config.size, config.size];
  return trace('lenet', { ...parameters, images: { dtype: 'f32', shape } }, (x) => ({
    ...lenet(x, x.images as Tensor),
  }));
}

const classifier = (config: LenetConfig): PictureClassifier => ({
  ...{ name: 'lenet', ...config, specs: lenetParameters(config) },
  logits: (p, images) => lenet(p, images).logits,
});

/** Of pictures of 0 … 1. */
export const lenetLoss = (config: LenetConfig, batch: number): LossProgram =>
  classifyingLoss(classifier(config), batch);

/** The batch is open. */
export const lenetEvaluate = (config: LenetConfig): Program =>
  classifyingEvaluate(classifier(config), 'batch');
