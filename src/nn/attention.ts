/**
 * Attention as models use it: heads split and joined, masks as values, grouped key heads, rotary positions, and
 * queries that look into a cache. Knows no architecture and no text.
 *
 * Legend: B batch, H query heads, G key heads (G divides H), T time, D numbers per head, C = H·D.
 */
import { tensor as hostTensor } from '../base/tensor.ts';
import {
  add,
  attention,
  broadcastTo,
  cast,
  concat,
  constant,
  cos,
  equal,
  iota,
  less,
  lessEqual,
  logicalAnd,
  logicalOr,
  matmul,
  mul,
  reshape,
  type Size,
  sin,
  slice,
  softmax,
  split,
  sub,
  sum,
  swapAxes,
  type Tensor,
  transpose,
  where,
} from '../program/index.ts';

/** Who may look at whom. Positions count from 0; a query always may look at itself, but for `padding`. */
export type AttentionMask =
  | { kind: 'all' }
  /** At itself and what came before (Vaswani et al. 2017). */
  | { kind: 'causal' }
  /** At the last `window` positions, itself among them (Child et al. 2019, "local"). */
  | { kind: 'banded'; window: number }
  /** The first `length` positions, `[B] i32`, are seen by all; what follows is causal (prefix language model). */
  | { kind: 'prefix'; length: Tensor }
  /** Keys from `length` on, `[B] i32`, are filling and are not seen. */
  | { kind: 'padding'; length: Tensor }
  /** Only positions of the same segment, `[B, T] i32`, see each other (packed documents). */
  | { kind: 'block'; segments: Tensor }
  /** What all of these allow. */
  | { kind: 'both'; masks: readonly AttentionMask[] };

/** Equal for masks that hide the same: a program makes each only once. */
export function maskKey(mask: AttentionMask): unknown {
  if (mask.kind === 'banded') return `banded ${mask.window}`;
  return mask.kind === 'all' || mask.kind === 'causal' ? mask.kind : mask;
}

/** Added to the score of what must not be seen: its weight is exactly 0 after the softmax. */
const HIDDEN = -1e9;

/** True where `query` may see `key`; both `i32`, of shapes that broadcast. Undefined: everywhere. */
function visible(mask: AttentionMask, query: Tensor, key: Tensor): Tensor | undefined {
  const each = (length: Tensor): Tensor => reshape(length, [length.shape[0] as Size, 1, 1, 1]);
  switch (mask.kind) {
    case 'all':
      return undefined;
    case 'causal':
      return lessEqual(key, query);
    case 'banded':
      return logicalAnd(lessEqual(key, query), less(sub(query, key), mask.window));
    case 'prefix':
      return logicalOr(lessEqual(key, query), less(key, each(mask.length)));
    case 'padding':
      return less(key, each(mask.length));
    case 'block': {
      const [batch, time] = mask.segments.shape as readonly [Size, Size];
      return equal(reshape(mask.segments, [batch, 1, time, 1]), reshape(mask.segments, [batch, 1, 1, time]));
    }
    case 'both':
      return mask.masks
        .map((one) => visible(one, query, key))
        .filter((one) => one !== undefined)
        .reduce<Tensor | undefined>(
          (all, one) => (all === undefined ? one : logicalAnd(all, one)),
          undefined,
        );
  }
}

/** 0 where a query may look and −1e9 where not, for `time` positions: `[T, T]` or `[B, 1, T, T]`. */
export function additiveMask(mask: AttentionMask, time: Size): Tensor | undefined {
  if (typeof time === 'number' && (mask.kind === 'causal' || mask.kind === 'banded')) {
    const window = mask.kind === 'banded' ? mask.window : time;
    const data = new Float32Array(time * time).fill(HIDDEN);
    for (let i = 0; i < time; i++) data.fill(0, i * time + Math.max(0, i - window + 1), i * time + i + 1);
    return constant(hostTensor('f32', [time, time], data));
  }
  const place = iota(time);
  const seen = visible(mask, reshape(place, [time, 1]), reshape(place, [1, time]));
  return seen === undefined ? undefined : where(seen, 0, HIDDEN);
}

