/**
 * BERT's programs: pre-training (masked tokens and next sentence), classification, spans, scores and embeddings.
 * Knows no tokenizer and no data.
 */
import { crossEntropyRows } from '../../nn/loss.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import type { Dropout, LossProgram } from '../../nn/train-step.ts';
import {
  add,
  argmax,
  cast,
  div,
  equal,
  gather,
  maximum,
  mean,
  mul,
  type Program,
  reshape,
  type Size,
  slice,
  sum,
  type Tensor,
  type TensorType,
  trace,
} from '../../program/index.ts';
import type { Parameters } from './architecture.ts';
import {
  type BertConfig,
  type BertInputs,
  bertClassHead,
  bertHidden,
  bertMaskedHead,
  bertNextHead,
  bertParameters,
  bertPooled,
  bertSpanHead,
} from './bert.ts';

const i32 = (...shape: Size[]): TensorType => ({ dtype: 'i32', shape });
const f32 = (...shape: Size[]): TensorType => ({ dtype: 'f32', shape });

const sentenceTypes = (batch: Size, time: Size): Record<keyof BertInputs, TensorType> => ({
  tokens: i32(batch, time),
  segments: i32(batch, time),
  length: i32(batch),
});
const sentences = (x: Parameters): BertInputs => ({
  tokens: x.tokens as Tensor,
  segments: x.segments as Tensor,
  length: x.length as Tensor,
});
const drops = (config: BertConfig, batch: number, time: number): number =>
  (1 + 2 * config.layers) * batch * time * config.width;

/** Sizes of a pre-training batch; `masked` is how many places of a row are asked for at most. */
export interface PretrainingSizes {
  batch: number;
  time: number;
  masked: number;
}

/** `places` are flat (b·time + t); `weights` is 0 where a row has fewer masked places. */
function pretrainingTypes({ batch, time, masked }: PretrainingSizes): Record<string, TensorType> {
  return {
    ...sentenceTypes(batch, time),
    places: i32(batch * masked),
    labels: i32(batch * masked),
    weights: f32(batch * masked),
    next: i32(batch),
  };
}

function pretrainingParts(config: BertConfig, x: Parameters, dropout?: Dropout) {
  const hidden = bertHidden(config, x, sentences(x), dropout);
  const rows = gather(reshape(hidden, [-1, config.width]), x.places as Tensor);
  const tokens = crossEntropyRows(bertMaskedHead(config, x, rows), x.labels as Tensor);
  const follows = config.next ? bertNextHead(x, bertPooled(config, x, hidden)) : undefined;
  return { tokens: mul(tokens, x.weights as Tensor), follows };
}

/**
 * Mean loss of the masked tokens plus, with that head, of the next-sentence question (section 3.1, task 1 and 2), the
 * latter `nextWeight` times: 1 is BERT's sum.
 */
export function bertPretrainingLoss(config: BertConfig, sizes: PretrainingSizes): LossProgram {
  return {
    specs: bertParameters(config),
    inputs: pretrainingTypes(sizes),
    loss: (x, dropout) => {
      const { tokens, follows } = pretrainingParts(config, x, dropout);
      const named = div(sum(tokens), maximum(sum(x.weights as Tensor), 1));
      if (follows === undefined) return named;
      return add(named, mul(mean(crossEntropyRows(follows, x.next as Tensor)), config.nextWeight));
    },
    dropped: drops(config, sizes.batch, sizes.time),
  };
}

/**
 * `total`: nats of all masked tokens; `next_total`: nats of the next-sentence question over rows where `counted` is 1;
 * `next_right`: how many of those were answered right; both only of a model with that head.
 */
export function bertPretrainingEvaluate(config: BertConfig, sizes: PretrainingSizes): Program {
  const inputs = {
    ...parameterTypes(bertParameters(config)),
    ...pretrainingTypes(sizes),
    counted: f32(sizes.batch),
  };
  return trace('bert_evaluate', inputs, (x) => {
    const { tokens, follows } = pretrainingParts(config, x);
    if (follows === undefined) return { total: sum(tokens) };
    const counted = x.counted as Tensor;
    const right = cast(equal(argmax(follows, 1), x.next as Tensor), 'f32');
    return {
      total: sum(tokens),
      next_total: sum(mul(crossEntropyRows(follows, x.next as Tensor), counted)),
      next_right: sum(mul(right, counted)),
    };
  });
}

/** Mean cross-entropy of `labels` `[batch]`. */
export function bertClassificationLoss(config: BertConfig, batch: number, time: number): LossProgram {
  return {
    specs: bertParameters(config),
    inputs: { ...sentenceTypes(batch, time), labels: i32(batch) },
    loss: (x, dropout) => {
      const pooled = bertPooled(config, x, bertHidden(config, x, sentences(x), dropout));
      return mean(crossEntropyRows(bertClassHead(x, pooled), x.labels as Tensor));
    },
    dropped: drops(config, batch, time),
  };
}

/** Mean over `starts` and `ends` `[batch]`, the answer's first and last token (section 4.2). */
export function bertSpanLoss(config: BertConfig, batch: number, time: number): LossProgram {
  return {
    specs: bertParameters(config),
    inputs: { ...sentenceTypes(batch, time), starts: i32(batch), ends: i32(batch) },
    loss: (x, dropout) => {
      const scores = bertSpanHead(x, bertHidden(config, x, sentences(x), dropout));
      const at = (end: number): Tensor =>
        reshape(slice(scores, { axis: 2, start: end, end: end + 1 }), [batch, time]);
      const both = add(
        mean(crossEntropyRows(at(0), x.starts as Tensor)),
        mean(crossEntropyRows(at(1), x.ends as Tensor)),
      );
      return mul(both, 0.5);
    },
    dropped: drops(config, batch, time),
  };
}

/** What a trained BERT answers, both sizes open: `hidden`, and what its heads give. */
export function bertAnswers(config: BertConfig): Program {
  const inputs = { ...parameterTypes(bertParameters(config)), ...sentenceTypes('batch', 'time') };
  return trace('bert', inputs, (x) => {
    const hidden = bertHidden(config, x, sentences(x));
    const pooled = config.pooler ? bertPooled(config, x, hidden) : undefined;
    return {
      hidden,
      ...(pooled === undefined ? {} : { pooled }),
      ...(config.masked ? { logits: bertMaskedHead(config, x, hidden) } : {}),
      ...(config.next ? { next: bertNextHead(x, pooled as Tensor) } : {}),
      ...(config.classes > 0 ? { classes: bertClassHead(x, pooled as Tensor) } : {}),
      ...(config.span ? { span: bertSpanHead(x, hidden) } : {}),
    };
  });
}
