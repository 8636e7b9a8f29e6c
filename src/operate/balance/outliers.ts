/**
 * Those that do worse than the others are left out for a while: by their share of failures or their mean time, over an
 * interval. Never more than half of all. Envoy's outlier detection, with a rule for latency. Knows numbers only.
 */
import type { Target } from './target.ts';

export interface OutlierSettings {
  /** Requests within the interval below which nothing is said of a target. */
  requests: number;
  /** More failures than the others' mean share and this much. */
  failures: number;
  /** So many times the others' mean time. */
  slower: number;
  /** Milliseconds for which it is left out, times the number of times that it was. */
  out: number;
  most: number;
}

export const OUTLIERS: OutlierSettings = {
  requests: 20,
  failures: 0.1,
  slower: 3,
  out: 10_000,
  most: 300_000,
};

/** Ends an interval. @returns those that were left out now */
export function ejectOutliers(
  targets: readonly Target[],
  now: number,
  settings: Partial<OutlierSettings> = {},
): Target[] {
  const { requests, failures, slower, out, most } = { ...OUTLIERS, ...settings };
  const judged = targets.filter((one) => one.window.requests >= requests);
  const failing = (one: Target): number => one.window.failures / one.window.requests;
  const time = (one: Target): number =>
    one.window.latency / Math.max(1, one.window.requests - one.window.failures);
  const ejected: Target[] = [];
  // The worst first: half of all may be left out.
  const worst = [...judged].sort((a, b) => failing(b) - failing(a) || time(b) - time(a));
  for (const one of worst) {
    const others = judged.filter((other) => other !== one && !ejected.includes(other));
    if (others.length === 0) break;
    const outNow = targets.filter((other) => now < other.ejectedUntil).length;
    if (2 * (outNow + 1) > targets.length) break;
    const mean = (of: (target: Target) => number): number =>
      others.reduce((sum, other) => sum + of(other), 0) / others.length;
    const bad = failing(one) > mean(failing) + failures;
    const slow = time(one) > slower * mean(time) && one.window.failures < one.window.requests;
    if (!bad && !slow) {
      if (now >= one.ejectedUntil) one.ejections = Math.max(0, one.ejections - 1);
      continue;
    }
    one.ejections++;
    one.ejectedUntil = now + Math.min(most, out * one.ejections);
    ejected.push(one);
  }
  for (const one of targets) one.window = { requests: 0, failures: 0, latency: 0 };
  return ejected;
}
