/** Backups while others write, cut short, damaged; restored into other places. On real PostgreSQL where there is one. */
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { noPostgres, TestPostgres } from '../../test/services/postgres.ts';
import type { Row, Store } from '../base/contracts/store.ts';
import {
  backUp,
  backupsIn,
  check,
  keepPlace,
  lastBackup,
  openFileStore,
  openStore,
  restoreStore,
} from './index.ts';

let folder: string;
let store: Store;
const at = (...names: string[]): string => path.join(folder, ...names);
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-backup-'));
  store = await openFileStore(at('home', 'store'));
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

async function fill(count = 10): Promise<string[]> {
  const hashes: string[] = [];
  for (let i = 0; i < count; i++) {
    const { hash } = await store.objects.put(Buffer.from(`object ${i}`));
    hashes.push(hash);
    await store.rows.put('files', { id: `file-${i}`, object: hash, name: '墨.txt' });
  }
  await store.rows.put('notes', { id: 'a/🖋', text: 'x\0y\n' });
  return hashes;
}

async function everything({ rows, objects }: Store): Promise<unknown> {
  const found: Record<string, Row[]> = {};
  for (const name of await rows.collections()) if (name !== 'backups') found[name] = await rows.list(name);
  const hashes: string[] = [];
  for await (const { hash } of objects.list()) hashes.push(hash);
  return { found, hashes };
}

/** What is in a home now. */
async function contents(home: string): Promise<unknown> {
  const opened = await openStore(home);
  expect((await check(opened)).problems).toEqual([]);
  const all = await everything(opened);
  await opened.close();
  return all;
}

