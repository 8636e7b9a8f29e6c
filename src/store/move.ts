/**
 * An installation moves: every row and object goes from one place to another, and only when both sides say the same is the
 * new place the installation's. Cut short at any moment, it leaves the old place as it was; the next go copies what is
 * missing. The old place is never emptied.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { Objects, Row, Rows, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, readText, removeFile, writeFile } from '../base/host.ts';
import { everyRow } from './collect.ts';
import { byId } from './names.ts';
import { keepPlace, openAt, otherUsers, type Place, placeOf, withoutPassword } from './open.ts';
import { SqlRows } from './sql/sql-rows.ts';

/** Rows that are written at once. */
const BATCH = 200;
/** Passes until both sides must say the same. */
const PASSES = 3;

export interface Moved {
  from: Place;
  to: Place;
  rows: number;
  objects: number;
  /** How many had to be copied; the others were there from an earlier go. */
  copied: { rows: number; objects: number };
  /** SHA-256 over all rows in order, and over all names of objects; both sides have these. */
  checksums: { rows: string; objects: string };
}

export interface MoveOptions {
  to: Place;
  /** Moves although other processes use the store; what they write meanwhile may be lost. */
  force?: boolean;
  progress?(done: { rows: number; objects: number }): void;
}

/** @throws InkstoneError `store_in_use`, `store_same`, `move_unequal`, and what the two places throw */
export async function moveStore(home: string, options: MoveOptions): Promise<Moved> {
  const from = await placeOf(home);
  const { to } = options;
  if (from.database === to.database && from.objects === to.objects)
    throw new InkstoneError('store_same', 'the store is there already', {
      kind: 'usage',
      hint: 'name another place',
    });
  const others = await otherUsers(home);
  if (others.length > 0 && options.force !== true)
    throw new InkstoneError('store_in_use', `process ${others.join(', ')} uses the store`, {
      kind: 'conflict',
      hint: 'stop the server first',
      details: { processes: others },
    });
  const source = await openAt(home, from);
  try {
    const target = await openAt(home, to);
    try {
      // Says where an earlier go was heading: what it left there may be written over.
      const note = path.join(home, 'store', 'moving.json');
      const heading = JSON.stringify({ ...to, database: withoutPassword(to.database) });
      const begun = (await exists(note)) && (await readText(note)) === heading;
      await writeFile(note, heading);
      const result = await moveAll(source, target, {
        ...options,
        ours: begun,
        sameObjects: from.objects === to.objects,
      });
      await keepPlace(home, to);
      await removeFile(note);
      return { from, to, ...result };
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

/** Copies until both say the same. @param options.ours what else the target has may go @param options.sameObjects they stay where they are */
async function moveAll(
  source: Store,
  target: Store,
  { progress, ours, sameObjects }: Pick<MoveOptions, 'progress'> & { ours: boolean; sameObjects: boolean },
): Promise<Omit<Moved, 'from' | 'to'>> {
  const copied = { rows: 0, objects: 0 };
  const tell = (): void => progress?.({ ...copied });
  for (let pass = 0; pass < PASSES; pass++) {
    if (!sameObjects) await copyObjects(source.objects, target.objects, copied, tell);
    // What the first pass has copied is this go's own.
    await copyRows(source.rows, target.rows, ours || pass > 0, copied, tell);
    const [a, b] = [await summary(source), await summary(target)];
    if (a.checksums.rows === b.checksums.rows && a.checksums.objects === b.checksums.objects)
      return { ...a, copied };
  }
  throw new InkstoneError('move_unequal', 'the two places do not hold the same after three passes', {
    kind: 'conflict',
    hint: 'somebody writes to one of them: stop it, or choose an empty place',
  });
}

async function copyObjects(
  source: Objects,
  target: Objects,
  copied: { objects: number },
  tell: () => void,
): Promise<void> {
  const there = new Set<string>();
  for await (const { hash } of target.list()) there.add(hash);
  for await (const { hash } of source.list()) {
    if (there.has(hash)) continue;
    const put = await target.put(source.get(hash));
    if (put.hash !== hash)
      throw new InkstoneError('object_corrupt', `the object ${hash} arrived as ${put.hash}`, {
        kind: 'data',
      });
    copied.objects++;
    tell();
  }
}

/** Both sides in order of id, side by side. @param ours rows that only the target has are an earlier go's: away with them */
export async function copyRows(
  source: Pick<Rows, 'collections' | 'list'>,
  target: Rows,
  ours: boolean,
  copied: { rows: number },
  tell: () => void,
): Promise<void> {
  const names = new Set([...(await source.collections()), ...(await target.collections())]);
  for (const collection of names) {
    let batch: Row[] = [];
    const write = async (): Promise<void> => {
      if (target instanceof SqlRows) await target.putAll(collection, batch);
      else for (const row of batch) await target.put(collection, row);
      copied.rows += batch.length;
      batch = [];
      tell();
    };
    const there = everyRow(target, collection);
    let other = (await there.next()).value as Row | undefined;
    const drop = async (row: Row): Promise<void> => {
      if (!ours)
        throw new InkstoneError(
          'place_taken',
          `the new place has a row ${collection}/${row.id} that the old one has not`,
          { kind: 'conflict', hint: 'choose an empty database; nothing was changed in the old place' },
        );
      await target.remove(collection, row.id);
    };
    for await (const row of everyRow(source, collection)) {
      while (other !== undefined && byId(other.id, row.id) < 0) {
        await drop(other);
        other = (await there.next()).value as Row | undefined;
      }
      const same = other?.id === row.id;
      if (!(same && JSON.stringify(other) === JSON.stringify(row))) batch.push(row);
      if (same) other = (await there.next()).value as Row | undefined;
      if (batch.length >= BATCH) await write();
    }
    for (; other !== undefined; other = (await there.next()).value as Row | undefined) await drop(other);
    if (batch.length > 0) await write();
  }
}

async function summary(store: Store): Promise<Omit<Moved, 'from' | 'to' | 'copied'>> {
  const digest = createHash('sha256');
  let rows = 0;
  for (const collection of await store.rows.collections())
    for await (const row of everyRow(store.rows, collection)) {
      digest.update(`${collection}\0${JSON.stringify(row)}\n`);
      rows++;
    }
  const names = createHash('sha256');
  let objects = 0;
  for await (const { hash, size } of store.objects.list()) {
    names.update(`${hash} ${size}\n`);
    objects++;
  }
  return { rows, objects, checksums: { rows: digest.digest('hex'), objects: names.digest('hex') } };
}
