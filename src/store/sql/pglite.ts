/**
 * The embedded database as its users see it: a line to its process, which is started where none runs and started again
 * where it was killed. Any number of processes may use one folder. Knows no rows.
 */
import { connect, type Socket } from 'node:net';
import { InkstoneError } from '../../base/errors.ts';
import { isAlive, machine, makeFolder, readText } from '../../base/host.ts';
import { spawnEntry } from '../../base/host-process.ts';
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
import { lines, type SqlAnswer, socketOf } from './messages.ts';

/** The first start makes the database, and each start reads it in: seconds, many on a busy machine. */
const START_PATIENCE = 60_000;
/** A killed database starts and recovers. */
const PATIENCE = 30_000;

/** @throws InkstoneError `database_failed`, `database_not_durable`, `database_unreachable` */
export async function openPglite(
  folder: string,
  options: { patience?: number } = {},
): Promise<Sql & { readonly process: number | undefined }> {
  await makeFolder(folder);
  const sql = new Pglite(folder, options.patience ?? PATIENCE);
  await sql.start();
  return sql;
}

interface Waiting {
  resolve(results: SqlResult[]): void;
  reject(thrown: unknown): void;
  late: NodeJS.Timeout;
}

class Pglite implements Sql {
  readonly kind = 'pglite';
  private readonly folder: string;
  private readonly patience: number;
  private line: Promise<Socket> | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;
  private closed = false;
  /** Id of the process, where this one started it. */
  process: number | undefined;

  constructor(folder: string, patience: number) {
    this.folder = folder;
    this.patience = patience;
  }

  async start(): Promise<void> {
    await withPatience(() => this.send([{ text: 'select 1' }]), START_PATIENCE);
  }

  async query(text: string, values: readonly SqlValue[] = []): Promise<SqlResult> {
    return (await this.batch([{ text, values }]))[0] as SqlResult;
  }

  async batch(statements: readonly Statement[]): Promise<SqlResult[]> {
    if (statements.length === 0) return [];
    return withPatience(
      () => this.send(statements),
      this.patience,
      () => this.closed,
    );
  }

  private async send(statements: readonly Statement[]): Promise<SqlResult[]> {
    if (this.closed)
      throw new InkstoneError('database_closed', 'the database was closed', { kind: 'resource' });
    this.line ??= this.connected();
    const line = this.line;
    const socket = await line.catch((thrown) => {
      if (this.line === line) this.line = undefined;
      throw thrown;
    });
    const id = ++this.last;
    return new Promise<SqlResult[]>((resolve, reject) => {
      const late = setTimeout(() => socket.destroy(), STATEMENT_LIMIT);
      this.waiting.set(id, { resolve, reject, late });
      // A command that is done does not wait for a line that nobody uses.
      socket.ref();
      socket.write(`${JSON.stringify({ id, statements })}\n`);
    });
  }

  private async connected(): Promise<Socket> {
    const socket = (await this.dial()) ?? (await this.begin());
    if (socket === undefined) throw new ConnectionLost();
    const lost = (): void => {
      this.line = undefined;
      for (const [id, one] of this.waiting) {
        this.waiting.delete(id);
        clearTimeout(one.late);
        one.reject(new ConnectionLost());
      }
    };
    socket.on('close', lost);
    socket.on(
      'data',
      lines((text) => this.receive(socket, JSON.parse(text) as SqlAnswer)),
    );
    return socket;
  }

  private receive(socket: Socket, { id, results, error }: SqlAnswer): void {
    const one = this.waiting.get(id);
    if (one === undefined) return;
    this.waiting.delete(id);
    clearTimeout(one.late);
    if (this.waiting.size === 0) socket.unref();
    if (results !== undefined) one.resolve(results);
    else one.reject(sqlError(error?.code ?? 'XX000', error?.message ?? 'the database said nothing'));
  }

  private dial(): Promise<Socket | undefined> {
    return new Promise((resolve) => {
      const socket = connect(socketOf(this.folder));
      socket.once('connect', () => {
        socket.on('error', () => socket.destroy());
        resolve(socket);
      });
      socket.once('error', () => resolve(undefined));
    });
  }

  /** Starts the process; undefined where another has the folder and does not listen yet. */
  private async begin(): Promise<Socket | undefined> {
    const holder = Number(await readText(`${this.folder}/lock`).catch(() => ''));
    if (holder > 0 && isAlive(holder)) return undefined;
    // On its own: it outlives a killed server, and is there for the next.
    const child = spawnEntry('store/sql/pglite-process', [this.folder], {
      detached: machine().platform !== 'win32',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const word = await new Promise<Word>((resolve) => {
      const read = lines((line) => resolve(JSON.parse(line) as Word));
      child.stdout?.on('data', read);
      child.on('error', (cause) => resolve({ error: { code: 'database_failed', message: String(cause) } }));
      child.on('close', (status) => resolve({ ended: status }));
    });
    child.stdout?.destroy();
    child.unref();
    if (word.error !== undefined) {
      const { code, message, hint } = word.error;
      throw new InkstoneError(code, message, hint === undefined ? {} : { hint });
    }
    if (word.ready !== true) return undefined;
    this.process = child.pid;
    return this.dial();
  }

  async close(): Promise<void> {
    this.closed = true;
    const socket = await this.line?.catch(() => undefined);
    socket?.end();
    socket?.destroy();
  }
}

interface Word {
  ready?: boolean;
  held?: number;
  ended?: number | null;
  error?: { code: string; message: string; hint?: string };
}
