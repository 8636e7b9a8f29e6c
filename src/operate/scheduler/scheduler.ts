/**
 * The queue in front of the models: a lane for each, fair shares between keys in each. A place is taken before any
 * work is done for a request, and is free again the moment its client hangs up. Knows no HTTP and no replicas.
 */

import { type Clock, systemClock } from '../../base/clock.ts';
import type { EnterOptions, QueueStatus, RequestQueue, Ticket } from '../../base/contracts/queue.ts';
import { cancelled, type Entry, shuttingDown } from './entry.ts';
import { FairShare, type FairShareOptions } from './fair-share.ts';
import { Lane, type LaneSnapshot } from './lane.ts';

export interface SchedulerOptions {
  /** Requests of one model that run at once, and that may wait. */
  concurrency: number;
  capacity: number;
  /** Requests that may wait for all models together; default four times `capacity`. */
  total?: number;
  /** Tokens of one model's requests that may be inside at once; default no bound. */
  tokens?: number;
  /** Milliseconds within which a turn must come where a request does not say; default no bound. */
  deadline?: number;
  /** Part of the places that batch work leaves free; default a quarter. */
  reserve?: number;
  policy?: 'fair' | 'first-come';
  shares?: FairShareOptions;
  clock?: Clock;
}

export interface SchedulerSnapshot {
  running: number;
  waiting: number;
  draining: boolean;
  lanes: Readonly<Record<string, LaneSnapshot>>;
}

/** Lanes that are remembered while they are empty: what they measured is worth keeping. */
const REMEMBERED = 64;
const NOBODY = '';

export class Scheduler implements RequestQueue {
  private readonly options: SchedulerOptions;
  private readonly clock: Clock;
  private readonly lanes = new Map<string, Lane>();
  private readonly places = new Map<string, number>();
  private order = 0;
  private draining = false;
  private drained: (() => void)[] = [];

  constructor(options: SchedulerOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
  }

  enter(options: EnterOptions): Ticket {
    if (this.draining) throw shuttingDown();
    const lane = this.lane(options.model ?? '');
    const now = this.clock.now();
    const deadline = options.deadline ?? this.options.deadline;
    const entry: Entry = {
      id: options.id,
      key: options.key ?? NOBODY,
      priority: options.priority ?? 0,
      batch: options.batch ?? false,
      order: this.order++,
      dueAt: deadline === undefined ? Number.POSITIVE_INFINITY : now + deadline,
      enteredAt: now,
      limit: options.cost?.answer ?? 0,
      expected: { prompt: 0, answer: 0 },
      used: undefined,
      charged: 0,
      state: 'waiting',
      startedAt: 0,
      failure: undefined,
      resolve: undefined,
      reject: undefined,
    };
    // Batch work that waits must not keep out those who want an answer now.
    const waiting = this.sum((one) => (entry.batch ? one.waitingCount : one.interactiveWaiting));
    lane.enter(
      entry,
      options.cost?.prompt ?? 1,
      waiting >= (this.options.total ?? 4 * this.options.capacity),
    );
    const { signal } = options;
    const leave = (): void => {
      signal?.removeEventListener('abort', leave);
      lane.leave(entry);
      this.settle();
    };
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted === true) leave();
    return {
      id: entry.id,
      turn: () => turn(entry),
      expect: (cost) => lane.expect(entry, cost),
      spent: (cost) => lane.spent(entry, cost),
      release: leave,
    };
  }

  private lane(model: string): Lane {
    const known = this.lanes.get(model);
    if (known !== undefined) return known;
    // Names come from outside; those that lead nowhere must not pile up.
    if (this.lanes.size >= REMEMBERED)
      for (const [name, lane] of this.lanes) {
        if (!lane.idle) continue;
        this.lanes.delete(name);
        break;
      }
    const places = this.places.get(model) ?? this.options.concurrency;
    const lane = new Lane({
      clock: this.clock,
      fair: new FairShare(this.options.shares),
      policy: this.options.policy ?? 'fair',
      places,
      capacity: this.options.capacity,
      tokens: this.options.tokens ?? Number.POSITIVE_INFINITY,
      reserve: this.options.reserve ?? 0.25,
    });
    this.lanes.set(model, lane);
    return lane;
  }

  /** As a model's replicas come and go. @param places requests that run at once; undefined for the usual number */
  setPlaces(model: string, places: number | undefined): void {
    if (places === undefined) this.places.delete(model);
    else this.places.set(model, places);
    this.lanes.get(model)?.setPlaces(places ?? this.options.concurrency);
  }

  private sum(of: (lane: Lane) => number): number {
    let total = 0;
    for (const lane of this.lanes.values()) total += of(lane);
    return total;
  }

  private settle(): void {
    if (this.drained.length === 0 || this.sum((lane) => (lane.idle ? 0 : 1)) > 0) return;
    for (const resolve of this.drained.splice(0)) resolve();
  }

  status(): QueueStatus {
    return {
      running: this.sum((lane) => lane.runningCount),
      waiting: this.sum((lane) => lane.waitingCount),
      concurrency: this.options.concurrency,
      capacity: this.options.capacity,
    };
  }

  /** Numbers for whoever publishes them. */
  snapshot(): SchedulerSnapshot {
    const lanes = Object.fromEntries([...this.lanes].map(([model, lane]) => [model, lane.snapshot()]));
    return { ...this.status(), draining: this.draining, lanes };
  }

  drain(): Promise<void> {
    this.draining = true;
    return new Promise((resolve) => {
      this.drained.push(resolve);
      this.settle();
    });
  }
}

function turn(entry: Entry): Promise<void> {
  if (entry.state === 'running') return Promise.resolve();
  if (entry.state === 'released') return Promise.reject(entry.failure ?? cancelled());
  return new Promise((resolve, reject) => {
    entry.resolve = resolve;
    entry.reject = reject;
  });
}
