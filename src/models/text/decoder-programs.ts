/**
 * The programs of an autoregressive architecture, made from its network: loss, evaluation, logits, prefill, one
 * decoding step and a chunk on top of a cache. Knows no architecture by name and no weights.
 */
import {
  additiveMask,
  cachedAttention,
  cacheMask,
  chunkAttention,
  chunkMask,
  groupedAttention,
  maskKey,
} from '../../nn/attention.ts';
import { crossEntropyRows } from '../../nn/loss.ts';
import { parameterTypes } from '../../nn/parameters.ts';
import type { Dropout, LossProgram } from '../../nn/train-step.ts';
import {
  add,
  argmax,
  cast,
  concat,
  div,
  equal,
  gather,
  iota,
  maximum,
  mean,
  mul,
  type Program,
  reshape,
  type Size,
  sizeTensor,
  sub,
  sum,
  type Tensor,
  type TensorType,
  trace,
} from '../../program/index.ts';
import type { AttendCall, Parameters, TextArchitecture, TextSizes } from './architecture.ts';

type Architecture = TextArchitecture<TextSizes>;

const noDropout: Dropout = (x) => x;

/** Told of each layer's attention as it is traced; `mask` is what is added to its scores. */
type Seen = (call: AttendCall, mask: Tensor | undefined) => void;

/** Attention over the window itself; masks are made once for each kind. */
function overWindow(time: Size, seen?: Seen): (call: AttendCall) => Tensor {
  const masks = new Map<unknown, Tensor | undefined>();
  return (call) => {
    const key = maskKey(call.mask);
    if (!masks.has(key)) masks.set(key, additiveMask(call.mask, time));
    seen?.(call, masks.get(key));
    return groupedAttention(call.q, call.k, call.v, masks.get(key));
  };
}

/** `[batch, time] i32 → [batch, time, width]`, nothing but the window itself being seen. */
export function decoderHidden(
  architecture: Architecture,
  config: TextSizes,
  parameters: Parameters,
  tokens: Tensor,
  options: { dropout?: Dropout; seen?: Seen } = {},
): Tensor {
  const time = tokens.shape[1] as Size;
  return architecture.network(config, parameters, {
    tokens,
    positions: iota(time),
    attend: overWindow(time, options.seen),
    dropout: options.dropout ?? noDropout,
  });
}

/** Loss of each position: `tokens` and `targets` `[batch, time]` i32 → `[batch·time]` nats. */
function lossRows(
  architecture: Architecture,
  config: TextSizes,
  x: Parameters,
  dropout: Dropout = noDropout,
): Tensor {
  const hidden = decoderHidden(architecture, config, x, x.tokens as Tensor, { dropout });
  const logits = architecture.head(config, x, reshape(hidden, [-1, config.width]));
  return crossEntropyRows(logits, reshape(x.targets as Tensor, [-1]));
}

const whole = (batch: Size, time: Size): TensorType => ({ dtype: 'i32', shape: [batch, time] });

/** Mean loss over windows of `time` tokens; inputs `tokens` and `targets` `[batch, time]` i32. */
export function decoderLoss(
  architecture: Architecture,
  config: TextSizes,
  batch: number,
  time: number,
): LossProgram {
  return {
    specs: architecture.parameters(config),
    inputs: { tokens: whole(batch, time), targets: whole(batch, time) },
    loss: (x, dropout) => mean(lossRows(architecture, config, x, dropout)),
    dropped: (1 + 2 * config.layers) * batch * time * config.width,
  };
}

/** Sum of losses where `weights` is 1: inputs parameters, `tokens`, `targets` i32, `weights` f32, all `[batch, time]`. */
export function decoderEvaluate(
  architecture: Architecture,
  config: TextSizes,
  batch: number,
  time: number,
): Program {
  const inputs = {
    ...parameterTypes(architecture.parameters(config)),
    tokens: whole(batch, time),
    targets: whole(batch, time),
    weights: { dtype: 'f32' as const, shape: [batch, time] },
  };
  return trace(`${architecture.name}_evaluate`, inputs, (x) => {
    const rows = lossRows(architecture, config, x);
    return { total: sum(mul(rows, reshape(x.weights as Tensor, [-1]))) };
  });
}

/**
 * `nats` and `best` `[batch·time]` f32: the loss of each position, and 1 where the target is the likeliest token. Both
 * sizes open; inputs parameters, `tokens` and `targets` `[batch, time]` i32.
 */
