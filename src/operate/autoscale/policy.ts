/**
 * How many replicas there shall be: a pure function from what is seen to what is wanted. desired = ceil((running +
 * waiting) / target), the most of a short window upwards, the most of a long one downwards (a dip shorter than the
 * window changes nothing), at once in a panic or where the queue grows old, down to none after silence. Knows no
 * processes and no clock.
 *
 * The rule by outstanding work is Ray Serve's, the two windows and the panic are Knative's, the slow way down is
 * Kubernetes' stabilisation window.
 */

export interface AutoscalePolicy {
  minimum: number;
  maximum: number;
  /** Requests that one replica shall have, running and waiting. */
  target: number;
  /** Milliseconds: the mean over this window decides upwards. */
  up: number;
  /** Milliseconds: the most that was wanted within this window decides downwards. */
  down: number;
  /** Milliseconds: the mean over this window decides in a panic. */
  panic: number;
  /** A panic begins where the short mean wants so many times what there is; within it nothing is taken away. */
  panicAt: number;
  /** Seconds that the oldest waiting request may have waited before one more is wanted. */
  queueAge: number;
  /** Milliseconds without any request after which there are none, where `minimum` is 0. */
  idle: number;
}

const TOLERANCE = 0.1;

export const AUTOSCALE: AutoscalePolicy = {
  ...{ minimum: 1, maximum: 8, target: 2 },
  ...{ up: 30_000, down: 300_000, panic: 6_000, panicAt: 2, queueAge: 5, idle: 600_000 },
};

export interface Observation {
  /** Milliseconds. */
  now: number;
  /** Requests that run, and that wait (those held for a first replica as well). */
  running: number;
  waiting: number;
  /** Seconds that the oldest of them has waited. */
  oldest: number;
  /** Replicas that there are, those that are loading included: they are capacity that is on its way. */
  replicas: number;
  loading: number;
}

interface Sample {
  at: number;
  load: number;
  wanted: number;
}

export interface AutoscaleState {
  samples: readonly Sample[];
  panicUntil: number;
  lastBusy: number;
  /** When the queue's age last asked for one more. */
  agedAt: number;
  began: number;
}

export type Reason = 'load' | 'panic' | 'queue-age' | 'held' | 'idle' | 'steady';

export interface Decision {
  replicas: number;
  reason: Reason;
  state: AutoscaleState;
}

export const begin = (now: number): AutoscaleState => ({
  ...{ samples: [], panicUntil: Number.NEGATIVE_INFINITY, lastBusy: now },
  ...{ agedAt: Number.NEGATIVE_INFINITY, began: now },
});

/** Mean of what was seen within a window, each sample as long as it stood. */
function mean(samples: readonly Sample[], from: number, now: number): number {
  let weighted = 0;
  let length = 0;
  for (let i = 0; i < samples.length; i++) {
    const { at, load } = samples[i] as Sample;
    const until = samples[i + 1]?.at ?? now;
    const stood = until - Math.max(at, from);
    if (stood <= 0) continue;
    weighted += load * stood;
    length += stood;
  }
  return length === 0 ? (samples.at(-1)?.load ?? 0) : weighted / length;
}

/** @returns how many there shall be now, and what to hand in the next time */
export function decide(policy: AutoscalePolicy, state: AutoscaleState, seen: Observation): Decision {
  const { now, replicas } = seen;
  const load = seen.running + seen.waiting;
  const floor = Math.max(policy.minimum, load > 0 ? 1 : 0);
  const within = (count: number): number => Math.min(policy.maximum, Math.max(floor, count));
  // A tenth of a replica's work more is no reason for one more: loads at the edge would make it come and go.
  const need = (work: number): number => Math.ceil(work / policy.target - TOLERANCE);

  const kept = state.samples.filter(({ at }, i) => {
    const until = state.samples[i + 1]?.at ?? now;
    return until > now - Math.max(policy.down, policy.up) || at > now - policy.up;
  });
  const samples = [...kept, { at: now, load, wanted: 0 }];
  const long = within(need(mean(samples, now - policy.up, now)));
  const short = within(need(mean(samples, now - policy.panic, now)));
  samples[samples.length - 1] = { at: now, load, wanted: Math.max(long, short) };
  const next: AutoscaleState = {
    samples,
    panicUntil: short >= policy.panicAt * Math.max(1, replicas) ? now + policy.up : state.panicUntil,
    lastBusy: load > 0 ? now : state.lastBusy,
    agedAt: state.agedAt,
    began: state.began,
  };
  const decided = (count: number, reason: Reason, more: Partial<AutoscaleState> = {}): Decision => ({
    replicas: within(count),
    reason: within(count) === replicas ? 'steady' : reason,
    state: { ...next, ...more },
  });

  // A request is held for the first replica: nobody waits for a window.
  if (replicas === 0) return load > 0 ? decided(Math.max(1, need(load)), 'held') : decided(0, 'steady');
  if (now < next.panicUntil && short > replicas) return decided(short, 'panic');
  if (long > replicas) return decided(long, 'load');
  // What loads is on its way already; one at a time.
  if (seen.oldest > policy.queueAge && seen.loading === 0 && now - state.agedAt >= policy.panic) {
    // Remembered as wanted, or the way down would take it back at the next look.
    samples[samples.length - 1] = { at: now, load, wanted: replicas + 1 };
    return decided(replicas + 1, 'queue-age', { agedAt: now });
  }
  if (now < next.panicUntil) return decided(replicas, 'steady');
  if (load === 0 && policy.minimum === 0 && now - next.lastBusy >= policy.idle) return decided(0, 'idle');
  if (now - state.began < policy.down) return decided(replicas, 'steady');
  const most = Math.max(...samples.map(({ wanted }) => wanted), 1);
  return decided(Math.min(replicas, most), 'load');
}
