/**
 * What a database must do for the store: statements, alone or all-or-none. Both databases lose their connection now and
 * then (restarted, killed); a statement is then sent again for a while, so every statement must bear being repeated.
 */
import { type ErrorOptions, InkstoneError } from '../../base/errors.ts';
import { monotonic } from '../../base/host.ts';

export type SqlValue = string | number | boolean | null;

export interface Statement {
  text: string;
  values?: readonly SqlValue[];
}

export interface SqlResult {
  rows: Record<string, unknown>[];
  /** Rows that were changed. */
  count: number;
}

export interface Sql {
  readonly kind: 'pglite' | 'postgresql';
  /** @throws InkstoneError `query_failed` (with `details.sqlstate`), `database_unreachable`, `disk_full` */
  query(text: string, values?: readonly SqlValue[]): Promise<SqlResult>;
  /** All of them or none. */
  batch(statements: readonly Statement[]): Promise<SqlResult[]>;
  close(): Promise<void>;
}

/** Thrown by a driver for a connection that is gone: what was under way may have taken effect or not. */
export class ConnectionLost extends InkstoneError {
  constructor(cause?: unknown) {
    super('connection_lost', 'the connection to the database was lost', { kind: 'resource', cause });
  }
}

/** Milliseconds for which a database that is not there is waited for. */
export const PATIENCE = 15_000;
/** Milliseconds that a statement may take. */
export const STATEMENT_LIMIT = 30_000;

/** Repeats what was cut by a lost connection. @throws InkstoneError `database_unreachable` once patience is over */
export async function withPatience<T>(
  work: () => Promise<T>,
  patience = PATIENCE,
  closed: () => boolean = () => false,
): Promise<T> {
  const started = monotonic();
  for (let pause = 20; ; pause = Math.min(500, pause * 2)) {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof ConnectionLost)) throw thrown;
      if (closed() || monotonic() - started > patience)
        throw new InkstoneError('database_unreachable', 'the database does not answer', {
          kind: 'resource',
          hint: 'look whether it runs and has a connection left',
          cause: thrown.cause,
          details: { retryAfter: 2 },
        });
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

/** An error of the database in our words. @param state its SQLSTATE */
export function sqlError(state: string | undefined, message: string, cause?: unknown): InkstoneError {
  const options: ErrorOptions = { cause, details: { sqlstate: state ?? null } };
  if (state === undefined) return new InkstoneError('query_failed', message, options);
  if (isLost(state)) return new ConnectionLost(cause);
  if (state === '53100' || /no space left|ENOSPC/i.test(message))
    return new InkstoneError('disk_full', 'the database has no space left on its disk', {
      ...options,
      kind: 'resource',
      hint: 'free some space',
    });
  if (state.startsWith('28'))
    return new InkstoneError('database_denied', `the database lets nobody in: ${message}`, {
      ...options,
      kind: 'denied',
      hint: 'look at user and password of the database',
    });
  if (state === '3D000')
    return new InkstoneError('database_missing', message, {
      ...options,
      kind: 'missing',
      hint: 'make it: createdb NAME',
    });
  return new InkstoneError('query_failed', message, options);
}

/** Classes and codes that mean: connect again. Deadlocks and failed serialisations are repeated as well. */
const isLost = (state: string): boolean =>
  state.startsWith('08') || ['57P01', '57P02', '57P03', '53300', '40001', '40P01', '25006'].includes(state);
