/**
 * A backup: a list of all rows of one moment, and the objects that there are beside it, everything read again before it
 * counts. A folder holds several of them over the same objects; what an earlier or an interrupted one has copied is not copied
 * again. Rows are small and in memory here, objects never. Knows no collection but its own, where the last backup is noted.
 */
import path from 'node:path';
import type { Objects, Row, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { tryLock } from '../base/file-lock.ts';
import { exists, listFiles, makeFolder, now, removeFile, writeFile } from '../base/host.ts';
import { keepPrivate } from '../base/host-disk.ts';
import {
  type Backup,
  backupsIn,
  checksumOf,
  headFile,
  type Line,
  linesOf,
  listFile,
  stampOf,
} from './backup-file.ts';
import { everyRow } from './collect.ts';
import { openFolderObjects } from './objects/folder.ts';
import { SqlRows } from './sql/sql-rows.ts';

/** Backups that a folder keeps. */
export const KEPT = 7;
/** Readings of rows in files until two in a row have the same ones, and milliseconds between two of them. */
const READINGS = 20;
const PAUSE = 100;

export interface BackupOptions {
  /** Folder that holds the backups. */
  to: string;
  /** The newest so many are kept; default 7. */
  keep?: number;
  /** Told after each object that is looked at. */
  progress?(objects: number): void;
}

export interface BackedUp extends Backup {
  to: string;
  /** Objects that had to be copied, and older backups that were taken away. */
  copied: number;
  removed: number;
}

interface LastBackup extends Row {
  /** Milliseconds since 1970. */
  at: number;
  to: string;
}

const COLLECTION = 'backups';
const LAST = 'last';

/** Seconds since 1970 of the last backup; undefined where there is none. */
export async function lastBackup({ rows }: Pick<Store, 'rows'>): Promise<number | undefined> {
  const last = await rows.get<LastBackup>(COLLECTION, LAST);
  return last === undefined ? undefined : last.at / 1000;
}

/** @throws InkstoneError `backup_running`, `store_busy`, `object_corrupt`, `backup_damaged`, `disk_full` */
export async function backUp(store: Store, { to, keep = KEPT, progress }: BackupOptions): Promise<BackedUp> {
  await makeFolder(to);
  const release = await tryLock(path.join(to, '.lock'));
  if (typeof release !== 'function')
    throw new InkstoneError('backup_running', `process ${release.holder} is making a backup there`, {
      kind: 'conflict',
      hint: 'wait for it, or choose another folder',
    });
  try {
    const copies = await openFolderObjects(path.join(to, 'objects'));
    const at = now();
    const stamp = await freeStamp(to, at);
    // Rows first: what they name was put before them, and objects never change.
    const rows = await rowsOfOneMoment(store);
    const { objects, copied } = await copyObjects(store.objects, copies, progress);
    const text = [...rows, ...objects].map((line) => `${JSON.stringify(line)}\n`).join('');
    await writeFile(listFile(to, stamp), text);
    // Rows have the hashes of keys in them.
    keepPrivate(listFile(to, stamp));
    const bytes = objects.reduce((sum, { size }) => sum + size, 0);
    const backup: Backup = {
      ...{ version: 1, stamp, at, rows: rows.length, objects: objects.length, bytes },
      checksum: checksumOf(text),
    };
    await verify(to, backup, copies);
    // Only now it is one.
    await writeFile(headFile(to, stamp), `${JSON.stringify(backup, null, 2)}\n`);
    await store.rows.put<LastBackup>(COLLECTION, { id: LAST, at, to: path.resolve(to) });
    return { ...backup, to, copied, removed: await prune(to, copies, keep) };
  } finally {
    await release();
  }
}

/** Two within a second are two. */
async function freeStamp(to: string, at: number): Promise<string> {
  for (let later = at; ; later += 1000)
    if (!(await exists(headFile(to, stampOf(later))))) return stampOf(later);
}

type RowLine = Extract<Line, { row: Row }>;
type ObjectLine = Extract<Line, { object: string }>;

/**
 * A database gives rows of one moment. Of files two readings in a row must find the same ones, since a thing that moves from
 * one collection to another could be missed in both; each row is whole in any case.
 */
async function rowsOfOneMoment({ rows }: Store): Promise<RowLine[]> {
  if (rows instanceof SqlRows) return rows.moment();
  let before: string | undefined;
  for (let reading = 0; reading < READINGS; reading++) {
    const lines: RowLine[] = [];
    for (const collection of await rows.collections())
      for await (const row of everyRow(rows, collection)) lines.push({ collection, row });
    const which = JSON.stringify(lines.map(({ collection, row }) => [collection, row.id]));
    if (which === before) return lines;
    before = which;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  throw new InkstoneError('store_busy', 'rows came and went in all readings', {
    kind: 'conflict',
    hint: 'try again when less is going on, or keep rows in a database: inkstone store move --database pglite',
  });
}

async function copyObjects(
  source: Objects,
  target: Objects,
  progress: BackupOptions['progress'],
): Promise<{ objects: ObjectLine[]; copied: number }> {
  const objects: ObjectLine[] = [];
  let copied = 0;
  for await (const { hash, size } of source.list()) {
    if (!(await target.has(hash))) {
      // Checked against its hash while it is read.
      await target.put(source.get(hash));
      copied++;
    }
    objects.push({ object: hash, size });
    progress?.(objects.length);
  }
  return { objects, copied };
}

/** Reads from the disk whatever a restoration would need. */
async function verify(to: string, backup: Backup, copies: Objects): Promise<void> {
  for (const line of await linesOf(to, backup))
    if ('object' in line) for await (const piece of copies.get(line.object)) void piece;
}

/** Older backups go, then lists without a head, which an interrupted one left, and objects that none of those kept has. */
async function prune(to: string, copies: Objects, keep: number): Promise<number> {
  const all = await backupsIn(to);
  const [kept, old] = [all.slice(0, Math.max(1, keep)), all.slice(Math.max(1, keep))];
  for (const { stamp } of old) await removeFile(headFile(to, stamp));
  const lists = new Set(kept.map(({ stamp }) => path.basename(listFile(to, stamp))));
  for (const name of await listFiles(to))
    if (/^\d{8}T\d{6}Z\.jsonl/.test(name) && !lists.has(name)) await removeFile(path.join(to, name));
  const named = new Set<string>();
  for (const backup of kept)
    for (const line of await linesOf(to, backup)) if ('object' in line) named.add(line.object);
  for await (const { hash } of copies.list()) if (!named.has(hash)) await copies.remove(hash);
  return old.length;
}
