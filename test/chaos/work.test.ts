/**
 * Long work that was accepted, under kill -9 of whatever is at it: the server, the work's own process, the database. It ends
 * once, as it would have without. Real processes on each store.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { sendSignal } from '../../src/base/host.ts';
import { noPostgres } from '../services/postgres.ts';
import { Site, type SiteServer } from './site.ts';
import type { StoreName } from './yard.ts';

type Fields = Record<string, unknown>;

let site: Site;
afterEach(() => site?.close());

async function open(store: StoreName): Promise<SiteServer> {
  site = await Site.open(store);
  return site.server();
}

const wait = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** As a client that asks until it is answered. */
async function call(
  server: SiteServer,
  route: string,
  body?: Fields | string,
  key?: string,
): Promise<Fields> {
  const raw = typeof body === 'string';
  for (;;) {
    const response = await fetch(`${server.address}${route}`, {
      ...(body === undefined ? {} : { method: 'POST', body: raw ? body : JSON.stringify(body) }),
      headers: {
        'content-type': raw ? 'application/octet-stream' : 'application/json',
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
    }).catch(() => undefined);
    if (response !== undefined && response.status < 500) return (await response.json()) as Fields;
    await wait(100);
  }
}

const job = (server: SiteServer, id: string): Promise<Fields> => call(server, `/api/jobs/${id}`);

/** Waits for what a job says of itself. */
async function until(server: SiteServer, id: string, ready: (job: Fields) => boolean): Promise<Fields> {
  for (;;) {
    const found = await job(server, id);
    if (ready(found)) return found;
    if (found.ended !== undefined) throw new Error(`it ended before: ${JSON.stringify(found)}`);
    await wait(30);
  }
}
const ended = (server: SiteServer, id: string): Promise<Fields> =>
  until(server, id, (one) => one.ended !== undefined);

/** Id of the process at work in a folder; 0 for none. */
const worker = async (folder: string): Promise<number> =>
  Number(await readFile(path.join(folder, 'lock'), 'utf8').catch(() => ''));

const talks = Array.from({ length: 40 }, (_, i) => ({
  messages: [
    { role: 'user', content: `Say what comes behind ${i}, and say it twice` },
    { role: 'assistant', content: `${i + 1}, and once more ${i + 1}.` },
  ],
}));

async function tune(
  server: SiteServer,
  epochs: number,
  key: string,
): Promise<{ id: string; folder: string; order: Fields }> {
  const text = talks.map((one) => JSON.stringify(one)).join('\n');
  const { id: training_file } = await call(server, '/api/files?name=talks.jsonl', text);
  const order = { model: 'bytes', training_file, seed: 5, hyperparameters: { n_epochs: epochs } };
  const { id } = await call(server, '/v1/fine_tuning/jobs', order, key);
  const { result } = await call(server, `/api/trainings/${id}`);
  return { id: id as string, folder: result as string, order };
}

const steps = async (folder: string): Promise<number[]> =>
  (await readFile(path.join(folder, 'metrics.jsonl'), 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => line.startsWith('{"type":"train"'))
    .map((line) => (JSON.parse(line) as { step: number }).step);

/** Strikes once the work has got further. */
async function strike(server: SiteServer, id: string, folder: string, blow: () => unknown): Promise<void> {
  const before = (await steps(folder)).at(-1) ?? 0;
  await until(server, id, ({ state }) => state === 'running');
  while (((await steps(folder)).at(-1) ?? 0) <= before) await wait(20);
  await blow();
}

/** `kill -9` of the process at work; it must not have ended before. */
async function killWorker(server: SiteServer, id: string, folder: string): Promise<void> {
  while (!sendSignal(await worker(folder), 'SIGKILL')) {
    await until(server, id, ({ state }) => state === 'running');
    await wait(20);
  }
}

const tuned = async (server: SiteServer): Promise<string[]> => {
  const { data } = (await call(server, '/v1/models')) as { data: { id: string }[] };
  return data.map((model) => model.id).filter((name) => name.startsWith('ft:'));
};

const weights = (folder: string): Promise<Buffer> =>
  readFile(path.join(folder, 'checkpoints', 'last.safetensors'));

const stores: [StoreName][] = [
  ['folder'],
  ['pglite'],
  ...(noPostgres === undefined ? [['postgresql'] as [StoreName]] : []),
];

// The others take minutes: INKSTONE_EVERY_STORE=1 npx vitest run test/chaos/work.test.ts
const here = process.env.INKSTONE_EVERY_STORE === undefined ? stores.slice(0, 1) : stores;

describe.each(here)('on %s', { timeout: 400_000 }, (store) => {
  it('a tuning ends once, with the bytes of one that nobody struck', async () => {
    const server = await open(store);
    const { id, folder, order } = await tune(server, 60, 'struck');
    await strike(server, id, folder, async () => {
      await server.kill();
      // Its process does not outlive it for longer than a step takes.
      await expect.poll(() => worker(folder)).toBe(0);
      await server.start();
    });
    await strike(server, id, folder, () => killWorker(server, id, folder));
    if (store !== 'folder') await strike(server, id, folder, () => site.killDatabase());
    // Asked for again, as by a client that was not answered.
    expect((await call(server, '/v1/fine_tuning/jobs', order, 'struck')).id).toBe(id);
    expect(await ended(server, id)).toMatchObject({ state: 'succeeded', progress: 1 });
    const done = await call(server, `/v1/fine_tuning/jobs/${id}`);
    expect(await tuned(server)).toEqual([done.fine_tuned_model]);
    expect(done.result_files).toHaveLength(1);
    const { data } = (await call(server, '/api/jobs?kind=training')) as { data: Fields[] };
    expect(data).toMatchObject([{ id, state: 'succeeded' }]);
    const taken = await steps(folder);
    expect(taken).toEqual([...new Set(taken)].sort((a, b) => a - b));
    const whole = await tune(server, 60, 'whole');
    await ended(server, whole.id);
    expect((await weights(folder)).equals(await weights(whole.folder))).toBe(true);
  });

  it('one that is cancelled behind a kill makes no model, one that waits gets its turn', async () => {
    const server = await open(store);
    const first = await tune(server, 1000, 'first');
    const second = await tune(server, 1, 'second');
    await strike(server, first.id, first.folder, () => server.kill());
    await server.start();
    await call(server, `/v1/fine_tuning/jobs/${first.id}/cancel`, {});
    expect(await ended(server, first.id)).toMatchObject({ state: 'cancelled' });
    expect(await ended(server, second.id)).toMatchObject({ state: 'succeeded', fence: 1 });
    expect(await tuned(server)).toHaveLength(1);
    expect(await worker(first.folder)).toBe(0);
  });

  it('a comparison of prompts ends once, each question asked once', async () => {
    const server = await open(store);
    const count = 400;
    const questions = Array.from({ length: count }, (_, i) => JSON.stringify({ q: `${i}`, answer: `${i}` }));
    const { id: file } = await call(server, '/api/files?name=q.jsonl', questions.join('\n'));
    await call(server, '/api/prompts', {
      name: 'ask',
      definition: { text: '{{q}}', variables: { q: { type: 'string' } } },
    });
    const order = { model: 'bytes', prompts: ['ask'], file, metrics: ['exact-match'], tokens: 24 };
    const { id, result: folder } = (await call(server, '/api/prompt-evaluations', order, 'key')) as {
      id: string;
      result: string;
    };
    const answered = async (): Promise<string[]> =>
      (await readFile(path.join(folder, 'results.jsonl'), 'utf8').catch(() => '')).split('\n').slice(0, -1);
    const further = async (): Promise<void> => {
      const before = (await answered()).length;
      await until(server, id, ({ state }) => state === 'running');
      while ((await answered()).length <= before) await wait(20);
    };
    await further();
    await server.kill();
    await server.start();
    await further();
    await killWorker(server, id, folder);
    expect(await ended(server, id)).toMatchObject({ state: 'succeeded' });
    const lines = (await answered()).map((line) => JSON.parse(line) as { variant: string; item: number });
    expect(lines).toHaveLength(count);
    expect(new Set(lines.map((line) => JSON.stringify([line.variant, line.item]))).size).toBe(count);
    const { comparison } = (await call(server, `/api/prompt-evaluations/${id}`)) as { comparison: Fields };
    expect(comparison).toMatchObject({ variants: [{ scores: { 'exact-match': { count } } }] });
  });
});

describe('two servers on one home', { timeout: 400_000 }, () => {
  it('a tuning whose server hangs is ended by the other; what the first says then no longer counts', async () => {
    const first = await open('pglite');
    const { id, folder } = await tune(first, 60, 'two');
    await strike(first, id, folder, () => first.signal('SIGSTOP'));
    const second = await site.server();
    expect(await ended(second, id)).toMatchObject({ state: 'succeeded', fence: 2, mine: false });
    const names = await tuned(second);
    expect(names).toHaveLength(1);
    first.signal('SIGCONT');
    expect(await ended(first, id)).toMatchObject({ state: 'succeeded', fence: 2 });
    await wait(1500);
    expect(await tuned(first)).toEqual(names);
    const taken = await steps(folder);
    expect(taken).toEqual([...new Set(taken)].sort((a, b) => a - b));
  });
});
