/**
 * The process of the embedded database: the only one that opens its folder (a lock sees to it), listening on a local
 * socket for as long as somebody is connected, and a moment longer. Started by pglite.ts; knows no rows.
 */
import { createServer, type Socket } from 'node:net';
import type { PGlite } from '@electric-sql/pglite';
import { InkstoneError } from '../../base/errors.ts';
import { tryLock } from '../../base/file-lock.ts';
import {
  commandArguments,
  exit,
  makeFolder,
  onCrash,
  onSignal,
  removeFile,
  writeOut,
} from '../../base/host.ts';
import { keepPrivate } from '../../base/host-disk.ts';
import type { SqlResult } from './contract.ts';
import { Housekeeping } from './housekeeping.ts';
import { lines, type SqlAnswer, type SqlRequest, socketOf } from './messages.ts';

/** Milliseconds without anybody after which it ends. */
const ALONE = 3000;

async function main(): Promise<void> {
  const folder = commandArguments()[0];
  if (folder === undefined) exit(2);
  await makeFolder(folder);
  const release = await tryLock(`${folder}/lock`);
  if (typeof release !== 'function') {
    tell({ held: release.holder });
    exit(0);
  }
  // Large, and of no use to one that finds the folder taken.
  const { openDurable } = await import('./durable-pglite.ts');
  const { database } = await openDurable(folder);
  const house = new Housekeeping(database);
  const socket = socketOf(folder);
  const clients = new Set<Socket>();
  let alone = setTimeout(() => void end(), ALONE * 3);
  const server = createServer((client) => {
    clients.add(client);
    clearTimeout(alone);
    const gone = (): void => {
      if (!clients.delete(client) || clients.size > 0) return;
      clearTimeout(alone);
      alone = setTimeout(() => void end(), ALONE);
    };
    client.on('close', gone);
    client.on('error', gone);
    client.on(
      'data',
      lines((line) => void answer({ database, house }, JSON.parse(line) as SqlRequest, client)),
    );
  });

  let ending = false;
  const end = async (): Promise<void> => {
    if (ending) return;
    ending = true;
    server.close();
    for (const client of clients) client.destroy();
    await house.settled();
    await database.close().catch(() => undefined);
    await removeFile(socket);
    await release();
    exit(0);
  };
  onSignal('SIGTERM', () => void end());
  // Ctrl+C is for the command in the terminal, which still needs the database to end in order.
  onSignal('SIGINT', () => undefined);
  onSignal('SIGHUP', () => undefined);

  await removeFile(socket);
  server.listen(socket, () => {
    keepPrivate(socket);
    tell({ ready: true });
  });
}

interface Opened {
  database: PGlite;
  house: Housekeeping;
}

/** Sent as one piece: of a process that is killed nobody gets half an answer that reads as a whole one. */
async function answer({ database, house }: Opened, request: SqlRequest, client: Socket): Promise<void> {
  let reply: SqlAnswer;
  try {
    const results = await run(database, request);
    reply = { id: request.id, results };
    house.changed(results.reduce((sum, { count }) => sum + count, 0));
  } catch (thrown) {
    const { code, message } = thrown as { code?: string; message: string };
    reply = { id: request.id, error: { message, ...(code === undefined ? {} : { code }) } };
  }
  if (!client.destroyed) client.write(`${JSON.stringify(reply)}\n`);
}

async function run(database: PGlite, { statements }: SqlRequest): Promise<SqlResult[]> {
  const one = async (
    query: PGlite['query'],
    { text, values }: SqlRequest['statements'][number],
  ): Promise<SqlResult> => {
    const { rows, affectedRows } = await query<Record<string, unknown>>(text, [...(values ?? [])]);
    return { rows, count: affectedRows ?? 0 };
  };
  const [first] = statements;
  if (statements.length === 1 && first !== undefined)
    return [await one(database.query.bind(database), first)];
  return database.transaction(async (inside) => {
    const results: SqlResult[] = [];
    for (const statement of statements) results.push(await one(inside.query.bind(inside), statement));
    return results;
  });
}

const tell = (word: object): void => writeOut(`${JSON.stringify(word)}\n`);

const failed = (thrown: unknown): never => {
  tell({ error: InkstoneError.from(thrown).toJSON() });
  exit(1);
};
onCrash(failed);
main().catch(failed);
