/**
 * GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, tanh-GELU, output head tied to the token
 * embedding. Says which parameters there are and what the network computes; knows no optimiser and no text.
 */
import { z } from 'zod';
import { tensor as hostTensor } from '../../base/tensor.ts';
import { countParameters, type ParameterSpec } from '../../nn/parameters.ts';
import type { Dropout } from '../../nn/train-step.ts';
import {
  add,
  attention,
  constant,
  gather,
  gelu,
  iota,
  layerNorm,
  matmul,
  reshape,
  type Size,
  split,
  swapAxes,
  type Tensor,
  transpose,
} from '../../program/index.ts';

export const gpt2Config = z
  .object({
    layers: z.number().int().min(1).max(200),
    heads: z.number().int().min(1).max(256),
    width: z.number().int().min(1).max(65536),
    context: z.number().int().min(2).max(1048576),
    vocabulary: z.number().int().min(2).max(1048576),
    /** Biases in linear layers and layer norms: GPT-2 has them, nanoGPT's small presets do not. */
    bias: z.boolean(),
  })
  .refine((c) => c.width % c.heads === 0, { message: 'width must be a multiple of heads' });

export type Gpt2Config = z.infer<typeof gpt2Config>;
export type Parameters = Readonly<Record<string, Tensor>>;

/** Names and layout are Hugging Face's (Conv1D weights are [in, out]). */
export function gpt2Parameters(config: Gpt2Config): ParameterSpec[] {
  const { layers, width, context, vocabulary, bias } = config;
  const small = { name: 'normal', deviation: 0.02 } as const;
  // Residual projections start smaller by √(2·layers): their sum over depth keeps its size (section 2.3).
  const residual = { name: 'normal', deviation: 0.02 / Math.sqrt(2 * layers) } as const;
  const specs: ParameterSpec[] = [
    { name: 'wte.weight', shape: [vocabulary, width], initialiser: small, role: 'embedding' },
    { name: 'wpe.weight', shape: [context, width], initialiser: small, role: 'embedding' },
  ];
  const vector = (name: string, size: number, one = false): void => {
    specs.push({ name, shape: [size], initialiser: { name: one ? 'ones' : 'zeros' }, role: 'vector' });
  };
  const norm = (name: string): void => {
    vector(`${name}.weight`, width, true);
    if (bias) vector(`${name}.bias`, width);
  };
  const linear = (
    name: string,
    rows: number,
    columns: number,
    initialiser: ParameterSpec['initialiser'],
    blocks?: number,
  ): void => {
    specs.push({
      name: `${name}.weight`,
      shape: [rows, columns],
      initialiser,
      role: 'matrix',
      ...(blocks === undefined ? {} : { blocks }),
    });
    if (bias) vector(`${name}.bias`, columns);
  };
  for (let layer = 0; layer < layers; layer++) {
    norm(`h.${layer}.ln_1`);
    linear(`h.${layer}.attn.c_attn`, width, 3 * width, small, 3);
    linear(`h.${layer}.attn.c_proj`, width, width, residual);
    norm(`h.${layer}.ln_2`);
    linear(`h.${layer}.mlp.c_fc`, width, 4 * width, small);
    linear(`h.${layer}.mlp.c_proj`, 4 * width, width, residual);
  }
  norm('ln_f');
  return specs;
}

export function gpt2ParameterCount(config: Gpt2Config): number {
  return countParameters(gpt2Parameters(config));
}

const parameter = (parameters: Parameters, name: string): Tensor => parameters[name] as Tensor;

export function norm(parameters: Parameters, name: string, x: Tensor): Tensor {
  return layerNorm(x, parameter(parameters, `${name}.weight`), parameters[`${name}.bias`]);
}

export function linear(parameters: Parameters, name: string, x: Tensor): Tensor {
  const y = matmul(x, parameter(parameters, `${name}.weight`));
  const bias = parameters[`${name}.bias`];
  return bias === undefined ? y : add(y, bias);
}

/** Token plus position embedding. `positions`: `[time]` or `[batch, time]` i32. */
export function embed(parameters: Parameters, tokens: Tensor, positions: Tensor): Tensor {
  return add(
    gather(parameter(parameters, 'wte.weight'), tokens),
    gather(parameter(parameters, 'wpe.weight'), positions),
  );
}

/** `[batch, time, width] → queries, keys, values [batch, head, time, dim]`. */
export function queriesKeysValues(
  config: Gpt2Config,
  parameters: Parameters,
  layer: number,
  x: Tensor,
): [Tensor, Tensor, Tensor] {
  const [batch, time] = x.shape as readonly [Size, Size, Size];
  const { width, heads } = config;
  const joined = linear(parameters, `h.${layer}.attn.c_attn`, x);
  return split(joined, [width, width, width], 2).map((part) =>
    transpose(reshape(part, [batch, time, heads, width / heads]), [0, 2, 1, 3]),
  ) as [Tensor, Tensor, Tensor];
}

/** `[batch, head, time, dim] → [batch, time, width]` through the output projection. */
export function mergeHeads(config: Gpt2Config, parameters: Parameters, layer: number, x: Tensor): Tensor {
  const [batch, , time] = x.shape as readonly [Size, Size, Size, Size];
  return linear(
    parameters,
    `h.${layer}.attn.c_proj`,
    reshape(transpose(x, [0, 2, 1, 3]), [batch, time, config.width]),
  );
}

export function feedForward(parameters: Parameters, layer: number, x: Tensor): Tensor {
  return linear(parameters, `h.${layer}.mlp.c_proj`, gelu(linear(parameters, `h.${layer}.mlp.c_fc`, x)));
}

/** `[time, time]` of 0 and −1e9: position i sees 0…i. */
export function causalMask(time: number): Tensor {
  const data = new Float32Array(time * time);
  for (let i = 0; i < time; i++) data.fill(-1e9, i * time + i + 1, (i + 1) * time);
  return constant(hostTensor('f32', [time, time], data));
}

export interface HiddenStates {
  /** After the last norm, `[batch, time, width]`. */
  hidden: Tensor;
  /** One per layer, `[batch, head, time, dim]`. */
  keys: Tensor[];
  values: Tensor[];
}

/** The whole network but the head; dropout falls on embeddings and on what each block adds to the stream. `tokens` `[batch, time]` i32; `mask` is added to the scores. */
export function gpt2Hidden(
  config: Gpt2Config,
  parameters: Parameters,
  tokens: Tensor,
  mask: Tensor,
  dropout: Dropout = (x) => x,
): HiddenStates {
  const time = tokens.shape[1] as Size;
  const keys: Tensor[] = [];
  const values: Tensor[] = [];
  let x = dropout(embed(parameters, tokens, iota(time)));
  for (let layer = 0; layer < config.layers; layer++) {
    const [q, k, v] = queriesKeysValues(config, parameters, layer, norm(parameters, `h.${layer}.ln_1`, x));
    keys.push(k);
    values.push(v);
    x = add(x, dropout(mergeHeads(config, parameters, layer, attention(q, k, v, { mask }))));
    x = add(x, dropout(feedForward(parameters, layer, norm(parameters, `h.${layer}.ln_2`, x))));
  }
  return { hidden: norm(parameters, 'ln_f', x), keys, values };
}

/** Scores over the vocabulary through the tied embedding: `[.., width] → [.., vocabulary]`. */
export function gpt2Head(parameters: Parameters, hidden: Tensor): Tensor {
  return matmul(hidden, swapAxes(parameter(parameters, 'wte.weight')));
}
