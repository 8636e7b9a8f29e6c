/**
 * Programs that look inside a text model: where every head of every layer looks, how much each token surprises, what
 * else was likely. Knows no tokenizer and no window.
 */
import { attentionWeights } from '../../nn/attention.ts';
import { crossEntropyRows } from '../../nn/loss.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import {
  add,
  cast,
  equal,
  gather,
  iota,
  less,
  logSoftmax,
  mul,
  type Program,
  reshape,
  sizeTensor,
  sum,
  type Tensor,
  type TensorType,
  topK,
  trace,
  where,
} from '../../program/index.ts';
import type { Parameters } from './architecture.ts';
import { architectureOf, type TextConfig } from './architectures.ts';
import { type BertConfig, bertHidden, bertMaskedHead, bertParameters } from './bert.ts';
import { decoderHidden } from './decoder-programs.ts';

/** Alternatives that a program names at each place; less where the vocabulary has less. */
export const MOST_ALTERNATIVES = 10;

const alternatives = (vocabulary: number): number => Math.min(MOST_ALTERNATIVES, vocabulary);

/**
 * `logits` `[rows, vocabulary]`, `targets` `[rows] i32` → `surprise` `[rows]` nats, `rank` `[rows] i32` (1 is the
 * most likely), `top_logprobs` and `top_tokens` `[rows, k]`.
 */
function judged(logits: Tensor, targets: Tensor, vocabulary: number): Record<string, Tensor> {
  const own = equal(reshape(iota(vocabulary), [1, vocabulary]), reshape(targets, [-1, 1]));
  const score = sum(where(own, logits, 0), { axes: [1], keep: true });
  const { values, indices } = topK(logSoftmax(logits), alternatives(vocabulary));
  return {
    surprise: crossEntropyRows(logits, targets),
    rank: cast(add(sum(cast(less(score, logits), 'f32'), { axes: [1] }), 1), 'i32'),
    top_logprobs: values,
    top_tokens: indices,
  };
}

/**
 * One window of a model that writes: `tokens` and `targets` `[1, time] i32`. With `attention` also `attention.L`
 * `[1, heads, time, time]` for each layer L.
 */
export function decoderInspect(config: TextConfig, options: { attention: boolean }): Program {
  const architecture = architectureOf(config);
  const window: TensorType = { dtype: 'i32', shape: [1, 'time'] };
  const inputs = {
    ...parameterTypes(architecture.parameters(config)),
    tokens: window,
    targets: window,
  };
  return trace(`${architecture.name}_inspect`, inputs, (x) => {
    const out: Record<string, Tensor> = {};
    const hidden = decoderHidden(architecture, config, x, x.tokens as Tensor, {
      seen: ({ layer, q, k }, mask) => {
        if (options.attention) out[`attention.${layer}`] = attentionWeights(q, k, mask);
      },
    });
    const logits = architecture.head(config, x, reshape(hidden, [-1, config.width]));
    return { ...judged(logits, reshape(x.targets as Tensor, [-1]), config.vocabulary), ...out };
  });
}

const sentence = (x: Parameters) => ({
  tokens: x.tokens as Tensor,
  segments: x.segments as Tensor,
  length: x.length as Tensor,
});
const sentenceTypes: Record<string, TensorType> = {
  tokens: { dtype: 'i32', shape: ['batch', 'time'] },
  segments: { dtype: 'i32', shape: ['batch', 'time'] },
  length: { dtype: 'i32', shape: ['batch'] },
};

/** Where a BERT's heads look: `attention.L` `[batch, heads, time, time]`. */
export function bertAttention(config: BertConfig): Program {
  const inputs = { ...parameterTypes(bertParameters(config)), ...sentenceTypes };
  return trace('bert_attention', inputs, (x) => {
    const out: Record<string, Tensor> = {};
    bertHidden(
      config,
      x,
      sentence(x),
      (t) => t,
      (layer, q, k, mask) => {
        out[`attention.${layer}`] = attentionWeights(q, k, mask);
      },
    );
    return out;
  });
}

/**
 * Rows with one token masked each: `places` `[batch] i32` says where, `targets` `[batch] i32` what stood there. The
 * surprises of all places add up to the pseudo-log-likelihood (Salazar et al. 2020, eq. 2).
 */
export function bertInspect(config: BertConfig): Program {
  const each: TensorType = { dtype: 'i32', shape: ['batch'] };
  const inputs = {
    ...parameterTypes(bertParameters(config)),
    ...sentenceTypes,
    places: each,
    targets: each,
  };
  return trace('bert_inspect', inputs, (x) => {
    const tokens = x.tokens as Tensor;
    const hidden = bertHidden(config, x, sentence(x));
    const first = mul(iota('batch'), cast(sizeTensor('time', tokens), 'i32'));
    const rows = gather(reshape(hidden, [-1, config.width]), add(first, x.places as Tensor));
    return judged(bertMaskedHead(config, x, rows), x.targets as Tensor, config.vocabulary);
  });
}
