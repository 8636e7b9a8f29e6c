/** Durable jobs: ends, retries, cancelling, leases that run out, fences, keys. Processes are killed in test/chaos. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Job, JobWork } from '../../base/contracts/jobs.ts';
import type { Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { gate } from '../../base/testing.ts';
import { openFileStore } from '../../store/index.ts';
import { Jobs } from './jobs.ts';

let folder: string;
let store: Store;
let open: Jobs[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-jobs-'));
  store = await openFileStore(folder);
});
afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(open.map((jobs) => jobs.close()));
  open = [];
  await rm(folder, { recursive: true, force: true });
});

type Work = JobWork<number, number>;

/** A lease that runs out soon: only where that is the point, since on a busy machine it runs out by chance. */
const SHORT = 300;

/** One process among those on the store. */
function process(run: (work: Work) => Promise<unknown>, over = store, concurrency = 1, lease = 10_000): Jobs {
  const jobs = new Jobs({ store: over, lease, look: 50 });
  jobs.register<number, number, unknown>({ kind: 'count', concurrency, retries: 3, run });
  open.push(jobs);
  jobs.start();
  return jobs;
}

async function end(jobs: Jobs, id: string): Promise<Job> {
  for (;;) {
    const job = await jobs.get(id);
    if (job.ended !== undefined) return job;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const wait = (work: Pick<Work, 'signal'>): Promise<void> =>
  new Promise((resolve) => {
    if (work.signal.aborted) resolve();
    work.signal.addEventListener('abort', () => resolve());
  });

/** The same store, behind a line that can be cut. */
function behindLine(): { store: Store; cut(): void } {
  let cut = false;
  const update: Store['rows']['update'] = (...given) => {
    if (cut) return Promise.reject(new InkstoneError('database_unreachable', 'cut', { kind: 'resource' }));
    return store.rows.update(...given);
  };
  const rows = new Proxy(store.rows, {
    get: (target, name) => (name === 'update' ? update : Reflect.get(target, name).bind(target)),
  });
  return {
    store: { ...store, rows },
    cut: () => {
      cut = true;
    },
  };
}

describe('a job', () => {
  it('is done once by one of many, and tells its result', async () => {
    const done: number[] = [];
    const run = async (work: Work): Promise<number> => {
      await work.save(1, 0.5);
      done.push(work.input);
      return work.input * 2;
    };
    const all = [process(run), process(run), process(run)];
    const ids = await Promise.all(
      Array.from(
        { length: 12 },
        async (_, i) => (await (all[i % 3] as Jobs).create({ kind: 'count', input: i })).id,
      ),
    );
    const jobs = await Promise.all(ids.map((id) => end(all[0] as Jobs, id)));
    expect(jobs.map(({ result }) => result)).toEqual(ids.map((_, i) => i * 2));
    expect(done.sort((a, b) => a - b)).toEqual(ids.map((_, i) => i));
    expect(jobs[0]).toMatchObject({ state: 'succeeded', progress: 1, step: 1, fence: 1 });
    await expect.poll(() => store.rows.count('jobs-open')).toBe(0);
    expect((await (all[0] as Jobs).list('count')).map(({ id }) => id).sort()).toEqual([...ids].sort());
  });

  it('is tried again after what may pass, from its last step, and no more often than that', async () => {
    const steps: (number | undefined)[] = [];
    const jobs = process(async (work) => {
      steps.push(work.step);
      await work.save((work.step ?? 0) + 1, 0.1);
      if (work.input === 0 || (work.step ?? 0) < 1)
        throw new InkstoneError('disk_full', 'full', { kind: 'resource', hint: 'free some' });
      return 'done';
    });
    const { id } = await jobs.create({ kind: 'count', input: 1 });
    expect(await end(jobs, id)).toMatchObject({ state: 'succeeded', result: 'done', failures: 1 });
    expect(steps).toEqual([undefined, 1]);
    const other = await jobs.create({ kind: 'count', input: 0 });
    expect(await end(jobs, other.id)).toMatchObject({
      state: 'failed',
      failures: 3,
      error: { code: 'disk_full', message: 'full', hint: 'free some' },
    });
  });

  it('fails at once where trying again cannot help', async () => {
    let tries = 0;
    const jobs = process(async () => {
      tries++;
      throw new InkstoneError('data_bad', 'no', { kind: 'data' });
    });
    const { id } = await jobs.create({ kind: 'count', input: 1 });
    expect(await end(jobs, id)).toMatchObject({ state: 'failed', error: { code: 'data_bad' } });
    expect(tries).toBe(1);
  });

  it('ends when it is told to: waiting, running here, running elsewhere', async () => {
    const run = async (work: Work): Promise<string> => {
      await wait(work);
      return work.cancelled() ? 'tidied' : 'not asked';
    };
    const [here, elsewhere] = [process(run), new Jobs({ store })];
    open.push(elsewhere);
    const first = await here.create({ kind: 'count', input: 1 });
    const second = await here.create({ kind: 'count', input: 2 });
    while ((await here.get(first.id)).state !== 'running') await new Promise((r) => setTimeout(r, 5));
    await elsewhere.cancel(second.id);
    await elsewhere.cancel(first.id);
    expect(await end(here, first.id)).toMatchObject({ state: 'cancelled', result: 'tidied' });
    expect(await end(here, second.id)).toMatchObject({ state: 'cancelled' });
    expect((await here.cancel(first.id)).state).toBe('cancelled');
    await expect(here.cancel('nobody')).rejects.toMatchObject({ code: 'job_missing' });
  });

  it('goes on with another when its process is cut off, and what the first says then no longer counts', async () => {
    const line = behindLine();
    const { passed: blocked, open: release } = gate();
    const first = process(
      async (work) => {
        await work.save(7, 0.7);
        line.cut();
        // Hangs, hears nothing, and says in the end that it is done.
        await blocked;
        return 'of the first';
      },
      line.store,
      1,
      SHORT,
    );
    const { id } = await first.create({ kind: 'count', input: 1 });
    while ((await first.get(id)).step !== 7) await new Promise((resolve) => setTimeout(resolve, 5));
    const second = process(async (work) => `of the second, from ${work.step}`);
    expect(await end(second, id)).toMatchObject({
      result: 'of the second, from 7',
      fence: 2,
      state: 'succeeded',
    });
    release();
    await first.close();
    expect(await second.get(id)).toMatchObject({ result: 'of the second, from 7' });
  });

  it('is given back at once by a process that ends in order', async () => {
    const first = process(async (work) => {
      await work.save(3, 0.3);
      await wait(work);
      return 'cut';
    });
    const { id } = await first.create({ kind: 'count', input: 1 });
    while ((await first.get(id)).step !== 3) await new Promise((resolve) => setTimeout(resolve, 5));
    await first.close();
    expect(await first.get(id)).toMatchObject({ state: 'queued', failures: 0 });
    expect((await first.get(id)).leaseUntil).toBeUndefined();
    const second = process(async (work) => work.step);
    expect(await end(second, id)).toMatchObject({ result: 3 });
  });

  it('ends once although the clock jumps a day, there and back', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    let runs = 0;
    const results: string[] = [];
    const run = async (work: Work): Promise<string> => {
      const mine = `run ${++runs}`;
      for (let i = (work.step ?? 0) + 1; i <= 10; i++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        await work.save(i, i / 10);
      }
      results.push(mine);
      return mine;
    };
    const [one, two] = [process(run, store, 1, SHORT), process(run, store, 1, SHORT)];
    const { id } = await one.create({ kind: 'count', input: 1 });
    for (const days of [1, -2, 1]) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      vi.setSystemTime(Date.now() + days * 86_400_000);
    }
    const job = await end(two, id);
    expect(job).toMatchObject({ state: 'succeeded', step: 10 });
    // Whoever lost it may have run on, but one alone has the last word.
    expect(results).toContain(job.result);
    expect(job.fence).toBe(runs);
  });

  it('of a clock that was set back is not held for ever', async () => {
    const far = { id: 'far', kind: 'count', input: 1, state: 'running', created: 1, progress: 0, fence: 4 };
    await store.rows.put('jobs-open', {
      ...far,
      failures: 0,
      holder: 'gone',
      leaseUntil: Date.now() + 86_400_000,
    });
    expect(
      await end(
        process(async () => 'back'),
        'far',
      ),
    ).toMatchObject({ result: 'back', fence: 5 });
  });
});

