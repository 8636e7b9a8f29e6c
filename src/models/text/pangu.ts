/**
 * PanGu-α (Zeng et al. 2021): L − 1 blocks of GPT-2, a layer norm that gives h, then one query layer (section 2.2):
 * its query is a linear map of an embedding of the position alone, not normed; its keys and values come from
 * LN(h), the residual adds h, and the MLP follows. Logits go through the tied embedding; no norm comes between.
 * Knows no optimiser and no text.
 */
import { z } from 'zod';
import { joinHeads, splitHeads } from '../../nn/attention.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { add, broadcastTo, gather, type Size, split, type Tensor } from '../../program/index.ts';
import type { NetworkCall, Parameters, TextArchitecture } from './architecture.ts';
import {
  gpt2Block,
  gpt2Embed,
  gpt2FeedForward,
  gpt2Parameters,
  gpt2Sizes,
  HEADS_FIT,
  headsFit,
  tiedHead,
} from './gpt2.ts';
import { linear, norm, parameter } from './layers.ts';

const sizes = gpt2Sizes.extend({ architecture: z.literal('pangu').default('pangu') });
export const panguConfig = sizes.refine(headsFit, HEADS_FIT);
export type PanguConfig = z.infer<typeof sizes>;

/** GPT-2's names; the last layer has `attn.c_query` and `attn.c_keys` (keys and values) instead of `attn.c_attn`. */
export function panguParameters(config: PanguConfig): ParameterSpec[] {
  const { layers, width, context } = config;
  const last = `h.${layers - 1}`;
  const small = { name: 'normal', deviation: 0.02 } as const;
  return gpt2Parameters(config).flatMap((spec): ParameterSpec[] => {
    if (spec.name === `${last}.attn.c_attn.weight`)
      return [
        { name: 'query.weight', shape: [context, width], initialiser: small, role: 'embedding' },
        { name: `${last}.attn.c_query.weight`, shape: [width, width], initialiser: small, role: 'matrix' },
        {
          name: `${last}.attn.c_keys.weight`,
          shape: [width, 2 * width],
          initialiser: small,
          role: 'matrix',
          blocks: 2,
        },
      ];
    if (spec.name === `${last}.attn.c_attn.bias`)
      return [
        { ...spec, name: `${last}.attn.c_query.bias`, shape: [width] },
        { ...spec, name: `${last}.attn.c_keys.bias`, shape: [2 * width] },
      ];
    return [spec];
  });
}

function queryLayer(config: PanguConfig, parameters: Parameters, call: NetworkCall, h: Tensor): Tensor {
  const { layers, width, heads } = config;
  const layer = layers - 1;
  const [batch, time] = h.shape as readonly [Size, Size];
  const places = gather(parameter(parameters, 'query.weight'), call.positions);
  const asked = broadcastTo(linear(parameters, `h.${layer}.attn.c_query`, places), [batch, time, width]);
  const joined = linear(parameters, `h.${layer}.attn.c_keys`, norm(parameters, `h.${layer}.ln_1`, h));
  const [k, v] = split(joined, [width, width], 2).map((part) => splitHeads(part, heads, width / heads)) as [
    Tensor,
    Tensor,
  ];
  const q = splitHeads(asked, heads, width / heads);
  const seen = joinHeads(call.attend({ layer, q, k, v, mask: { kind: 'causal' } }));
  const after = add(h, call.dropout(linear(parameters, `h.${layer}.attn.c_proj`, seen)));
  return gpt2FeedForward(parameters, call, layer, after);
}

export const pangu: TextArchitecture<PanguConfig> = {
  name: 'pangu',
  config: panguConfig,
  parameters: panguParameters,
  cache: ({ heads, width }) => ({ heads, dim: width / heads }),
  network: (config, parameters, call) => {
    let x = gpt2Embed(parameters, call);
    for (let layer = 0; layer < config.layers - 1; layer++)
      x = gpt2Block(config, parameters, call, { layer, mask: { kind: 'causal' }, x });
    return queryLayer(config, parameters, call, norm(parameters, 'ln_f', x));
  },
  head: (_, parameters, hidden) => tiedHead(parameters, hidden),
};
