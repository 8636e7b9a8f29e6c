/**
 * Looks after a store: checks that everything can be read and is what it says, and takes away objects that no row names.
 * A row names an object by writing its hash anywhere in itself. Knows no collection.
 */
import type { Row, Rows, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { now } from '../base/host.ts';

/** Milliseconds that an object is left alone after it was put: its row may still be on its way. */
export const GRACE = 86_400_000;

/** Rows read at a time. */
const PAGE = 500;

/** All rows of a collection, page by page. */
export async function* everyRow(rows: Pick<Rows, 'list'>, collection: string): AsyncGenerator<Row> {
  let after: string | undefined;
  for (;;) {
    const page = await rows.list(collection, { limit: PAGE, ...(after === undefined ? {} : { after }) });
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)?.id;
  }
}

/** Hashes that rows name. */
export async function namedObjects(rows: Rows): Promise<Set<string>> {
  const named = new Set<string>();
  for (const collection of await rows.collections())
    for await (const row of everyRow(rows, collection))
      for (const [hash] of JSON.stringify(row).matchAll(/\b[0-9a-f]{64}\b/g)) named.add(hash);
  return named;
}

export interface Collected {
  removed: number;
  /** Bytes. */
  freed: number;
  kept: number;
}

/** @param grace milliseconds after the last put in which an object is left alone */
export async function collect({ rows, objects }: Store, grace = GRACE): Promise<Collected> {
  // Objects first: what is put while rows are read is young, and not in this list besides.
  const old: { hash: string; size: number }[] = [];
  const result: Collected = { removed: 0, freed: 0, kept: 0 };
  for await (const object of objects.list()) {
    if (now() - object.modified >= grace) old.push(object);
    else result.kept++;
  }
  const named = await namedObjects(rows);
  for (const { hash, size } of old) {
    if (named.has(hash)) {
      result.kept++;
      continue;
    }
    if (await objects.remove(hash)) {
      result.removed++;
      result.freed += size;
    }
  }
  return result;
}

export interface Checked {
  collections: Record<string, number>;
  objects: number;
  /** Bytes of all objects. */
  bytes: number;
  problems: { code: string; message: string }[];
}

/** Reads everything there is. Problems are listed, not thrown. */
export async function check({ rows, objects }: Store): Promise<Checked> {
  const result: Checked = { collections: {}, objects: 0, bytes: 0, problems: [] };
  const note = (thrown: unknown): void => {
    const { code, message } = InkstoneError.from(thrown);
    result.problems.push({ code, message });
  };
  for (const collection of await rows.collections()) {
    result.collections[collection] = await rows.count(collection);
    try {
      for await (const row of everyRow(rows, collection)) void row;
    } catch (thrown) {
      note(thrown);
    }
  }
  for await (const { hash, size } of objects.list()) {
    result.objects++;
    result.bytes += size;
    try {
      for await (const piece of objects.get(hash)) void piece;
    } catch (thrown) {
      note(thrown);
    }
  }
  return result;
}
