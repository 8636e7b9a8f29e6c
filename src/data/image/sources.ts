/**
 * Pictures as files, whatever they are kept in: a folder, a zip, a tar.gz. One file at a time, each with where it stands.
 * Knows containers and limits; knows no pixels.
 */
import { createGunzip } from 'node:zlib';
import { Unzip, UnzipInflate } from 'fflate';
import { InkstoneError } from '../../base/errors.ts';
import { facts, listTree, readBytes, readStream } from '../../base/host.ts';
import { readTar } from '../../formats/tar.ts';

export interface SourceFile {
  /** Path within what was given, with slashes: `cats/one.png`. */
  name: string;
  bytes: Uint8Array;
  /** Why there are no bytes: it is passed over. */
  problem?: string;
}

/** A picture's file is never larger; what says so is passed over. */
const LARGEST = 64 * 2 ** 20;
const TOO_LARGE = { bytes: new Uint8Array(0), problem: 'larger than 64 MiB' };
export const PICTURE = /\.(png|jpe?g|webp|avif|gif|svg|tiff?)$/i;
/** Tables that label or describe files. */
export const TABLE = /(^|\/)(labels|metadata)\.(csv|tsv|jsonl)$/i;

/** Whether a file is a picture or a table, and none that a system put there for itself. */
export const wanted = (name: string): boolean =>
  (PICTURE.test(name) || TABLE.test(name)) &&
  !name.split('/').some((part) => (part.startsWith('.') && part !== '.') || part === '__MACOSX');

/**
 * Pictures and tables, in a fixed order: sorted paths of a folder, archives as they stand. What cannot be unpacked, or is
 * larger than 64 MiB, comes with a problem in place of its bytes.
 * @throws InkstoneError `data_missing`, `data_corrupt`
 */
export async function* pictureFiles(path: string): AsyncGenerator<SourceFile> {
  const about = await facts(path);
  if (about === undefined)
    throw new InkstoneError('data_missing', `there is nothing at ${path}`, {
      kind: 'missing',
      hint: 'check the path given to --data',
    });
  if (about.kind === 'folder') {
    for (const name of (await listTree(path)).sort()) {
      if (!wanted(name)) continue;
      const file = `${path}/${name}`;
      const size = (await facts(file))?.size ?? 0;
      yield size > LARGEST ? { name, ...TOO_LARGE } : { name, bytes: await readBytes(file) };
    }
    return;
  }
  if (/\.zip$/i.test(path)) yield* zipFiles(path);
  else if (/\.(tar|tgz|tar\.gz)$/i.test(path)) yield* tarFiles(path);
  else
    throw new InkstoneError('data_unknown', `${path} is neither a folder nor an archive of pictures`, {
      kind: 'usage',
      hint: 'give a folder, a .zip, a .tar.gz, or IDX files',
    });
}

async function* tarFiles(path: string): AsyncGenerator<SourceFile> {
  const raw = readStream(path);
  const bytes = /z$/i.test(path) ? raw.pipe(createGunzip()) : raw;
  raw.on('error', (error) => bytes.destroy(error));
  try {
    let parts: Uint8Array[] = [];
    let size = 0;
    for await (const { name, bytes: part, last } of readTar(bytes)) {
      if (wanted(name)) {
        size += part.length;
        if (size <= LARGEST) parts.push(part);
        else parts = [];
      }
      if (!last) continue;
      const own = name.replace(/^\.\//, '');
      if (wanted(name))
        yield size > LARGEST ? { name: own, ...TOO_LARGE } : { name: own, bytes: Buffer.concat(parts) };
      parts = [];
      size = 0;
    }
  } catch (thrown) {
    throw damaged(path, thrown);
  } finally {
    raw.destroy();
  }
}

/** Bytes of a zip that are inflated at once: to a thousand times as many at most. */
const PIECE = 1 << 14;

/** Deflated members; what was given up is not inflated any further. */
class Inflate extends UnzipInflate {
  private stopped = false;

  override push(chunk: Uint8Array, final: boolean): void {
    if (!this.stopped) super.push(chunk, final);
  }

  terminate(): void {
    this.stopped = true;
  }
}

async function* zipFiles(path: string): AsyncGenerator<SourceFile> {
  const ready: SourceFile[] = [];
  const unzip = new Unzip((file) => {
    const name = file.name.replaceAll('\\', '/');
    if (name.endsWith('/') || !wanted(name)) return;
    let parts: Uint8Array[] = [];
    let size = 0;
    let done = false;
    const end = (found: Omit<SourceFile, 'name'>): void => {
      done = true;
      parts = [];
      ready.push({ name, ...found });
      if (found.problem !== undefined) file.terminate();
    };
    file.ondata = (error, part, last) => {
      if (done) return;
      // One damaged file says nothing against the others.
      if (error !== null) return end({ bytes: new Uint8Array(0), problem: `damaged: ${error.message}` });
      size += part.length;
      // A bomb grows without end: it is cut off here, and never held.
      if (size > LARGEST) return end(TOO_LARGE);
      parts.push(part);
      if (last) end({ bytes: Buffer.concat(parts) });
    };
    try {
      file.start();
    } catch (thrown) {
      // Packed in a way that is not known.
      if (!done) end({ bytes: new Uint8Array(0), problem: (thrown as Error).message });
    }
  });
  unzip.register(Inflate);
  try {
    for await (const chunk of readStream(path)) {
      const bytes = chunk as Uint8Array;
      for (let at = 0; at < bytes.length; at += PIECE) unzip.push(bytes.subarray(at, at + PIECE), false);
      yield* ready.splice(0);
    }
    unzip.push(new Uint8Array(0), true);
  } catch (thrown) {
    throw damaged(path, thrown);
  }
  yield* ready.splice(0);
}

function damaged(path: string, thrown: unknown): InkstoneError {
  if (InkstoneError.is(thrown)) return thrown;
  return new InkstoneError('data_corrupt', `${path} is damaged: ${(thrown as Error).message}`, {
    kind: 'data',
    hint: 'fetch or pack it again',
    cause: thrown,
  });
}
