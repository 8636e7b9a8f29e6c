/**
 * One job at work in this process: its lease is renewed while the work goes on, and how it ends is written once, by
 * whoever holds it then. Knows neither which jobs there are nor any kind of work.
 */
import type { Job, JobError, JobWork, JobWorker } from '../../base/contracts/jobs.ts';
import type { Rows } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { now } from '../../base/host.ts';

/** The collection of jobs that have not ended. */
export const OPEN = 'jobs-open';

/** Milliseconds between renewals, at most. */
const RENEW = 1000;
/** Milliseconds before the first try anew; doubles. */
const BACKOFF = 500;
const RETRIES = 5;

/** Why a worker is told to stop. */
export type StopReason = 'cancel' | 'pause' | 'lost' | 'closed';

export type AnyWorker = JobWorker<unknown, unknown, unknown>;

export interface JobRunOptions {
  rows: Rows;
  /** As it was taken, with its fence. */
  job: Job;
  worker: AnyWorker;
  /** Milliseconds that its lease lasts. */
  lease: number;
  log(message: string, details: Record<string, unknown>): void;
  /** Told of the job once its end is written. */
  ended(job: Job): Promise<void>;
}

export class JobRun {
  readonly job: Job;
  /** When the worker has let go of it. Never fails. */
  readonly done: Promise<void>;
  private readonly options: JobRunOptions;
  private readonly abort = new AbortController();

  constructor(options: JobRunOptions) {
    this.options = options;
    this.job = options.job;
    if (options.job.cancelling === true) this.stop('cancel');
    this.done = this.work();
  }

  /** The first reason counts. */
  stop(reason: StopReason): void {
    this.abort.abort(reason);
  }

  private get reason(): StopReason | undefined {
    return this.abort.signal.aborted ? this.abort.signal.reason : undefined;
  }

  private async work(): Promise<void> {
    const { job, options } = this;
    const renewing = setInterval(() => void this.renew(), Math.min(RENEW, options.lease / 3));
    const work: JobWork<unknown, unknown> = {
      ...{ id: job.id, input: job.input, step: job.step, signal: this.abort.signal },
      cancelled: () => this.reason === 'cancel',
      save: async (step, progress) => {
        await this.mine((row) => ({ ...row, step, progress }));
      },
      seal: async () => {
        const row = await this.mine((there) =>
          there.cancelling === true || there.paused === true ? there : { ...there, sealed: true },
        );
        return row.sealed === true && this.reason === undefined;
      },
    };
    try {
      const result = await options.worker.run(work);
      const cancelled = this.reason === 'cancel';
      // Cut short by the end of this process, by a pause, or by somebody who has the job now: this is no result.
      if (this.reason !== undefined && this.reason !== 'cancel') throw leaseLost(job.id);
      await this.end({
        state: cancelled ? 'cancelled' : 'succeeded',
        result,
        ...(cancelled ? {} : { progress: 1 }),
      });
    } catch (thrown) {
      await this.failed(InkstoneError.from(thrown)).catch((error: unknown) =>
        options.log('a job could not be put down', { job: job.id, error: String(error) }),
      );
    } finally {
      clearInterval(renewing);
    }
  }

  private async renew(): Promise<void> {
    try {
      await this.mine((row) => ({ ...row, leaseUntil: now() + this.options.lease }));
    } catch {
      // The store is away: the lease may run out, and the fence keeps what is written later from counting.
    }
  }

  private async failed(error: InkstoneError): Promise<void> {
    const { reason, options } = this;
    // This process ends, or somebody said wait: whoever comes next goes on at once.
    if (reason === 'closed' || reason === 'pause') return void (await this.change(givenBack));
    if (error.code === 'lease_lost') return;
    if (reason === 'cancel') return this.end({ state: 'cancelled' });
    const passes = ['resource', 'limit', 'internal'].includes(error.kind);
    const retries = options.worker.retries ?? RETRIES;
    const again = await this.change((row) => {
      const failures = row.progress > (row.failedAt ?? 0) ? 1 : row.failures + 1;
      if (!passes || failures > retries) return row;
      const notBefore = now() + BACKOFF * 2 ** (failures - 1);
      return {
        ...givenBack(row),
        ...{ failures, failedAt: row.progress, notBefore, error: plain(error) },
      };
    });
    if (again?.state === 'running') await this.end({ state: 'failed', error: plain(error) });
  }

  /** Changes a job that is still ours; undefined where it is not. */
  private async change(next: (row: Job) => Job): Promise<Job | undefined> {
    const { job, options } = this;
    const row = await options.rows.update<Job>(OPEN, job.id, (there) =>
      there === undefined || there.fence !== job.fence || isEnded(there) ? undefined : next(there),
    );
    return row?.fence === job.fence && !isEnded(row) ? row : undefined;
  }

  /** The same, and hears what was asked of the job meanwhile. @throws InkstoneError `lease_lost` */
  private async mine(next: (row: Job) => Job): Promise<Job> {
    const row = await this.change(next);
    if (row === undefined) {
      this.stop('lost');
      throw leaseLost(this.job.id);
    }
    if (row.cancelling === true) this.stop('cancel');
    else if (row.paused === true) this.stop('pause');
    return row;
  }

  private async end(end: Partial<Job>): Promise<void> {
    const { job, options } = this;
    // The end is one atomic change: of two who both think that they hold the job, one writes it.
    const ended = await options.rows.update<Job>(OPEN, job.id, (there) => {
      if (there === undefined || there.fence !== job.fence || isEnded(there)) return undefined;
      const { error: _, cancelling: __, paused: ___, sealed: ____, ...row } = givenBack(there);
      return { ...row, ...end, ended: now() };
    });
    if (ended !== undefined && isEnded(ended)) await options.ended(ended);
  }
}

export const isEnded = (job: Job): boolean => job.ended !== undefined;

const givenBack = ({ holder: _, leaseUntil: __, ...row }: Job): Job => ({ ...row, state: 'queued' });

const leaseLost = (id: string): InkstoneError =>
  new InkstoneError('lease_lost', `the job ${id} was taken up by another process`, { kind: 'conflict' });

const plain = ({ code, message, hint }: InkstoneError): JobError => ({
  code,
  message,
  ...(hint === undefined ? {} : { hint }),
});
