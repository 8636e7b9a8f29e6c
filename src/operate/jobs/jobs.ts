/**
 * Durable jobs over any store. Open jobs are one collection, looked through twice a second; ended ones another. A job is
 * taken up by writing a lease and a new fence into its row, in one atomic change; the lease is renewed while the work goes
 * on. Of a killed process the leases run out, and the next one goes on from the last step. Knows no kind of work.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Job, JobWorker } from '../../base/contracts/jobs.ts';
import type { Row, Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { now } from '../../base/host.ts';
import { type AnyWorker, isEnded, JobRun, OPEN } from './job-run.ts';

const ENDED = 'jobs';
const KEYS = 'job-keys';

/** Milliseconds that a lease lasts, and between looks for work: an orphan is back within five seconds. */
const LEASE = 3000;
const LOOK = 500;
/** Milliseconds for which a key and an ended job are remembered, and between looks for older ones. */
const KEYS_KEPT = 2 * 86_400_000;
const JOBS_KEPT = 90 * 86_400_000;
const SWEEP = 3_600_000;

export interface JobsOptions {
  store: Store;
  /** For tests: shorter ones. */
  lease?: number;
  look?: number;
  log?(message: string, details: Record<string, unknown>): void;
  /** Tidies up after a job that has ended; may be called again for the same one. */
  ended?(job: Job): Promise<void>;
}

export interface NewJob<I> {
  kind: string;
  input: I;
  id?: string;
  /** The same key and input is the same job. */
  key?: string;
  /** What must be the same where the key is; default: the input. */
  same?: unknown;
  /** Refuses, by throwing, what is asked for the first time. */
  check?(): Promise<void>;
}

