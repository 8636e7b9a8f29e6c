/** `/api/files`: texts to train on, received in pieces and kept under the home folder. Knows no trainings. */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Row } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import {
  exists,
  freeSpace,
  makeFolder,
  now,
  openFile,
  readStream,
  removeFile,
  renameFile,
  writeAtomically,
} from '../base/host.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { fileQuery } from './schemas.ts';

export interface FileRow extends Row {
  name: string;
  bytes: number;
  created: number;
  /** What an OpenAI client uploaded it for. */
  purpose?: string;
  /** Its bytes in the object store, where several machines share one. */
  object?: string;
}

/** Bytes of an uploaded file. */
const LARGEST_FILE = 4 * 2 ** 30;
/** Bytes that an upload leaves on the disk. */
const SPARE = 16 * 2 ** 20;

export function addFileRoutes(app: FastifyInstance, { home, store }: ServerContext): void {
  app.post('/api/files', { bodyLimit: LARGEST_FILE }, async (request) => {
    const { name } = parse(fileQuery, request.query);
    const length = Number(request.headers['content-length'] ?? 0);
    return keepFile({ home, store }, { name, pieces: piecesOf(request.body), length });
  });

  app.get('/api/files', async () => ({ data: await store.rows.list<FileRow>('files') }));
}

/** Receives a file in pieces; what is cut short leaves nothing. @throws InkstoneError `body_too_large`, `file_empty`, `disk_full` */
export async function keepFile(
  { home, store }: Pick<ServerContext, 'home' | 'store'>,
  given: { name: string; pieces: AsyncIterable<Uint8Array>; length: number; purpose?: string; id?: string },
): Promise<FileRow> {
  const folder = path.join(home, 'files');
  const name = safeName(given.name);
  await makeFolder(folder);
  await requireSpace(folder, given.length);
  const id = given.id ?? `file-${now().toString(36)}-${randomUUID().slice(0, 8)}`;
  const own = path.join(folder, id);
  await makeFolder(own);
  const target = path.join(own, name);
  const file = await openFile(`${target}.part`, 'write');
  let bytes = 0;
  try {
    for await (const piece of given.pieces) {
      bytes += piece.length;
      if (bytes > LARGEST_FILE)
        throw new InkstoneError('body_too_large', 'the file is larger than this server takes', {
          kind: 'usage',
          hint: 'train from the command line: inkstone train text --data FILE',
          details: { httpStatus: 413 },
        });
      await file.write(piece);
    }
    await file.sync();
  } catch (thrown) {
    await file.close();
    await removeFile(own);
    throw thrown;
  }
  await file.close();
  if (bytes === 0) {
    await removeFile(own);
    throw new InkstoneError('file_empty', 'the file is empty', {
      kind: 'data',
      hint: 'choose a file with text in it',
      details: { param: 'file' },
    });
  }
  await renameFile(`${target}.part`, target);
  // Where several machines share a store, the others fetch it from there.
  const object =
    store.kind.objects === 'folder' ? undefined : (await store.objects.put(readStream(target))).hash;
  const row: FileRow = {
    ...{ id, name, bytes, created: Math.floor(now() / 1000) },
    ...(given.purpose === undefined ? {} : { purpose: given.purpose }),
    ...(object === undefined ? {} : { object }),
  };
  await store.rows.put('files', row);
  return row;
}

/** What a file may be called here: no way out of its folder, nothing hidden, its ending kept. */
function safeName(given: string): string {
  const name = path
    .basename(given.replaceAll('\\', '/'))
    .replaceAll(/[^\p{L}\p{N}._ -]/gu, '_')
    .replace(/^\.+/, '');
  return [...name].slice(-60).join('').trim() || 'file.txt';
}

function piecesOf(body: unknown): AsyncIterable<Uint8Array> {
  if (typeof body === 'object' && body !== null && Symbol.asyncIterator in body)
    return body as AsyncIterable<Uint8Array>;
  throw new InkstoneError('media_type_unsupported', 'a file is sent as it is', {
    kind: 'usage',
    hint: 'send its bytes with content-type application/octet-stream',
    details: { httpStatus: 415 },
  });
}

async function requireSpace(folder: string, bytes: number): Promise<void> {
  const free = await freeSpace(folder);
  if (bytes + SPARE > free)
    throw new InkstoneError(
      'disk_full',
      `the file has ${Math.ceil(bytes / 2 ** 20)} MiB, the disk has ${Math.floor(free / 2 ** 20)} left`,
      { kind: 'resource', hint: 'free some space' },
    );
}

/** @throws InkstoneError `file_missing` */
export async function pathOfFile(
  { home, store }: Pick<ServerContext, 'home' | 'store'>,
  id: string,
): Promise<string> {
  const row = await store.rows.get<FileRow>('files', id);
  const file = row === undefined ? undefined : path.join(home, 'files', row.id, row.name);
  if (row?.object !== undefined && file !== undefined && !(await exists(file))) {
    const { object } = row;
    await makeFolder(path.dirname(file));
    await writeAtomically(file, async (write) => {
      for await (const piece of store.objects.get(object)) await write(piece);
    });
  }
  if (file === undefined || !(await exists(file)))
    throw new InkstoneError('file_missing', `there is no file ${id}`, {
      kind: 'missing',
      hint: 'upload it first',
      details: { param: 'file' },
    });
  return file;
}
