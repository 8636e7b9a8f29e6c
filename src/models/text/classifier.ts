/**
 * A classifier of texts on top of any text model: a BERT's pooled first token, or the last token of a model that writes,
 * through one matrix. Says which parameters there are and makes the programs; knows no labels and no tokenizer.
 */
import { crossEntropyRows } from '../../nn/loss.ts';
import { type ParameterSpec, parameterTypes } from '../../nn/parameters.ts';
import type { Dropout, LossProgram } from '../../nn/train-step.ts';
import {
  add,
  cast,
  gather,
  iota,
  mean,
  mul,
  type Program,
  reshape,
  type Size,
  sizeTensor,
  softmax,
  sub,
  sum,
  type Tensor,
  type TensorType,
  trace,
} from '../../program/index.ts';
import { type AnyTextConfig, architectureName, isBert } from './any.ts';
import type { Parameters } from './architecture.ts';
import { architectureOf, textParameters } from './architectures.ts';
import { type BertConfig, bertClassHead, bertHidden, bertParameters, bertPooled } from './bert.ts';
import { decoderHidden } from './decoder-programs.ts';
import { linearTransposed } from './layers.ts';

export interface ClassifierConfig {
  /** The network below the head. */
  model: AnyTextConfig;
  classes: number;
}

/** The BERT that answers classes and nothing else: what is saved is a `BertForSequenceClassification`. */
export const classifyingBert = (model: BertConfig, classes: number): BertConfig => ({
  ...model,
  ...{ pooler: true, masked: false, next: false, span: false, classes },
});

/** Named as Hugging Face's sequence classifiers have them; those of the base come first. */
export function classifierParameters({ model, classes }: ClassifierConfig): ParameterSpec[] {
  if (isBert(model)) return bertParameters(classifyingBert(model, classes));
  const initialiser = { name: 'normal', deviation: 0.02 } as const;
  return [
    ...textParameters(model),
    { name: 'classifier.weight', shape: [classes, model.width], initialiser, role: 'embedding' },
    { name: 'classifier.bias', shape: [classes], initialiser: { name: 'zeros' }, role: 'vector' },
  ];
}

const inputTypes = (batch: Size, time: Size): Record<string, TensorType> => ({
  tokens: { dtype: 'i32', shape: [batch, time] },
  segments: { dtype: 'i32', shape: [batch, time] },
  /** Tokens that count; what follows is filling and is seen by none of them. */
  length: { dtype: 'i32', shape: [batch] },
});

/** `[batch, classes]` */
function scores({ model }: ClassifierConfig, x: Parameters, dropout?: Dropout): Tensor {
  const [tokens, segments, length] = [x.tokens, x.segments, x.length] as [Tensor, Tensor, Tensor];
  if (isBert(model)) {
    const hidden = bertHidden(model, x, { tokens, segments, length }, dropout);
    return bertClassHead(x, bertPooled(model, x, hidden));
  }
  const hidden = decoderHidden(
    architectureOf(model),
    model,
    x,
    tokens,
    dropout === undefined ? {} : { dropout },
  );
  const [batch, time] = tokens.shape as readonly [Size, Size];
  const wide = typeof time === 'number' ? time : cast(sizeTensor(time, tokens), 'i32');
  const last = gather(reshape(hidden, [-1, model.width]), sub(add(mul(iota(batch), wide), length), 1));
  return linearTransposed(x, 'classifier', last);
}

/** Mean cross-entropy of `labels` `[batch]`; rows of a batch are filled to one length, which may differ each time. */
export function classifierLoss(config: ClassifierConfig, batch: number, time: Size = 'time'): LossProgram {
  const { model } = config;
  return {
    specs: classifierParameters(config),
    inputs: { ...inputTypes(batch, time), labels: { dtype: 'i32', shape: [batch] } },
    loss: (x, dropout) => mean(crossEntropyRows(scores(config, x, dropout), x.labels as Tensor)),
    dropped: { times: 1 + 2 * model.layers, shape: [batch, time, model.width] },
  };
}

/** `total`: nats of the labels where `weights` `[batch]` is 1. */
export function classifierEvaluate(config: ClassifierConfig, batch: Size = 'batch'): Program {
  const inputs = {
    ...parameterTypes(classifierParameters(config)),
    ...inputTypes(batch, 'time'),
    labels: { dtype: 'i32' as const, shape: [batch] },
    weights: { dtype: 'f32' as const, shape: [batch] },
  };
  return trace(`${architectureName(config.model)}_classify_evaluate`, inputs, (x) => ({
    total: sum(mul(crossEntropyRows(scores(config, x), x.labels as Tensor), x.weights as Tensor)),
  }));
}

/** `probabilities` `[batch, classes]`, both sizes open. */
export function classifierAnswers(config: ClassifierConfig): Program {
  const inputs = { ...parameterTypes(classifierParameters(config)), ...inputTypes('batch', 'time') };
  return trace(`${architectureName(config.model)}_classify`, inputs, (x) => ({
    probabilities: softmax(scores(config, x)),
  }));
}
