/** The queue in front of a server's models, and who says how many replicas they have. Made from the server's options. */
import { Autoscaler } from '../operate/autoscale/autoscaler.ts';
import { AUTOSCALE } from '../operate/autoscale/policy.ts';
import type { ReplicaPool } from '../operate/pool.ts';
import { Scheduler } from '../operate/scheduler/scheduler.ts';

export interface SchedulingOptions {
  /** Requests that one replica runs at once, and that may wait for a model. */
  concurrency?: number;
  queue?: number;
  /** Seconds within which a request's turn must come; default 300. */
  maxWait?: number;
  /** How much of the machine a key is due beside the others; default 1 each. */
  weightOf?(key: string): number;
  /** `first-come` is for comparisons: it serves in order of arrival, whoever asks. */
  policy?: 'fair' | 'first-come';
  /** Replicas of a model, each a process; the first number where they are scaled. */
  replicas?: number;
  /** Bounds between which replicas follow the load; without the upper one their number is fixed. 0 puts all down. */
  minReplicas?: number | undefined;
  maxReplicas?: number | undefined;
  /** Requests, running and waiting, that one replica shall have; default three quarters of `concurrency`. */
  targetOutstanding?: number | undefined;
  log?(message: string, details: Record<string, unknown>): void;
}

/** Requests that one replica runs at once, and the sequences that its model decodes together. */
export const CONCURRENCY = 16;

export interface Scheduling {
  queue: Scheduler;
  /** Where replicas follow the load. */
  autoscaler?: Autoscaler;
}

export function openScheduling(options: SchedulingOptions, pool: ReplicaPool): Scheduling {
  const { concurrency: slots = CONCURRENCY, replicas = 1, maxReplicas, minReplicas = 1, log } = options;
  const queue = new Scheduler({
    concurrency: slots * replicas,
    capacity: options.queue ?? 64,
    deadline: 1000 * (options.maxWait ?? 300),
    ...(options.policy === undefined ? {} : { policy: options.policy }),
    ...(options.weightOf === undefined ? {} : { shares: { weight: options.weightOf } }),
  });
  if (maxReplicas === undefined) return { queue };
  const target = options.targetOutstanding ?? Math.max(1, 0.75 * slots);
  const autoscaler = new Autoscaler({
    policy: { ...AUTOSCALE, minimum: minReplicas, maximum: Math.max(maxReplicas, minReplicas, 1), target },
    sets: () => pool.sets(),
    lanes: () => queue.snapshot().lanes,
    roomFor: (model) => pool.roomFor(model),
    slots,
    setPlaces: (model, places) => queue.setPlaces(model, places),
    ...(log === undefined ? {} : { log }),
  });
  autoscaler.start();
  return { queue, autoscaler };
}
