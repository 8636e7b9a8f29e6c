/**
 * What a rule looks at, as a small tree: evaluated here over the history of our own numbers, and printed as PromQL for
 * Prometheus, so that both say the same. Every expression is one number; NaN where nothing is known.
 */

export type Expression =
  /** A gauge, over all its series. */
  | { kind: 'gauge'; name: string; over: 'sum' | 'max' }
  /** What counters rose by in so many seconds, over all their series. */
  | { kind: 'increase'; name: string; window: number }
  /** A quantile of a histogram over so many seconds. */
  | { kind: 'quantile'; name: string; q: number; window: number }
  | { kind: 'divide'; of: Expression; by: Expression | number };

export interface Condition {
  value: Expression;
  above?: number;
  /** The value is exactly this. */
  equals?: number;
}

/** What is kept of one look at all numbers: by `sum name`, `max name`, and `le name bound` for buckets. */
export type Sample = Readonly<Record<string, number>>;

export interface Series {
  /** The newest. */
  latest(key: string): number;
  /** What a total rose by in the last so many seconds; one that fell began anew. NaN where nothing is known. */
  increase(key: string, window: number): number;
  /** Bounds of a histogram's buckets, ascending. */
  bounds(name: string): readonly number[];
}

export const bucketKey = (name: string, bound: number): string => `le ${name} ${bound}`;

export function evaluate(expression: Expression, series: Series): number {
  switch (expression.kind) {
    case 'gauge':
      return series.latest(`${expression.over} ${expression.name}`);
    case 'increase':
      return series.increase(`sum ${expression.name}`, expression.window);
    case 'quantile':
      return quantile(expression, series);
    case 'divide': {
      const { by } = expression;
      return evaluate(expression.of, series) / (typeof by === 'number' ? by : evaluate(by, series));
    }
  }
}

/** Prometheus' `histogram_quantile`: linear within the bucket; in the last one its lower bound. */
function quantile({ name, q, window }: Extract<Expression, { kind: 'quantile' }>, series: Series): number {
  const bounds = series.bounds(name);
  const counts = bounds.map((bound) => series.increase(bucketKey(name, bound), window));
  const total = counts.at(-1) ?? Number.NaN;
  if (!(total > 0)) return Number.NaN;
  const rank = q * total;
  const at = counts.findIndex((count) => count >= rank);
  const upper = bounds[at] as number;
  const lower = at === 0 ? 0 : (bounds[at - 1] as number);
  if (!Number.isFinite(upper)) return lower;
  const before = at === 0 ? 0 : (counts[at - 1] as number);
  const within = (counts[at] as number) - before;
  return within === 0 ? upper : lower + ((upper - lower) * (rank - before)) / within;
}

/** NaN meets no condition. */
export function holds({ value, above, equals }: Condition, series: Series): boolean {
  const found = evaluate(value, series);
  if (above !== undefined && !(found > above)) return false;
  return equals === undefined ? above !== undefined : found === equals;
}

const duration = (seconds: number): string =>
  seconds % 86_400 === 0
    ? `${seconds / 86_400}d`
    : seconds % 3600 === 0
      ? `${seconds / 3600}h`
      : seconds % 60 === 0
        ? `${seconds / 60}m`
        : `${seconds}s`;

export function promql(expression: Expression): string {
  switch (expression.kind) {
    case 'gauge':
      return `${expression.over}(${expression.name})`;
    case 'increase':
      return `sum(increase(${expression.name}[${duration(expression.window)}]))`;
    case 'quantile':
      return `histogram_quantile(${expression.q}, sum by (le) (rate(${expression.name}_bucket[${duration(expression.window)}])))`;
    case 'divide': {
      const { of, by } = expression;
      return `${promql(of)} / ${typeof by === 'number' ? by : promql(by)}`;
    }
  }
}

export function promqlOf(conditions: readonly Condition[]): string {
  return conditions
    .map(({ value, above, equals }) =>
      above === undefined ? `(${promql(value)} == ${equals ?? 0})` : `(${promql(value)} > ${above})`,
    )
    .join(' and ');
}

/** Names of series as Prometheus has them. */
export function namesIn(expression: Expression): string[] {
  if (expression.kind === 'divide')
    return [...namesIn(expression.of), ...(typeof expression.by === 'number' ? [] : namesIn(expression.by))];
  return [expression.kind === 'quantile' ? `${expression.name}_bucket` : expression.name];
}

export { duration };