describe('a job that rests', () => {
  const stay = async (work: Work): Promise<string> => {
    await work.save((work.step ?? 0) + 1, 0.5);
    if ((work.step ?? 0) === 0) await wait(work);
    if (work.signal.aborted) throw new InkstoneError('interrupted', 'told to stop', { kind: 'conflict' });
    return `from ${work.step}`;
  };
  const is = async (jobs: Jobs, id: string, state: string): Promise<void> => {
    await expect.poll(async () => (await jobs.get(id)).state).toBe(state);
  };

  it('is put down, lets others by, and goes on from its step', async () => {
    const jobs = process(stay);
    const { id } = await jobs.create({ kind: 'count', input: 1 });
    await expect.poll(async () => (await jobs.get(id)).step).toBe(1);
    await jobs.pause(id);
    await is(jobs, id, 'queued');
    const other = await jobs.create({ kind: 'count', input: 2 });
    await expect.poll(async () => (await jobs.get(other.id)).step).toBe(1);
    expect(await jobs.get(id)).toMatchObject({ state: 'queued', paused: true, failures: 0 });
    await jobs.cancel(other.id);
    expect(await end(jobs, other.id)).toMatchObject({ state: 'cancelled' });
    await jobs.resume(id);
    expect(await end(jobs, id)).toMatchObject({ state: 'succeeded', result: 'from 1' });
    expect(await jobs.get(id)).not.toHaveProperty('paused');
  });

  it('is put down where another process works on it, and can be cancelled', async () => {
    const [here, elsewhere] = [process(stay), new Jobs({ store })];
    open.push(elsewhere);
    const { id } = await here.create({ kind: 'count', input: 1 });
    await expect.poll(async () => (await here.get(id)).step).toBe(1);
    await elsewhere.pause(id);
    await is(here, id, 'queued');
    await here.cancel(id);
    expect(await end(here, id)).toMatchObject({ state: 'cancelled' });
    await expect(here.pause('nobody')).rejects.toMatchObject({ code: 'job_missing' });
    await expect(here.resume('nobody')).rejects.toMatchObject({ code: 'job_missing' });
  });
});

