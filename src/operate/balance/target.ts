/** One that requests can be sent to, with what is known of it: what it has to do, how fast it answers, how often it fails. */
import { Breaker, type BreakerSettings, type BreakerState } from './breaker.ts';

/** What became of a request: answered, failed by the target, or given up by the client. */
export type Outcome = 'answered' | 'failed' | 'abandoned';

export interface TargetSnapshot {
  name: string;
  version: string;
  outstanding: number;
  sent: number;
  failed: number;
  breaker: BreakerState;
  opens: number;
  ejected: boolean;
  draining: boolean;
  healthy: boolean;
  /** Smoothed milliseconds to the first byte. */
  latency: number | undefined;
}

const SMOOTHING = 0.1;

export class Target {
  readonly name: string;
  readonly version: string;
  readonly breaker: Breaker;
  outstanding = 0;
  draining = false;
  /** What the last look at it said. */
  healthy = true;
  sent = 0;
  failed = 0;
  latency: number | undefined;
  /** Since the last comparison with the others. */
  window = { requests: 0, failures: 0, latency: 0 };
  ejectedUntil = 0;
  ejections = 0;

  constructor(name: string, options: { version?: string; breaker?: Partial<BreakerSettings> } = {}) {
    this.name = name;
    this.version = options.version ?? '';
    this.breaker = new Breaker(options.breaker);
  }

  /** Whether it may be chosen now. */
  open(now: number): boolean {
    return !this.draining && this.healthy && now >= this.ejectedUntil && this.breaker.allows(now);
  }

  begin(now: number): void {
    this.outstanding++;
    this.sent++;
    this.breaker.sent(now);
  }

  /** @param milliseconds to the first byte; undefined where none came */
  end(now: number, outcome: Outcome, milliseconds?: number): void {
    this.outstanding--;
    if (outcome === 'abandoned') {
      this.breaker.abandoned();
      return;
    }
    this.window.requests++;
    if (outcome === 'failed') {
      this.failed++;
      this.window.failures++;
      this.breaker.failed(now);
      return;
    }
    this.breaker.succeeded();
    if (milliseconds === undefined) return;
    this.window.latency += milliseconds;
    this.latency =
      this.latency === undefined ? milliseconds : this.latency + SMOOTHING * (milliseconds - this.latency);
  }

  snapshot(now: number): TargetSnapshot {
    const { name, version, outstanding, sent, failed, draining, healthy, latency, breaker } = this;
    return {
      ...{ name, version, outstanding, sent, failed, draining, healthy, latency },
      ...{ breaker: breaker.state(now), opens: breaker.opens, ejected: now < this.ejectedUntil },
    };
  }
}
