/**
 * The store on a local folder: a file per row, a file per object named by its hash. Every write is atomic; what
 * is read is checked. One process at a time.
 */
import { createHash } from 'node:crypto';
import type { Objects, Row, Rows, Store } from '../base/contracts/store.ts';
import { InkstoneError, invariant } from '../base/errors.ts';
import {
  exists,
  facts,
  listFiles,
  makeFolder,
  now,
  openFile,
  readStream,
  readText,
  removeFile,
  renameFile,
  syncFolder,
  temporaryPath,
  writeFile,
} from '../base/host.ts';

/** Milliseconds after which an object that nobody finished writing is taken away. */
const ABANDONED = 86_400_000;

/** @throws InkstoneError from making the folders: `file_denied`, `disk_full` */
export async function openFileStore(folder: string): Promise<Store> {
  await makeFolder(`${folder}/rows`);
  await makeFolder(`${folder}/objects`);
  await sweep(`${folder}/objects`);
  return {
    rows: new FileRows(`${folder}/rows`),
    objects: new FileObjects(`${folder}/objects`),
    close: async () => {},
  };
}

/** What a killed process left half written. */
async function sweep(folder: string): Promise<void> {
  for (const name of await listFiles(folder)) {
    const file = `${folder}/${name}`;
    if (name.startsWith('incoming-') && now() - ((await facts(file))?.modified ?? now()) > ABANDONED)
      await removeFile(file);
  }
}

/** Bytes of an id; twice as many and an ending fit every file system. */
const LONGEST_ID = 120;

/** Names that any file system takes: others are spelled in hexadecimal. @throws InkstoneError `row_id_invalid` */
function fileName(id: string): string {
  if (
    typeof id !== 'string' ||
    id === '' ||
    Buffer.byteLength(id) > LONGEST_ID ||
    Buffer.from(id).toString() !== id
  )
    throw new InkstoneError('row_id_invalid', `a row's id has 1 to ${LONGEST_ID} bytes of text`, {
      kind: 'usage',
    });
  return /^[a-z0-9][a-z0-9_-]{0,80}$/.test(id) ? `${id}.json` : `=${Buffer.from(id).toString('hex')}.json`;
}

function idOf(file: string): string {
  const name = file.replace(/\.json$/, '');
  return name.startsWith('=') ? Buffer.from(name.slice(1), 'hex').toString() : name;
}

class FileRows implements Rows {
  private readonly folder: string;
  private readonly made = new Set<string>();

  constructor(folder: string) {
    this.folder = folder;
  }

  private async collection(name: string, make: boolean): Promise<string> {
    if (!/^[a-z][a-z0-9_-]*$/.test(name))
      throw new InkstoneError('collection_invalid', `"${name}" is no name for a collection`, {
        kind: 'usage',
      });
    const folder = `${this.folder}/${name}`;
    if (make && !this.made.has(name)) {
      await makeFolder(folder);
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
    const file = `${await this.collection(collection, false)}/${fileName(id)}`;
    const there = await exists(file);
    await removeFile(file);
    return there;
  }

  async list<T extends Row>(
    collection: string,
    options: { after?: string; limit?: number } = {},
  ): Promise<T[]> {
    const folder = await this.collection(collection, false);
    if (!(await exists(folder))) return [];
    const ids = (await listFiles(folder))
      .filter((f) => f.endsWith('.json'))
      .map(idOf)
      .sort();
    const { after, limit } = options;
    const behind = after === undefined ? ids : ids.filter((id) => id > after);
    const wanted = limit === undefined ? behind : behind.slice(0, limit);
    const rows = await Promise.all(wanted.map((id) => this.get<T>(collection, id)));
    return rows.filter((row) => row !== undefined);
  }
}

class FileObjects implements Objects {
  private readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  private path(hash: string): string {
    if (!/^[0-9a-f]{64}$/.test(hash))
      throw new InkstoneError('object_missing', 'an object is named by 64 hexadecimal digits', {
        kind: 'missing',
      });
    return `${this.folder}/${hash.slice(0, 2)}/${hash}`;
  }

  async put(bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<{ hash: string; size: number }> {
    const digest = createHash('sha256');
    const temporary = `${this.folder}/${temporaryPath('incoming').split(/[\\/]/).at(-1)}`;
    const file = await openFile(temporary, 'write');
    let size = 0;
    try {
      for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
        digest.update(piece);
        size += piece.length;
        await file.write(piece);
      }
      await file.sync();
    } catch (thrown) {
      await file.close();
      await removeFile(temporary);
      throw thrown;
    }
    await file.close();
    const hash = digest.digest('hex');
    const folder = `${this.folder}/${hash.slice(0, 2)}`;
    await makeFolder(folder);
    await renameFile(temporary, this.path(hash));
    await syncFolder(folder);
    return { hash, size };
  }

  async *get(hash: string): AsyncGenerator<Uint8Array> {
    const file = this.path(hash);
    if (!(await exists(file)))
      throw new InkstoneError('object_missing', `there is no object ${hash}`, { kind: 'missing' });
    const digest = createHash('sha256');
    for await (const piece of readStream(file)) {
      digest.update(piece as Uint8Array);
      yield piece as Uint8Array;
    }
    if (digest.digest('hex') !== hash)
      throw new InkstoneError('object_corrupt', `the object ${hash} does not match its hash`, {
        kind: 'data',
        hint: 'put it again from its source',
      });
  }

  has(hash: string): Promise<boolean> {
    return exists(this.path(hash));
  }

  async remove(hash: string): Promise<boolean> {
    const there = await this.has(hash);
    await removeFile(this.path(hash));
    return there;
  }
}
