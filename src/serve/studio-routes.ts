/** `/api/*`: what the studio needs beyond the wire: system, models with cards, files, trainings and their events. */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Row } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import {
  exists,
  machine,
  makeFolder,
  memoryUse,
  now,
  openFile,
  removeFile,
  renameFile,
  uptime,
} from '../base/host.ts';
import { codeVersion } from '../base/version.ts';
import { gpt2ParameterCount } from '../models/text/gpt2.ts';
import { textPreset, textPresets } from '../models/text/presets.ts';
import type { MetricLine } from '../operate/run-metrics.ts';
import { isFinal } from '../operate/trainings.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { fileQuery, trainingBody } from './schemas.ts';
import { EventStream, hangUp } from './sse.ts';

interface FileRow extends Row {
  name: string;
  bytes: number;
  created: number;
}

/** Milliseconds between looks at a training's metrics. */
const LOOK = 300;

export function addStudioRoutes(app: FastifyInstance, context: ServerContext): void {
  app.get('/api/system', async () => ({
    version: await codeVersion(),
    node: machine().node,
    machine: machine(),
    home: path.resolve(context.home),
    uptime: uptime(),
    memory: { ...memoryUse(), models: context.pool.memory() },
  }));

  app.get('/api/models', async () => ({
    data: (await context.registry.list()).map(({ id, source, info }) => ({
      id,
      family: info.family,
      parameters: info.parameters,
      context: info.config.context,
      created: info.created,
      chat: false,
      state: context.pool.state(id),
      source,
      card: info.card,
    })),
  }));

  app.get('/api/presets', async () => ({
    data: textPresets.map((preset) => ({
      id: preset.id,
      title: preset.title,
      description: preset.description,
      // The vocabulary of characters depends on the text; 96 stands for English.
      parameters: gpt2ParameterCount({
        ...preset.model,
        vocabulary: preset.tokenizer.name === 'bpe' ? preset.tokenizer.vocabulary : 96,
      }),
      context: preset.model.context,
      steps: preset.training.steps,
      tokenizer: preset.tokenizer.name,
    })),
  }));

  addFiles(app, context);
  addTrainings(app, context);
}

function addFiles(app: FastifyInstance, { home, store }: ServerContext): void {
  const folder = path.join(home, 'files');

  app.post('/api/files', { bodyLimit: 4 * 2 ** 30 }, async (request) => {
    const name = path.basename(parse(fileQuery, request.query).name).replaceAll(/[^\p{L}\p{N}._ -]/gu, '_');
    await makeFolder(folder);
    const id = `file-${now().toString(36)}-${randomUUID().slice(0, 8)}`;
    const own = path.join(folder, id);
    await makeFolder(own);
    const target = path.join(own, name);
    const file = await openFile(`${target}.part`, 'write');
    let bytes = 0;
    try {
      for await (const piece of request.body as AsyncIterable<Uint8Array>) {
        bytes += piece.length;
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
      });
    }
    await renameFile(`${target}.part`, target);
    const row: FileRow = { id, name, bytes, created: Math.floor(now() / 1000) };
    await store.rows.put('files', row);
    return row;
  });

  app.get('/api/files', async () => ({ data: await store.rows.list<FileRow>('files') }));
}

async function pathOfFile({ home, store }: ServerContext, id: string): Promise<string> {
  const row = await store.rows.get<FileRow>('files', id);
  const file = row === undefined ? undefined : path.join(home, 'files', row.id, row.name);
  if (file === undefined || !(await exists(file)))
    throw new InkstoneError('file_missing', `there is no file ${id}`, {
      kind: 'missing',
      hint: 'upload it first',
      details: { param: 'file' },
    });
  return file;
}

function addTrainings(app: FastifyInstance, context: ServerContext): void {
  const { trainings } = context;
  type ById = { Params: { id: string } };

  app.post('/api/trainings', async (request, reply) => {
    const body = parse(trainingBody, request.body);
    textPreset(body.preset);
    if (await context.registry.has(body.name))
      throw new InkstoneError('run_exists', `there is a model named ${body.name} already`, {
        kind: 'conflict',
        hint: 'choose another name',
        details: { param: 'name' },
      });
    const row = await trainings.create({ ...body, file: await pathOfFile(context, body.file) });
    reply.code(201);
    return trainings.status(row);
  });

  app.get('/api/trainings', async () => ({ data: await trainings.list() }));

  app.get<ById>('/api/trainings/:id', async (request) => {
    const row = await trainings.row(request.params.id);
    const lines = await trainings.metrics(row);
    const history = lines.filter((line) => line.type === 'train' || line.type === 'evaluate').map(pointOf);
    const samples = lines.filter((line) => line.type === 'sample').map(({ step, text }) => ({ step, text }));
    return { ...(await trainings.status(row)), history, samples };
  });

  app.post<ById>('/api/trainings/:id/stop', async (request) =>
    trainings.status(await trainings.stop(request.params.id)),
  );
  app.post<ById>('/api/trainings/:id/resume', async (request) =>
    trainings.status(await trainings.resume(request.params.id)),
  );

  app.get<ById>('/api/trainings/:id/events', async (request, reply) => {
    const { id } = request.params;
    await trainings.row(id);
    const gone = hangUp(reply);
    const out = new EventStream(reply, gone);
    out.start();
    let sent = 0;
    let state = '';
    while (!gone.aborted && !context.draining) {
      // The row first: what it calls final has all its lines written.
      const row = await trainings.row(id);
      const lines = await trainings.metrics(row);
      if (lines.length < sent) sent = 0;
      for (const line of lines.slice(sent)) await sendLine(out, line);
      sent = lines.length;
      if (row.state !== state)
        await out.send({
          type: 'state',
          state: row.state,
          ...(row.error === undefined ? {} : { error: row.error }),
        });
      state = row.state;
      if (isFinal(row.state)) break;
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
    out.end();
    return reply;
  });
}

function pointOf({ step, loss, val_loss, tokens_per_second }: MetricLine): object {
  return {
    step,
    ...(loss === undefined ? {} : { loss }),
    ...(val_loss === undefined ? {} : { val_loss }),
    ...(tokens_per_second === undefined ? {} : { tokens_per_second }),
  };
}

async function sendLine(out: EventStream, line: MetricLine): Promise<void> {
  if (line.type === 'sample') await out.send({ type: 'sample', step: line.step, text: line.text });
  else if (line.type === 'train' || line.type === 'evaluate')
    await out.send({
      type: 'metrics',
      ...pointOf(line),
      ...(line.remaining === undefined ? {} : { remaining: line.remaining }),
    });
}
