/**
 * From a row of logits to a token. The random number belongs to (seed, position), so the same seed gives the
 * same text whatever else is in the batch. Knows ids and numbers, no text.
 */
import { InkstoneError } from '../base/errors.ts';
import { Random } from '../base/rng.ts';

export interface SamplingOptions {
  /** 0 takes the most likely token. */
  temperature: number;
  /** Keeps the k most likely; 0 keeps all. */
  topK: number;
  /** Keeps the smallest set of most likely tokens that holds this much probability; 1 keeps all. */
  topP: number;
  /** Keeps tokens with at least this share of the likeliest one's probability; 0 (default) keeps all. */
  minP?: number | undefined;
  seed: number;
}

/** Changes logits before sampling (penalties, bias, constraints); `tokens` is the sequence so far. */
export type LogitsProcessor = (logits: Float32Array, tokens: readonly number[]) => void;

export interface TokenLogprob {
  id: number;
  /** Natural logarithm, of the model's own distribution (before temperature and cuts). */
  logprob: number;
}

/** @throws InkstoneError `sampling_invalid` */
export function checkSampling({ temperature, topK, topP, minP = 0, seed }: SamplingOptions): void {
  const fail = (what: string, hint: string): never => {
    throw new InkstoneError('sampling_invalid', what, { kind: 'usage', hint });
  };
  if (!(temperature >= 0) || !Number.isFinite(temperature))
    fail(`the temperature is ${temperature}`, 'give a number from 0');
  if (!Number.isInteger(topK) || topK < 0) fail(`top-k is ${topK}`, 'give a whole number; 0 keeps all');
  if (!(topP > 0 && topP <= 1)) fail(`top-p is ${topP}`, 'give a number above 0, up to 1');
  if (!(minP >= 0 && minP <= 1)) fail(`min-p is ${minP}`, 'give a number from 0 to 1; 0 keeps all');
  if (!Number.isSafeInteger(seed) || seed < 0) fail(`the seed is ${seed}`, 'give a whole number from 0');
}

/** Buffers that are used again from token to token. */
export class Sampler {
  private order = new Int32Array(0);
  private weights = new Float64Array(0);

  /**
   * Temperature first, then top-k, top-p over what is left, and min-p (Hugging Face's order).
   * @param logits one row, `[vocabulary]` @param position index of the new token in its sequence
   * @throws InkstoneError `logits_invalid` where no token is possible
   */
  sample(logits: Float32Array, options: SamplingOptions, position: number): number {
    const best = argmax(logits);
    if (options.temperature === 0) return best;
    const size = logits.length;
    if (this.weights.length < size) {
      this.weights = new Float64Array(size);
      this.order = new Int32Array(size);
    }
    const { weights } = this;
    const top = logits[best] as number;
    let total = 0;
    for (let i = 0; i < size; i++) {
      const weight = Math.exp(((logits[i] as number) - top) / options.temperature);
      weights[i] = weight;
      total += weight;
    }
    const draw = new Random(options.seed, 'sample', position).uniform();
    const cut = options.topK > 0 && options.topK < size;
    const share = options.minP ?? 0;
    if (!cut && options.topP >= 1) {
      // The likeliest has the weight 1, so a share of it is a weight.
      if (share > 0) total = atLeast(weights, size, share);
      return pick(size, (i) => i, weights, draw * total);
    }
    let count = this.keep(size, cut ? options.topK : size, options.topP, total);
    while ((weights[this.order[count - 1] as number] as number) < share) count--;
    let kept = 0;
    for (let i = 0; i < count; i++) kept += weights[this.order[i] as number] as number;
    return pick(count, (i) => this.order[i] as number, weights, draw * kept);
  }

  /** Puts the kept ids, most likely first, at the front of `order` and returns how many. */
  private keep(size: number, topK: number, topP: number, total: number): number {
    const { order, weights } = this;
    for (let i = 0; i < size; i++) order[i] = i;
    const heavier = (a: number, b: number): number =>
      (weights[b] as number) - (weights[a] as number) || a - b;
    if (topK < size) selectFront(order, size, topK, heavier);
    const front = order.subarray(0, topK);
    front.sort(heavier);
    if (topP >= 1) return topK;
    let mass = 0;
    if (topK < size) {
      total = 0;
      for (const id of front) total += weights[id] as number;
    }
    for (let i = 0; i < topK; i++) {
      mass += weights[front[i] as number] as number;
      if (mass >= topP * total) return i + 1;
    }
    return topK;
  }
}

/** Drops weights below `share` and gives the sum of the others. */
function atLeast(weights: Float64Array, size: number, share: number): number {
  let total = 0;
  for (let i = 0; i < size; i++) {
    if ((weights[i] as number) < share) weights[i] = 0;
    else total += weights[i] as number;
  }
  return total;
}

function pick(count: number, id: (i: number) => number, weights: Float64Array, target: number): number {
  let sum = 0;
  let last = id(0);
  for (let i = 0; i < count; i++) {
    const weight = weights[id(i)] as number;
    if (weight === 0) continue;
    sum += weight;
    last = id(i);
    if (target < sum) return last;
  }
  return last;
}

/** Quickselect: the first `count` places hold the heaviest, in any order. */
function selectFront(
  order: Int32Array,
  size: number,
  count: number,
  compare: (a: number, b: number) => number,
): void {
  let low = 0;
  let high = size - 1;
  while (low < high) {
    const pivot = order[(low + high) >> 1] as number;
    let i = low;
    let j = high;
    while (i <= j) {
      while (compare(order[i] as number, pivot) < 0) i++;
      while (compare(order[j] as number, pivot) > 0) j--;
      if (i <= j) {
        const held = order[i] as number;
        order[i++] = order[j] as number;
        order[j--] = held;
      }
    }
    if (count - 1 <= j) high = j;
    else if (count - 1 >= i) low = i;
    else return;
  }
}

/** The first of the largest. @throws InkstoneError `logits_invalid` */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i] as number;
    if (value > top) {
      top = value;
      best = i;
    } else if (Number.isNaN(value)) best = -2;
    if (best === -2) break;
  }
  if (best < 0 || top === Number.POSITIVE_INFINITY) {
    throw new InkstoneError('logits_invalid', 'the model gave no usable scores', {
      hint: 'its weights are damaged, or every token was forbidden',
    });
  }
  return best;
}

/** Log-probability of `id` and of the `count` most likely tokens. */
export function logprobsOf(
  logits: Float32Array,
  id: number,
  count: number,
): { logprob: number; top: TokenLogprob[] } {
  const best = logits[argmax(logits)] as number;
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += Math.exp((logits[i] as number) - best);
  const norm = best + Math.log(total);
  const top: TokenLogprob[] = [];
  for (let i = 0; i < logits.length && count > 0; i++) {
    const value = logits[i] as number;
    if (top.length === count && value <= (top[count - 1] as TokenLogprob).logprob) continue;
    let at = top.length;
    while (at > 0 && (top[at - 1] as TokenLogprob).logprob < value) at--;
    top.splice(at, 0, { id: i, logprob: value });
    if (top.length > count) top.pop();
  }
  return {
    logprob: (logits[id] as number) - norm,
    top: top.map((t) => ({ id: t.id, logprob: t.logprob - norm })),
  };
}