export function decoderScores(architecture: Architecture, config: TextSizes): Program {
  const inputs = {
    ...parameterTypes(architecture.parameters(config)),
    tokens: whole('batch', 'time'),
    targets: whole('batch', 'time'),
  };
  return trace(`${architecture.name}_scores`, inputs, (x) => {
    const hidden = decoderHidden(architecture, config, x, x.tokens as Tensor);
    const logits = architecture.head(config, x, reshape(hidden, [-1, config.width]));
    const targets = reshape(x.targets as Tensor, [-1]);
    return {
      nats: crossEntropyRows(logits, targets),
      best: cast(equal(argmax(logits, 1), targets), 'f32'),
    };
  });
}

/** Several texts side by side in one row: none sees another, each counts its own positions. */
function packedTypes(batch: number, time: number): Record<string, TensorType> {
  return {
    tokens: whole(batch, time),
    targets: whole(batch, time),
    /** Which text of its row a token is of. */
    segments: whole(batch, time),
    positions: whole(batch, time),
    weights: { dtype: 'f32', shape: [batch, time] },
  };
}

/** Loss of each position times its weight, `[batch·time]`. */
function packedRows(
  architecture: Architecture,
  config: TextSizes,
  x: Parameters,
  dropout: Dropout = noDropout,
): Tensor {
  const [batch, time] = (x.tokens as Tensor).shape as readonly [number, number];
  const block = { kind: 'block', segments: x.segments as Tensor } as const;
  const masks = new Map<unknown, Tensor | undefined>();
  const hidden = architecture.network(config, x, {
    tokens: x.tokens as Tensor,
    positions: x.positions as Tensor,
    dropout,
    attend: ({ q, k, v, mask }) => {
      const key = maskKey(mask);
      if (!masks.has(key)) masks.set(key, additiveMask({ kind: 'both', masks: [mask, block] }, time));
      return groupedAttention(q, k, v, masks.get(key));
    },
  });
  const logits = architecture.head(config, x, reshape(hidden, [batch * time, config.width]));
  return mul(
    crossEntropyRows(logits, reshape(x.targets as Tensor, [-1])),
    reshape(x.weights as Tensor, [-1]),
  );
}

/** Mean loss over the positions that have weight: of a chat, the answers (Ouyang et al. 2022, section 3.5). */
export function decoderPackedLoss(
  architecture: Architecture,
  config: TextSizes,
  batch: number,
  time: number,
): LossProgram {
  return {
    specs: architecture.parameters(config),
    inputs: packedTypes(batch, time),
    loss: (x, dropout) =>
      div(sum(packedRows(architecture, config, x, dropout)), maximum(sum(x.weights as Tensor), 1)),
    dropped: (1 + 2 * config.layers) * batch * time * config.width,
  };
}

/** `total`: the sum of the weighted losses. */
export function decoderPackedEvaluate(
  architecture: Architecture,
  config: TextSizes,
  batch: number,
  time: number,
): Program {
  const inputs = { ...parameterTypes(architecture.parameters(config)), ...packedTypes(batch, time) };
  return trace(`${architecture.name}_evaluate_packed`, inputs, (x) => ({
    total: sum(packedRows(architecture, config, x)),
  }));
}

/** `tokens` `[batch, time]` → `logits` `[batch, time, vocabulary]`; both sizes open. The file that `export` writes. */
export function decoderLogits(architecture: Architecture, config: TextSizes): Program {
  const inputs = {
    ...parameterTypes(architecture.parameters(config)),
    tokens: whole('batch', 'time'),
  };
  return trace(`${architecture.name}_logits`, inputs, (x) => ({
    logits: architecture.head(config, x, decoderHidden(architecture, config, x, x.tokens as Tensor)),
  }));
}

/** The row of each sequence's last token, of `[batch, time, width]`: flat position b·time + length − 1. */
function lastRows(hidden: Tensor, tokens: Tensor, length: Tensor, width: number): Tensor {
  const time = tokens.shape[1] as string;
  const first = mul(iota('batch'), cast(sizeTensor(time, tokens), 'i32'));
  return gather(reshape(hidden, [-1, width]), sub(add(first, length), 1));
}

