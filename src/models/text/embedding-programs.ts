/**
 * One vector of length 1 for each text, from a BERT or from a model that writes. Knows no tokenizer and no files;
 * which tokens stand around a text is the caller's.
 */
import { InkstoneError } from '../../base/errors.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import {
  add,
  cast,
  div,
  gather,
  iota,
  less,
  maximum,
  mul,
  type Program,
  reshape,
  sizeTensor,
  sqrt,
  sub,
  sum,
  type Tensor,
  trace,
} from '../../program/index.ts';
import { type AnyTextConfig, anyTextParameters, architectureName, isBert } from './any.ts';
import { architectureOf } from './architectures.ts';
import { bertHidden, bertPooled } from './bert.ts';
import { decoderHidden } from './decoder-programs.ts';
import type { Pooling } from './pooling.ts';

/**
 * `tokens` `[batch, time]`, `length` `[batch]` i32 (what follows is filling) → `embedding` `[batch, width]`, both
 * sizes open. The mean is over the tokens that count (Reimers and Gurevych 2019).
 * @throws InkstoneError `pooling_unsupported`
 */
export function textEmbedding(config: AnyTextConfig, pooling: Pooling): Program {
  if (pooling === 'pooler' && !(isBert(config) && config.pooler))
    throw new InkstoneError('pooling_unsupported', 'this model has no pooler', {
      kind: 'unsupported',
      hint: 'choose mean, first or last',
    });
  const inputs = {
    ...parameterTypes(anyTextParameters(config)),
    tokens: { dtype: 'i32' as const, shape: ['batch', 'time'] },
    length: { dtype: 'i32' as const, shape: ['batch'] },
  };
  return trace(`${architectureName(config)}_embedding`, inputs, (x) => {
    const tokens = x.tokens as Tensor;
    const length = x.length as Tensor;
    const hidden = isBert(config)
      ? bertHidden(config, x, { tokens, segments: mul(tokens, 0), length })
      : decoderHidden(architectureOf(config), config, x, tokens);
    const one =
      isBert(config) && pooling === 'pooler'
        ? bertPooled(config, x, hidden)
        : pooled(pooling, hidden, tokens, length, config.width);
    const norm = sqrt(sum(mul(one, one), { axes: [1], keep: true }));
    return { embedding: div(one, maximum(norm, 1e-12)) };
  });
}

/** `[batch, time, width]` → `[batch, width]`; the mean comes as a sum, for its length does not count. */
function pooled(pooling: Pooling, hidden: Tensor, tokens: Tensor, length: Tensor, width: number): Tensor {
  if (pooling === 'mean') {
    const counted = less(reshape(iota('time'), [1, 'time', 1]), reshape(length, ['batch', 1, 1]));
    return sum(mul(hidden, cast(counted, 'f32')), { axes: [1] });
  }
  const begins = mul(iota('batch'), cast(sizeTensor('time', tokens), 'i32'));
  const place = pooling === 'first' ? begins : sub(add(begins, length), 1);
  return gather(reshape(hidden, [-1, width]), place);
}
