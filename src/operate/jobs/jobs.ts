/**
 * Durable jobs over any store. Open jobs are one collection, looked through twice a second; ended ones another. A job is
 * taken up by writing a lease and a new fence into its row, in one atomic change; the lease is renewed while the work goes
 * on. Of a killed process the leases run out, and the next one goes on from the last step. Knows no kind of work.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Job, JobError, JobWork, JobWorker } from '../../base/contracts/jobs.ts';
import type { Row, Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { now } from '../../base/host.ts';

const OPEN = 'jobs-open';
const ENDED = 'jobs';
const KEYS = 'job-keys';

/** Milliseconds that a lease lasts, between renewals, and between looks for work: an orphan is back within five seconds. */
const LEASE = 3000;
const RENEW = 1000;
const LOOK = 500;
/** Milliseconds before the first try anew; doubles. */
const BACKOFF = 500;
const RETRIES = 5;
/** Milliseconds for which a key and an ended job are remembered, and between looks for older ones. */
const KEYS_KEPT = 2 * 86_400_000;
const JOBS_KEPT = 90 * 86_400_000;
const SWEEP = 3_600_000;

/** Why a worker is told to stop. */
const CANCEL = 'cancel';
const LOST = 'lost';
const CLOSED = 'closed';

type AnyWorker = JobWorker<unknown, unknown, unknown>;

export interface JobsOptions {
  store: Store;
  /** For tests: shorter ones. */
  lease?: number;
  look?: number;
  log?(message: string, details: Record<string, unknown>): void;
  /** Tidies up after a job that has ended; may be called again for the same one. */
  ended?(job: Job): Promise<void>;
}

interface Running {
  job: Job;
  stop: AbortController;
  done: Promise<void>;
}

export class Jobs {
  /** Who this is among all processes on the store. */
  readonly holder = randomUUID();
  private readonly options: JobsOptions;
  private readonly lease: number;
  private readonly workers = new Map<string, AnyWorker>();
  private readonly running = new Map<string, Running>();
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private again = false;
  private closed = false;
  private swept = 0;

  constructor(options: JobsOptions) {
    this.options = options;
    this.lease = options.lease ?? LEASE;
  }

  private get rows(): Store['rows'] {
    return this.options.store.rows;
  }

  register<I, S, R>(worker: JobWorker<I, S, R>): void {
    this.workers.set(worker.kind, worker as unknown as AnyWorker);
  }

  /** Begins to look for work: also for what others left. */
  start(): void {
    if (this.timer !== undefined || this.closed) return;
    this.timer = setInterval(() => void this.look(), this.options.look ?? LOOK);
    this.timer.unref();
    void this.look();
  }

  /**
   * Accepts a job: when this returns, it will end. @param given.key the same key and input is the same job
   * @throws InkstoneError `idempotency_conflict` where the key was used for another input
   */
  async create<I>(given: {
    kind: string;
    input: I;
    id?: string;
    key?: string;
    /** What must be the same where the key is; default: the input. */
    same?: unknown;
  }): Promise<Job<I>> {
    const { kind, input, key, same = input } = given;
    let id = given.id ?? `job-${now().toString(36)}-${randomUUID().slice(0, 12)}`;
    if (key !== undefined) {
      const mark = createHash('sha256')
        .update(JSON.stringify([kind, same]))
        .digest('hex');
      // A key may be longer than a row's id.
      const name = createHash('sha256').update(key).digest('hex');
      const fresh: KeyRow = { id: name, job: id, mark, at: now() };
      const kept = await this.rows.update<KeyRow>(KEYS, name, (row) =>
        row === undefined ? fresh : undefined,
      );
      if (kept !== undefined && kept.mark !== mark)
        throw new InkstoneError('idempotency_conflict', 'this idempotency key was used for another request', {
          kind: 'conflict',
          hint: 'use a new key for a new request',
        });
      id = kept?.job ?? id;
    }
    const job: Job<I> = {
      ...{ id, kind, input, state: 'queued', created: now(), progress: 0, fence: 0, failures: 0 },
      ...(key === undefined ? {} : { key }),
    };
    const ended = key === undefined ? undefined : await this.rows.get<Job<I>>(ENDED, id);
    if (ended !== undefined) return ended;
    const made = await this.rows.update<Job<I>>(OPEN, id, (row) => (row === undefined ? job : undefined));
    void this.look();
    return made ?? job;
  }

