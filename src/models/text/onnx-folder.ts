/**
 * The ONNX graphs that Hugging Face's tools exchange: names and shapes as Optimum writes and transformers.js reads them.
 * A decoder takes what it has computed already and gives it back longer; a BERT gives its hidden states. Knows no files.
 */
import { InkstoneError } from '../../base/errors.ts';
import type { HostTensors } from '../../base/tensor.ts';
import type { OnnxModel } from '../../formats/onnx.ts';
import { groupedAttention, maskKey, windowMask } from '../../nn/attention.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import {
  add,
  cast,
  concat,
  iota,
  type Program,
  reshape,
  sizeTensor,
  sum,
  type Tensor,
  type TensorType,
  trace,
} from '../../program/index.ts';
import { lowerToModel } from '../../program/lower.ts';
import { addSizes } from '../../program/size.ts';
import { type AnyTextConfig, isBert } from './any.ts';
import type { TextSizes } from './architecture.ts';
import { architectureOf, type TextConfig, textParameters } from './architectures.ts';
import { type BertConfig, bertHidden, bertParameters } from './bert.ts';

/** Protocol buffers end at 2 GiB. */
const LIMIT = 2 ** 31 - 2 ** 24;

/** Optimum's names for sizes: transformers.js makes the first, empty past from them. */
const [BATCH, TIME, PAST] = ['batch_size', 'sequence_length', 'past_sequence_length'];

const ids: TensorType = { dtype: 'i64', shape: [BATCH, TIME] };

/**
 * `input_ids` `[batch, time]` i64 and `past_key_values.L.key|value` `[batch, heads, past, dim]` f32 →
 * `logits` `[batch, time, vocabulary]` and `present.L.key|value`, past and new together. Rows are not padded.
 */
export function decoderWithPast(config: TextConfig): Program {
  const architecture = architectureOf(config);
  const sizes = config as TextSizes;
  const { heads, dim } = architecture.cache(sizes);
  const past: TensorType = { dtype: 'f32', shape: [BATCH, heads, PAST, dim] };
  const inputs: Record<string, TensorType> = { ...parameterTypes(textParameters(config)), input_ids: ids };
  for (let layer = 0; layer < sizes.layers; layer++)
    for (const part of ['key', 'value']) inputs[`past_key_values.${layer}.${part}`] = past;
  return trace(`${architecture.name}_with_past`, inputs, (x) => {
    const first = sizeTensor(PAST, { dtype: 'i32', shape: [] });
    const positions = add(first, iota(TIME));
    const masks = new Map<unknown, Tensor | undefined>();
    const present: Record<string, Tensor> = {};
    const hidden = architecture.network(sizes, x, {
      tokens: cast(x.input_ids as Tensor, 'i32'),
      positions,
      dropout: (y) => y,
      attend: ({ layer, q, k, v, mask }) => {
        const keys = concat([x[`past_key_values.${layer}.key`] as Tensor, k], 2);
        const values = concat([x[`past_key_values.${layer}.value`] as Tensor, v], 2);
        present[`present.${layer}.key`] = keys;
        present[`present.${layer}.value`] = values;
        const key = maskKey(mask);
        if (!masks.has(key)) masks.set(key, windowMask(mask, positions, addSizes(PAST, TIME)));
        return groupedAttention(q, keys, values, masks.get(key));
      },
    });
    const rows = architecture.head(sizes, x, reshape(hidden, [-1, sizes.width]));
    return { logits: reshape(rows, [BATCH, TIME, sizes.vocabulary]), ...present };
  });
}

/**
 * `input_ids`, `attention_mask` (1 for what counts, filling at the end) and `token_type_ids` `[batch, time]` i64 →
 * `last_hidden_state` `[batch, time, width]`.
 */
export function bertFeatures(config: BertConfig): Program {
  const inputs = {
    ...parameterTypes(bertParameters(config)),
    input_ids: ids,
    attention_mask: ids,
    token_type_ids: ids,
  };
  return trace('bert_features', inputs, (x) => ({
    last_hidden_state: bertHidden(config, x, {
      tokens: cast(x.input_ids as Tensor, 'i32'),
      segments: cast(x.token_type_ids as Tensor, 'i32'),
      length: cast(sum(cast(x.attention_mask as Tensor, 'f32'), { axes: [1] }), 'i32'),
    }),
  }));
}

/** @throws InkstoneError `onnx_too_large` */
export function onnxForHuggingFace(config: AnyTextConfig, weights: HostTensors): OnnxModel {
  const program = isBert(config) ? bertFeatures(config) : decoderWithPast(config);
  const used = new Set(program.inputs.map(({ name }) => name));
  const constants = Object.fromEntries(Object.entries(weights).filter(([name]) => used.has(name)));
  const size = Object.values(constants).reduce((total, { data }) => total + data.byteLength, 0);
  if (size > LIMIT)
    throw new InkstoneError('onnx_too_large', 'the weights do not fit into one ONNX file', {
      kind: 'unsupported',
      hint: 'export it with --format safetensors',
    });
  return lowerToModel(program, { constants, portable: true });
}
