/**
 * The Llama layout (Touvron et al. 2023): RMS norms, rotary positions, SwiGLU, grouped-query attention. By its
 * configuration it is Llama, SmolLM, Mistral (sliding window), Qwen 2 (query and key biases) or Qwen 3 (norms on
 * queries and keys). Says which parameters there are and what the network computes; names are Hugging Face's.
 */
import { z } from 'zod';
import { type AttentionMask, joinHeads, rotaryAngles, splitHeads } from '../../nn/attention.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import {
  add,
  gather,
  matmul,
  mul,
  rmsNorm,
  rotate,
  silu,
  split,
  swapAxes,
  type Tensor,
} from '../../program/index.ts';
import type { NetworkCall, Parameters, TextArchitecture } from './architecture.ts';
import { linearTransposed as linear, parameter } from './layers.ts';

/** Llama 3.1's stretching of the slow frequencies to longer contexts. */
const scaling = z.object({
  factor: z.number().gt(0),
  lowFrequencyFactor: z.number().gt(0),
  highFrequencyFactor: z.number().gt(0),
  originalContext: z.number().int().min(1),
});

const sizes = z.object({
  architecture: z.literal('llama').default('llama'),
  layers: z.number().int().min(1).max(200),
  heads: z.number().int().min(1).max(256),
  /** Heads of keys and values; divides `heads`. */
  keyHeads: z.number().int().min(1).max(256),
  /** Numbers per head; mostly width / heads. */
  headWidth: z.number().int().min(2).max(1024).multipleOf(2),
  width: z.number().int().min(1).max(65536),
  /** Width inside the feed-forward network. */
  hidden: z.number().int().min(1).max(1048576),
  context: z.number().int().min(2).max(1048576),
  vocabulary: z.number().int().min(2).max(1048576),
  epsilon: z.number().gt(0).default(1e-5),
  /** Base of the rotary frequencies. */
  rotaryBase: z.number().gt(0).default(10000),
  rotaryScaling: scaling.optional(),
  /** The head is the token embedding. */
  tied: z.boolean().default(false),
  /** Qwen 2: biases on queries, keys and values. */
  attentionBias: z.boolean().default(false),
  /** Qwen 3: an RMS norm over each head of queries and keys. */
  headNorm: z.boolean().default(false),
  /** Mistral: positions that a layer sees. */
  window: z.number().int().min(1).optional(),
});
export const llamaConfig = sizes.refine((c) => c.heads % c.keyHeads === 0, {
  message: 'heads must be a multiple of keyHeads',
});
export type LlamaConfig = z.infer<typeof sizes>;

/** Matrices are `[out, in]`, as Hugging Face keeps them. */
export function llamaParameters(config: LlamaConfig): ParameterSpec[] {
  const { layers, heads, keyHeads, headWidth, width, hidden, vocabulary } = config;
  const small = { name: 'normal', deviation: 0.02 } as const;
  const residual = { name: 'normal', deviation: 0.02 / Math.sqrt(2 * layers) } as const;
  const matrix = (
    name: string,
    rows: number,
    columns: number,
    initialiser: ParameterSpec['initialiser'] = small,
  ): ParameterSpec => ({ name: `${name}.weight`, shape: [rows, columns], initialiser, role: 'matrix' });
  const vector = (name: string, size: number, start: 'ones' | 'zeros' = 'ones'): ParameterSpec => ({
    name,
    shape: [size],
    initialiser: { name: start },
    role: 'vector',
  });
  const specs: ParameterSpec[] = [
    { name: 'model.embed_tokens.weight', shape: [vocabulary, width], initialiser: small, role: 'embedding' },
  ];
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    specs.push(vector(`${at}.input_layernorm.weight`, width));
    for (const [name, size] of [
      ['q_proj', heads * headWidth],
      ['k_proj', keyHeads * headWidth],
      ['v_proj', keyHeads * headWidth],
    ] as const) {
      specs.push(matrix(`${at}.self_attn.${name}`, size, width));
      if (config.attentionBias) specs.push(vector(`${at}.self_attn.${name}.bias`, size, 'zeros'));
    }
    if (config.headNorm) {
      specs.push(vector(`${at}.self_attn.q_norm.weight`, headWidth));
      specs.push(vector(`${at}.self_attn.k_norm.weight`, headWidth));
    }
    specs.push(
      matrix(`${at}.self_attn.o_proj`, width, heads * headWidth, residual),
      vector(`${at}.post_attention_layernorm.weight`, width),
      matrix(`${at}.mlp.gate_proj`, hidden, width),
      matrix(`${at}.mlp.up_proj`, hidden, width),
      matrix(`${at}.mlp.down_proj`, width, hidden, residual),
    );
  }
  specs.push(vector('model.norm.weight', width));
  if (!config.tied)
    specs.push({ name: 'lm_head.weight', shape: [vocabulary, width], initialiser: small, role: 'embedding' });
  return specs;
}

