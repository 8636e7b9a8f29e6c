/** Trainings as jobs, with real child processes of a few seconds, and rows that another server left. */
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../base/contracts/store.ts';
import { openFileStore } from '../store/index.ts';
import { RunMetrics } from './run-metrics.ts';
import { isFinal, type TrainingRow, Trainings } from './trainings.ts';

let home: string;
let store: Store;
let file: string;
let open: Trainings[] = [];

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-trainings-'));
  store = await openFileStore(path.join(home, 'store'));
  file = path.join(home, 'song.txt');
  await writeFile(file, 'The reeds bend and the boats come home.\n'.repeat(300));
});

afterEach(async () => {
  await Promise.all(open.map((trainings) => trainings.close()));
  open = [];
  await rm(home, { recursive: true, force: true });
});

function make(finished: string[] = []): Trainings {
  const trainings = new Trainings({ home, store, finished: (row) => void finished.push(row.name) });
  open.push(trainings);
  return trainings;
}

async function until(
  trainings: Trainings,
  id: string,
  ready: (row: TrainingRow, steps: number) => boolean,
): Promise<TrainingRow> {
  for (;;) {
    const row = await trainings.row(id);
    const lines = await trainings.metrics(row);
    if (ready(row, lines.findLast((line) => line.type === 'train')?.step ?? 0)) return row;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const over = (row: TrainingRow): boolean => isFinal(row.state);

async function left(row: Partial<TrainingRow>): Promise<TrainingRow> {
  const folder = path.join(home, 'runs', 'old');
  await mkdir(folder, { recursive: true });
  const whole = {
    id: 'old',
    name: 'old',
    file,
    preset: 'tiny',
    state: 'running',
    created: 1,
    folder,
    ...row,
  };
  await store.rows.put('trainings', whole as TrainingRow);
  return whole as TrainingRow;
}

describe('a training', () => {
  it('runs to its end while others wait, and tells of it', { timeout: 180_000 }, async () => {
    const finished: string[] = [];
    const trainings = make(finished);
    const first = await trainings.create({ name: 'first', file, preset: 'tiny', steps: 2, seed: 1 });
    const second = await trainings.create({ name: 'second', file, preset: 'tiny', steps: 2 });
    expect([first.state, second.state]).toEqual(['running', 'queued']);
    await expect(trainings.create({ name: 'second', file, preset: 'tiny' })).rejects.toMatchObject({
      code: 'run_exists',
    });
    expect((await trainings.stop(second.id)).state).toBe('cancelled');
    expect((await until(trainings, first.id, over)).state).toBe('succeeded');
    expect(finished).toEqual(['first']);
    const status = await trainings.status(await trainings.row(first.id));
    expect(status).toMatchObject({ progress: 1, steps: 2, metrics: { step: 2 } });
    expect(status.metrics.val_loss).toBeGreaterThan(0);
  });

  it('says why it failed', async () => {
    await writeFile(file, 'x');
    const trainings = make();
    const { id } = await trainings.create({ name: 'short', file, preset: 'tiny', steps: 3 });
    const row = await until(trainings, id, over);
    expect(row.state).toBe('failed');
    expect(row.error?.message).not.toBe('');
    expect(row.error?.code).not.toBe('training_failed');
  });

  it('stops after its step, goes on, and outlives the server', { timeout: 180_000 }, async () => {
    const trainings = make();
    const { id } = await trainings.create({ name: 'long', file, preset: 'tiny', steps: 100_000 });
    await until(trainings, id, (_, step) => step > 0);
    await trainings.stop(id);
    // A second press does not cut the first short.
    await trainings.stop(id);
    const row = await until(trainings, id, over);
    expect(row.state).toBe('cancelled');
    await readFile(path.join(row.folder, 'checkpoints', 'last.safetensors'));
    expect((await trainings.resume(id)).state).toBe('running');
    await trainings.close();
    expect((await trainings.row(id)).state).toBe('queued');
  });
});

describe('a training that is killed', () => {
  it('goes on from its checkpoint to its end, by itself', { timeout: 180_000 }, async () => {
    const trainings = make();
    const { id } = await trainings.create({ name: 'killed', file, preset: 'tiny', steps: 40, seed: 1 });
    const first = await until(trainings, id, (row, step) => row.pid !== undefined && step > 0);
    process.kill(first.pid as number, 'SIGKILL');
    const second = await until(trainings, id, (row) => over(row) || (row.pid ?? first.pid) !== first.pid);
    expect(second).toMatchObject({ lost: { times: 1 } });
    const row = await until(trainings, id, over);
    expect(row.state).toBe('succeeded');
    const steps = (await trainings.metrics(row))
      .filter((line) => line.type === 'train')
      .map(({ step }) => step);
    expect(steps.at(-1)).toBe(40);
    expect(new Set(steps).size).toBe(steps.length);
  });

  it('again and again without getting further fails in the end', async () => {
    const { folder } = await left({ pid: 2 ** 22 + 1, lost: { times: 5, step: 0 } });
    await writeFile(path.join(folder, 'config.json'), '{}');
    const trainings = make();
    await trainings.recover();
    expect(await trainings.row('old')).toMatchObject({ state: 'failed', error: { code: 'interrupted' } });
  });

  it('asked for twice under one key is one', async () => {
    const trainings = make();
    const order = { name: 'once', file, preset: 'tiny', steps: 100_000 };
    const one = await trainings.create(order, { key: 'k', mark: 'm' });
    expect((await trainings.create({ ...order, name: 'other' }, { key: 'k', mark: 'm' })).id).toBe(one.id);
    await expect(trainings.create(order, { key: 'k', mark: 'n' })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
  });
});

describe('what another server left', () => {
  it.each([
    ['succeeded', 'succeeded'],
    ['stopped', 'cancelled'],
    ['failed', 'failed'],
  ])('%s meanwhile is %s', async (said, state) => {
    const { folder } = await left({ pid: 2 ** 22 + 1 });
    await writeFile(
      path.join(folder, 'metrics.jsonl'),
      `${JSON.stringify({ type: 'state', state: said, step: 3, seconds: 1 })}\n`,
    );
    const trainings = make();
    await trainings.recover();
    expect((await trainings.row('old')).state).toBe(state);
  });

  it('lost is failed and can be resumed', async () => {
    await left({ pid: 2 ** 22 + 1 });
    const trainings = make();
    await trainings.recover();
    expect(await trainings.row('old')).toMatchObject({ state: 'failed', error: { code: 'interrupted' } });
  });

  it('still at work is watched; another process with its id is not taken for it', async () => {
    const { folder } = await left({ pid: process.ppid });
    await writeFile(path.join(folder, 'lock'), String(process.ppid));
    const trainings = make();
    await trainings.recover();
    expect((await trainings.row('old')).state).toBe('running');
    open = [];
    await writeFile(path.join(folder, 'lock'), '999999999');
    const next = make();
    await next.recover();
    expect((await next.row('old')).state).toBe('failed');
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
    await expect(make().row('no')).rejects.toMatchObject({ code: 'training_missing' });
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
  });
});