export class Jobs {
  /** Who this is among all processes on the store. */
  readonly holder = randomUUID();
  private readonly options: JobsOptions;
  private readonly lease: number;
  private readonly workers = new Map<string, AnyWorker>();
  private readonly running = new Map<string, JobRun>();
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
   * Accepts a job: when this returns, it will end.
   * @throws InkstoneError `idempotency_conflict` where the key was used for another input, and what `check` throws
   */
  async create<I>(given: NewJob<I>): Promise<Job<I>> {
    const { kind, input, key, same = input } = given;
    let id = given.id ?? `job-${now().toString(36)}-${randomUUID().slice(0, 12)}`;
    // A key may be longer than a row's id.
    const name = key === undefined ? '' : createHash('sha256').update(key).digest('hex');
    const known = key === undefined ? undefined : await this.rows.get<KeyRow>(KEYS, name);
    if (known === undefined) await given.check?.();
    if (key !== undefined) {
      const mark = createHash('sha256')
        .update(JSON.stringify([kind, same]))
        .digest('hex');
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
    const there = key === undefined ? undefined : await this.read(id);
    if (there !== undefined) return there as Job<I>;
    const made = await this.rows.update<Job<I>>(OPEN, id, (row) => (row === undefined ? job : undefined));
    void this.look();
    return made ?? job;
  }

  /** Ended jobs are put there before they leave the open ones: looked at in this order none is missed. */
  private async read(id: string): Promise<Job | undefined> {
    return (await this.rows.get<Job>(OPEN, id)) ?? (await this.rows.get<Job>(ENDED, id));
  }

  /** @throws InkstoneError `job_missing` */
  async get(id: string): Promise<Job> {
    const job = await this.read(id);
    if (job !== undefined) return job;
    throw new InkstoneError('job_missing', `there is no job ${id}`, { kind: 'missing' });
  }

  /** A job of a kind; undefined where there is none under this id, or under any such. */
  async find(kind: string, id: string): Promise<Job | undefined> {
    try {
      const job = await this.read(id);
      return job?.kind === kind ? job : undefined;
    } catch (thrown) {
      if (InkstoneError.is(thrown) && thrown.code === 'row_id_invalid') return undefined;
      throw thrown;
    }
  }

  /** The newest first. */
  async list(kind: string): Promise<Job[]> {
    const all = new Map<string, Job>();
    // Of one that was let go on after its end the open one is newer.
    for (const collection of [OPEN, ENDED])
      for (const job of await this.rows.list<Job>(collection))
        if (job.kind === kind && (all.get(job.id)?.fence ?? -1) <= job.fence) all.set(job.id, job);
    return [...all.values()].sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));
  }

  /** Asks for a job's end; one that nobody works on ends at once. One that has ended stays as it is. */
  async cancel(id: string): Promise<Job> {
    await this.ask(id, 'cancelling', (row) => row.cancelling !== true);
    return this.get(id);
  }

  /** Lets a job wait, once its worker has put it down, until it is resumed. One that has ended stays as it is. */
  async pause(id: string): Promise<Job> {
    await this.ask(id, 'paused', (row) => row.paused !== true && row.cancelling !== true);
    return this.get(id);
  }

  private async ask(id: string, what: 'cancelling' | 'paused', may: (row: Job) => boolean): Promise<void> {
    const job = await this.rows.update<Job>(OPEN, id, (row) =>
      row === undefined || isEnded(row) || row.sealed === true || !may(row)
        ? undefined
        : { ...row, [what]: true },
    );
    if (job === undefined || job.sealed === true) return;
    const mine = this.running.get(id);
    if (mine === undefined) await this.look();
    else mine.stop(what === 'paused' ? 'pause' : 'cancel');
  }

  /** Goes on with a job that was paused, cancelled or failed, from its last step; others stay as they are. */
  async resume(id: string): Promise<Job> {
    const open = await this.rows.update<Job>(OPEN, id, (row) => {
      if (row === undefined || isEnded(row) || row.paused !== true) return undefined;
      const { paused: _, ...rest } = row;
      return rest;
    });
    if (open !== undefined && isEnded(open)) await this.put(open);
    const job = await this.get(id);
    if (isEnded(job) && job.state !== 'succeeded') {
      const { ended: _, error: __, result: ___, ...rest } = job;
      const again: Job = { ...rest, state: 'queued', fence: job.fence + 1, failures: 0 };
      await this.rows.update<Job>(OPEN, id, (row) => (row === undefined ? again : undefined));
    }
    void this.look();
    return this.get(id);
  }

  /** Looks for work; done when it has looked at what was there at the call. */
  look(): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.again = true;
    this.looking ??= this.lookOn();
    return this.looking;
  }

  /** Of several calls at once one looks, and once more. */
  private async lookOn(): Promise<void> {
    while (this.again && !this.closed) {
      this.again = false;
      // A store that is away for a moment is looked at again.
      await this.lookOnce().catch((thrown: unknown) =>
        this.options.log?.('jobs cannot be read', { error: String(thrown) }),
      );
    }
    this.looking = undefined;
  }

  private async lookOnce(): Promise<void> {
    if (Math.abs(now() - this.swept) > SWEEP) await this.sweep();
    const open = (await this.rows.list<Job>(OPEN)).sort((a, b) => a.created - b.created);
    for (const job of open) {
      if (this.closed) return;
      if (isEnded(job)) await this.put(job);
      else if (this.mayDrop(job)) await this.drop(job);
      else if (this.mayTake(job)) await this.take(job);
      else if (job.cancelling === true) this.running.get(job.id)?.stop('cancel');
      else if (job.paused === true) this.running.get(job.id)?.stop('pause');
    }
  }

  /** Keys whose time is over, and jobs that ended long ago. */
  private async sweep(): Promise<void> {
    this.swept = now();
    for (const { id, at } of await this.rows.list<KeyRow>(KEYS))
      if (now() - at > KEYS_KEPT) await this.rows.remove(KEYS, id);
    for (const { id, kind, ended } of await this.rows.list<Job>(ENDED)) {
      const kept = this.workers.get(kind)?.kept ?? JOBS_KEPT;
      if (ended !== undefined && now() - ended > kept) await this.rows.remove(ENDED, id);
    }
  }

  /** Nobody here can do it. */
  private isStrange(job: Job): boolean {
    const worker = this.workers.get(job.kind);
    return worker === undefined || worker.takes?.(job.input) === false;
  }

  private mayTake(job: Job): boolean {
    if (this.isStrange(job) || this.running.has(job.id)) return false;
    const busy = [...this.running.values()].filter((one) => one.job.kind === job.kind).length;
    // Whoever only tidies up takes nobody's place.
    const room = job.cancelling === true || busy < (this.workers.get(job.kind)?.concurrency ?? 1);
    return room && free(job);
  }

  /** Cancelled, held by nobody, and not begun, or nobody here could go on with it: there is nothing to tidy up. */
  private mayDrop(job: Job): boolean {
    if (job.cancelling !== true || this.running.has(job.id) || !free(job)) return false;
    return job.step === undefined || this.isStrange(job);
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
    const run = new JobRun({
      ...{ rows: this.rows, job: taken, lease: this.lease },
      worker: this.workers.get(job.kind) as AnyWorker,
      log: (message, details) => this.options.log?.(message, details),
      ended: (ended) => this.put(ended),
    });
    this.running.set(job.id, run);
    void run.done.finally(() => {
      this.running.delete(job.id);
      void this.look();
    });
  }

  /** Ends a cancelled job without a worker. */
  private async drop(job: Job): Promise<void> {
    await this.rows.update<Job>(OPEN, job.id, (row) => {
      if (row === undefined || isEnded(row) || row.cancelling !== true || !free(row)) return undefined;
      const { cancelling: _, paused: __, holder: ___, leaseUntil: ____, error: _____, ...rest } = row;
      return { ...rest, state: 'cancelled', fence: row.fence + 1, ended: now() };
    });
    this.again = true;
  }

  /** To the ended ones; repeated by the next who looks, if this process is killed in between. */
  private async put(job: Job): Promise<void> {
    // Whoever is late takes back nothing: neither a newer end nor a job that was let go on since.
    await this.rows.update<Job>(ENDED, job.id, (there) =>
      there === undefined || there.fence < job.fence ? job : undefined,
    );
    await this.options.ended?.(job);
    await this.rows.update<Job>(OPEN, job.id, (there) =>
      there?.fence === job.fence && isEnded(there) ? null : undefined,
    );
  }

  /** Stops work in order; it goes on with the next process. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await this.looking;
    for (const run of this.running.values()) run.stop('closed');
    await Promise.all([...this.running.values()].map(({ done }) => done));
  }
}

interface KeyRow extends Row {
  /** Milliseconds since 1970. */
  at: number;
  job: string;
  mark: string;
}

/**
 * Nobody holds it, or not any more. A lease that ends far in the future comes from a clock that was set back since: it
 * counts as run out.
 */
function free(job: Job): boolean {
  const at = now();
  const waits = job.notBefore !== undefined && job.notBefore > at && job.notBefore - at < 120_000;
  if ((waits || job.paused === true) && job.cancelling !== true) return false;
  return job.leaseUntil === undefined || job.leaseUntil <= at || job.leaseUntil - at > 4 * LEASE;
}
