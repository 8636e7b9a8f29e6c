/** Trainings as jobs, with real child processes of a few seconds. Servers are killed in test/chaos. */
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { getPriority, tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Store } from '../base/contracts/store.ts';
import { sendSignal } from '../base/host.ts';
import { openFileStore } from '../store/index.ts';
import { Jobs } from './jobs/jobs.ts';
import { RunMetrics } from './run-metrics.ts';
import { isFinal, type Training, Trainings } from './trainings.ts';

// Children have the lowest priority: on a busy machine a start alone takes long.
vi.setConfig({ testTimeout: 180_000 });

let home: string;
let store: Store;
let file: string;
let open: Jobs[] = [];

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-trainings-'));
  store = await openFileStore(path.join(home, 'store'));
  file = path.join(home, 'song.txt');
  await writeFile(file, 'The reeds bend and the boats come home.\n'.repeat(300));
});

afterEach(async () => {
  await Promise.all(open.map((jobs) => jobs.close()));
  open = [];
  await rm(home, { recursive: true, force: true });
});

/** What a server has: its jobs, and the trainings among them. */
function server(
  finished: string[] = [],
  place = 'here',
  more: { silent?: number } = {},
): { jobs: Jobs; trainings: Trainings } {
  const jobs = new Jobs({ store, lease: 1000, look: 50 });
  const trainings = new Trainings({
    ...{ home, place, jobs, grace: 60_000, retries: 1, ...more },
    finished: ({ name }, succeeded) => void (succeeded && finished.push(name)),
  });
  open.push(jobs);
  jobs.start();
  return { jobs, trainings };
}
const make = (finished: string[] = []): Trainings => server(finished).trainings;