describe('a job that has ended', () => {
  it('goes on when it is resumed, unless it has succeeded; whoever is late takes nothing back', async () => {
    const jobs = process(async (work) => {
      await work.save((work.step ?? 0) + 1, 0.5);
      if ((work.step ?? 0) === 0) throw new InkstoneError('data_bad', 'no', { kind: 'data' });
      return `from ${work.step}`;
    });
    const { id } = await jobs.create({ kind: 'count', input: 1, key: 'k' });
    const failed = await end(jobs, id);
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'data_bad' } });
    await jobs.resume(id);
    const done = await end(jobs, id);
    expect(done).toMatchObject({ state: 'succeeded', result: 'from 1', failures: 0 });
    expect(done).not.toHaveProperty('error');
    expect(done.fence).toBeGreaterThan(failed.fence);
    await expect.poll(() => store.rows.count('jobs-open')).toBe(0);
    // A process that slept since the first end, and puts that away now.
    await store.rows.put('jobs-open', { ...failed, fence: 0 });
    await jobs.look();
    await expect.poll(() => store.rows.count('jobs-open')).toBe(0);
    expect(await jobs.get(id)).toEqual(done);
    expect(await jobs.resume(id)).toEqual(done);
    expect(await jobs.create({ kind: 'count', input: 1, key: 'k' })).toEqual(done);
    expect(await jobs.list('count')).toEqual([done]);
  });
});

