/**
 * The last three days of the numbers that rules look at: every look for an hour, one a minute for six hours, one in five
 * minutes for three days. Time is given. Survives a restart as JSON.
 */
import type { Reading } from '../metrics.ts';
import { bucketKey, type Expression, type Sample, type Series } from './expression.ts';

interface Tier {
  /** Milliseconds between two samples, and how long they are kept. */
  every: number;
  keep: number;
}

const TIERS: readonly Tier[] = [
  { every: 0, keep: 3_600_000 },
  { every: 60_000, keep: 6 * 3_600_000 },
  { every: 300_000, keep: 3 * 86_400_000 },
];

interface Kept {
  at: number;
  sample: Sample;
}

/** What is asked for, of each name. */
function wantedBy(expressions: readonly Expression[]): { names: Set<string>; histograms: Set<string> } {
  const names = new Set<string>();
  const histograms = new Set<string>();
  const visit = (expression: Expression): void => {
    if (expression.kind === 'divide') {
      visit(expression.of);
      if (typeof expression.by !== 'number') visit(expression.by);
    } else if (expression.kind === 'quantile') histograms.add(expression.name);
    else names.add(expression.name);
  };
  for (const expression of expressions) visit(expression);
  return { names, histograms };
}

/** Sums and maxima over series. A counter that is not there yet counts as 0, so that its first step is seen. */
export function sampleOf(readings: readonly Reading[], expressions: readonly Expression[]): Sample {
  const { names, histograms } = wantedBy(expressions);
  const sample: Record<string, number> = {};
  for (const name of names) if (name.endsWith('_total')) sample[`sum ${name}`] = 0;
  const add = (key: string, value: number): void => {
    sample[key] = (sample[key] ?? 0) + value;
  };
  for (const { name, labels, value } of readings) {
    if (names.has(name)) {
      add(`sum ${name}`, value);
      sample[`max ${name}`] = Math.max(sample[`max ${name}`] ?? Number.NEGATIVE_INFINITY, value);
    }
    const histogram = name.endsWith('_bucket') ? name.slice(0, -'_bucket'.length) : '';
    if (histograms.has(histogram)) add(bucketKey(histogram, boundOf(labels.le)), value);
  }
  return sample;
}

const boundOf = (le: string | undefined): number => (le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le));

export class History implements Series {
  private tiers: Kept[][] = TIERS.map(() => []);

  add(at: number, sample: Sample): void {
    for (const [i, { every, keep }] of TIERS.entries()) {
      const kept = this.tiers[i] as Kept[];
      const last = kept.at(-1);
      // A clock that was set back: what lies ahead would stay for ever.
      if (last !== undefined && last.at > at)
        kept.splice(0, kept.length, ...kept.filter((one) => one.at <= at));
      const before = kept.at(-1);
      if (before !== undefined && at - before.at < every) continue;
      kept.push({ at, sample });
      const first = kept.findIndex((one) => one.at >= at - keep);
      if (first > 0) kept.splice(0, first);
    }
  }

  private get now(): number {
    return this.tiers[0]?.at(-1)?.at ?? 0;
  }

  latest(key: string): number {
    return this.tiers[0]?.at(-1)?.sample[key] ?? Number.NaN;
  }

  /** The finest samples that reach back so far, and the one before them. */
  private within(seconds: number): Kept[] {
    const newest = this.tiers[0]?.at(-1);
    if (newest === undefined) return [];
    const since = this.now - seconds * 1000;
    const tier = TIERS.findIndex(({ keep }) => keep >= seconds * 1000);
    const kept = this.tiers[tier < 0 ? TIERS.length - 1 : tier] as Kept[];
    const from = kept.findLastIndex(({ at }) => at <= since);
    const found = kept.slice(Math.max(0, from));
    return found.at(-1) === newest ? found : [...found, newest];
  }

  increase(key: string, window: number): number {
    let total = Number.NaN;
    let before: number | undefined;
    for (const { sample } of this.within(window)) {
      // A bucket that was not there had counted nothing.
      const value = sample[key] ?? (key.startsWith('le ') ? 0 : undefined);
      if (value === undefined) continue;
      if (before !== undefined)
        total = (Number.isNaN(total) ? 0 : total) + (value >= before ? value - before : value);
      before = value;
    }
    return total;
  }

  bounds(name: string): readonly number[] {
    const start = `le ${name} `;
    const sample = this.tiers[0]?.at(-1)?.sample ?? {};
    return Object.keys(sample)
      .filter((key) => key.startsWith(start))
      .map((key) => Number(key.slice(start.length)))
      .sort((a, b) => a - b);
  }

  /** The coarsest tier, for the next start. */
  toJSON(): Kept[] {
    return this.tiers.at(-1) ?? [];
  }

  /** Goes on from what an earlier server kept; what is not ours is left out. */
  restore(given: unknown): void {
    const kept = (Array.isArray(given) ? given : []).filter(
      (one): one is Kept =>
        typeof one?.at === 'number' && typeof one.sample === 'object' && one.sample !== null,
    );
    this.tiers = TIERS.map(({ keep }) => kept.filter(({ at }) => at >= (kept.at(-1)?.at ?? 0) - keep));
  }
}
