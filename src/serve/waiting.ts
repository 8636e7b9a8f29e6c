/** Behind whom a request waits, and for how long: what batches and patient clients send runs where nobody else wants to. */
import type { FastifyRequest } from 'fastify';

export interface Waiting {
  /** Runs only where nobody waits for an answer. */
  batch: boolean;
  /** Milliseconds within which its turn must come, where it is not the queue that says. */
  deadline?: number;
}

/** @param tier `service_tier` of a client that says so */
export function waitingOf(request: FastifyRequest, tier?: unknown): Waiting {
  // A batch has an end of its own; until then its requests wait for a gap.
  if (request.inside) return { batch: true, deadline: Number.POSITIVE_INFINITY };
  return { batch: tier === 'flex' };
}
