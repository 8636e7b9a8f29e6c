/** `/v1/files`: files as OpenAI's clients upload and list them. Keeps them as the studio's; knows no trainings. */
import path from 'node:path';
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { readStream, removeFile } from '../base/host.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { type FileRow, keepFile, pathOfFile } from './file-routes.ts';
import { listQuery } from './schemas.ts';

const PURPOSES = ['fine-tune', 'batch', 'assistants', 'vision', 'user_data', 'evals'];
/** Bytes of an uploaded file; the file itself is counted as it comes. */
const LARGEST_BODY = 4 * 2 ** 30;

const fileObject = ({ id, name, bytes, created, purpose }: FileRow): object => ({
  id,
  object: 'file',
  bytes,
  created_at: created,
  expires_at: null,
  filename: name,
  purpose: purpose ?? 'fine-tune',
  status: 'processed',
  status_details: null,
});

/** The newest first, from behind `after` on, as OpenAI's lists are. @throws InkstoneError `parameter_invalid` for a cursor that is gone: a list must not begin anew */
export function page<T extends { id: string }>(
  all: readonly T[],
  { after, limit }: { after?: string | undefined; limit?: number | undefined },
): { rows: T[]; more: boolean } {
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0)
    throw new InkstoneError('parameter_invalid', `'after': there is no ${after} in this list`, {
      kind: 'usage',
      details: { param: 'after' },
    });
  const rows = all.slice(start, start + (limit ?? 20));
  return { rows, more: start + rows.length < all.length };
}

export async function addUploads(app: FastifyInstance, context: ServerContext): Promise<void> {
  const { store, home } = context;
  await app.register(multipart, { limits: { fileSize: LARGEST_BODY, files: 1, fields: 10 } });
  type ById = { Params: { id: string } };

  app.post('/v1/files', { bodyLimit: LARGEST_BODY }, async (request) =>
    fileObject(await receive(context, request)),
  );

  app.get('/v1/files', async (request) => {
    const query = parse(listQuery, request.query);
    const all = (await context.owners.own(request, await store.rows.list<FileRow>('files')))
      .filter(({ purpose }) => query.purpose === undefined || (purpose ?? 'fine-tune') === query.purpose)
      .sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));
    const { rows, more } = page(all, query);
    return {
      object: 'list',
      data: rows.map(fileObject),
      has_more: more,
      first_id: rows[0]?.id ?? null,
      last_id: rows.at(-1)?.id ?? null,
    };
  });

  const found = async (id: string): Promise<FileRow> => {
    await pathOfFile(context, id);
    const row = await store.rows.get<FileRow>('files', id);
    if (row !== undefined) return row;
    // Another request deleted it in between: the same is said as of any that is not there.
    await pathOfFile(context, id);
    throw new InkstoneError('file_missing', `there is no file ${id}`, { kind: 'missing' });
  };
  app.get<ById>('/v1/files/:id', async (request) => fileObject(await found(request.params.id)));
  app.get<ById>('/v1/files/:id/content', async (request, reply) => {
    const file = await pathOfFile(context, request.params.id);
    return reply.type('application/octet-stream').send(readStream(file));
  });
  app.delete<ById>('/v1/files/:id', async (request) => {
    const { id } = await found(request.params.id);
    await store.rows.remove('files', id);
    await removeFile(path.join(home, 'files', id));
    await context.owners.forget(id);
    return { id, object: 'file', deleted: true };
  });
}

async function receive(context: ServerContext, request: FastifyRequest): Promise<FileRow> {
  if (!request.isMultipart())
    throw new InkstoneError('media_type_unsupported', 'a file is sent as multipart/form-data', {
      kind: 'usage',
      hint: 'send the parts purpose and file',
      details: { httpStatus: 415 },
    });
  let kept: FileRow | undefined;
  let purpose: string | undefined;
  const length = Number(request.headers['content-length'] ?? 0);
  for await (const part of request.parts()) {
    if (part.type === 'field') {
      if (part.fieldname === 'purpose' && typeof part.value === 'string') purpose = part.value;
      continue;
    }
    kept = await keepFile(context, { name: part.filename ?? '', pieces: part.file, length });
  }
  const missing = (param: string, hint: string): InkstoneError =>
    new InkstoneError('parameter_missing', `'${param}' is required`, {
      kind: 'usage',
      hint,
      details: { param },
    });
  if (kept === undefined) throw missing('file', 'send the file as the part "file"');
  if (purpose === undefined || !PURPOSES.includes(purpose)) {
    await context.store.rows.remove('files', kept.id);
    await removeFile(path.join(context.home, 'files', kept.id));
    throw missing('purpose', `one of ${PURPOSES.join(', ')}`);
  }
  const row: FileRow = { ...kept, purpose };
  await context.store.rows.put('files', row);
  return row;
}
