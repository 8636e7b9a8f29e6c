/**
 * What a server of PostgreSQL does in the background and the embedded database has nobody for: dead versions of rows are swept
 * out, and the log of changes is cut. Without it a database whose rows only come and go grows for ever. Knows one table.
 */
import type { PGlite } from '@electric-sql/pglite';

/** Dead versions after which they are swept, as PostgreSQL's own sweeper has it: so many, and this part of the rows. */
const LEAST = 1000;
const PART = 0.2;

export class Housekeeping {
  private readonly database: Pick<PGlite, 'exec' | 'query'>;
  private dead = 0;
  private due = LEAST;
  private under: Promise<void> | undefined;

  constructor(database: Pick<PGlite, 'exec' | 'query'>) {
    this.database = database;
  }

  /** So many rows were written or removed by one statement; the sweep goes on beside what comes next. */
  changed(count: number): void {
    this.dead += count;
    if (this.dead < this.due) return;
    this.under ??= this.sweep().finally(() => {
      this.under = undefined;
    });
  }

  private async sweep(): Promise<void> {
    this.dead = 0;
    try {
      await this.database.exec('vacuum inkstone.rows');
      await this.database.exec('checkpoint');
      const { rows } = await this.database.query<{ n: number }>(
        "select greatest(reltuples, 0)::float8 as n from pg_class where oid = 'inkstone.rows'::regclass",
      );
      this.due = LEAST + PART * (rows[0]?.n ?? 0);
    } catch {
      // The table is not there yet, or the database is closing: the next changes try again.
    }
  }

  /** Resolves when no sweep is under way. */
  async settled(): Promise<void> {
    await this.under;
  }
}
