/** The state of several replicas as that of one. Knows nothing else. */
import type { DecodingStatus, ReplicaState, ReplicaStatus } from '../../base/contracts/replica.ts';

const sum = (values: readonly (number | undefined)[]): number =>
  values.reduce<number>((total, one) => total + (one ?? 0), 0);

function decodingOf(all: readonly ReplicaStatus[]): DecodingStatus | undefined {
  const found = all.flatMap(({ decoding }) => (decoding === undefined ? [] : [decoding]));
  if (found.length === 0) return undefined;
  return {
    cacheUsed: sum(found.map((one) => one.cacheUsed)) / found.length,
    promptTokens: sum(found.map((one) => one.promptTokens)),
    prefixTokens: sum(found.map((one) => one.prefixTokens)),
    preempted: sum(found.map((one) => one.preempted)),
  };
}

/** Ready as soon as one is, failed once all are; a set of none is one that is to be started. */
function stateOf(members: readonly ReplicaStatus[], set: 'open' | 'draining' | 'stopped'): ReplicaState {
  if (set !== 'open') return set;
  const states = members.map(({ state }) => state);
  for (const state of ['ready', 'starting', 'draining'] as const) if (states.includes(state)) return state;
  if (states.length === 0) return 'starting';
  return states.includes('failed') ? 'failed' : 'stopped';
}

/** @param leaving replicas that finish what they have */
export function together(
  members: readonly ReplicaStatus[],
  leaving: readonly ReplicaStatus[],
  set: 'open' | 'draining' | 'stopped',
): ReplicaStatus {
  const all = [...members, ...leaving];
  const known = all.some(({ memory }) => memory !== undefined);
  const collected = all.some(({ held }) => held !== undefined);
  const decoding = decodingOf(all);
  const state = stateOf(members, set);
  const failed = members.find(({ error }) => error !== undefined);
  return {
    state,
    progress: Math.max(0, ...members.map(({ progress }) => progress)),
    running: sum(all.map(({ running }) => running)),
    waiting: sum(all.map(({ waiting }) => waiting)),
    ...(known ? { memory: sum(all.map(({ memory }) => memory)) } : {}),
    ...(collected ? { held: sum(all.map(({ held }) => held)) } : {}),
    restarts: sum(all.map(({ restarts }) => restarts)),
    ...(decoding === undefined ? {} : { decoding }),
    ...(state === 'failed' && failed?.error !== undefined ? { error: failed.error } : {}),
  };
}
