/**
 * The network of denoising diffusion (Ho et al. 2020): a U-Net of residual blocks that knows how many steps of noise were
 * done, and the label where there is one. Knows no schedule and no loss.
 */
import type { Tensors } from '../../nn/adversarial/contract.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { add, concat, gather, groupNorm, reshape, resize, silu, type Tensor } from '../../program/index.ts';
import { convolution, convolutionSpecs, dense, denseSpecs } from './layers.ts';
import { channelsAt, ladder } from './sizes.ts';
import { timeEmbedding } from './times.ts';

export interface UnetConfig {
  size: number;
  channels: number;
  classes: number;
  width: number;
  widest: number;
  /** Residual blocks a size, on the way down and on the way up. */
  blocks: number;
  /** Diffusion steps. */
  steps: number;
}

/** Channels that are normalised together. */
const GROUP = 8;
const vector = (name: string, size: number, start: 'ones' | 'zeros'): ParameterSpec => ({
  name,
  shape: [size],
  initialiser: { name: start },
  role: 'vector',
});
const normSpecs = (name: string, width: number): ParameterSpec[] => [
  vector(`${name}.weight`, width, 'ones'),
  vector(`${name}.bias`, width, 'zeros'),
];

/** Over groups of eight channels. */
const normed = (p: Tensors, name: string, x: Tensor): Tensor =>
  groupNorm(x, p[`${name}.weight`] as Tensor, p[`${name}.bias`] as Tensor, {
    groups: Math.max(1, Math.floor((x.shape[1] as number) / GROUP)),
  });

/** A residual block's place: its name and widths. */
interface Block {
  name: string;
  from: number;
  to: number;
}

function blockSpecs({ name, from, to }: Block, embedded: number): ParameterSpec[] {
  return [
    ...normSpecs(`${name}.norm1`, from),
    ...convolutionSpecs(`${name}.conv1`, from, to, 3),
    ...denseSpecs(`${name}.time`, embedded, to),
    ...normSpecs(`${name}.norm2`, to),
    ...convolutionSpecs(`${name}.conv2`, to, to, 3),
    ...(from === to ? [] : convolutionSpecs(`${name}.skip`, from, to, 1, { bias: false })),
  ];
}

function block(p: Tensors, { name, from, to }: Block, x: Tensor, time: Tensor): Tensor {
  let h = convolution(p, `${name}.conv1`, silu(normed(p, `${name}.norm1`, x)), { gain: Math.SQRT2 });
  h = add(h, reshape(dense(p, `${name}.time`, time), [x.shape[0] as number, to, 1, 1]));
  // Small at the start: the block then passes its input through.
  h = convolution(p, `${name}.conv2`, silu(normed(p, `${name}.norm2`, h)), { gain: 0.1 });
  return add(from === to ? x : convolution(p, `${name}.skip`, x), h);
}

interface Layout {
  down: { size: number; blocks: Block[] }[];
  middle: Block;
  up: { size: number; blocks: Block[] }[];
  embedded: number;
  top: number;
}

function layoutOf(config: UnetConfig): Layout {
  const sizes = ladder(config.size).reverse();
  const widthAt = (size: number): number => channelsAt(size, config);
  const top = widthAt(config.size);
  const down: Layout['down'] = [];
  const skips: number[] = [top];
  let width = top;
  for (const size of sizes) {
    const blocks: Block[] = [];
    for (let i = 0; i < config.blocks; i++) {
      blocks.push({ name: `down${size}.${i}`, from: width, to: widthAt(size) });
      width = widthAt(size);
      skips.push(width);
    }
    down.push({ size, blocks });
    if (size !== sizes.at(-1)) skips.push(width);
  }
  const middle = { name: 'middle', from: width, to: width };
  const up: Layout['up'] = [];
  for (const size of [...sizes].reverse()) {
    const blocks: Block[] = [];
    for (let i = 0; i <= config.blocks; i++) {
      blocks.push({ name: `up${size}.${i}`, from: width + (skips.pop() as number), to: widthAt(size) });
      width = widthAt(size);
    }
    up.push({ size, blocks });
  }
  return { down, middle, up, embedded: 4 * top, top };
}

export function unetSpecs(config: UnetConfig): ParameterSpec[] {
  const { down, middle, up, embedded, top } = layoutOf(config);
  const specs: ParameterSpec[] = [
    ...timeEmbedding('times', config.steps, embedded).specs,
    ...convolutionSpecs('first', config.channels, top, 3),
  ];
  if (config.classes > 0)
    specs.push({
      // The last row stands for no label at all.
      name: 'labels.weight',
      shape: [config.classes + 1, embedded],
      initialiser: { name: 'normal', deviation: 1 },
      role: 'embedding',
    });
  down.forEach(({ size, blocks }, i) => {
    for (const one of blocks) specs.push(...blockSpecs(one, embedded));
    const width = (blocks.at(-1) as Block).to;
    if (i < down.length - 1) specs.push(...convolutionSpecs(`down${size}.half`, width, width, 3));
  });
  specs.push(...blockSpecs(middle, embedded));
  up.forEach(({ size, blocks }, i) => {
    for (const one of blocks) specs.push(...blockSpecs(one, embedded));
    const width = (blocks.at(-1) as Block).to;
    if (i < up.length - 1) specs.push(...convolutionSpecs(`up${size}.twice`, width, width, 3));
  });
  specs.push(...normSpecs('last.norm', top), ...convolutionSpecs('last', top, config.channels, 3));
  return specs;
}

/**
 * `[batch, channels, size, size]` with `times` `[batch] i32` and `labels` `[batch] i32` (`classes` for none) → the
 * prediction, of the same shape.
 */
export function unet(config: UnetConfig, p: Tensors, images: Tensor, times: Tensor, labels?: Tensor): Tensor {
  const { down, middle, up, embedded } = layoutOf(config);
  let time = timeEmbedding('times', config.steps, embedded).embed(p, times);
  if (labels !== undefined) time = add(time, gather(p['labels.weight'] as Tensor, labels));
  time = silu(time);
  let h = convolution(p, 'first', images);
  const skips = [h];
  down.forEach(({ size, blocks }, i) => {
    for (const one of blocks) {
      h = block(p, one, h, time);
      skips.push(h);
    }
    if (i === down.length - 1) return;
    h = convolution(p, `down${size}.half`, h, { stride: 2 });
    skips.push(h);
  });
  h = block(p, middle, h, time);
  up.forEach(({ size, blocks }, i) => {
    for (const one of blocks) h = block(p, one, concat([h, skips.pop() as Tensor], 1), time);
    if (i === up.length - 1) return;
    const larger = (up[i + 1] as { size: number }).size;
    h = convolution(p, `up${size}.twice`, resize(h, [larger, larger]));
  });
  return convolution(p, 'last', silu(normed(p, 'last.norm', h)), { gain: 0.1 });
}