async function until(
  trainings: Trainings,
  id: string,
  ready: (row: Training, steps: number) => boolean,
): Promise<Training> {
  for (;;) {
    const row = await trainings.get(id);
    const lines = await trainings.metrics(row);
    if (ready(row, lines.findLast((line) => line.type === 'train')?.step ?? 0)) return row;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const over = (row: Training): boolean => isFinal(row.state);

/** Id of the process that holds a run. */
const holder = async (row: Training): Promise<number> =>
  Number(await readFile(path.join(row.folder, 'lock'), 'utf8').catch(() => ''));

/** Sends a signal to the process that holds a run. @returns its id */
async function strike(row: Training, signal: NodeJS.Signals): Promise<number> {
  const found = await holder(row);
  expect(sendSignal(found, signal), 'a process to strike').toBe(true);
  return found;
}

/** Sends a signal to each process that comes to hold a run, until the training is over. @returns their ids */
async function strikeAll(trainings: Trainings, row: Training, signal: NodeJS.Signals): Promise<Set<number>> {
  const struck = new Set<number>();
  while (!over(await trainings.get(row.id))) {
    const found = await holder(row);
    if (!struck.has(found) && sendSignal(found, signal)) struck.add(found);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return struck;
}

/** A collector of spans. */
async function collect(): Promise<{ url: string; spans: Record<string, unknown>[]; close(): void }> {
  const spans: Record<string, unknown>[] = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    type Sent = { resourceSpans: { scopeSpans: { spans: Record<string, unknown>[] }[] }[] };
    for (const { scopeSpans } of (JSON.parse(body) as Sent).resourceSpans)
      spans.push(...scopeSpans.flatMap((scope) => scope.spans));
    response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, spans, close: () => void server.close() };
}

describe('a training', () => {
  it('runs to its end while others wait, and tells of it', async () => {
    const finished: string[] = [];
    const trainings = make(finished);
    const first = await trainings.create({ name: 'first', file, preset: 'tiny', steps: 200, seed: 1 });
    const second = await trainings.create({ name: 'second', file, preset: 'tiny', steps: 2 });
    await until(trainings, first.id, ({ state }) => state === 'running');
    expect((await trainings.get(second.id)).state).toBe('queued');
    await expect(trainings.create({ name: 'second', file, preset: 'tiny' })).rejects.toMatchObject({
      code: 'run_exists',
    });
    // Whoever waits is not kept waiting for its end.
    expect((await trainings.stop(second.id)).state).toBe('cancelled');
    expect((await trainings.get(first.id)).state).toBe('running');
    expect((await until(trainings, first.id, over)).state).toBe('succeeded');
    expect(finished).toEqual(['first']);
    const status = await trainings.status(await trainings.get(first.id));
    expect(status).toMatchObject({ progress: 1, steps: 200, metrics: { step: 200 } });
    expect(status.metrics.val_loss).toBeGreaterThan(0);
    // Done again, as by a server that was killed before it could say so, it is done at once and the same.
    expect((await trainings.resume(first.id)).state).toBe('succeeded');
  });

  it('lets everybody else go first', async () => {
    const trainings = make();
    const { id } = await trainings.create({ name: 'low', file, preset: 'tiny', steps: 100_000 });
    const row = await until(trainings, id, (_, step) => step > 0);
    expect(getPriority(await holder(row))).toBeGreaterThan(getPriority());
    await trainings.stop(id);
    await until(trainings, id, over);
  });

  it('is a span in the trace of the request that asked for it', async () => {
    const { url, spans, close } = await collect();
    vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', url);
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const trace = `00-${traceId}-00f067aa0ba902b7-01`;
    const trainings = make();
    try {
      // A process does not wait long for its last spans to be taken: on a busy machine they may be lost.
      for (let attempt = 0; attempt < 3 && spans.length === 0; attempt++) {
        const order = { name: `traced-${attempt}`, file, preset: 'tiny', steps: 2, trace };
        const { id } = await trainings.create(order);
        expect((await until(trainings, id, over)).state).toBe('succeeded');
      }
    } finally {
      vi.unstubAllEnvs();
      close();
    }
    const [span] = spans.filter(({ name }) => name === 'inkstone train text');
    expect(span).toMatchObject({ traceId, parentSpanId: '00f067aa0ba902b7' });
    const events = span?.events as { name: string }[];
    expect(events.some(({ name }) => name === 'evaluation')).toBe(true);
    expect(events.length).toBeLessThan(10);
    expect(JSON.stringify(span)).toContain('inkstone.training.validation_loss');
    expect(JSON.stringify(spans)).not.toContain('reeds');
  });

  it('says why it failed', async () => {
    await writeFile(file, 'x');
    const trainings = make();
    const { id } = await trainings.create({ name: 'short', file, preset: 'tiny', steps: 3 });
    const row = await until(trainings, id, over);
    expect(row.state).toBe('failed');
    expect(row.error?.message).not.toBe('');
    expect(row.error?.code).not.toBe('process_lost');
  });

  it('stops after its step, goes on, rests, and outlives the server', async () => {
    const { jobs, trainings } = server();
    const { id } = await trainings.create({ name: 'long', file, preset: 'tiny', steps: 100_000 });
    await until(trainings, id, (_, step) => step > 0);
    await trainings.stop(id);
    // A second press does not cut the first short.
    await trainings.stop(id);
    const row = await until(trainings, id, over);
    expect(row.state).toBe('cancelled');
    await readFile(path.join(row.folder, 'checkpoints', 'last.safetensors'));
    expect((await trainings.resume(id)).state).toMatch(/queued|running/);
    const again = await until(trainings, id, ({ state }, step) => state === 'running' && step > 2);
    await trainings.pause(id);
    await until(trainings, id, ({ state }) => state === 'queued');
    await expect.poll(() => holder(again), { timeout: 120_000 }).toBe(0);
    await trainings.resume(id);
    await until(trainings, id, ({ state }) => state === 'running');
    await jobs.close();
    expect((await trainings.get(id)).state).toBe('queued');
    expect(await holder(again)).toBe(0);
  });

  it('waits for the home folder that has its run', async () => {
    const there = server([], 'there');
    await there.jobs.close();
    const { id } = await there.trainings.create({ name: 'far', file, preset: 'tiny', steps: 2 });
    const here = make();
    const { id: own } = await here.create({ name: 'own', file, preset: 'tiny', steps: 2 });
    await until(here, own, over);
    expect((await here.get(id)).state).toBe('queued');
    // It can be given up from anywhere.
    await here.stop(id);
    expect((await until(here, id, over)).state).toBe('cancelled');
  });
});

describe('a training whose process is killed', () => {
  it('goes on from its checkpoint to its end, by itself', async () => {
    const finished: string[] = [];
    const trainings = make(finished);
    const { id } = await trainings.create({ name: 'killed', file, preset: 'tiny', steps: 400, seed: 1 });
    const row = await until(trainings, id, (_, step) => step > 0);
    await strike(row, 'SIGKILL');
    expect((await until(trainings, id, over)).state).toBe('succeeded');
    const steps = (await trainings.metrics(row))
      .filter((line) => line.type === 'train')
      .map(({ step }) => step);
    expect(steps.at(-1)).toBe(400);
    expect(new Set(steps).size).toBe(steps.length);
    expect(finished).toEqual(['killed']);
  });

  it('again and again without getting further fails in the end, and says so', async () => {
    const { jobs, trainings } = server();
    const { id } = await trainings.create({ name: 'struck', file, preset: 'tiny', steps: 100_000 });
    const row = await until(trainings, id, () => true);
    // Each is struck as soon as it holds the run, before its first step.
    const struck = await strikeAll(trainings, row, 'SIGKILL');
    expect(await trainings.get(id)).toMatchObject({ state: 'failed', error: { code: 'process_lost' } });
    expect(await jobs.get(id)).toMatchObject({ failures: 1 });
    // Two tries, and one more for each that was quicker than its signal.
    expect(struck.size).toBeGreaterThan(1);
    expect(struck.size).toBeLessThan(5);
    // Resumed it has all its tries again.
    await trainings.resume(id);
    await until(trainings, id, (_, step) => step > 0);
    await trainings.stop(id);
    expect((await until(trainings, id, over)).state).toBe('cancelled');
  });

  it('is killed when it hangs, and goes on', async () => {
    const { trainings } = server([], 'here', { silent: 20_000 });
    const { id } = await trainings.create({ name: 'hung', file, preset: 'tiny', steps: 400, seed: 1 });
    const row = await until(trainings, id, (_, step) => step > 0);
    const first = await strike(row, 'SIGSTOP');
    await expect.poll(() => holder(row), { timeout: 120_000 }).not.toBe(first);
    expect((await until(trainings, id, over)).state).toBe('succeeded');
  });

  it('again and again hung fails in the end, and says so', async () => {
    const { trainings } = server([], 'here', { silent: 10_000 });
    const { id } = await trainings.create({ name: 'stuck', file, preset: 'tiny', steps: 100_000 });
    const row = await until(trainings, id, () => true);
    const stuck = await strikeAll(trainings, row, 'SIGSTOP');
    expect(await trainings.get(id)).toMatchObject({ state: 'failed', error: { code: 'process_hung' } });
    expect(stuck.size).toBeGreaterThan(0);
  });

  it('is never in a folder that another process holds', async () => {
    const trainings = make();
    const folder = path.join(home, 'runs', 'taken');
    const { id } = await trainings.create({ name: 'taken', file, preset: 'tiny', steps: 2 });
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'lock'), String(process.ppid));
    await expect.poll(async () => (await trainings.get(id)).state).toBe('running');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await trainings.metrics(await trainings.get(id))).toEqual([]);
    await rm(path.join(folder, 'lock'));
    expect((await until(trainings, id, over)).state).toBe('succeeded');
  });
});

