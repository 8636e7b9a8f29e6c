/** Llama-style checkpoints in Hugging Face's layout: config keys of llama, mistral, qwen2 and qwen3, and tensor names. */
import { z } from 'zod';
import type { HuggingFaceLayout } from './architecture.ts';
import { configUnsupported, parametersOf } from './checkpoint.ts';
import { type LlamaConfig, llamaParameters } from './llama.ts';

const theirs = z.object({
  model_type: z.enum(['llama', 'mistral', 'qwen2', 'qwen3']),
  num_hidden_layers: z.number().int(),
  num_attention_heads: z.number().int(),
  num_key_value_heads: z.number().int().nullish(),
  head_dim: z.number().int().nullish(),
  hidden_size: z.number().int(),
  intermediate_size: z.number().int(),
  max_position_embeddings: z.number().int(),
  vocab_size: z.number().int(),
  rms_norm_eps: z.number().default(1e-6),
  rope_theta: z.number().nullish(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  /** Where newer files keep both. */
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
  hidden_act: z.string().default('silu'),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  sliding_window: z.number().int().nullish(),
  use_sliding_window: z.boolean().nullish(),
});

function scalingOf(rope: Record<string, unknown>): LlamaConfig['rotaryScaling'] {
  const kind = (rope.rope_type ?? rope.type ?? 'default') as string;
  if (kind === 'default') return undefined;
  const read = z
    .object({
      factor: z.number(),
      low_freq_factor: z.number(),
      high_freq_factor: z.number(),
      original_max_position_embeddings: z.number().int(),
    })
    .safeParse(rope);
  if (kind !== 'llama3' || !read.success)
    throw configUnsupported(
      `rotary scaling "${kind}" is not known`,
      'checkpoints without scaling or with llama3 scaling can be read',
    );
  return {
    factor: read.data.factor,
    lowFrequencyFactor: read.data.low_freq_factor,
    highFrequencyFactor: read.data.high_freq_factor,
    originalContext: read.data.original_max_position_embeddings,
  };
}

function readConfig(raw: Record<string, unknown>): LlamaConfig {
  const read = theirs.safeParse(raw);
  if (!read.success)
    throw configUnsupported(
      `config.json is not complete: ${z.prettifyError(read.error)}`,
      'Llama, Mistral, Qwen 2 and Qwen 3 checkpoints can be read',
      read.error,
    );
  const c = read.data;
  if (c.hidden_act !== 'silu' || c.mlp_bias || (c.attention_bias && c.model_type !== 'qwen2'))
    throw configUnsupported(
      `this ${c.model_type} has another activation or further biases`,
      'silu, no bias in the feed-forward network and in the attention output can be read',
    );
  const rope = { ...(c.rope_scaling ?? {}), ...(c.rope_parameters ?? {}) };
  const rotaryScaling = scalingOf(rope);
  // Qwen has the key, but sees everything unless it is switched on.
  const windowed = c.sliding_window != null && (c.model_type === 'mistral' || c.use_sliding_window === true);
  return {
    architecture: 'llama',
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    keyHeads: c.num_key_value_heads ?? c.num_attention_heads,
    headWidth: c.head_dim ?? c.hidden_size / c.num_attention_heads,
    width: c.hidden_size,
    hidden: c.intermediate_size,
    context: c.max_position_embeddings,
    vocabulary: c.vocab_size,
    epsilon: c.rms_norm_eps,
    rotaryBase: c.rope_theta ?? (rope.rope_theta as number | undefined) ?? 10000,
    ...(rotaryScaling === undefined ? {} : { rotaryScaling }),
    tied: c.tie_word_embeddings,
    attentionBias: c.model_type === 'qwen2',
    headNorm: c.model_type === 'qwen3',
    ...(windowed ? { window: c.sliding_window as number } : {}),
  };
}

function kindOf(config: LlamaConfig): { type: string; name: string } {
  if (config.headNorm) return { type: 'qwen3', name: 'Qwen3ForCausalLM' };
  if (config.attentionBias) return { type: 'qwen2', name: 'Qwen2ForCausalLM' };
  if (config.window !== undefined) return { type: 'mistral', name: 'MistralForCausalLM' };
  return { type: 'llama', name: 'LlamaForCausalLM' };
}

function writeConfig(config: LlamaConfig, endOfText: number | undefined): Record<string, unknown> {
  const { type, name } = kindOf(config);
  const s = config.rotaryScaling;
  return {
    architectures: [name],
    model_type: type,
    hidden_act: 'silu',
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyHeads,
    head_dim: config.headWidth,
    hidden_size: config.width,
    intermediate_size: config.hidden,
    max_position_embeddings: config.context,
    vocab_size: config.vocabulary,
    rms_norm_eps: config.epsilon,
    rope_theta: config.rotaryBase,
    rope_scaling:
      s === undefined
        ? null
        : {
            rope_type: 'llama3',
            factor: s.factor,
            low_freq_factor: s.lowFrequencyFactor,
            high_freq_factor: s.highFrequencyFactor,
            original_max_position_embeddings: s.originalContext,
          },
    tie_word_embeddings: config.tied,
    attention_bias: false,
    ...(config.window === undefined ? {} : { sliding_window: config.window }),
    bos_token_id: endOfText ?? null,
    eos_token_id: endOfText ?? null,
    torch_dtype: 'float32',
  };
}

export const llamaHuggingFace: HuggingFaceLayout<LlamaConfig> = {
  architecture: 'llama',
  modelTypes: ['llama', 'mistral', 'qwen2', 'qwen3'],
  readConfig,
  writeConfig,
  readTensors: (tensors, config) => {
    // A base model is saved without the outer prefix.
    const bare = tensors['model.embed_tokens.weight'] === undefined;
    return parametersOf(tensors, llamaParameters(config), (name) =>
      bare ? name.replace(/^model\./, '') : name,
    );
  },
  writeTensors: (parameters) => parameters,
};
