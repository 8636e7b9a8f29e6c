/**
 * The tables of the store, step by step, forward and back. Each step is all or none; of several processes that start at
 * once each step is taken by one. Knows no rows.
 */
import { InkstoneError } from '../../base/errors.ts';
import type { Sql, Statement } from './contract.ts';

export interface Migration {
  /** Counts from 1. */
  id: number;
  name: string;
  up: readonly string[];
  down: readonly string[];
}

export const MIGRATIONS: readonly Migration[] = [
  {
    id: 1,
    name: 'rows',
    up: [
      // `json`, not `jsonb`: what was written comes back as it was, zero bytes and the order of fields too.
      `create table inkstone.rows (
        collection text collate "C" not null,
        id text collate "C" not null,
        version uuid not null,
        earlier uuid[] not null default '{}',
        body json not null,
        primary key (collection, id)
      )`,
    ],
    down: ['drop table inkstone.rows'],
  },
  {
    id: 2,
    name: 'when a row was changed',
    up: [
      'alter table inkstone.rows add column changed timestamptz not null default now()',
      'create index rows_changed on inkstone.rows (collection, changed)',
    ],
    down: ['drop index inkstone.rows_changed', 'alter table inkstone.rows drop column changed'],
  },
];

/** Any number that no other program is likely to take. */
const LOCK = 'select pg_advisory_xact_lock(4747001)';

const TABLE = [
  LOCK,
  'create schema if not exists inkstone',
  'create table if not exists inkstone.migrations (id int primary key, name text not null, at timestamptz not null default now())',
];

const plain = (texts: readonly string[]): Statement[] => texts.map((text) => ({ text }));

/** Numbers of the steps that were taken, in order. */
export async function takenMigrations(sql: Sql): Promise<number[]> {
  await sql.batch(plain(TABLE));
  const { rows } = await sql.query('select id from inkstone.migrations order by id');
  return rows.map(({ id }) => Number(id));
}

/**
 * Brings the tables to a step: forward, or back with what the later steps kept lost.
 * @throws InkstoneError `database_newer` for tables of a newer Inkstone, unless `to` goes back from there knowingly
 */
export async function migrate(
  sql: Sql,
  to: number = MIGRATIONS.length,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<{ from: number; to: number }> {
  const first = (await takenMigrations(sql)).at(-1) ?? 0;
  for (;;) {
    const at = (await takenMigrations(sql)).at(-1) ?? 0;
    if (at > migrations.length)
      throw new InkstoneError(
        'database_newer',
        `the database is at step ${at}, this Inkstone knows ${migrations.length}`,
        {
          kind: 'conflict',
          hint: 'use the newer Inkstone, or go back with it first: inkstone store migrate --to N',
        },
      );
    if (at === to) return { from: first, to };
    const forward = at < to;
    const step = migrations.find(({ id }) => id === (forward ? at + 1 : at));
    if (step === undefined)
      throw new InkstoneError('migration_missing', `there is no step ${to}`, {
        kind: 'usage',
        hint: `0 to ${migrations.length}`,
      });
    const mark: Statement = forward
      ? { text: 'insert into inkstone.migrations (id, name) values ($1, $2)', values: [step.id, step.name] }
      : { text: 'delete from inkstone.migrations where id = $1', values: [step.id] };
    // The mark comes first: who comes second fails on it before it touches a table, and looks again.
    const guard: Statement = forward
      ? mark
      : { text: `select 1 / count(*) from inkstone.migrations where id = $1`, values: [step.id] };
    try {
      await sql.batch([
        { text: LOCK },
        guard,
        ...plain(forward ? step.up : step.down),
        ...(forward ? [] : [mark]),
      ]);
    } catch (thrown) {
      const now = (await takenMigrations(sql)).at(-1) ?? 0;
      if (now === at) throw thrown;
    }
  }
}
