/** A PostgreSQL server through node-postgres. Knows no rows. */
import pg from 'pg';
import { InkstoneError } from '../../base/errors.ts';
import {
  ConnectionLost,
  type Sql,
  type SqlResult,
  type SqlValue,
  STATEMENT_LIMIT,
  type Statement,
  sqlError,
  withPatience,
} from './contract.ts';

/** Connections of one process. */
const CONNECTIONS = 6;

/** What the system says where nobody listens or a line breaks. */
const NETWORK = /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|ENOENT)/;

/** @param address `postgres://user@host:port/name`; what it leaves out comes from PGHOST, PGUSER, PGPASSWORD, … @throws InkstoneError `database_unreachable`, `database_denied`, `database_missing` */
export async function openPostgres(address: string, options: { patience?: number } = {}): Promise<Sql> {
  const sql = new Postgres(address, options.patience);
  try {
    await sql.query('select 1');
  } catch (thrown) {
    await sql.close();
    throw thrown;
  }
  return sql;
}

class Postgres implements Sql {
  readonly kind = 'postgresql';
  private readonly pool: pg.Pool;
  private readonly patience: number | undefined;
  private closed = false;

  constructor(address: string, patience: number | undefined) {
    this.patience = patience;
    try {
      new URL(address);
      this.pool = new pg.Pool({
        connectionString: address,
        max: CONNECTIONS,
        connectionTimeoutMillis: 5000,
        idleTimeoutMillis: 30_000,
        statement_timeout: STATEMENT_LIMIT,
        // Where the machine behind the line is gone, nobody says so.
        query_timeout: STATEMENT_LIMIT + 2000,
        application_name: 'inkstone',
        keepAlive: true,
        // A command that is done does not wait for connections that nobody uses.
        allowExitOnIdle: true,
      });
    } catch (cause) {
      throw new InkstoneError('database_address_invalid', 'the address of the database cannot be read', {
        kind: 'usage',
        hint: 'write it as postgres://USER@HOST:PORT/NAME',
        cause,
      });
    }
    // An idle connection that breaks is replaced; whoever uses one hears of it there.
    this.pool.on('error', () => undefined);
  }

  query(text: string, values: readonly SqlValue[] = []): Promise<SqlResult> {
    return this.tried(async (client) => resultOf(await client.query(text, [...values])));
  }

  batch(statements: readonly Statement[]): Promise<SqlResult[]> {
    return this.tried(async (client) => {
      await client.query('begin');
      try {
        const results: SqlResult[] = [];
        for (const { text, values } of statements)
          results.push(resultOf(await client.query(text, [...(values ?? [])])));
        await client.query('commit');
        return results;
      } catch (thrown) {
        await client.query('rollback').catch(() => undefined);
        throw thrown;
      }
    });
  }

  private tried<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    return withPatience(
      async () => {
        let client: pg.PoolClient | undefined;
        let failed: InkstoneError | undefined;
        const broken = (): void => undefined;
        try {
          client = await this.pool.connect();
          client.on('error', broken);
          return await work(client);
        } catch (thrown) {
          failed = asOurs(thrown);
          throw failed;
        } finally {
          client?.off('error', broken);
          client?.release(failed instanceof ConnectionLost);
        }
      },
      this.patience,
      () => this.closed,
    );
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.pool.end();
  }
}

const resultOf = ({ rows, rowCount }: pg.QueryResult): SqlResult => ({
  rows: rows as Record<string, unknown>[],
  count: rowCount ?? 0,
});

function asOurs(thrown: unknown): InkstoneError {
  const { code, message } = thrown as { code?: string; message: string };
  const lost =
    (code !== undefined && NETWORK.test(code)) ||
    /^(Connection terminated|timeout exceeded|Query read timeout|Client has encountered)/.test(message);
  if (lost) return new ConnectionLost(thrown);
  return sqlError(code, message, thrown);
}
