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
}

/** A picture's file is never larger; what says so is passed over. */
const LARGEST = 64 * 2 ** 20;
export const PICTURE = /\.(png|jpe?g|webp|avif|gif|svg|tiff?)$/i;
/** Tables that label or describe files. */
export const TABLE = /(^|\/)(labels|metadata)\.(csv|tsv|jsonl)$/i;

const wanted = (name: string): boolean =>
  (PICTURE.test(name) || TABLE.test(name)) &&
  !name.split('/').some((part) => (part.startsWith('.') && part !== '.') || part === '__MACOSX');

/**
 * Pictures and tables, in a fixed order: sorted paths of a folder, archives as they stand. A file that is larger than
 * 64 MiB comes with no bytes.
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
      yield { name, bytes: size > LARGEST ? new Uint8Array(0) : await readBytes(file) };
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
      if (wanted(name)) yield { name: name.replace(/^\.\//, ''), bytes: Buffer.concat(parts) };
      parts = [];
      size = 0;
    }
  } catch (thrown) {
    throw damaged(path, thrown);
  } finally {
    raw.destroy();
  }
}

async function* zipFiles(path: string): AsyncGenerator<SourceFile> {
  const ready: SourceFile[] = [];
  const unzip = new Unzip((file) => {
    const name = file.name.replaceAll('\\', '/');
    if (name.endsWith('/') || !wanted(name)) return;
    let parts: Uint8Array[] = [];
    let size = 0;
    file.ondata = (error, part, last) => {
      if (error !== null) throw error;
      size += part.length;
      // A bomb grows without end: it is cut off here, and never held.
      if (size <= LARGEST) parts.push(part);
      else {
        parts = [];
        file.terminate();
        ready.push({ name, bytes: new Uint8Array(0) });
        return;
      }
      if (last) ready.push({ name, bytes: Buffer.concat(parts) });
    };
    file.start();
  });
  unzip.register(UnzipInflate);
  try {
    for await (const chunk of readStream(path)) {
      unzip.push(chunk as Uint8Array, false);
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