describe('a backup', () => {
  it('brings everything back, and notes when it was made', async () => {
    await fill();
    expect(await lastBackup(store)).toBeUndefined();
    const before = Date.now();
    const made = await backUp(store, { to: at('backup') });
    expect(made).toMatchObject({ rows: 11, objects: 10, copied: 10, removed: 0, bytes: 80 });
    expect(await lastBackup(store)).toBeGreaterThanOrEqual(before / 1000);
    const restored = await restoreStore(at('other'), { from: at('backup') });
    expect(restored).toMatchObject({ stamp: made.stamp, written: { rows: 11, objects: 10 } });
    expect(await contents(at('other'))).toEqual(await everything(store));
  });

  it('copies only what is new, keeps so many, and their objects', async () => {
    const [first = ''] = await fill(4);
    const to = at('backup');
    await backUp(store, { to });
    await store.rows.remove('files', 'file-0');
    await store.objects.remove(first);
    const { hash } = await store.objects.put(Buffer.from('new'));
    await store.rows.put('files', { id: 'file-9', object: hash });
    expect(await backUp(store, { to, keep: 2 })).toMatchObject({ copied: 1, removed: 0, objects: 4 });
    const [newest, oldest] = await backupsIn(to);
    await restoreStore(at('old'), { from: to, at: oldest?.stamp });
    const old = await openStore(at('old'));
    expect([await old.objects.has(first), await old.objects.has(hash)]).toEqual([true, false]);
    await old.close();
    expect(await backUp(store, { to, keep: 2 })).toMatchObject({ copied: 0, removed: 1 });
    expect((await backupsIn(to)).map(({ stamp }) => stamp)).toContain(newest?.stamp);
    const kept = await openFileStore(to);
    expect([await kept.objects.has(first), await kept.objects.has(hash)]).toEqual([false, true]);
    await kept.close();
  });

  it('that was cut short is none, and the next one goes on with what it has copied', async () => {
    await fill();
    const to = at('backup');
    const cut = backUp(store, {
      to,
      progress: (objects) => {
        if (objects === 6) throw new Error('cut');
      },
    });
    await expect(cut).rejects.toThrow('cut');
    expect([await backupsIn(to), await lastBackup(store)]).toEqual([[], undefined]);
    expect(await backUp(store, { to })).toMatchObject({ objects: 10, copied: 4 });
  });

  it('never misses a row that moves from one collection to another, nor tears one', async () => {
    await fill(2);
    const jobs = Array.from({ length: 40 }, (_, i) => ({ id: `job-${i}`, text: String(i).repeat(2000) }));
    for (const job of jobs) await store.rows.put('b-open', job);
    // As jobs end: first written where it ends, then taken away where it was open. Collections are read in order of name.
    const writer = (async () => {
      for (const job of jobs) {
        await store.rows.put('a-ended', { ...job, ended: true });
        await store.rows.remove('b-open', job.id);
      }
    })();
    await backUp(store, { to: at('backup') });
    await writer;
    await restoreStore(at('other'), { from: at('backup') });
    const other = await openStore(at('other'));
    const found = [...(await other.rows.list('a-ended')), ...(await other.rows.list('b-open'))];
    await other.close();
    expect(new Set(found.map(({ id }) => id)).size).toBe(40);
    for (const { id, text } of found) expect(text).toBe(id.slice(4).repeat(2000));
  });

  it('is not made of a store whose rows come and go all the time', async () => {
    let readings = 0;
    // One more row at each reading, however slow the disk is.
    const rows = new Proxy(store.rows, {
      get: (target, name) =>
        name === 'collections'
          ? async () => {
              await target.put('notes', { id: `${readings++}` });
              return await target.collections();
            }
          : (...given: unknown[]) => Reflect.apply(Reflect.get(target, name), target, given),
    });
    await expect(backUp({ ...store, rows }, { to: at('backup') })).rejects.toMatchObject({
      code: 'store_busy',
    });
    expect(readings).toBeGreaterThan(2);
    expect(await backupsIn(at('backup'))).toEqual([]);
  });

  it('is not made while another one is, and not of a damaged store', async () => {
    const [hash = ''] = await fill(2);
    const both = await Promise.allSettled([backUp(store, { to: at('b') }), backUp(store, { to: at('b') })]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await writeFile(at('home', 'store', 'objects', hash.slice(0, 2), hash), 'other');
    await expect(backUp(store, { to: at('c') })).rejects.toMatchObject({ code: 'object_corrupt' });
    expect(await backupsIn(at('c'))).toEqual([]);
  });
});

describe('a restoration', () => {
  const make = async (): Promise<string> => {
    await fill();
    await backUp(store, { to: at('backup') });
    return at('backup');
  };

  it('wants a backup, an empty place, or force', async () => {
    const from = await make();
    await expect(restoreStore(at('x'), { from: at('nowhere') })).rejects.toMatchObject({
      code: 'backup_missing',
    });
    await expect(restoreStore(at('x'), { from, at: '20200101T000000Z' })).rejects.toMatchObject({
      code: 'backup_missing',
    });
    const whole = await everything(store);
    await store.rows.put('notes', { id: 'later', text: 'x' });
    await store.rows.put('notes', { id: 'a/🖋', text: 'changed' });
    await expect(restoreStore(at('home'), { from })).rejects.toMatchObject({ code: 'store_not_empty' });
    await restoreStore(at('home'), { from, force: true });
    expect(await contents(at('home'))).toEqual(whole);
  });

  it('refuses a list that was changed before it writes anything', async () => {
    const from = await make();
    const list = (await readdir(from)).find((name) => name.endsWith('.jsonl')) as string;
    await appendFile(path.join(from, list), '\n{"collection":"keys","row":{"id":"evil"}}\n');
    await expect(restoreStore(at('x'), { from })).rejects.toMatchObject({ code: 'backup_damaged' });
    expect(await contents(at('x'))).toEqual({ found: {}, hashes: [] });
    await writeFile(path.join(from, list.replace('jsonl', 'json')), '{"vers');
    await expect(restoreStore(at('x'), { from })).rejects.toMatchObject({ code: 'backup_damaged' });
  });

  it('stops at a damaged object, and ends once that is whole again', async () => {
    const from = await make();
    const [shelf = ''] = await readdir(path.join(from, 'objects'));
    const [hash = ''] = await readdir(path.join(from, 'objects', shelf));
    const file = path.join(from, 'objects', shelf, hash);
    const bytes = await readFile(file);
    await writeFile(file, 'other');
    await expect(restoreStore(at('x'), { from })).rejects.toMatchObject({ code: 'object_corrupt' });
    await writeFile(file, bytes);
    await restoreStore(at('x'), { from });
    expect(await contents(at('x'))).toEqual(await everything(store));
  });

  it('goes into PostgreSQL, and out of it as it is at one moment', { timeout: 120_000 }, async ({ skip }) => {
    skip(noPostgres !== undefined, noPostgres);
    const server = await TestPostgres.start();
    try {
      const from = await make();
      await mkdir(at('x', 'store'), { recursive: true });
      await keepPlace(at('x'), { database: await server.database(), objects: 'folder' });
      await restoreStore(at('x'), { from });
      const there = await openStore(at('x'));
      expect(there.kind.rows).toBe('postgresql');
      expect(await everything(there)).toEqual(await everything(store));
      await backUp(there, { to: at('again') });
      await there.close();
      await restoreStore(at('y'), { from: at('again') });
      expect(await contents(at('y'))).toEqual(await everything(store));
    } finally {
      await server.stop();
    }
  });
});
