/**
 * GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, tanh-GELU, output head tied to the token
 * embedding. Says which parameters there are and what the network computes; knows no optimiser and no text.
 */
import { z } from 'zod';
import { type AttentionMask, joinHeads, splitJoined } from '../../nn/attention.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { add, gather, gelu, matmul, swapAxes, type Tensor } from '../../program/index.ts';
import type { NetworkCall, Parameters, TextArchitecture } from './architecture.ts';
import { linear, norm, parameter } from './layers.ts';

export const gpt2Sizes = z.object({
  layers: z.number().int().min(1).max(200),
  heads: z.number().int().min(1).max(256),
  width: z.number().int().min(1).max(65536),
  context: z.number().int().min(2).max(1048576),
  vocabulary: z.number().int().min(2).max(1048576),
  /** Biases in linear layers and layer norms: GPT-2 has them, nanoGPT's small presets do not. */
  bias: z.boolean(),
});

export const headsFit = (c: { width: number; heads: number }): boolean => c.width % c.heads === 0;
export const HEADS_FIT = { message: 'width must be a multiple of heads' };

export const gpt2Config = gpt2Sizes
  .extend({ architecture: z.literal('gpt2').default('gpt2') })
  .refine(headsFit, HEADS_FIT);

export type Gpt2Sizes = z.infer<typeof gpt2Sizes>;
export type Gpt2Config = Gpt2Sizes & { architecture?: 'gpt2' };

/** Names and layout are Hugging Face's (Conv1D weights are [in, out]). */
export function gpt2Parameters(config: Gpt2Sizes): ParameterSpec[] {
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
  const normed = (name: string): void => {
    vector(`${name}.weight`, width, true);
    if (bias) vector(`${name}.bias`, width);
  };
  const dense = (
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
    normed(`h.${layer}.ln_1`);
    dense(`h.${layer}.attn.c_attn`, width, 3 * width, small, 3);
    dense(`h.${layer}.attn.c_proj`, width, width, residual);
    normed(`h.${layer}.ln_2`);
    dense(`h.${layer}.mlp.c_fc`, width, 4 * width, small);
    dense(`h.${layer}.mlp.c_proj`, 4 * width, width, residual);
  }
  normed('ln_f');
  return specs;
}

/** Token plus position embedding. */
export function gpt2Embed(parameters: Parameters, { tokens, positions, dropout }: NetworkCall): Tensor {
  const token = gather(parameter(parameters, 'wte.weight'), tokens);
  return dropout(add(token, gather(parameter(parameters, 'wpe.weight'), positions)));
}

/** One pre-norm block; `mask` says whom it may look at. */
export function gpt2Block(
  config: Gpt2Sizes,
  parameters: Parameters,
  call: NetworkCall,
  { layer, mask, x }: { layer: number; mask: AttentionMask; x: Tensor },
): Tensor {
  const { width, heads } = config;
  const joined = linear(parameters, `h.${layer}.attn.c_attn`, norm(parameters, `h.${layer}.ln_1`, x));
  const [q, k, v] = splitJoined(joined, heads, width / heads);
  const seen = joinHeads(call.attend({ layer, q, k, v, mask }));
  const after = add(x, call.dropout(linear(parameters, `h.${layer}.attn.c_proj`, seen)));
  return gpt2FeedForward(parameters, call, layer, after);
}

export function gpt2FeedForward(parameters: Parameters, call: NetworkCall, layer: number, x: Tensor): Tensor {
  const hidden = gelu(linear(parameters, `h.${layer}.mlp.c_fc`, norm(parameters, `h.${layer}.ln_2`, x)));
  return add(x, call.dropout(linear(parameters, `h.${layer}.mlp.c_proj`, hidden)));
}

/** Scores over the vocabulary through the tied embedding. */
export function tiedHead(parameters: Parameters, hidden: Tensor): Tensor {
  return matmul(hidden, swapAxes(parameter(parameters, 'wte.weight')));
}

export const gpt2: TextArchitecture<Gpt2Config> = {
  name: 'gpt2',
  config: gpt2Config as z.ZodType<Gpt2Config>,
  parameters: gpt2Parameters,
  cache: ({ heads, width }) => ({ heads, dim: width / heads }),
  network: (config, parameters, call) => {
    let x = gpt2Embed(parameters, call);
    for (let layer = 0; layer < config.layers; layer++)
      x = gpt2Block(config, parameters, call, { layer, mask: { kind: 'causal' }, x });
    return norm(parameters, 'ln_f', x);
  },
  head: (_, parameters, hidden) => tiedHead(parameters, hidden),
};
