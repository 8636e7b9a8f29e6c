/** GPT-2 in Hugging Face's layout: config keys, tensor names, and back. */
import { z } from 'zod';
import { type HostTensor, type HostTensors, zeros } from '../../base/tensor.ts';
import type { HuggingFaceLayout } from './architecture.ts';
import { configUnsupported, parametersOf } from './checkpoint.ts';
import { type Gpt2Config, gpt2Parameters } from './gpt2.ts';

const config = z.object({
  model_type: z.literal('gpt2'),
  n_layer: z.number().int(),
  n_head: z.number().int(),
  n_embd: z.number().int(),
  n_positions: z.number().int(),
  vocab_size: z.number().int(),
  activation_function: z.string().default('gelu_new'),
  layer_norm_epsilon: z.number().default(1e-5),
  n_inner: z.number().int().nullish(),
});

function readConfig(raw: Record<string, unknown>): Gpt2Config {
  const read = config.safeParse(raw);
  if (!read.success)
    throw configUnsupported(
      `config.json is not complete: ${z.prettifyError(read.error)}`,
      'n_layer, n_head, n_embd, n_positions and vocab_size are needed',
      read.error,
    );
  const c = read.data;
  const odd =
    c.activation_function !== 'gelu_new' ||
    Math.abs(c.layer_norm_epsilon - 1e-5) > 1e-9 ||
    (c.n_inner ?? 4 * c.n_embd) !== 4 * c.n_embd;
  if (odd)
    throw configUnsupported(
      'this GPT-2 has another activation, epsilon or inner size',
      'gelu_new, 1e-5 and 4 × n_embd can be read',
    );
  return {
    layers: c.n_layer,
    heads: c.n_head,
    width: c.n_embd,
    context: c.n_positions,
    vocabulary: c.vocab_size,
    bias: true,
  };
}

function writeConfig(model: Gpt2Config, endOfText: number | undefined): Record<string, unknown> {
  return {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    activation_function: 'gelu_new',
    layer_norm_epsilon: 1e-5,
    n_layer: model.layers,
    n_head: model.heads,
    n_embd: model.width,
    n_positions: model.context,
    n_ctx: model.context,
    vocab_size: model.vocabulary,
    attn_pdrop: 0,
    embd_pdrop: 0,
    resid_pdrop: 0,
    initializer_range: 0.02,
    tie_word_embeddings: true,
    bos_token_id: endOfText ?? null,
    eos_token_id: endOfText ?? null,
    torch_dtype: 'float32',
  };
}

/** The prefix `transformer.` and mask buffers are dropped. */
function readTensors(tensors: HostTensors, model: Gpt2Config): HostTensors {
  const plain: Record<string, HostTensor> = {};
  for (const [name, value] of Object.entries(tensors)) plain[name.replace(/^transformer\./, '')] = value;
  return parametersOf(plain, gpt2Parameters(model));
}

/** Hugging Face's GPT-2 always has biases: zeros stand in for those that this model lacks. */
function writeTensors(parameters: HostTensors, model: Gpt2Config): HostTensors {
  return Object.fromEntries(
    gpt2Parameters({ ...model, bias: true }).map(({ name, shape }) => [
      `transformer.${name}`,
      parameters[name] ?? zeros('f32', shape),
    ]),
  );
}

export const gpt2HuggingFace: HuggingFaceLayout<Gpt2Config> = {
  architecture: 'gpt2',
  modelTypes: ['gpt2'],
  readConfig,
  writeConfig,
  readTensors,
  writeTensors,
};