/** See generate/: prompts in, last logits and every layer's keys and values out. */
export function decoderPrefill(architecture: Architecture, config: TextSizes): Program {
  const inputs = {
    ...parameterTypes(architecture.parameters(config)),
    tokens: whole('batch', 'time'),
    length: { dtype: 'i32' as const, shape: ['batch'] },
  };
  return trace(`${architecture.name}_prefill`, inputs, (x) => {
    const out: Record<string, Tensor> = {};
    const tokens = x.tokens as Tensor;
    const hidden = decoderHidden(architecture, config, x, tokens, {
      seen: ({ layer, k, v }) => {
        out[`keys.${layer}`] = k;
        out[`values.${layer}`] = v;
      },
    });
    const last = lastRows(hidden, tokens, x.length as Tensor, config.width);
    return { logits: architecture.head(config, x, last), ...out };
  });
}

function cacheInputs(architecture: Architecture, config: TextSizes): Record<string, TensorType> {
  const { heads, dim } = architecture.cache(config);
  const cache: TensorType = { dtype: 'f32', shape: ['batch', heads, 'cache', dim] };
  return Object.fromEntries(
    Array.from({ length: config.layers }, (_, layer) => [
      [`keys.${layer}`, cache],
      [`values.${layer}`, cache],
    ]).flat() as [string, TensorType][],
  );
}

/**
 * One token more for every sequence. The cache is read, never written: a cache that were an output would cost
 * its own size each step, so only the new rows come out and the host puts them in place. They come as one tensor
 * `[batch, 2·layers·heads, 1, dim]`: each output of a run costs some microseconds, whatever its size.
 */
export function decoderStep(architecture: Architecture, config: TextSizes): Program {
  const inputs = {
    ...parameterTypes(architecture.parameters(config)),
    token: { dtype: 'i32' as const, shape: ['batch'] },
    position: { dtype: 'i32' as const, shape: ['batch'] },
    ...cacheInputs(architecture, config),
  };
  return trace(`${architecture.name}_step`, inputs, (x) => {
    const rows: Tensor[] = [];
    const masks = new Map<unknown, Tensor>();
    const position = x.position as Tensor;
    const hidden = architecture.network(config, x, {
      tokens: reshape(x.token as Tensor, ['batch', 1]),
      positions: reshape(position, ['batch', 1]),
      dropout: noDropout,
      attend: ({ layer, q, k, v, mask }) => {
        rows[2 * layer] = k;
        rows[2 * layer + 1] = v;
        const key = maskKey(mask);
        const seen = masks.get(key) ?? cacheMask(mask, position, 'cache');
        masks.set(key, seen);
        const past = { keys: x[`keys.${layer}`] as Tensor, values: x[`values.${layer}`] as Tensor };
        return cachedAttention(q, k, v, past, seen);
      },
    });
    return {
      logits: architecture.head(config, x, reshape(hidden, ['batch', config.width])),
      new_rows: concat(rows, 1),
    };
  });
}

/**
 * A chunk of tokens on top of what the cache holds: `tokens` `[batch, time]`, `position` and `length` `[batch]` i32
 * (where each chunk begins and how many of its tokens count) → last logits and the chunk's own rows.
 */
export function decoderChunk(architecture: Architecture, config: TextSizes): Program {
  const each = { dtype: 'i32' as const, shape: ['batch'] };
  const inputs = {
    ...parameterTypes(architecture.parameters(config)),
    tokens: whole('batch', 'time'),
    position: each,
    length: each,
    ...cacheInputs(architecture, config),
  };
  return trace(`${architecture.name}_chunk`, inputs, (x) => {
    const out: Record<string, Tensor> = {};
    const masks = new Map<unknown, Tensor>();
    const tokens = x.tokens as Tensor;
    const first = reshape(x.position as Tensor, ['batch', 1]);
    const positions = add(first, reshape(iota('time'), [1, 'time']));
    const hidden = architecture.network(config, x, {
      tokens,
      positions,
      dropout: noDropout,
      attend: ({ layer, q, k, v, mask }) => {
        out[`new_keys.${layer}`] = k;
        out[`new_values.${layer}`] = v;
        const key = maskKey(mask);
        const seen = masks.get(key) ?? chunkMask(mask, positions, first, 'cache');
        masks.set(key, seen);
        const past = { keys: x[`keys.${layer}`] as Tensor, values: x[`values.${layer}`] as Tensor };
        return chunkAttention(q, k, v, past, seen);
      },
    });
    const last = lastRows(hidden, tokens, x.length as Tensor, config.width);
    return { logits: architecture.head(config, x, last), ...out };
  });
}
