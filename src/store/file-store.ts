/**
 * The store on a local folder: a file per row, objects beside them. Every write is atomic and synced; what is read is
 * checked. Several processes may use one folder; changes of a row exclude each other by a lock.
 */
import type { Row, Rows, Store } from '../base/contracts/store.ts';
import { InkstoneError, invariant } from '../base/errors.ts';
import { withLock } from '../base/file-lock.ts';
import {
  exists,
  facts,
  listFiles,
  makeFolder,
  now,
  readText,
  removeFile,
  syncFolder,
  writeFile,
} from '../base/host.ts';
import { byId, checkCollection, checkId } from './names.ts';
import { openFolderObjects } from './objects/folder.ts';

/** @throws InkstoneError from making the folders: `file_denied`, `disk_full` */
export async function openFileStore(folder: string): Promise<Store> {
  return {
    kind: { rows: 'folder', objects: 'folder' },
    rows: await openFileRows(`${folder}/rows`),
    objects: await openFolderObjects(`${folder}/objects`),
    close: async () => {},
  };
}

export async function openFileRows(folder: string): Promise<Rows> {
  await makeFolder(folder);
  await sweep(folder);
  return new FileRows(folder);
}

/** Milliseconds after which a row that nobody finished writing is taken away. */
const ABANDONED = 86_400_000;

/** What killed processes left half written. */
async function sweep(folder: string): Promise<void> {
  for (const collection of (await listFiles(folder)).filter((name) => /^[a-z]/.test(name)))
    for (const name of await listFiles(`${folder}/${collection}`)) {
      if (!name.endsWith('.tmp')) continue;
      const file = `${folder}/${collection}/${name}`;
      if (now() - ((await facts(file))?.modified ?? now()) > ABANDONED) await removeFile(file);
    }
}

/** Names that any file system takes: others are spelled in hexadecimal. @throws InkstoneError `row_id_invalid` */
function fileName(id: string): string {
  return /^[a-z0-9][a-z0-9_-]{0,80}$/.test(checkId(id))
    ? `${id}.json`
    : `=${Buffer.from(id).toString('hex')}.json`;
}

function idOf(file: string): string {
  const name = file.replace(/\.json$/, '');
  return name.startsWith('=') ? Buffer.from(name.slice(1), 'hex').toString() : name;
}

class FileRows implements Rows {
  private readonly folder: string;
  private readonly made = new Set<string>();
  /** The last change in each collection: one behind the other in this process, by a lock among several. */
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(folder: string) {
    this.folder = folder;
  }

  private async collection(name: string, make: boolean): Promise<string> {
    const folder = `${this.folder}/${checkCollection(name)}`;
    if (make && !this.made.has(name)) {
      await makeFolder(folder);
      await syncFolder(this.folder);
      this.made.add(name);
    }
    return folder;
  }

  async get<T extends Row>(collection: string, id: string): Promise<T | undefined> {
    const file = `${await this.collection(collection, false)}/${fileName(id)}`;
    let text: string;
    try {
      text = await readText(file);
    } catch (thrown) {
      if (InkstoneError.is(thrown) && thrown.code === 'file_missing') return undefined;
      throw thrown;
    }
    try {
      const row = JSON.parse(text) as T;
      invariant(row.id === id, 'a row lies under its own name');
      return row;
    } catch (cause) {
      throw new InkstoneError('row_corrupt', `the row ${collection}/${id} cannot be read`, {
        kind: 'data',
        hint: `restore or remove ${file}`,
        cause,
      });
    }
  }

  async put<T extends Row>(collection: string, row: T): Promise<void> {
    await writeFile(`${await this.collection(collection, true)}/${fileName(row.id)}`, JSON.stringify(row));
  }

  async remove(collection: string, id: string): Promise<boolean> {
    const folder = await this.collection(collection, false);
    const file = `${folder}/${fileName(id)}`;
    const there = await exists(file);
    await removeFile(file);
    if (there) await syncFolder(folder);
    return there;
  }

  private async files(collection: string): Promise<string[]> {
    const folder = await this.collection(collection, false);
    if (!(await exists(folder))) return [];
    return (await listFiles(folder)).filter((file) => file.endsWith('.json'));
  }

  async list<T extends Row>(
    collection: string,
    options: { after?: string; limit?: number } = {},
  ): Promise<T[]> {
    const ids = (await this.files(collection)).map(idOf).sort(byId);
    const { after, limit } = options;
    const behind = after === undefined ? ids : ids.filter((id) => byId(id, after) > 0);
    const wanted = limit === undefined ? behind : behind.slice(0, limit);
    const rows = await Promise.all(wanted.map((id) => this.get<T>(collection, id)));
    return rows.filter((row) => row !== undefined);
  }

  async update<T extends Row>(
    collection: string,
    id: string,
    change: (row: T | undefined) => T | null | undefined,
  ): Promise<T | undefined> {
    checkId(id);
    // Beside the collections: the dot keeps it from being one.
    await this.collection(collection, true);
    const lock = `${this.folder}/.${collection}.lock`;
    const turn = (this.turns.get(collection) ?? Promise.resolve()).then(() =>
      withLock(lock, async () => {
        const row = await this.get<T>(collection, id);
        const next = change(row);
        if (next === undefined) return row;
        if (next === null) {
          await this.remove(collection, id);
          return undefined;
        }
        invariant(next.id === id, 'a row keeps its id');
        await this.put(collection, next);
        return next;
      }),
    );
    this.turns.set(
      collection,
      turn.catch(() => undefined),
    );
    return turn;
  }

  async collections(): Promise<string[]> {
    const found: string[] = [];
    for (const name of await listFiles(this.folder))
      if (/^[a-z]/.test(name) && (await this.files(name)).length > 0) found.push(name);
    return found.sort(byId);
  }

  async count(collection: string): Promise<number> {
    return (await this.files(collection)).length;
  }
}