describe('a job that is sealed', () => {
  it('ends as its worker says, whoever wants to cancel it; one that was told to stop before is not', async () => {
    const { passed: held, open: go } = gate();
    const seals: boolean[] = [];
    const jobs = process(async (work) => {
      if (work.input === 2) await wait(work);
      seals.push(await work.seal());
      if (work.input === 1) await held;
      if (!seals.at(-1)) throw new InkstoneError('interrupted', 'no', { kind: 'conflict' });
      return 'made';
    });
    const { id } = await jobs.create({ kind: 'count', input: 1 });
    await expect.poll(() => seals).toEqual([true]);
    await jobs.cancel(id);
    await jobs.pause(id);
    go();
    expect(await end(jobs, id)).toMatchObject({ state: 'succeeded', result: 'made' });
    const other = await jobs.create({ kind: 'count', input: 2 });
    await expect.poll(async () => (await jobs.get(other.id)).state).toBe('running');
    await jobs.cancel(other.id);
    expect(await end(jobs, other.id)).toMatchObject({ state: 'cancelled' });
    expect(seals).toEqual([true, false]);
  });
});

describe('a job that this process cannot do', () => {
  it('waits for one that can, and ends where it is cancelled', async () => {
    const jobs = new Jobs({ store, lease: 300, look: 50 });
    const done: number[] = [];
    jobs.register<number, number, number>({
      kind: 'count',
      takes: (input) => input < 5,
      run: async ({ input }) => done.push(input),
    });
    open.push(jobs);
    jobs.start();
    const far = await jobs.create({ kind: 'count', input: 7 });
    const near = await jobs.create({ kind: 'count', input: 3 });
    await end(jobs, near.id);
    expect(await jobs.get(far.id)).toMatchObject({ state: 'queued', fence: 0 });
    await jobs.cancel(far.id);
    expect(await end(jobs, far.id)).toMatchObject({ state: 'cancelled' });
    expect(done).toEqual([3]);
  });
});

it('failures are counted from where a job last got further', async () => {
  let tries = 0;
  const jobs = process(async (work) => {
    tries++;
    // Further at each of the first two tries, then no more.
    await work.save(tries, Math.min(tries, 2) / 10);
    throw new InkstoneError('disk_full', 'full', { kind: 'resource' });
  });
  const { id } = await jobs.create({ kind: 'count', input: 1 });
  expect(await end(jobs, id)).toMatchObject({ state: 'failed', failures: 3, failedAt: 0.2 });
  expect(tries).toBe(5);
});

describe('a key', () => {
  it('makes one job of many requests, also after it has ended', async () => {
    let runs = 0;
    const jobs = process(async () => ++runs);
    const made = await Promise.all(
      Array.from({ length: 5 }, () => jobs.create({ kind: 'count', input: 1, key: 'once' })),
    );
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    const [{ id = '' } = {}] = made;
    await end(jobs, id);
    expect(await jobs.create({ kind: 'count', input: 1, key: 'once' })).toMatchObject({
      id,
      state: 'succeeded',
    });
    expect(runs).toBe(1);
  });

  it('is forgotten after its time, and so are jobs that ended long ago', async () => {
    await store.rows.put('job-keys', { id: 'old', at: Date.now() - 3 * 86_400_000, job: 'x', mark: 'm' });
    await store.rows.put('jobs', { id: 'x', kind: 'count', ended: Date.now() - 91 * 86_400_000 });
    const jobs = process(async () => 1);
    const { id } = await jobs.create({ kind: 'count', input: 1, key: 'k' });
    await end(jobs, id);
    expect(await store.rows.count('job-keys')).toBe(1);
    // It has ended once its row says so; a moment later the row lies among those that ended.
    await expect
      .poll(async () => (await store.rows.list('jobs')).map((job) => job.id), { timeout: 10_000 })
      .toEqual([id]);
  });

  it('for something else is refused', async () => {
    const jobs = process(async () => 1);
    await jobs.create({ kind: 'count', input: 1, key: 'k' });
    await expect(jobs.create({ kind: 'count', input: 2, key: 'k' })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
  });
});