/** Radians per position of each pair, `base^(−2i/D)`, stretched where the configuration says so. */
export function rotaryFrequencies({ headWidth, rotaryBase, rotaryScaling }: LlamaConfig): number[] {
  return Array.from({ length: headWidth / 2 }, (_, i) => {
    const frequency = rotaryBase ** ((-2 * i) / headWidth);
    if (rotaryScaling === undefined) return frequency;
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = rotaryScaling;
    // Turns that the original context makes; few turns are stretched by `factor`, many are left.
    const turns = (originalContext * frequency) / (2 * Math.PI);
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return frequency * (kept + (1 - kept) / factor);
  });
}

/** Turned by their angles; the values are not. From one product where the weights are joined. */
function queriesKeysValues(
  { heads, keyHeads, headWidth, epsilon, headNorm }: LlamaConfig,
  parameters: Parameters,
  { at, h, angles }: { at: string; h: Tensor; angles: { cos: Tensor; sin: Tensor } },
): { q: Tensor; k: Tensor; v: Tensor } {
  const project = (name: string, count: number): Tensor =>
    splitHeads(linear(parameters, `${at}.self_attn.${name}_proj`, h), count, headWidth);
  const normed = (name: string, value: Tensor): Tensor =>
    headNorm ? rmsNorm(value, parameter(parameters, `${at}.self_attn.${name}_norm.weight`), epsilon) : value;
  const isJoined = parameters[`${at}.self_attn.qkv_proj.weight`] !== undefined;
  if (isJoined && !headNorm) {
    const all = project('qkv', heads + 2 * keyHeads);
    const [turning, v] = split(all, [heads + keyHeads, keyHeads], 1) as [Tensor, Tensor];
    const [q, k] = split(rotate(turning, angles), [heads, keyHeads], 1) as [Tensor, Tensor];
    return { q, k, v };
  }
  const [q, k, v] = (
    isJoined
      ? split(project('qkv', heads + 2 * keyHeads), [heads, keyHeads, keyHeads], 1)
      : [project('q', heads), project('k', keyHeads), project('v', keyHeads)]
  ) as [Tensor, Tensor, Tensor];
  return { q: rotate(normed('q', q), angles), k: rotate(normed('k', k), angles), v };
}

function gateAndUp({ hidden }: LlamaConfig, parameters: Parameters, at: string, x: Tensor): [Tensor, Tensor] {
  if (parameters[`${at}.mlp.gate_up_proj.weight`] !== undefined)
    return split(linear(parameters, `${at}.mlp.gate_up_proj`, x), [hidden, hidden], -1) as [Tensor, Tensor];
  return [linear(parameters, `${at}.mlp.gate_proj`, x), linear(parameters, `${at}.mlp.up_proj`, x)];
}

function block(
  config: LlamaConfig,
  parameters: Parameters,
  call: NetworkCall,
  { layer, x, angles }: { layer: number; x: Tensor; angles: { cos: Tensor; sin: Tensor } },
): Tensor {
  const { epsilon, window } = config;
  const at = `model.layers.${layer}`;
  const norm = (name: string, value: Tensor): Tensor =>
    rmsNorm(value, parameter(parameters, `${at}.${name}.weight`), epsilon);
  const h = norm('input_layernorm', x);
  const { q, k, v } = queriesKeysValues(config, parameters, { at, h, angles });
  const mask: AttentionMask = window === undefined ? { kind: 'causal' } : { kind: 'banded', window };
  const seen = joinHeads(call.attend({ layer, q, k, v, mask }));
  const after = add(x, call.dropout(linear(parameters, `${at}.self_attn.o_proj`, seen)));
  const g = norm('post_attention_layernorm', after);
  const [gate, up] = gateAndUp(config, parameters, at, g);
  const gated = mul(silu(gate), up);
  return add(after, call.dropout(linear(parameters, `${at}.mlp.down_proj`, gated)));
}

export const llama: TextArchitecture<LlamaConfig> = {
  name: 'llama',
  config: llamaConfig as z.ZodType<LlamaConfig>,
  parameters: llamaParameters,
  joins: ({ layers }) =>
    Object.fromEntries(
      Array.from({ length: layers }, (_, layer) => {
        const at = `model.layers.${layer}`;
        return [
          [`${at}.self_attn.qkv_proj`, ['q', 'k', 'v'].map((name) => `${at}.self_attn.${name}_proj`)],
          [`${at}.mlp.gate_up_proj`, ['gate', 'up'].map((name) => `${at}.mlp.${name}_proj`)],
        ];
      }).flat(),
    ),
  cache: ({ keyHeads, headWidth }) => ({ heads: keyHeads, dim: headWidth }),
  network: (config, parameters, call) => {
    let x = call.dropout(gather(parameter(parameters, 'model.embed_tokens.weight'), call.tokens));
    const angles = rotaryAngles(call.positions, rotaryFrequencies(config));
    for (let layer = 0; layer < config.layers; layer++)
      x = block(config, parameters, call, { layer, x, angles });
    return rmsNorm(x, parameter(parameters, 'model.norm.weight'), config.epsilon);
  },
  head: ({ tied }, parameters, hidden) =>
    matmul(hidden, swapAxes(parameter(parameters, tied ? 'model.embed_tokens.weight' : 'lm_head.weight'))),
};
