/** Both databases: what every store must do, migrations forward and back, lost connections, locks. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noPostgres, TestPostgres } from '../../../test/services/postgres.ts';
import type { Row } from '../../base/contracts/store.ts';
import { sendSignal } from '../../base/host.ts';
import { storeChecks } from '../conformance.ts';
import { openFolderObjects } from '../objects/folder.ts';
import type { Sql } from './contract.ts';
import { MIGRATIONS, migrate, takenMigrations } from './migrations.ts';
import { openPglite } from './pglite.ts';
import { openPostgres } from './postgres.ts';
import { SqlRows } from './sql-rows.ts';

let folder: string;
let server: TestPostgres | undefined;
let address = '';

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-sql-'));
  if (noPostgres === undefined) {
    server = await TestPostgres.start();
    address = await server.database();
  }
});
afterAll(async () => {
  await server?.stop();
  // The embedded database leaves by itself, a moment after its last user.
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
});

interface Tally extends Row {
  n: number;
}
const add = (row: Tally | undefined): Tally => ({ id: 'a', n: (row?.n ?? 0) + 1 });

const databases: [string, string | undefined, () => Promise<Sql>][] = [
  ['PGlite', undefined, () => openPglite(path.join(folder, 'pglite'))],
  ['PostgreSQL', noPostgres, () => openPostgres(address)],
];

describe.each(databases)('%s', (name, missing, open) => {
  let sql: Sql;
  beforeAll(async () => {
    if (missing === undefined) sql = await open();
  });
  afterAll(() => sql?.close());

  it('goes forward and back step by step, with what the earlier steps kept', async ({ skip }) => {
    skip(missing !== undefined, missing);
    expect(await takenMigrations(sql)).toEqual([]);
    expect(await migrate(sql, 1)).toEqual({ from: 0, to: 1 });
    await sql.query(
      `insert into inkstone.rows (collection, id, version, body) values ('notes', 'a', gen_random_uuid(), '{"id":"a"}')`,
    );
    expect(await migrate(sql)).toEqual({ from: 1, to: MIGRATIONS.length });
    expect(await new SqlRows(sql).get('notes', 'a')).toEqual({ id: 'a' });
    expect(await migrate(sql, 1)).toEqual({ from: MIGRATIONS.length, to: 1 });
    const { rows } = await sql.query('select body::text as body from inkstone.rows');
    expect(rows).toEqual([{ body: '{"id":"a"}' }]);
    await migrate(sql, 0);
    await expect(sql.query('select 1 from inkstone.rows')).rejects.toMatchObject({
      code: 'query_failed',
      details: { sqlstate: '42P01' },
    });
    await expect(migrate(sql, 99)).rejects.toMatchObject({ code: 'migration_missing' });
    // As several processes that start at once.
    await Promise.all([migrate(sql), migrate(sql), migrate(sql)]);
    expect(await takenMigrations(sql)).toEqual(MIGRATIONS.map(({ id }) => id));
    await sql.query(`insert into inkstone.migrations (id, name) values (999, 'later')`);
    await expect(migrate(sql)).rejects.toMatchObject({ code: 'database_newer' });
    await sql.query('delete from inkstone.migrations where id = 999');
  });

  it('takes back a step that fails in the middle', async ({ skip }) => {
    skip(missing !== undefined, missing);
    const next = MIGRATIONS.length + 1;
    const broken = {
      id: next,
      name: 'broken',
      up: ['create table inkstone.half (a int)', 'select nothing'],
      down: [],
    };
    await expect(migrate(sql, next, [...MIGRATIONS, broken])).rejects.toMatchObject({ code: 'query_failed' });
    await expect(sql.query('select 1 from inkstone.half')).rejects.toThrow('half');
    expect((await takenMigrations(sql)).at(-1)).toBe(MIGRATIONS.length);
  });

  it.each(storeChecks)('$name', async ({ run }) => {
    if (missing !== undefined) return;
    await sql.query('delete from inkstone.rows');
    const objects = await openFolderObjects(path.join(folder, `objects-${Math.random()}`));
    await run({
      kind: { rows: sql.kind, objects: 'folder' },
      rows: new SqlRows(sql),
      objects,
      close: async () => {},
    });
  });

  it('all of a batch or none', async ({ skip }) => {
    skip(missing !== undefined, missing);
    await sql.query('delete from inkstone.rows');
    await expect(
      sql.batch([
        {
          text: `insert into inkstone.rows (collection, id, version, body) values ('notes', 'a', gen_random_uuid(), '{}')`,
        },
        { text: 'select * from nowhere' },
      ]),
    ).rejects.toMatchObject({ code: 'query_failed' });
    expect(await new SqlRows(sql).count('notes')).toBe(0);
  });

  it('goes on after the database was killed, and counts each change once', { timeout: 120_000 }, async ({
    skip,
  }) => {
    skip(missing !== undefined, missing);
    const [one, two] = [await open(), await open()];
    const kill = async (): Promise<void> => {
      if (name === 'PGlite')
        await expect
          .poll(async () =>
            sendSignal(Number(await readFile(path.join(folder, 'pglite', 'lock'), 'utf8')), 'SIGKILL'),
          )
          .toBe(true);
      else {
        await server?.kill();
        await server?.start();
      }
    };
    let done = 0;
    const work = async (connection: Sql): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        await new SqlRows(connection).update<Tally>('tally', 'a', add);
        done++;
      }
    };
    const killer = async (): Promise<void> => {
      for (const at of [15, 60]) {
        while (done < at) await new Promise((resolve) => setTimeout(resolve, 5));
        await kill();
      }
    };
    await Promise.all([work(one), work(two), killer()]);
    expect((await new SqlRows(one).get<Tally>('tally', 'a'))?.n).toBe(120);
    await one.close();
    await two.close();
  });
});

describe('an answer that is lost on its way', () => {
  /** More than a row once remembered of its versions (16), which is why it now remembers writers. */
  const OTHERS = 24;

  it('counts a change once, however much others write before it is sent again', async () => {
    const sql = await openPglite(path.join(folder, 'lost'));
    await migrate(sql);
    const others = new SqlRows(sql);
    await others.update<Tally>('tally', 'a', add);
    let lost = false;
    const line: Sql = {
      kind: sql.kind,
      batch: (statements) => sql.batch(statements),
      close: async () => undefined,
      query: async (text, values) => {
        const answer = await sql.query(text, values);
        if (lost || !text.startsWith('update')) return answer;
        lost = true;
        for (let i = 0; i < OTHERS; i++) await others.update<Tally>('tally', 'a', add);
        return sql.query(text, values);
      },
    };
    await new SqlRows(line).update<Tally>('tally', 'a', add);
    expect(lost).toBe(true);
    expect((await others.get<Tally>('tally', 'a'))?.n).toBe(OTHERS + 2);
    await sql.close();
  });
});

describe('bad addresses', () => {
  it.each([
    ['postgres://127.0.0.1:1/none', 'database_unreachable'],
    ['postgres://[', 'database_address_invalid'],
  ])('%s: %s', async (given, code) => {
    await expect(openPostgres(given, { patience: 200 })).rejects.toMatchObject({ code });
  });

  it('a database that nobody made', async ({ skip }) => {
    skip(server === undefined, noPostgres);
    await expect(openPostgres(server?.address('nobody_made_it') ?? '')).rejects.toMatchObject({
      code: 'database_missing',
    });
  });
});
