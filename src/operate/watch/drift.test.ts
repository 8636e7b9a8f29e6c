/** What a model's first requests were outlasts the process, and one that began anew. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Store } from '../../base/contracts/store.ts';
import { openFileStore } from '../../store/index.ts';
import { Drift } from './drift.ts';

let folder: string;
let store: Store;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-drift-'));
  store = await openFileStore(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const send = (drift: Drift, count: number, prompt: number, model = 'a/b'): void => {
  for (let i = 0; i < count; i++) drift.add(model, { prompt, completion: 20, finish: 'stop' });
};
const index = (drift: Drift): number =>
  [...drift.indices()].find(({ of }) => of === 'prompt_length')?.index ?? Number.NaN;

it('a server that starts anew holds new requests against the first ones of all', async () => {
  const first = new Drift(store.rows);
  send(first, 500, 10);
  await first.close();
  const second = new Drift(store.rows);
  send(second, 300, 1000);
  await second.close();
  expect(index(second)).toBeGreaterThan(1);
  const same = new Drift(store.rows);
  send(same, 300, 10);
  await same.close();
  expect(index(same)).toBeLessThan(0.05);
});

it('goes on with a standard that was not whole', async () => {
  const first = new Drift(store.rows);
  send(first, 230, 10);
  await first.close();
  const second = new Drift(store.rows);
  send(second, 270, 10);
  await second.close();
  send(second, 199, 1000);
  expect(index(second)).toBeNaN();
  send(second, 1, 1000);
  expect(index(second)).toBeGreaterThan(1);
});

it('of two servers at once the one that has seen more is remembered', async () => {
  const [one, two] = [new Drift(store.rows), new Drift(store.rows)];
  send(one, 400, 10);
  send(two, 100, 1000);
  await Promise.all([one.close(), two.close()]);
  expect(await store.rows.get('drift-standards', 'a/b')).toMatchObject({ requests: 400 });
});

it('forgets a model whose weights changed, in the store too', async () => {
  const first = new Drift(store.rows);
  send(first, 500, 10);
  first.forget('a/b');
  await first.close();
  expect(await store.rows.count('drift-standards')).toBe(0);
  send(first, 500, 1000);
  await first.close();
  send(first, 250, 1000);
  expect(index(first)).toBeLessThan(0.05);
});

it('works on without a store that answers', async () => {
  const broken = new Proxy(store.rows, { get: () => () => Promise.reject(new Error('away')) });
  const drift = new Drift(broken);
  send(drift, 500, 10);
  await drift.close();
  send(drift, 250, 1000);
  await drift.close();
  expect(index(drift)).toBeGreaterThan(1);
});