it('a training asked for twice under one key is one', async () => {
  const trainings = make();
  const order = { name: 'once', file, preset: 'tiny', steps: 100_000 };
  const one = await trainings.create(order, { once: { key: 'k', mark: 'm' } });
  expect((await trainings.create({ ...order, name: 'other' }, { once: { key: 'k', mark: 'm' } })).id).toBe(
    one.id,
  );
  await expect(trainings.create(order, { once: { key: 'k', mark: 'n' } })).rejects.toMatchObject({
    code: 'idempotency_conflict',
  });
});

describe('bad orders', () => {
  it.each([
    ['../up', 'name_invalid'],
    ['', 'name_invalid'],
    ['a b', 'name_invalid'],
    ['.hidden', 'name_invalid'],
  ])('the name %j is refused', async (name, code) => {
    await expect(make().create({ name, file, preset: 'tiny' })).rejects.toMatchObject({ code });
  });

  it('a file that is gone, a training that never was', async () => {
    await expect(make().create({ name: 'a', file: '/none', preset: 'tiny' })).rejects.toMatchObject({
      code: 'data_missing',
    });
    await expect(make().get('no')).rejects.toMatchObject({ code: 'training_missing' });
  });
});

describe('metrics of a run', () => {
  it('are read as they grow, without half lines, and again after they were taken back', async () => {
    const metrics = new RunMetrics();
    const at = path.join(home, 'metrics.jsonl');
    expect(await metrics.lines(home)).toEqual([]);
    await writeFile(at, '{"type":"train","step":1}\n{"type":"train",');
    expect(await metrics.lines(home)).toHaveLength(1);
    await appendFile(at, '"step":2}\n{"type":"sample","step":2,"text":"墨"}\nnot json\n');
    expect((await metrics.lines(home)).map((line) => line.step)).toEqual([1, 2, 2]);
    expect((await metrics.lines(home)).at(-1)?.text).toBe('墨');
    await writeFile(at, '{"type":"train","step":1}\n');
    expect(await metrics.lines(home)).toHaveLength(1);
    // A run that went back has written more since than it took back.
    const back = '{"type":"rollback","step":0,"from":2}';
    await writeFile(at, `${back}\n{"type":"train","step":1,"loss":3}\n`);
    expect((await metrics.lines(home)).map(({ type }) => type)).toEqual(['rollback', 'train']);
  });
});
