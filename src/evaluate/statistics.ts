/**
 * How sure a score is, and whether two differ: bootstrap intervals (Efron and Tibshirani 1993, percentile), the paired
 * bootstrap test (Berg-Kirkpatrick et al. 2012) and McNemar's exact test. Everything random is drawn from a seed.
 */
import { InkstoneError } from '../base/errors.ts';
import { Random } from '../base/rng.ts';

export interface Interval {
  value: number;
  /** Ends of the interval at 95 %. */
  lower: number;
  upper: number;
  /** Of what it was computed. */
  count: number;
}

export interface BootstrapOptions {
  seed?: number;
  resamples?: number;
}

const RESAMPLES = 2000;

const mean = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
};

/** The q-quantile of sorted values, linear between neighbours (Hyndman and Fan 1996, type 7). */
function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const [a, b] = [sorted[low] as number, sorted[Math.min(low + 1, sorted.length - 1)] as number];
  return a + (at - low) * (b - a);
}

/** The values of a statistic over samples drawn with replacement, sorted. */
function resampled(
  count: number,
  statistic: (picks: Int32Array) => number,
  { seed = 1, resamples = RESAMPLES }: BootstrapOptions,
): Float64Array {
  const random = new Random(seed, 'bootstrap');
  const picks = new Int32Array(count);
  return Float64Array.from({ length: resamples }, () => {
    for (let i = 0; i < count; i++) picks[i] = random.integer(count);
    return statistic(picks);
  }).sort();
}

/** Of a mean. NaN and an empty interval where there are no values. */
export function bootstrapMean(values: readonly number[], options: BootstrapOptions = {}): Interval {
  return bootstrapRatio(values, new Array<number>(values.length).fill(1), options);
}

/** Of Σ totals / Σ weights: a mean over unequal parts, as nats per token over windows. */
export function bootstrapRatio(
  totals: readonly number[],
  weights: readonly number[],
  options: BootstrapOptions = {},
): Interval {
  const count = totals.length;
  const ratio = (pick: (i: number) => number): number => {
    let [total, weight] = [0, 0];
    for (let i = 0; i < count; i++) {
      total += totals[pick(i)] as number;
      weight += weights[pick(i)] as number;
    }
    return total / weight;
  };
  const value = ratio((i) => i);
  if (count === 0) return { value: Number.NaN, lower: Number.NaN, upper: Number.NaN, count };
  const all = resampled(count, (picks) => ratio((i) => picks[i] as number), options);
  return { value, lower: quantile(all, 0.025), upper: quantile(all, 0.975), count };
}

/** Of any statistic of `count` rows; it is told which rows to take, undefined for all as they are. */
export function bootstrap(
  count: number,
  statistic: (picks: Int32Array | undefined) => number,
  options: BootstrapOptions = {},
): Interval {
  if (count === 0) return { value: Number.NaN, lower: Number.NaN, upper: Number.NaN, count };
  const all = resampled(count, statistic, options);
  return { value: statistic(undefined), lower: quantile(all, 0.025), upper: quantile(all, 0.975), count };
}

/** Of the mean of values that are normal, nearly: Student's t. @throws InkstoneError `values_missing` for fewer than two */
export function studentInterval(values: readonly number[]): Interval {
  const count = values.length;
  if (count < 2)
    throw new InkstoneError('values_missing', `${count} values have no spread`, {
      kind: 'data',
      hint: 'give two or more',
    });
  const value = mean(values);
  const variance = values.reduce((total, one) => total + (one - value) ** 2, 0) / (count - 1);
  const reach = studentReach(count - 1) * Math.sqrt(variance / count);
  return { value, lower: value - reach, upper: value + reach, count };
}

/** The t that |T| stays below with 95 % at so many degrees of freedom. */
function studentReach(degrees: number): number {
  let [low, high] = [0, 13];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (studentWithin(middle, degrees) < 0.95) low = middle;
    else high = middle;
  }
  return high;
}

/** P(|T| < t) (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
function studentWithin(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  const odd = degrees % 2 === 1;
  let sum = 0;
  let term = odd ? cosine : 1;
  for (let k = odd ? 1 : 0; k <= degrees - 2; k += 2) {
    sum += term;
    term *= (cosine ** 2 * (k + 1)) / (k + 2);
  }
  return odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
}

export interface PairedTest {
  test: 'paired bootstrap' | 'McNemar, exact';
  /** Mean of the second less mean of the first, with its bootstrap interval. */
  difference: number;
  lower: number;
  upper: number;
  /** Two-sided: how often chance alone would show a difference as large. */
  p: number;
  count: number;
}

function requirePairs(a: readonly number[], b: readonly number[]): void {
  if (a.length === b.length && a.length > 0) return;
  throw new InkstoneError('pairs_missing', `${a.length} and ${b.length} scores make no pairs`, {
    kind: 'data',
    hint: 'compare scores of the same items',
  });
}

/** @throws InkstoneError `pairs_missing` */
export function pairedBootstrap(
  a: readonly number[],
  b: readonly number[],
  options: BootstrapOptions = {},
): PairedTest {
  requirePairs(a, b);
  const differences = b.map((value, i) => value - (a[i] as number));
  const difference = mean(differences);
  const all = resampled(
    differences.length,
    (picks) => {
      let sum = 0;
      for (const pick of picks) sum += differences[pick] as number;
      return sum / picks.length;
    },
    options,
  );
  // The samples' mean is the difference: less it, they are what chance shows where there is none.
  const extreme = all.filter((one) => Math.abs(one - difference) >= Math.abs(difference) - 1e-12).length;
  return {
    test: 'paired bootstrap',
    difference,
    lower: quantile(all, 0.025),
    upper: quantile(all, 0.975),
    p: (extreme + 1) / (all.length + 1),
    count: a.length,
  };
}

/** Of right (1) and wrong (0) answers to the same questions (McNemar 1947). @throws InkstoneError `pairs_missing` */
export function mcnemar(
  a: readonly number[],
  b: readonly number[],
  options: BootstrapOptions = {},
): PairedTest {
  const { difference, lower, upper, count } = pairedBootstrap(a, b, options);
  let [gained, lost] = [0, 0];
  b.forEach((value, i) => {
    if (value > (a[i] as number)) gained++;
    else if (value < (a[i] as number)) lost++;
  });
  return { test: 'McNemar, exact', difference, lower, upper, p: signTest(gained, lost), count };
}

/** Two-sided binomial test of one half: P(at most the smaller count) twice, at most 1. */
export function signTest(gained: number, lost: number): number {
  const n = gained + lost;
  let tail = 0;
  // log C(n, k) − n log 2, term by term: n may be large.
  let log = -n * Math.LN2;
  for (let k = 0; k <= Math.min(gained, lost); k++) {
    tail += Math.exp(log);
    log += Math.log((n - k) / (k + 1));
  }
  return Math.min(1, 2 * tail);
}

/** The test that fits the scores: McNemar's where all are 0 or 1, else the bootstrap. */
export function compare(
  a: readonly number[],
  b: readonly number[],
  options: BootstrapOptions = {},
): PairedTest {
  const answers = [...a, ...b].every((value) => value === 0 || value === 1);
  return answers ? mcnemar(a, b, options) : pairedBootstrap(a, b, options);
}