  /** @throws InkstoneError `job_missing` */
  async get(id: string): Promise<Job> {
    // Ended jobs are put there before they leave the open ones: looked at in this order none is missed.
    const job = (await this.rows.get<Job>(OPEN, id)) ?? (await this.rows.get<Job>(ENDED, id));
    if (job !== undefined) return job;
    throw new InkstoneError('job_missing', `there is no job ${id}`, { kind: 'missing' });
  }

  /** The newest first. */
  async list(kind: string): Promise<Job[]> {
    const all = new Map<string, Job>();
    for (const collection of [OPEN, ENDED])
      for (const job of await this.rows.list<Job>(collection)) if (job.kind === kind) all.set(job.id, job);
    return [...all.values()].sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));
  }

  /** Asks for a job's end; one that nobody works on ends at once. One that has ended stays as it is. */
  async cancel(id: string): Promise<Job> {
    const job = await this.rows.update<Job>(OPEN, id, (row) =>
      row === undefined || row.cancelling === true ? undefined : { ...row, cancelling: true },
    );
    if (job === undefined) return this.get(id);
    const mine = this.running.get(id);
    if (mine === undefined) await this.look();
    else mine.stop.abort(CANCEL);
    return this.get(id);
  }

  /** Looks for work now; of several calls at once one looks, and once more. */
  look(): Promise<void> {
    if (this.closed) return Promise.resolve();
    if (this.looking !== undefined) {
      this.again = true;
      return this.looking;
    }
    this.looking = this.lookOnce()
      // A store that is away for a moment is looked at again.
      .catch((thrown: unknown) => this.options.log?.('jobs cannot be read', { error: String(thrown) }))
      .finally(() => {
        this.looking = undefined;
        if (!this.again) return;
        this.again = false;
        void this.look();
      });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    if (Math.abs(now() - this.swept) > SWEEP) await this.sweep();
    const open = (await this.rows.list<Job>(OPEN)).sort((a, b) => a.created - b.created);
    for (const job of open) {
      if (this.closed) return;
      if (isEnded(job)) await this.put(job);
      else if (this.mayTake(job)) await this.take(job);
      else if (job.cancelling === true) this.running.get(job.id)?.stop.abort(CANCEL);
    }
  }

  /** Keys whose time is over, and jobs that ended long ago. */
  private async sweep(): Promise<void> {
    this.swept = now();
    for (const { id, at } of await this.rows.list<KeyRow>(KEYS))
      if (now() - at > KEYS_KEPT) await this.rows.remove(KEYS, id);
    for (const { id, ended } of await this.rows.list<Job>(ENDED))
      if (ended !== undefined && now() - ended > JOBS_KEPT) await this.rows.remove(ENDED, id);
  }

  private mayTake(job: Job): boolean {
    const worker = this.workers.get(job.kind);
    if (worker === undefined || this.running.has(job.id)) return false;
    const busy = [...this.running.values()].filter((one) => one.job.kind === job.kind).length;
    if (busy >= (worker.concurrency ?? 1)) return false;
    return free(job);
  }

  private async take(job: Job): Promise<void> {
    // Asked for twice in the very moment in which it ended: it has ended.
    if (job.key !== undefined && job.fence === 0 && (await this.rows.get(ENDED, job.id)) !== undefined)
      return void (await this.rows.remove(OPEN, job.id));
    const taken = await this.rows.update<Job>(OPEN, job.id, (row) => {
      if (row === undefined || isEnded(row) || !free(row)) return undefined;
      return {
        ...row,
        state: 'running',
        started: row.started ?? now(),
        fence: row.fence + 1,
        holder: this.holder,
        leaseUntil: now() + this.lease,
      };
    });
    if (taken?.holder !== this.holder || this.running.has(job.id) || taken.state !== 'running') return;
    const stop = new AbortController();
    if (taken.cancelling === true) stop.abort(CANCEL);
    const running: Running = { job: taken, stop, done: Promise.resolve() };
    this.running.set(job.id, running);
    running.done = this.work(running).finally(() => {
      this.running.delete(job.id);
      void this.look();
    });
  }

  private async work(running: Running): Promise<void> {
    const { job, stop } = running;
    const worker = this.workers.get(job.kind) as AnyWorker;
    const renewing = setInterval(
      () => {
        void this.change(job, (row) => ({ ...row, leaseUntil: now() + this.lease }))
          .then((row) => {
            if (row === undefined) stop.abort(LOST);
            else if (row.cancelling === true) stop.abort(CANCEL);
          })
          // The store is away: the lease may run out, and the fence keeps what is written later from counting.
          .catch(() => undefined);
      },
      Math.min(RENEW, this.lease / 3),
    );
    const cancelling = (): boolean => stop.signal.reason === CANCEL;
    const work: JobWork<unknown, unknown> = {
      ...{ id: job.id, input: job.input, step: job.step, signal: stop.signal },
      cancelled: cancelling,
      save: async (step, progress) => {
        const row = await this.change(job, (now_) => ({ ...now_, step, progress }));
        if (row === undefined) throw leaseLost(job.id);
        if (row.cancelling === true) stop.abort(CANCEL);
      },
    };
    try {
      const result = await worker.run(work);
      const cancelled = cancelling();
      // Cut short by the end of this process, or by somebody who has the job now: this is no result.
      if (stop.signal.aborted && !cancelled) throw leaseLost(job.id);
      await this.end(job, {
        state: cancelled ? 'cancelled' : 'succeeded',
        result,
        ...(cancelled ? {} : { progress: 1 }),
      });
    } catch (thrown) {
      await this.failed(job, worker, InkstoneError.from(thrown), cancelling()).catch((error: unknown) =>
        this.options.log?.('a job could not be put down', { job: job.id, error: String(error) }),
      );
    } finally {
      clearInterval(renewing);
    }
  }

  private async failed(
    job: Job,
    worker: AnyWorker,
    error: InkstoneError,
    cancelling: boolean,
  ): Promise<void> {
    if (this.closed) {
      // This process ends: the next one goes on at once.
      await this.change(job, ({ holder: _, leaseUntil: __, ...row }) => ({ ...row, state: 'queued' }));
      return;
    }
    if (error.code === 'lease_lost') return;
    if (cancelling) return void (await this.end(job, { state: 'cancelled' }));
    const passes = ['resource', 'limit', 'internal'].includes(error.kind);
    if (passes && job.failures < (worker.retries ?? RETRIES)) {
      await this.change(job, ({ holder: _, leaseUntil: __, ...row }) => ({
        ...row,
        state: 'queued',
        failures: row.failures + 1,
        notBefore: now() + BACKOFF * 2 ** row.failures,
        error: plain(error),
      }));
      return;
    }
    await this.end(job, { state: 'failed', error: plain(error) });
  }

  /** Changes a job that is still ours; undefined where it is not. */
  private async change(job: Job, next: (row: Job) => Job): Promise<Job | undefined> {
    const row = await this.rows.update<Job>(OPEN, job.id, (there) =>
      there === undefined || there.fence !== job.fence || isEnded(there) ? undefined : next(there),
    );
    return row?.fence === job.fence && !isEnded(row) ? row : undefined;
  }

  private async end(job: Job, end: Partial<Job>): Promise<void> {
    // The end is one atomic change: of two who both think that they hold the job, one writes it.
    const ended = await this.rows.update<Job>(OPEN, job.id, (there) => {
      if (there === undefined || there.fence !== job.fence || isEnded(there)) return undefined;
      const { holder: _, leaseUntil: __, error: ___, cancelling: ____, ...row } = there;
      return { ...row, ...end, ended: now() };
    });
    if (ended !== undefined && isEnded(ended)) await this.put(ended);
  }

  /** To the ended ones; repeated by the next who looks, if this process is killed in between. */
  private async put(job: Job): Promise<void> {
    await this.rows.put(ENDED, job);
    await this.options.ended?.(job);
    await this.rows.remove(OPEN, job.id);
  }

  /** Stops work in order; it goes on with the next process. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await this.looking;
    for (const { stop } of this.running.values()) stop.abort(CLOSED);
    await Promise.all([...this.running.values()].map(({ done }) => done));
  }
}

interface KeyRow extends Row {
  /** Milliseconds since 1970. */
  at: number;
  job: string;
  mark: string;
}

const isEnded = (job: Job): boolean => job.ended !== undefined;

/**
 * Nobody holds it, or not any more. A lease that ends far in the future comes from a clock that was set back since: it
 * counts as run out.
 */
function free(job: Job): boolean {
  const at = now();
  if (
    job.notBefore !== undefined &&
    job.notBefore > at &&
    job.notBefore - at < 120_000 &&
    job.cancelling !== true
  )
    return false;
  return job.leaseUntil === undefined || job.leaseUntil <= at || job.leaseUntil - at > 4 * LEASE;
}

const leaseLost = (id: string): InkstoneError =>
  new InkstoneError('lease_lost', `the job ${id} was taken up by another process`, { kind: 'conflict' });

const plain = ({ code, message, hint }: InkstoneError): JobError => ({
  code,
  message,
  ...(hint === undefined ? {} : { hint }),
});
