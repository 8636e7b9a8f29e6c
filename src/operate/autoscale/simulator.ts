/**
 * Recorded traffic against a policy, in simulated time: replicas with so many slots each and a time to load, one queue
 * before them. Says what it would have cost and how long people would have waited. The policy is the real one.
 */
import { ManualClock } from '../../base/clock.ts';
import { type AutoscalePolicy, begin, decide } from './policy.ts';
import type { Arrival } from './traffic.ts';

export interface ReplicaModel {
  /** Requests that one works on together. */
  slots: number;
  /** Seconds: of a request before its first token, of a token read, of one written. */
  overhead: number;
  perPrompt: number;
  perAnswer: number;
  /** Seconds until a new one is ready. */
  load: number;
}

export interface SimulationOptions {
  traffic: readonly Arrival[];
  replica: ReplicaModel;
  /** Either a policy, or a fixed number. */
  policy: AutoscalePolicy | number;
  /** Milliseconds between decisions. */
  every?: number;
}

export interface SimulationResult {
  requests: number;
  /** Hours that replicas were there, loading ones included. */
  replicaHours: number;
  /** Seconds in the queue, and of whole requests. */
  waitP50: number;
  waitP95: number;
  waitP99: number;
  wholeP95: number;
  most: number;
  /** Changes of the number of replicas. */
  changes: number;
  /** Replicas, sampled 96 times over the whole. */
  curve: readonly number[];
}

interface Instance {
  ready: boolean;
  busy: number;
  leaving: boolean;
}

export const serviceTime = (
  { overhead, perPrompt, perAnswer }: ReplicaModel,
  { prompt, answer }: Arrival,
): number => overhead + perPrompt * prompt + perAnswer * answer;

const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(part * sorted.length) - 1))] ?? 0;

/** A place in the queue: an array with a moving head. */
class Line {
  private items: { at: number; one: Arrival }[] = [];
  private head = 0;
  get size(): number {
    return this.items.length - this.head;
  }
  push(at: number, one: Arrival): void {
    this.items.push({ at, one });
  }
  first(): { at: number; one: Arrival } | undefined {
    return this.items[this.head];
  }
  shift(): { at: number; one: Arrival } {
    const found = this.items[this.head++] as { at: number; one: Arrival };
    if (this.head > 1024) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return found;
  }
}

export function simulate({ traffic, replica, policy, every = 1000 }: SimulationOptions): SimulationResult {
  const clock = new ManualClock();
  const fixed = typeof policy === 'number' ? policy : undefined;
  const instances = new Set<Instance>();
  const line = new Line();
  const waits: number[] = [];
  const wholes: number[] = [];
  let running = 0;
  let time = 0;
  let cost = 0;
  let most = 0;
  let changes = 0;
  const last = traffic.at(-1)?.at ?? 0;
  const curve: number[] = [];

  const account = (): void => {
    cost += instances.size * (clock.now() - time);
    time = clock.now();
  };
  const members = (): Instance[] => [...instances].filter(({ leaving }) => !leaving);
  const add = (ready: boolean): void => {
    account();
    const one: Instance = { ready, busy: 0, leaving: false };
    instances.add(one);
    most = Math.max(most, instances.size);
    if (!ready)
      clock.after(1000 * replica.load, () => {
        one.ready = true;
        serve();
      });
  };
  const remove = (one: Instance): void => {
    account();
    instances.delete(one);
  };
  const serve = (): void => {
    while (line.size > 0) {
      let best: Instance | undefined;
      for (const one of instances)
        if (
          one.ready &&
          !one.leaving &&
          one.busy < replica.slots &&
          (best === undefined || one.busy < best.busy)
        )
          best = one;
      if (best === undefined) return;
      const at = best;
      const { at: entered, one } = line.shift();
      at.busy++;
      running++;
      waits.push((clock.now() - entered) / 1000);
      clock.after(1000 * serviceTime(replica, one), () => {
        at.busy--;
        running--;
        wholes.push((clock.now() - entered) / 1000);
        if (at.leaving && at.busy === 0) remove(at);
        serve();
      });
    }
  };
  const scale = (count: number): void => {
    const now = members();
    if (now.length !== count) changes++;
    for (let i = now.length; i < count; i++) add(false);
    const order = now.sort((a, b) => Number(a.ready) - Number(b.ready) || a.busy - b.busy);
    for (const one of order.slice(0, Math.max(0, now.length - count))) {
      one.leaving = true;
      if (one.busy === 0) remove(one);
    }
  };

  for (let i = 0; i < (fixed ?? (policy as AutoscalePolicy).minimum); i++) add(true);
  for (const one of traffic)
    clock.after(1000 * one.at, () => {
      line.push(clock.now(), one);
      serve();
    });
  for (let i = 0; i < 96; i++) clock.after((1000 * last * i) / 96, () => curve.push(members().length));
  if (fixed === undefined) {
    let state = begin(0);
    const tick = (): void => {
      const all = members();
      const loading = all.filter(({ ready }) => !ready).length;
      const oldest = ((clock.now() - (line.first()?.at ?? clock.now())) as number) / 1000;
      const seen = { now: clock.now(), running, waiting: line.size, oldest, replicas: all.length, loading };
      const decision = decide(policy as AutoscalePolicy, state, seen);
      state = decision.state;
      scale(decision.replicas);
      if (clock.now() < 1000 * last || running + line.size > 0) clock.after(every, tick);
    };
    clock.after(0, tick);
  }
  while (wholes.length < traffic.length && clock.step());
  account();
  waits.sort((a, b) => a - b);
  wholes.sort((a, b) => a - b);
  return {
    requests: traffic.length,
    replicaHours: cost / 3_600_000,
    ...{ waitP50: quantile(waits, 0.5), waitP95: quantile(waits, 0.95), waitP99: quantile(waits, 0.99) },
    wholeP95: quantile(wholes, 0.95),
    ...{ most, changes, curve },
  };
}

/** The smallest fixed number that keeps 95 % of the waits within a target; undefined where `most` does not. */
export function bestFixed(
  options: Omit<SimulationOptions, 'policy'>,
  target: number,
  most = 64,
): { size: number; result: SimulationResult } | undefined {
  let low = 1;
  let high = most;
  let found: { size: number; result: SimulationResult } | undefined;
  while (low <= high) {
    const size = (low + high) >> 1;
    const result = simulate({ ...options, policy: size });
    if (result.waitP95 <= target) {
      found = { size, result };
      high = size - 1;
    } else low = size + 1;
  }
  return found;
}
