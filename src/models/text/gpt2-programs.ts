/** GPT-2's programs: train step, evaluation, logits, prefill and one decoding step. */
import { crossEntropyRows } from '../../nn/loss.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import type { Dropout, LossProgram } from '../../nn/train-step.ts';
import {
  add,
  cast,
  concat,
  gather,
  iota,
  less,
  matmul,
  mean,
  mul,
  type Program,
  reshape,
  sizeTensor,
  slice,
  softmax,
  sub,
  sum,
  swapAxes,
  type Tensor,
  trace,
  where,
} from '../../program/index.ts';
import {
  causalMask,
  embed,
  feedForward,
  type Gpt2Config,
  gpt2Head,
  gpt2Hidden,
  gpt2Parameters,
  mergeHeads,
  norm,
  type Parameters,
  queriesKeysValues,
} from './gpt2.ts';

/** Loss of each row: `tokens` and `targets` `[batch, time]` i32 → `[batch·time]` nats. */
function lossRows(
  config: Gpt2Config,
  x: Parameters,
  tokens: Tensor,
  targets: Tensor,
  dropout?: Dropout,
): Tensor {
  const { hidden } = gpt2Hidden(config, x, tokens, causalMask(tokens.shape[1] as number), dropout);
  const logits = gpt2Head(x, reshape(hidden, [-1, config.width]));
  return crossEntropyRows(logits, reshape(targets, [-1]));
}

/** Mean loss over windows of `time` tokens; inputs `tokens` and `targets` `[batch, time]` i32. */
export function gpt2Loss(config: Gpt2Config, batch: number, time: number): LossProgram {
  const tokens = { dtype: 'i32' as const, shape: [batch, time] };
  return {
    specs: gpt2Parameters(config),
    inputs: { tokens, targets: tokens },
    loss: (x, dropout) => mean(lossRows(config, x, x.tokens as Tensor, x.targets as Tensor, dropout)),
    dropped: (1 + 2 * config.layers) * batch * time * config.width,
  };
}

/** Sum of losses where `weights` is 1: inputs parameters, `tokens`, `targets` i32, `weights` f32, all `[batch, time]`. */
export function gpt2Evaluate(config: Gpt2Config, batch: number, time: number): Program {
  const tokens = { dtype: 'i32' as const, shape: [batch, time] };
  const inputs = {
    ...parameterTypes(gpt2Parameters(config)),
    tokens,
    targets: tokens,
    weights: { dtype: 'f32' as const, shape: [batch, time] },
  };
  return trace('gpt2_evaluate', inputs, (x) => {
    const rows = lossRows(config, x, x.tokens as Tensor, x.targets as Tensor);
    return { total: sum(mul(rows, reshape(x.weights as Tensor, [-1]))) };
  });
}

/** The mask for an open length: position i sees 0…i. */
function openCausalMask(time: string): Tensor {
  const place = iota(time);
  const hidden = less(reshape(place, [time, 1]), reshape(place, [1, time]));
  return where(hidden, -1e9, 0) as Tensor;
}

/** `tokens` `[batch, time]` → `logits` `[batch, time, vocabulary]`; both sizes open. The file that `export` writes. */
export function gpt2Logits(config: Gpt2Config): Program {
  const inputs = {
    ...parameterTypes(gpt2Parameters(config)),
    tokens: { dtype: 'i32' as const, shape: ['batch', 'time'] },
  };
  return trace('gpt2_logits', inputs, (x) => ({
    logits: gpt2Head(x, gpt2Hidden(config, x, x.tokens as Tensor, openCausalMask('time')).hidden),
  }));
}

/** See generate/: prompts in, last logits and every layer's keys and values out. */
export function gpt2Prefill(config: Gpt2Config): Program {
  const inputs = {
    ...parameterTypes(gpt2Parameters(config)),
    tokens: { dtype: 'i32' as const, shape: ['batch', 'time'] },
    length: { dtype: 'i32' as const, shape: ['batch'] },
  };
  return trace('gpt2_prefill', inputs, (x) => {
    const { hidden, keys, values } = gpt2Hidden(config, x, x.tokens as Tensor, openCausalMask('time'));
    // The row of each sequence's last token: flat position b·time + length − 1.
    const flat = reshape(hidden, [-1, config.width]);
    const first = mul(iota('batch'), sizeOfTime(x.tokens as Tensor));
    const last = gather(flat, sub(add(first, x.length as Tensor), 1));
    return {
      logits: gpt2Head(x, last),
      ...Object.fromEntries(keys.map((k, layer) => [`keys.${layer}`, k])),
      ...Object.fromEntries(values.map((v, layer) => [`values.${layer}`, v])),
    };
  });
}

function sizeOfTime(tokens: Tensor): Tensor {
  return cast(sizeTensor(tokens.shape[1] as string, tokens), 'i32');
}

/**
 * One token more for every sequence. The cache is read, never written: a cache that were an output would cost
 * its own size each step, so only the new rows come out and the host puts them in place.
 */
export function gpt2Step(config: Gpt2Config): Program {
  const { heads, width, layers } = config;
  const dim = width / heads;
  const cache = { dtype: 'f32' as const, shape: ['batch', heads, 'cache', dim] };
  const inputs = {
    ...parameterTypes(gpt2Parameters(config)),
    token: { dtype: 'i32' as const, shape: ['batch'] },
    position: { dtype: 'i32' as const, shape: ['batch'] },
    ...Object.fromEntries(
      Array.from({ length: layers }, (_, layer) => [
        [`keys.${layer}`, cache],
        [`values.${layer}`, cache],
      ]).flat() as [string, typeof cache][],
    ),
  };
  return trace('gpt2_step', inputs, (x) => {
    const out: Record<string, Tensor> = {};
    const position = x.position as Tensor;
    const filled = less(reshape(iota('cache'), [1, 1, 1, 'cache']), reshape(position, ['batch', 1, 1, 1]));
    const mask = where(filled, 0, -1e9);
    let h = embed(x, reshape(x.token as Tensor, ['batch', 1]), reshape(position, ['batch', 1]));
    for (let layer = 0; layer < layers; layer++) {
      const [q, k, v] = queriesKeysValues(config, x, layer, norm(x, `h.${layer}.ln_1`, h));
      const scaled = mul(q, 1 / Math.sqrt(dim));
      const past = add(matmul(scaled, swapAxes(x[`keys.${layer}`] as Tensor)), mask);
      const own = sum(mul(scaled, k), { axes: [3], keep: true });
      const weights = softmax(concat([past, own], 3));
      const fromPast = matmul(
        slice(weights, { axis: 3, start: 0, end: 'cache' }),
        x[`values.${layer}`] as Tensor,
      );
      const fromOwn = mul(slice(weights, { axis: 3, start: 'cache', end: '1+cache' }), v);
      h = add(h, mergeHeads(config, x, layer, add(fromPast, fromOwn)));
      h = add(h, feedForward(x, layer, norm(x, `h.${layer}.ln_2`, h)));
      out[`new_keys.${layer}`] = k;
      out[`new_values.${layer}`] = v;
    }
    return { logits: gpt2Head(x, reshape(norm(x, 'ln_f', h), ['batch', width])), ...out };
  });
}
