/**
 * A new version takes over by growing shares of the traffic, and gives them back by itself where it fails more often or
 * answers more slowly than the old one. Knows versions and numbers; sends nothing.
 */

export interface RolloutSettings {
  /** Shares, one after another; the last is all. */
  steps: readonly number[];
  /** Milliseconds that a step lasts at least. */
  step: number;
  /** Requests of the new version below which nothing is decided. */
  requests: number;
  /** Share of failures above the old version's that is too much, where chance does not explain it. */
  failures: number;
  /** Times the old version's 95th percentile that is too slow. */
  slower: number;
}

export const ROLLOUT: RolloutSettings = {
  steps: [0.05, 0.25, 0.5, 1],
  step: 60_000,
  requests: 50,
  failures: 0.02,
  slower: 1.5,
};

export type RolloutState = 'running' | 'done' | 'rolled-back';

interface Sample {
  requests: number;
  failures: number;
  /** Milliseconds of the latest answers, a ring. */
  times: number[];
}

const KEPT = 512;
/** One-sided, one in a hundred. */
const SIGNIFICANT = 2.33;
const GOLDEN = 0.618033988749895;

const empty = (): Sample => ({ requests: 0, failures: 0, times: [] });

export interface RolloutSnapshot {
  from: string;
  to: string;
  state: RolloutState;
  share: number;
  /** Why it was rolled back. */
  reason?: string;
}

export class Rollout {
  readonly from: string;
  readonly to: string;
  private readonly settings: RolloutSettings;
  state: RolloutState = 'running';
  reason: string | undefined;
  private at = 0;
  private since: number;
  private turn = 0;
  private old = empty();
  private fresh = empty();

  constructor(from: string, to: string, now: number, settings: Partial<RolloutSettings> = {}) {
    this.from = from;
    this.to = to;
    this.since = now;
    this.settings = { ...ROLLOUT, ...settings };
  }

  get share(): number {
    if (this.state === 'rolled-back') return 0;
    return this.state === 'done' ? 1 : (this.settings.steps[this.at] ?? 1);
  }

  /** The version that the next request goes to; shares are kept over every few requests, not only on average. */
  next(): string {
    this.turn = (this.turn + GOLDEN) % 1;
    return this.turn < this.share ? this.to : this.from;
  }

  /** An answer. @param milliseconds to its first byte; of failures they do not count */
  seen(version: string, failed: boolean, milliseconds: number): void {
    const sample = version === this.to ? this.fresh : version === this.from ? this.old : undefined;
    if (sample === undefined) return;
    sample.requests++;
    if (failed) sample.failures++;
    else if (sample.times.length < KEPT) sample.times.push(milliseconds);
    else sample.times[sample.requests % KEPT] = milliseconds;
  }

  /** Goes on, back or nowhere. To be called now and then. */
  decide(now: number): RolloutState {
    if (this.state !== 'running' || this.fresh.requests < this.settings.requests) return this.state;
    this.reason = this.failing() ?? this.slow();
    if (this.reason !== undefined) {
      this.state = 'rolled-back';
      return this.state;
    }
    if (now - this.since < this.settings.step) return this.state;
    this.at++;
    this.since = now;
    this.fresh = empty();
    if (this.share >= 1) this.state = 'done';
    return this.state;
  }

  private failing(): string | undefined {
    const { old, fresh } = this;
    const before = old.requests === 0 ? 0 : old.failures / old.requests;
    const after = fresh.failures / fresh.requests;
    if (after <= before + this.settings.failures) return undefined;
    // Two proportions, pooled.
    const all = old.requests + fresh.requests;
    const pooled = (old.failures + fresh.failures) / all;
    const spread = Math.sqrt(pooled * (1 - pooled) * (1 / Math.max(1, old.requests) + 1 / fresh.requests));
    if (old.requests > 0 && (after - before) / spread < SIGNIFICANT) return undefined;
    return `${percent(after)} of its answers failed, ${percent(before)} of the old version's`;
  }

  private slow(): string | undefined {
    const { old, fresh } = this;
    if (old.times.length < this.settings.requests || fresh.times.length < this.settings.requests)
      return undefined;
    const [before, after] = [tail(old.times), tail(fresh.times)];
    if (after <= before * this.settings.slower) return undefined;
    return `95 % of its first bytes came within ${after.toFixed(0)} ms, the old version's within ${before.toFixed(0)} ms`;
  }

  snapshot(): RolloutSnapshot {
    const { from, to, state, share, reason } = this;
    return { from, to, state, share, ...(reason === undefined ? {} : { reason }) };
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function tail(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.ceil(0.95 * sorted.length) - 1] as number;
}
