/** The embedded database under rows that only come and go: it must keep its size. */
import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sql } from './contract.ts';
import { Housekeeping } from './housekeeping.ts';
import { migrate } from './migrations.ts';

let database: PGlite;

beforeAll(async () => {
  database = await PGlite.create();
  const run: Sql['query'] = async (text, values = []) => {
    const { rows, affectedRows } = await database.query<Record<string, unknown>>(text, [...values]);
    return { rows, count: affectedRows ?? 0 };
  };
  await migrate({
    kind: 'pglite',
    query: run,
    batch: async (statements) => {
      const results = [];
      for (const { text, values } of statements) results.push(await run(text, values));
      return results;
    },
    close: async () => undefined,
  });
});
afterAll(() => database.close());

/** Bytes of the table with its indexes, after so many rows came and went. */
async function size(count: number, house?: Housekeeping): Promise<number> {
  for (let i = 0; i < count; i += 250) {
    await database.query(
      `insert into inkstone.rows (collection, id, version, body)
        select 'notes', i::text, gen_random_uuid(), json_build_object('id', i::text, 'text', repeat('x', 400))
        from generate_series(1, 250) i`,
    );
    const { affectedRows = 0 } = await database.query("delete from inkstone.rows where collection = 'notes'");
    house?.changed(250 + affectedRows);
    await house?.settled();
  }
  const { rows } = await database.query<{ n: number }>(
    "select pg_total_relation_size('inkstone.rows')::float8 as n",
  );
  return rows[0]?.n ?? Number.NaN;
}

const logBytes = async (): Promise<number> => {
  const { rows } = await database.query<{ n: number }>(
    'select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::float8 as n from pg_control_checkpoint()',
  );
  return rows[0]?.n ?? Number.NaN;
};

describe('housekeeping', () => {
  it('keeps the table’s size, and the log that a start would read', async () => {
    const house = new Housekeeping(database);
    const first = await size(2000, house);
    expect(await size(8000, house)).toBeLessThan(1.2 * first);
    const kept = await logBytes();
    // The same without it, so that this test can tell.
    expect(await size(8000)).toBeGreaterThan(2 * first);
    expect(await logBytes()).toBeGreaterThan(2 * kept);
  });

  it('goes on where there is no table yet', async () => {
    let asked = 0;
    const fails = async (): Promise<never> => {
      asked++;
      throw new Error('relation "inkstone.rows" does not exist');
    };
    const house = new Housekeeping({ exec: fails, query: fails });
    for (let i = 1; i <= 2; i++) {
      house.changed(1e6);
      await house.settled();
      expect(asked).toBe(i);
    }
  });
});
