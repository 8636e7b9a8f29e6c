/**
 * A backup becomes an installation's store again, wherever that keeps its rows and objects. Everything is checked before the
 * first row is written, and once more when all are there. Cut short, the next go ends it.
 */
import path from 'node:path';
import type { Row, Rows, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, readText, removeFile, writeFile } from '../base/host.ts';
import { type Backup, backupsIn, linesOf } from './backup-file.ts';
import { everyRow } from './collect.ts';
import { copyRows } from './move.ts';
import { openFolderObjects } from './objects/folder.ts';
import { openStore, otherUsers } from './open.ts';

export interface RestoreOptions {
  /** Folder that holds the backups. */
  from: string;
  /** Which of them; default: the newest. */
  at?: string | undefined;
  /** Puts it in the place of what is there, and although other processes use the store. */
  force?: boolean;
}

export interface Restored extends Backup {
  from: string;
  /** How many were not there yet. */
  written: { rows: number; objects: number };
}

/** @throws InkstoneError `backup_missing`, `backup_damaged`, `store_in_use`, `store_not_empty`, `restore_unequal`, `object_corrupt` */
export async function restoreStore(
  home: string,
  { from, at, force = false }: RestoreOptions,
): Promise<Restored> {
  const all = await backupsIn(from);
  const backup = at === undefined ? all[0] : all.find(({ stamp }) => stamp === at);
  if (backup === undefined)
    throw new InkstoneError(
      'backup_missing',
      `there is no backup ${at ?? ''} in ${from}`.replace('  ', ' '),
      {
        kind: 'missing',
        hint:
          all.length === 0
            ? 'make one: inkstone store backup --to FOLDER'
            : `there is ${all.map(({ stamp }) => stamp).join(', ')}`,
      },
    );
  const lines = await linesOf(from, backup);
  const others = await otherUsers(home);
  if (others.length > 0 && !force)
    throw new InkstoneError('store_in_use', `process ${others.join(', ')} uses the store`, {
      kind: 'conflict',
      hint: 'stop the server first',
      details: { processes: others },
    });
  const store = await openStore(home);
  try {
    // Says that an earlier go was at it: what it left may be written over.
    const note = path.join(home, 'store', 'restoring.json');
    const heading = JSON.stringify({ from: path.resolve(from), stamp: backup.stamp });
    const begun = (await exists(note)) && (await readText(note)) === heading;
    if (!begun && !force && (await store.rows.collections()).length > 0)
      throw new InkstoneError('store_not_empty', 'the store has rows already', {
        kind: 'conflict',
        hint: 'restore into an empty home, or replace what is there with --force',
      });
    await writeFile(note, heading);
    const written = { rows: 0, objects: 0 };
    const copies = await openFolderObjects(path.join(from, 'objects'));
    const source = new Map<string, Row[]>();
    for (const line of lines)
      if ('row' in line) {
        const rows = source.get(line.collection) ?? [];
        rows.push(line.row);
        source.set(line.collection, rows);
      } else if (!(await store.objects.has(line.object))) {
        await store.objects.put(copies.get(line.object));
        written.objects++;
      }
    await copyRows(fromMemory(source), store.rows, true, written, () => undefined);
    await compare(source, store);
    await removeFile(note);
    return { ...backup, from, written };
  } finally {
    await store.close();
  }
}

function fromMemory(rows: ReadonlyMap<string, readonly Row[]>): Pick<Rows, 'collections' | 'list'> {
  return {
    collections: async () => [...rows.keys()],
    list: async <T extends Row>(
      collection: string,
      { after, limit }: { after?: string; limit?: number } = {},
    ) => {
      const all = rows.get(collection) ?? [];
      const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
      return all.slice(start, limit === undefined ? undefined : start + limit) as unknown as T[];
    },
  };
}

async function compare(source: ReadonlyMap<string, readonly Row[]>, store: Store): Promise<void> {
  for (const [collection, rows] of source) {
    let at = 0;
    for await (const row of everyRow(store.rows, collection)) {
      if (JSON.stringify(row) !== JSON.stringify(rows[at++])) throw unequal(collection, row.id);
    }
    if (at !== rows.length) throw unequal(collection, rows[at]?.id ?? '');
  }
}

const unequal = (collection: string, id: string): InkstoneError =>
  new InkstoneError('restore_unequal', `the row ${collection}/${id} is not as it was written`, {
    kind: 'conflict',
    hint: 'somebody writes to the store: stop it and restore again',
  });