/** The same for queries at `positions` `[T] i32` and `keys` places from 0 on: `[T, K]`. */
export function windowMask(mask: AttentionMask, positions: Tensor, keys: Size): Tensor | undefined {
  const query = reshape(positions, [positions.shape[0] as Size, 1]);
  const seen = visible(mask, query, reshape(iota(keys), [1, keys]));
  return seen === undefined ? undefined : where(seen, 0, HIDDEN);
}

/** The same for one query at `position` `[B] i32` and a cache whose first `position` places are filled: `[B, 1, 1, L]`. */
export function cacheMask(mask: AttentionMask, position: Tensor, cache: Size): Tensor {
  const query = reshape(position, [position.shape[0] as Size, 1, 1, 1]);
  const key = reshape(iota(cache), [1, 1, 1, cache]);
  const filled = less(key, query);
  const seen = visible(mask, query, key);
  return where(seen === undefined || mask.kind === 'causal' ? filled : logicalAnd(filled, seen), 0, HIDDEN);
}

/** `[B, T, H·D] → [B, H, T, D]`. */
export function splitHeads(x: Tensor, heads: number, dim: number): Tensor {
  const [batch, time] = x.shape as readonly [Size, Size];
  // One position has nothing to change places with.
  if (time === 1) return reshape(x, [batch, heads, 1, dim]);
  return transpose(reshape(x, [batch, time, heads, dim]), [0, 2, 1, 3]);
}

/** Queries, keys and values side by side, `[B, T, 3·H·D]`, as three of `[B, H, T, D]`. */
export function splitJoined(joined: Tensor, heads: number, dim: number): [Tensor, Tensor, Tensor] {
  const [batch, time] = joined.shape as readonly [Size, Size];
  const parts =
    time === 1
      ? split(reshape(joined, [batch, 3 * heads, 1, dim]), [heads, heads, heads], 1)
      : split(joined, [heads * dim, heads * dim, heads * dim], 2).map((part) => splitHeads(part, heads, dim));
  return parts as [Tensor, Tensor, Tensor];
}

/** `[B, H, T, D] → [B, T, H·D]`. */
export function joinHeads(x: Tensor): Tensor {
  const [batch, heads, time, dim] = x.shape as readonly [Size, number, Size, number];
  if (time === 1) return reshape(x, [batch, 1, heads * dim]);
  return reshape(transpose(x, [0, 2, 1, 3]), [batch, time, heads * dim]);
}

/** `[B, H, T, D] → [B, G, H/G·T, D]`: the queries of one key head together. */
function grouped(q: Tensor, keyHeads: number): Tensor {
  const [batch, heads, time, dim] = q.shape as readonly [Size, number, Size, number];
  const group = heads / keyHeads;
  return reshape(q, [batch, keyHeads, typeof time === 'number' ? group * time : -1, dim]);
}

/**
 * Attention where H/G query heads share a key head (Ainslie et al. 2023).
 * @param q `[B, H, T, D]` @param k `[B, G, T, D]` @param v `[B, G, T, D]` @returns `[B, H, T, D]`
 */
export function groupedAttention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | undefined): Tensor {
  const given = (m: Tensor | undefined): { mask?: Tensor } => (m === undefined ? {} : { mask: m });
  const [heads, keyHeads] = [q.shape[1] as number, k.shape[1] as number];
  if (heads === keyHeads) return attention(q, k, v, given(mask));
  const tiled =
    mask === undefined ? undefined : concat(Array(heads / keyHeads).fill(mask), mask.shape.length - 2);
  return reshape(attention(grouped(q, keyHeads), k, v, given(tiled)), q.shape);
}

