/** A request as the scheduler sees it. Types and its errors only. */
import type { TokenCost } from '../../base/contracts/queue.ts';
import { InkstoneError } from '../../base/errors.ts';

export interface Entry {
  readonly id: string;
  readonly key: string;
  readonly priority: number;
  readonly batch: boolean;
  readonly order: number;
  /** The instant by which its turn must come; infinite for none. */
  readonly dueAt: number;
  readonly enteredAt: number;
  /** The most that the answer may have. */
  limit: number;
  /** What it will probably cost; what it has cost once that is more. */
  expected: TokenCost;
  /** What was reported; undefined before anything was. */
  used: TokenCost | undefined;
  /** Weighted tokens that its key was charged. */
  charged: number;
  state: 'waiting' | 'running' | 'released';
  startedAt: number;
  failure: InkstoneError | undefined;
  resolve: (() => void) | undefined;
  reject: ((reason: InkstoneError) => void) | undefined;
}

export const cancelled = (): InkstoneError =>
  new InkstoneError('cancelled', 'the request was cancelled', { kind: 'usage' });

const seconds = (value: number): string => (value < 1 ? value.toFixed(1) : String(Math.ceil(value)));

export const queueFull = (retryAfter: number): InkstoneError =>
  new InkstoneError('queue_full', 'too many requests are waiting', {
    kind: 'limit',
    hint: `send the request again in ${seconds(retryAfter)} s`,
    details: { retryAfter },
  });

export const unreachable = (wait: number, deadline: number, retryAfter: number): InkstoneError =>
  new InkstoneError(
    'deadline_unreachable',
    `its turn would come in ${seconds(wait)} s, and it must come within ${seconds(deadline / 1000)} s`,
    {
      kind: 'limit',
      hint: `send the request again in ${seconds(retryAfter)} s`,
      details: { retryAfter },
    },
  );

export const expired = (retryAfter: number): InkstoneError =>
  new InkstoneError('deadline_exceeded', 'its turn did not come in time', {
    kind: 'resource',
    hint: `send the request again in ${seconds(retryAfter)} s`,
    details: { retryAfter },
  });

export const shuttingDown = (): InkstoneError =>
  new InkstoneError('shutting_down', 'the server is shutting down', {
    kind: 'resource',
    hint: 'send the request again in a moment',
    details: { retryAfter: 2 },
  });
