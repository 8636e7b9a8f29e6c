/**
 * Durable jobs: what was accepted ends, whatever is killed meanwhile. A job is a row; whoever works on it holds a lease on
 * it and has a number that nobody had before (a fence): what an earlier holder says no longer counts. Types only.
 */
import type { Row } from './store.ts';
import type { JobState } from './trainable.ts';

export interface JobError {
  code: string;
  message: string;
  hint?: string;
}

export interface Job<Input = unknown, Result = unknown> extends Row {
  /** Which worker does it: `batch`. */
  kind: string;
  input: Input;
  state: JobState;
  /** Milliseconds since 1970. */
  created: number;
  /** When it was first worked on, and when it ended. */
  started?: number;
  ended?: number;
  /** 0 to 1. */
  progress: number;
  /** Where the work stands; whoever takes it up goes on from there. */
  step?: unknown;
  /** Times that somebody took it up. */
  fence: number;
  /** Times that it failed and was tried again since it last got further. */
  failures: number;
  /** Not before then. */
  notBefore?: number;
  holder?: string;
  /** Until then nobody else takes it up. */
  leaseUntil?: number;
  /** Somebody asked for its end. */
  cancelling?: boolean;
  /** It rests until somebody lets it go on. */
  paused?: boolean;
  /** Its end is being written down: it can no longer be cancelled or paused. */
  sealed?: boolean;
  /** How far it was when it last failed: who got further begins to count failures anew. */
  failedAt?: number;
  /** Why it failed; of one that waits, why it is tried again. */
  error?: JobError;
  result?: Result;
  /** The same key asks for the same job. */
  key?: string;
}

/** What a worker sees of its job. */
export interface JobWork<Input, Step> {
  readonly id: string;
  readonly input: Input;
  /** What was last written with `save`. */
  readonly step: Step | undefined;
  /** Aborted when somebody cancels or pauses, when the lease is lost, and when this process ends in order. */
  readonly signal: AbortSignal;
  /** True when the end was asked for: the worker then tidies up and returns what there is. */
  cancelled(): boolean;
  /** Writes down where the work stands. @throws InkstoneError `lease_lost` where somebody else has taken it up */
  save(step: Step, progress: number): Promise<void>;
  /**
   * Before what cannot be taken back is done: from here on the job ends as its worker says. False where it was told to
   * stop already. @throws InkstoneError `lease_lost`
   */
  seal(): Promise<boolean>;
}

export interface JobWorker<Input, Step, Result> {
  kind: string;
  /** Jobs of this kind that run at once in one process. */
  concurrency?: number;
  /** Times that a job is tried after errors that may pass (kind `resource`, `limit`, `internal`) without getting further. */
  retries?: number;
  /** Milliseconds for which an ended job is remembered; default 90 days. */
  kept?: number;
  /** Whether this process can do it at all: where its folder is on another machine it cannot. Default: yes. */
  takes?(input: Input): boolean;
  /** Its result is written once, with the job's end. What it does besides must bear being repeated from its last step. */
  run(work: JobWork<Input, Step>): Promise<Result>;
}