/**
 * What `groupedAttention` weighs the values with, for who wants to look: `[B, H, T, T]`, each row adds up to 1.
 * @param q `[B, H, T, D]` @param k `[B, G, T, D]`
 */
export function attentionWeights(q: Tensor, k: Tensor, mask: Tensor | undefined): Tensor {
  const [batch, heads, time, dim] = q.shape as readonly [Size, number, Size, number];
  const scaled = grouped(mul(q, 1 / Math.sqrt(dim)), k.shape[1] as number);
  const scores = reshape(matmul(scaled, swapAxes(k)), [batch, heads, time, time]);
  return softmax(mask === undefined ? scores : add(scores, mask));
}

/**
 * One new position against a cache and itself, without writing the cache.
 * @param q `[B, H, 1, D]` @param k,v `[B, G, 1, D]`, the new position's own
 * @param past keys and values `[B, G, L, D]` @param mask `[B, 1, 1, L]` @returns `[B, H, 1, D]`
 */
export function cachedAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  past: { keys: Tensor; values: Tensor },
  mask: Tensor,
): Tensor {
  const length = past.keys.shape[2] as Size;
  const dim = q.shape[3] as number;
  // A number would be taken into the product by the runtime, which then leaves its kernel for a single row.
  const scale = constant(hostTensor('f32', [dim], new Float32Array(dim).fill(1 / Math.sqrt(dim))));
  const scaled = grouped(mul(q, scale), k.shape[1] as number);
  const before = add(matmul(scaled, swapAxes(past.keys)), mask);
  const own = sum(mul(scaled, k), { axes: [3], keep: true });
  const weights = softmax(concat([before, own], 3));
  const end = typeof length === 'number' ? length + 1 : `1+${length}`;
  const fromPast = matmul(slice(weights, { axis: 3, start: 0, end: length }), past.values);
  const fromOwn = mul(slice(weights, { axis: 3, start: length, end }), v);
  return reshape(add(fromPast, fromOwn), q.shape);
}

/**
 * The mask of a chunk over a cache and itself: `positions` `[B, T] i32` of the chunk, `first` `[B, 1]` of its first
 * token; the cache is filled up to there. `[B, 1, T, L + T]`.
 */
export function chunkMask(mask: AttentionMask, positions: Tensor, first: Tensor, cache: Size): Tensor {
  const [batch, time] = positions.shape as readonly [Size, Size];
  const query = reshape(positions, [batch, 1, time, 1]);
  const places = broadcastTo(reshape(iota(cache), [1, cache]), [batch, cache]);
  // A place of the cache that is not filled counts as one that comes after everything.
  const held = where(less(places, first), places, 1 << 30);
  const length = typeof cache === 'number' && typeof time === 'number' ? cache + time : -1;
  const key = reshape(concat([held, positions], 1), [batch, 1, 1, length]);
  return where(visible(mask, query, key) as Tensor, 0, HIDDEN);
}

/**
 * A chunk of new positions against a cache and themselves.
 * @param q `[B, H, T, D]` @param k,v `[B, G, T, D]` @param mask `[B, 1, T, L + T]` @returns `[B, H, T, D]`
 */
export function chunkAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  past: { keys: Tensor; values: Tensor },
  mask: Tensor,
): Tensor {
  return groupedAttention(q, concat([past.keys, k], 2), concat([past.values, v], 2), mask);
}

/** Angles of rotary positions: `positions` `[.., T] i32` → cosines and sines `[.., 1, T, D/2]` (Su et al. 2021, eq. 15). */
export function rotaryAngles(
  positions: Tensor,
  frequencies: readonly number[],
): { cos: Tensor; sin: Tensor } {
  const [...lead] = positions.shape;
  const time = lead.pop() as Size;
  const rates = constant(hostTensor('f32', [frequencies.length], Float32Array.from(frequencies)));
  const column = reshape(positions, [...lead, 1, time, 1]);
  const angles = mul(cast(column, 'f32'), rates);
  return { cos: cos(angles), sin: sin(angles) };
}
