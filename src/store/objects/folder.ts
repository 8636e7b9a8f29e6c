/**
 * Objects in a local folder: a file for each, named by its hash. It is written beside, synced and renamed; what is read
 * is checked. Knows no rows.
 */
import { createHash } from 'node:crypto';
import type { Objects, StoredObject } from '../../base/contracts/store.ts';
import {
  exists,
  facts,
  listFiles,
  makeFolder,
  now,
  openFile,
  readStream,
  removeFile,
  renameFile,
  syncFolder,
  temporaryPath,
} from '../../base/host.ts';
import { checkHash, objectCorrupt, objectMissing } from '../names.ts';

/** Milliseconds after which an object that nobody finished writing is taken away. */
const ABANDONED = 86_400_000;

/** @throws InkstoneError from making the folder: `file_denied`, `disk_full` */
export async function openFolderObjects(folder: string): Promise<Objects> {
  await makeFolder(folder);
  await sweep(folder);
  return new FolderObjects(folder);
}

/** What a killed process left half written. */
async function sweep(folder: string): Promise<void> {
  for (const name of await listFiles(folder)) {
    const file = `${folder}/${name}`;
    if (name.startsWith('incoming-') && now() - ((await facts(file))?.modified ?? now()) > ABANDONED)
      await removeFile(file);
  }
}

class FolderObjects implements Objects {
  private readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  private path(hash: string): string {
    return `${this.folder}/${checkHash(hash).slice(0, 2)}/${hash}`;
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
    await syncFolder(this.folder);
    return { hash, size };
  }

  async *get(hash: string): AsyncGenerator<Uint8Array> {
    const file = this.path(hash);
    if (!(await exists(file))) throw objectMissing(hash);
    const digest = createHash('sha256');
    for await (const piece of readStream(file)) {
      digest.update(piece as Uint8Array);
      yield piece as Uint8Array;
    }
    if (digest.digest('hex') !== hash) throw objectCorrupt(hash);
  }

  has(hash: string): Promise<boolean> {
    return exists(this.path(hash));
  }

  async remove(hash: string): Promise<boolean> {
    const there = await this.has(hash);
    await removeFile(this.path(hash));
    return there;
  }

  async *list(): AsyncGenerator<StoredObject> {
    for (const shelf of await listFiles(this.folder)) {
      if (!/^[0-9a-f]{2}$/.test(shelf)) continue;
      for (const hash of await listFiles(`${this.folder}/${shelf}`)) {
        const about = await facts(`${this.folder}/${shelf}/${hash}`);
        if (about?.kind === 'file') yield { hash, size: about.size, modified: about.modified };
      }
    }
  }
}
