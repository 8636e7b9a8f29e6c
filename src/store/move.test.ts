/** Moving between places, cut short and repeated; checking and collecting. On real PostgreSQL and S3 where there are. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { noPostgres, TestPostgres } from '../../test/services/postgres.ts';
import { startS3, type TestS3 } from '../../test/services/s3.ts';
import { check, collect, moveStore, openStore, placeOf } from './index.ts';

let home: string;
let s3: TestS3;
let server: TestPostgres | undefined;
beforeAll(async () => {
  s3 = await startS3();
  if (noPostgres === undefined) server = await TestPostgres.start();
});
afterAll(async () => {
  await s3.stop();
  await server?.stop();
});
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-move-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** 500 rows in two collections, 20 objects that rows name and one that none does. */
async function fill(): Promise<string[]> {
  const store = await openStore(home);
  const hashes: string[] = [];
  for (let i = 0; i < 20; i++) {
    const { hash } = await store.objects.put(Buffer.from(`object ${i}`));
    hashes.push(hash);
    await store.rows.put('files', { id: `file-${i}`, object: hash, name: '墨.txt' });
  }
  await store.objects.put(Buffer.from('nobody names it'));
  await Promise.all(
    Array.from({ length: 480 }, (_, i) =>
      store.rows.put('notes', { id: `${i}/🖋`, text: 'x\0y'.repeat(i % 7) }),
    ),
  );
  await store.close();
  return hashes;
}

describe('a move', () => {
  it('to PostgreSQL and S3 and back loses nothing, cut short and repeated', { timeout: 120_000 }, async ({
    skip,
  }) => {
    skip(server === undefined, noPostgres);
    await fill();
    const to = { database: (await server?.database()) as string, objects: `s3://${s3.bucket}/moved` };
    let seen = 0;
    const cut = moveStore(home, {
      to,
      progress: () => {
        if (++seen === 22) throw new Error('cut');
      },
    });
    await expect(cut).rejects.toThrow('cut');
    expect(await placeOf(home)).toEqual({ database: 'folder', objects: 'folder' });
    // The old place goes on being used in between.
    const between = await openStore(home);
    expect(await between.rows.count('notes')).toBe(480);
    await between.rows.remove('files', 'file-0');
    await between.rows.put('notes', { id: '1/🖋', text: 'changed' });
    await between.close();

    const moved = await moveStore(home, { to });
    expect(moved).toMatchObject({ rows: 499, objects: 21 });
    expect(moved.copied.objects).toBe(0);
    const there = await openStore(home);
    expect(there.kind).toEqual({ rows: 'postgresql', objects: 's3' });
    expect(await there.rows.get('notes', '1/🖋')).toEqual({ id: '1/🖋', text: 'changed' });
    expect(await check(there)).toMatchObject({ objects: 21, problems: [] });
    await there.rows.put('notes', { id: 'new' });
    await there.close();

    const back = await moveStore(home, {
      to: { database: 'folder', objects: 'folder' },
      ...{ force: true },
    }).catch((thrown: unknown) => thrown);
    // The old folder still has what was removed in neither place: nothing there is thrown away unasked.
    expect(back).toMatchObject({ rows: 500, objects: 21 });
  });

  it('keeps no password, and passes over nobody who uses the store', async ({ skip }) => {
    skip(server === undefined, noPostgres);
    await fill();
    const made = (await server?.database()) as string;
    const address = made.replace('inkstone@', 'inkstone:secret@');
    const users = path.join(home, 'store', 'users');
    await writeFile(path.join(users, `${process.ppid}.1`), '');
    await writeFile(path.join(users, '4194305.1'), '');
    await expect(moveStore(home, { to: { database: address, objects: 'folder' } })).rejects.toMatchObject({
      code: 'store_in_use',
      details: { processes: [process.ppid] },
    });
    await rm(path.join(users, `${process.ppid}.1`));
    await moveStore(home, { to: { database: address, objects: 'folder' } });
    expect(await readFile(path.join(home, 'store', 'place.json'), 'utf8')).not.toContain('secret');
    await expect(
      moveStore(home, { to: { ...(await placeOf(home)), objects: 'folder' } }),
    ).rejects.toMatchObject({ code: 'store_same' });
  });

  it('refuses a place that holds something else', async ({ skip }) => {
    skip(server === undefined, noPostgres);
    await fill();
    const to = { database: (await server?.database()) as string, objects: 'folder' };
    process.env.INKSTONE_DATABASE = to.database;
    const other = await openStore(home);
    await other.rows.put('notes', { id: 'somebody else’s' });
    await other.close();
    delete process.env.INKSTONE_DATABASE;
    await expect(moveStore(home, { to })).rejects.toMatchObject({ code: 'place_taken' });
  });
});

describe('looking after a store', () => {
  it('objects that no row names go after their time, named ones stay', async () => {
    const hashes = await fill();
    const store = await openStore(home);
    expect(await collect(store)).toEqual({ removed: 0, freed: 0, kept: 21 });
    await store.rows.remove('files', 'file-3');
    expect(await collect(store, 0)).toEqual({ removed: 2, freed: 'nobody names it'.length + 8, kept: 19 });
    expect(await store.objects.has(hashes[3] as string)).toBe(false);
    expect(await store.objects.has(hashes[4] as string)).toBe(true);
    await store.close();
  });

  it('damage is found, each piece by its name', async () => {
    const [hash = ''] = await fill();
    const store = await openStore(home);
    expect(await check(store)).toMatchObject({
      collections: { files: 20, notes: 480 },
      objects: 21,
      problems: [],
    });
    await writeFile(path.join(home, 'store', 'objects', hash.slice(0, 2), hash), 'other');
    await writeFile(path.join(home, 'store', 'rows', 'files', 'file-1.json'), '{');
    const { problems } = await check(store);
    expect(problems.map(({ code }) => code).sort()).toEqual(['object_corrupt', 'row_corrupt']);
    await store.close();
  });

  it.each([
    [{ INKSTONE_DATABASE: 'mysql://x' }, 'database_unknown'],
    [{ INKSTONE_OBJECTS: 'ftp://x' }, 'objects_unknown'],
    [{ DATABASE_URL: 'nonsense' }, 'database_unknown'],
  ])('%j is refused', async (environment, code) => {
    Object.assign(process.env, environment);
    await expect(openStore(home)).rejects.toMatchObject({ code });
    for (const name of Object.keys(environment)) delete process.env[name];
  });

  it('a note of the place that cannot be read is told of', async () => {
    await fill();
    await writeFile(path.join(home, 'store', 'place.json'), '{"database":3}');
    await expect(openStore(home)).rejects.toMatchObject({ code: 'place_corrupt' });
  });
});
