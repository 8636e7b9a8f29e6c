/** Percentiles of samples. */

/** The smallest sample that is not below so large a part of them; NaN for none. @param part 0 to 1 */
export function percentile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(part * sorted.length) - 1))] ?? Number.NaN;
}
