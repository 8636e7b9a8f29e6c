/**
 * Rows in a database: one table, a JSON body, a version that changes with every write. Changes compare the version, so
 * writers in any process exclude each other without holding a lock while they think.
 */
import { randomUUID } from 'node:crypto';
import type { Row, Rows } from '../../base/contracts/store.ts';
import { InkstoneError, invariant } from '../../base/errors.ts';
import { checkCollection, checkId } from '../names.ts';
import type { Sql } from './contract.ts';

interface Found {
  version: string;
  /** Writer, its last version, next writer, …; whoever wrote last comes first. */
  earlier: string[];
  body: string;
}

/**
 * Writers whose last version a row remembers, each once however often it writes, for the one that lost its answer. Only
 * where this many others came between would such a writer count its change twice.
 */
const REMEMBERED = 64;

/** Tries of one change against other writers; each try loses only to somebody who won. */
const TRIES = 200;

const PUT = `insert into inkstone.rows (collection, id, version, body) values ($1, $2, $3, $4::json)
  on conflict (collection, id) do update set version = excluded.version, body = excluded.body, changed = now()`;

export class SqlRows implements Rows {
  private readonly sql: Sql;
  /** As a row knows this writer. */
  private readonly writer = randomUUID();
  /** The last change of each row under way: one writer makes one change of a row at a time, and so needs one mark. */
  private readonly changing = new Map<string, Promise<unknown>>();

  constructor(sql: Sql) {
    this.sql = sql;
  }

  private async read(collection: string, id: string): Promise<Found | undefined> {
    const { rows } = await this.sql.query(
      `select version::text as version, earlier::text[] as earlier, body::text as body
        from inkstone.rows where collection = $1 and id = $2`,
      [collection, id],
    );
    return rows[0] as unknown as Found | undefined;
  }

  async get<T extends Row>(collection: string, id: string): Promise<T | undefined> {
    const found = await this.read(checkCollection(collection), checkId(id));
    return found === undefined ? undefined : parsed<T>(collection, id, found.body);
  }

  async put<T extends Row>(collection: string, row: T): Promise<void> {
    await this.sql.query(PUT, [
      checkCollection(collection),
      checkId(row.id),
      randomUUID(),
      JSON.stringify(row),
    ]);
  }

  /** Many at once, all or none; for moving a store. */
  async putAll(collection: string, rows: readonly Row[]): Promise<void> {
    checkCollection(collection);
    await this.sql.batch(
      rows.map((row) => ({
        text: PUT,
        values: [collection, checkId(row.id), randomUUID(), JSON.stringify(row)],
      })),
    );
  }

  async remove(collection: string, id: string): Promise<boolean> {
    const { count } = await this.sql.query('delete from inkstone.rows where collection = $1 and id = $2', [
      checkCollection(collection),
      checkId(id),
    ]);
    return count > 0;
  }

  /** False where the row has another version by now, or is gone: also by this very call, sent twice over a broken line. */
  private async removeAt(collection: string, id: string, version: string): Promise<boolean> {
    const { count } = await this.sql.query(
      'delete from inkstone.rows where collection = $1 and id = $2 and version = $3::uuid',
      [collection, id, version],
    );
    return count > 0;
  }

  async list<T extends Row>(
    collection: string,
    options: { after?: string; limit?: number } = {},
  ): Promise<T[]> {
    checkCollection(collection);
    const { rows } = await this.sql.query(
      `select id, body::text as body from inkstone.rows
        where collection = $1 and ($2::text is null or id > $2) order by id limit $3`,
      [collection, options.after ?? null, options.limit ?? null],
    );
    return rows.map(({ id, body }) => parsed<T>(collection, id as string, body as string));
  }

  async update<T extends Row>(
    collection: string,
    id: string,
    change: (row: T | undefined) => T | null | undefined,
  ): Promise<T | undefined> {
    const key = `${checkCollection(collection)}/${checkId(id)}`;
    const work = (): Promise<T | undefined> => this.change(collection, id, change);
    const turn = (this.changing.get(key) ?? Promise.resolve()).then(work, work);
    this.changing.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.changing.get(key) === turn) this.changing.delete(key);
    }
  }

  private async change<T extends Row>(
    collection: string,
    id: string,
    change: (row: T | undefined) => T | null | undefined,
  ): Promise<T | undefined> {
    for (let i = 0; i < TRIES; i++) {
      const found = await this.read(collection, id);
      const row = found === undefined ? undefined : parsed<T>(collection, id, found.body);
      const next = change(row);
      if (next === undefined) return row;
      if (next === null) {
        if (found === undefined || (await this.removeAt(collection, id, found.version))) return undefined;
        continue;
      }
      invariant(next.id === id, 'a row keeps its id');
      const version = randomUUID();
      const values = [
        collection,
        id,
        version,
        JSON.stringify(next),
        marked(found?.earlier ?? [], this.writer, version),
      ];
      const { count } =
        found === undefined
          ? await this.sql.query(
              `insert into inkstone.rows (collection, id, version, body, earlier)
                values ($1, $2, $3, $4::json, $5::uuid[]) on conflict do nothing`,
              values,
            )
          : await this.sql.query(
              `update inkstone.rows set version = $3, body = $4::json, earlier = $5::uuid[], changed = now()
                where collection = $1 and id = $2 and version = $6::uuid`,
              [...values, found.version],
            );
      if (count === 1) return next;
      // Sent twice over a broken line, the second finds the first one's work, perhaps under that of others.
      const there = await this.read(collection, id);
      if (there?.earlier.includes(version) === true) return next;
      await new Promise((resolve) => setTimeout(resolve, Math.min(i, 20)));
    }
    throw new InkstoneError('row_contended', `too many change the row ${collection}/${id} at once`, {
      kind: 'resource',
      details: { retryAfter: 1 },
    });
  }

  async collections(): Promise<string[]> {
    const { rows } = await this.sql.query(
      'select distinct collection from inkstone.rows order by collection',
    );
    return rows.map(({ collection }) => collection as string);
  }

  /** All rows of all collections as they are at one moment, in order: a statement sees one state. */
  async moment(): Promise<{ collection: string; row: Row }[]> {
    const { rows } = await this.sql.query(
      'select collection, id, body::text as body from inkstone.rows order by collection, id',
    );
    return rows.map(({ collection, id, body }) => ({
      collection: collection as string,
      row: parsed(collection as string, id as string, body as string),
    }));
  }

  async count(collection: string): Promise<number> {
    const { rows } = await this.sql.query(
      'select count(*)::int as n from inkstone.rows where collection = $1',
      [checkCollection(collection)],
    );
    return rows[0]?.n as number;
  }
}

/** The marks of a row after a change, as a PostgreSQL array. */
function marked(earlier: readonly string[], writer: string, version: string): string {
  const marks = [writer, version];
  for (let i = 0; i + 1 < earlier.length && marks.length < 2 * REMEMBERED; i += 2)
    if (earlier[i] !== writer) marks.push(earlier[i] as string, earlier[i + 1] as string);
  return `{${marks.join(',')}}`;
}

function parsed<T extends Row>(collection: string, id: string, body: string): T {
  const row = JSON.parse(body) as T;
  if (row.id === id) return row;
  throw new InkstoneError('row_corrupt', `the row ${collection}/${id} cannot be read`, { kind: 'data' });
}
