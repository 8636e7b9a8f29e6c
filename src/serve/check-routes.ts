/** `/api/files/:id/check`: what an uploaded file holds for a model that is to be tuned on it. Trains nothing. */
import type { FastifyInstance } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { facts, readText } from '../base/host.ts';
import { examineAsConversations, examineAsText } from '../data/text/examine.ts';
import { readTokenizer } from '../data/tokenizer/read.ts';
import { requireWriting } from '../models/text/any.ts';
import { requireOwn } from '../operate/model-info.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { type FileRow, pathOfFile } from './file-routes.ts';
import { checkQuery } from './schemas.ts';

/** Bytes that are looked through while somebody waits. */
const LARGEST = 32 * 2 ** 20;
const CONVERSATIONS = /\.(jsonl|ndjson)$/i;
const PACKED = /\.(gz|tgz|tar|zip)$/i;

export function addFileCheck(app: FastifyInstance, context: ServerContext): void {
  app.get<{ Params: { id: string } }>('/api/files/:id/check', async (request) => {
    const { model } = parse(checkQuery, request.query);
    const { info, folder } = await context.registry.get(model);
    const config = requireWriting(requireOwn(info, 'be tuned').config);
    const file = await pathOfFile(context, request.params.id);
    const { name, bytes } = (await context.store.rows.get<FileRow>('files', request.params.id)) as FileRow;
    requireReadable(name, (await facts(file))?.size ?? bytes);
    const tokenizer = readTokenizer(await readText(`${folder}/tokenizer.json`));
    const text = await readText(file);
    const found = CONVERSATIONS.test(name)
      ? examineAsConversations(text, tokenizer, config.context)
      : examineAsText(text, tokenizer);
    return { id: request.params.id, name, bytes, model, context: config.context, ...found };
  });
}

/** @throws InkstoneError `file_packed`, `file_too_large` */
function requireReadable(name: string, size: number): void {
  if (PACKED.test(name))
    throw new InkstoneError('file_packed', `${name} is packed`, {
      kind: 'usage',
      hint: 'unpack it: a model is tuned on a plain .jsonl or .txt',
      details: { param: 'file' },
    });
  if (size > LARGEST)
    throw new InkstoneError(
      'file_too_large',
      `the file has ${Math.ceil(size / 2 ** 20)} MiB, ${LARGEST / 2 ** 20} are looked through`,
      {
        kind: 'usage',
        hint: 'tune from the command line: inkstone train chat --data FILE',
        details: { param: 'file' },
      },
    );
}
