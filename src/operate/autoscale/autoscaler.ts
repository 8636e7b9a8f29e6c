/**
 * The policy at work: looks at every model's queue and replicas, asks the policy, scales the set of replicas and tells
 * the queue how many may run. Knows no HTTP.
 */
import { type Clock, systemClock } from '../../base/clock.ts';
import type { ReplicaStatus } from '../../base/contracts/replica.ts';
import type { LaneSnapshot } from '../scheduler/lane.ts';
import { type AutoscalePolicy, type AutoscaleState, begin, decide, type Reason } from './policy.ts';

/** What is scaled: a pool's sets of replicas. */
export interface Scalable {
  size: number;
  scale(count: number): void;
  snapshot(): { replicas: readonly ReplicaStatus[]; held: number };
}

export interface AutoscalerOptions {
  policy: AutoscalePolicy;
  /** By model; a model that is not loaded is not there. */
  sets(): Iterable<readonly [string, Scalable]>;
  lanes(): Readonly<Record<string, LaneSnapshot>>;
  /** More replicas of a model than this do not fit into the machine; default no bound. */
  roomFor?(model: string): number;
  /** Requests that one replica runs at once; the queue lets in as many as there are slots. */
  slots: number;
  setPlaces(model: string, places: number): void;
  /** Milliseconds between looks. */
  every?: number;
  clock?: Clock;
  log?(message: string, details: Record<string, unknown>): void;
}

export interface AutoscalerSnapshot {
  /** By model: how many are wanted, and why it changed last. */
  models: Readonly<Record<string, { wanted: number; reason: Reason; changes: number }>>;
}

interface Followed {
  set: Scalable;
  state: AutoscaleState;
  wanted: number;
  reason: Reason;
  changes: number;
}

export class Autoscaler {
  private readonly options: AutoscalerOptions;
  private readonly clock: Clock;
  private readonly models = new Map<string, Followed>();
  private stopTimer: () => void = () => undefined;

  constructor(options: AutoscalerOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
  }

  start(): void {
    this.stopTimer = this.clock.after(this.options.every ?? 1000, () => {
      this.look();
      this.start();
    });
  }

  stop(): void {
    this.stopTimer();
  }

  look(): void {
    const now = this.clock.now();
    const lanes = this.options.lanes();
    const there = new Map(this.options.sets());
    for (const model of this.models.keys()) if (!there.has(model)) this.models.delete(model);
    for (const [model, set] of there) {
      let followed = this.models.get(model);
      if (followed?.set !== set) {
        followed = { set, state: begin(now), wanted: set.size, reason: 'steady', changes: 0 };
        this.models.set(model, followed);
      }
      this.judge(model, followed, lanes[model], now);
    }
  }

  private judge(model: string, followed: Followed, lane: LaneSnapshot | undefined, now: number): void {
    const { set } = followed;
    const states = set.snapshot().replicas.map(({ state }) => state);
    const loading = states.filter((state) => state === 'starting').length;
    const decision = decide(this.options.policy, followed.state, {
      ...{ now, replicas: set.size, loading },
      running: lane?.running ?? 0,
      waiting: lane?.waiting ?? 0,
      oldest: lane?.oldest ?? 0,
    });
    followed.state = decision.state;
    const room = this.options.roomFor?.(model) ?? Number.POSITIVE_INFINITY;
    const wanted = Math.min(decision.replicas, set.size + Math.max(0, room));
    if (wanted !== set.size) {
      followed.changes++;
      followed.reason = decision.reason;
      this.options.log?.('replicas', { model, from: set.size, to: wanted, why: decision.reason });
      set.scale(wanted);
    }
    followed.wanted = wanted;
    // A request that is let in while there is none is held at the set, which starts one; one place is enough for that.
    const ready = states.filter((state) => state === 'ready').length;
    this.options.setPlaces(model, this.options.slots * Math.max(1, Math.min(wanted, Math.max(1, ready))));
  }

  /** Numbers for whoever publishes them. */
  snapshot(): AutoscalerSnapshot {
    return {
      models: Object.fromEntries(
        [...this.models].map(([model, { wanted, reason, changes }]) => [model, { wanted, reason, changes }]),
      ),
    };
  }
}
