/**
 * Whether a series of measurements grows: the slope of Theil and Sen (the median of the slopes of all pairs; outliers do
 * not move it) with Sen's interval. P. K. Sen, JASA 63 (1968) 1379-1389. Knows no memory and no clocks.
 */

export interface Trend {
  /** Units of `y` for each unit of `x`. */
  slope: number;
  /** The interval around it. */
  low: number;
  high: number;
}

const median = (sorted: readonly number[]): number => {
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
};

/** How often each value occurs, where it occurs more than once. */
function repeats(values: readonly number[]): number[] {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts.values()].filter((count) => count > 1);
}

/**
 * @param x in any unit, at least two different ones
 * @param y as many
 * @param z standard deviations that the interval spans to each side; 1.96 for 95 %
 */
export function theilSen(x: readonly number[], y: readonly number[], z = 1.959963984540054): Trend {
  const slopes: number[] = [];
  const n = x.length;
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++) {
      const step = (x[j] as number) - (x[i] as number);
      if (step !== 0) slopes.push(((y[j] as number) - (y[i] as number)) / step);
    }
  slopes.sort((a, b) => a - b);
  // Variance of Kendall's statistic, less what ties take from it (Sen's equation 2.6).
  const term = (k: number): number => k * (k - 1) * (2 * k + 5);
  const ties = (values: readonly number[]): number => repeats(values).reduce((sum, k) => sum + term(k), 0);
  const sigma = Math.sqrt(Math.max(0, (term(n) - ties(x) - ties(y)) / 18));
  const count = slopes.length;
  const lower = Math.max(0, Math.round((count - z * sigma) / 2) - 1);
  const upper = Math.min(count - 1, Math.round((count + z * sigma) / 2));
  return { slope: median(slopes), low: slopes[lower] ?? Number.NaN, high: slopes[upper] ?? Number.NaN };
}

/** Medians of equal pieces of a series: neighbours that move together count once. */
export function pieces(values: readonly number[], count: number): number[] {
  const size = Math.max(1, Math.floor(values.length / count));
  const found: number[] = [];
  for (let start = 0; start + size <= values.length; start += size)
    found.push(median(values.slice(start, start + size).sort((a, b) => a - b)));
  return found;
}

export interface Growth extends Trend {
  first: number;
  last: number;
  /** Half the range of the noise around the slope: median absolute deviation, times 1.4826. */
  noise: number;
  /** Slopes of the two halves of the time. */
  halves: readonly [number, number];
  /**
   * The slope is surely above nothing, over the whole time it adds more than three times the noise, and each half rises at
   * least half as steeply: one step, or what levels off, does not go on.
   */
  grows: boolean;
}

/**
 * @param at when each was measured, in seconds, growing
 * @param y as many
 * @param least growth over the whole time that is none, in units of `y`
 * @param count pieces that the series is cut into
 */
export function growth(at: readonly number[], y: readonly number[], least = 0, count = 40): Growth {
  const parts = pieces(y, count);
  const x = pieces(at, count);
  const trend = theilSen(x, parts);
  const rest = parts.map((value, i) => value - trend.slope * (x[i] as number)).sort((a, b) => a - b);
  const centre = median(rest);
  const noise = 1.4826 * median(rest.map((value) => Math.abs(value - centre)).sort((a, b) => a - b));
  const middle = x.length >> 1;
  const half = (from: number, to: number): number => theilSen(x.slice(from, to), parts.slice(from, to)).slope;
  const halves = [half(0, middle), half(middle, x.length)] as const;
  const added = trend.slope * ((at.at(-1) ?? 0) - (at[0] ?? 0));
  return {
    ...trend,
    first: parts[0] ?? Number.NaN,
    last: parts.at(-1) ?? Number.NaN,
    noise,
    halves,
    grows:
      trend.low > 0 &&
      added > Math.max(3 * noise, least) &&
      halves.every((slope) => slope >= trend.slope / 2),
  };
}
