/** GPT-2 in Hugging Face's layout: config keys, tensor names, and back. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { type HostTensor, type HostTensors, zeros } from '../../base/tensor.ts';
import { halvesToFloats } from '../../formats/float16.ts';
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

/** @throws InkstoneError `config_unsupported` */
export function fromHuggingFaceConfig(raw: unknown): Gpt2Config {
  const read = config.safeParse(raw);
  if (!read.success) {
    throw new InkstoneError('config_unsupported', 'config.json describes no GPT-2', {
      kind: 'unsupported',
      hint: 'GPT-2 checkpoints can be read',
      cause: read.error,
    });
  }
  const c = read.data;
  const odd =
    c.activation_function !== 'gelu_new' ||
    Math.abs(c.layer_norm_epsilon - 1e-5) > 1e-9 ||
    (c.n_inner ?? 4 * c.n_embd) !== 4 * c.n_embd;
  if (odd)
    throw new InkstoneError(
      'config_unsupported',
      'this GPT-2 has another activation, epsilon or inner size',
      { kind: 'unsupported', hint: 'gelu_new, 1e-5 and 4 × n_embd can be read' },
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

export function toHuggingFaceConfig(
  model: Gpt2Config,
  endOfText: number | undefined,
): Record<string, unknown> {
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

/** Parameters with our names; the prefix `transformer.` and mask buffers are dropped, halves widened. */
export function fromHuggingFaceTensors(tensors: HostTensors, model: Gpt2Config): HostTensors {
  const plain: Record<string, HostTensor> = {};
  for (const [name, value] of Object.entries(tensors)) plain[name.replace(/^transformer\./, '')] = value;
  return parametersOf(plain, model);
}

/** Picks the model's parameters. @throws InkstoneError `parameters_differ` */
export function parametersOf(tensors: HostTensors, model: Gpt2Config): HostTensors {
  return Object.fromEntries(
    gpt2Parameters(model).map(({ name, shape }) => {
      const value = tensors[name];
      if (value === undefined || value.shape.join() !== shape.join()) {
        throw new InkstoneError(
          'parameters_differ',
          `the file's "${name}" is ${value === undefined ? 'missing' : `[${value.shape}]`}, the configuration says [${shape}]`,
          { kind: 'data', hint: 'config.json and the weights must belong together' },
        );
      }
      return [name, widened(name, value)];
    }),
  );
}

function widened(name: string, value: HostTensor): HostTensor<'f32'> {
  if (value.dtype === 'f32') return value as HostTensor<'f32'>;
  if (value.dtype === 'f16')
    return { dtype: 'f32', shape: value.shape, data: halvesToFloats(value.data as Uint16Array) };
  throw new InkstoneError('parameters_differ', `"${name}" is ${value.dtype}, not a float`, {
    kind: 'unsupported',
  });
}

/** Hugging Face's GPT-2 always has biases: zeros stand in for those that this model lacks. */
export function toHuggingFaceTensors(parameters: HostTensors, model: Gpt2Config): HostTensors {
  return Object.fromEntries(
    gpt2Parameters({ ...model, bias: true }).map(({ name, shape }) => [
      `transformer.${name}`,
      parameters[name] ?? zeros('f32', shape),
    ]),
  );
}
