/** `/api/*`: what the studio needs beyond the wire: system, models with cards, trainings and their events. */
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { machine, memoryUse, uptime } from '../base/host.ts';
import { codeVersion } from '../base/version.ts';
import { requireWriting } from '../models/text/any.ts';
import { textParameterCount } from '../models/text/architectures.ts';
import { presetConfig, textPreset, textPresets } from '../models/text/presets.ts';
import { contextOf, describe, requireOwn } from '../operate/model-info.ts';
import { type MetricLine, scoreOf } from '../operate/run-metrics.ts';
import type { TrainingOrder } from '../operate/training-order.ts';
import { isFinal } from '../operate/trainings.ts';
import { addFileCheck } from './check-routes.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { addFileRoutes, pathOfFile } from './file-routes.ts';
import { onceOf } from './once.ts';
import {
  addSampleSheets,
  imagePresetList,
  isImagePreset,
  isPictures,
  newPictures,
  pictureModels,
  pictureTuning,
  requireNoPictureSettings,
  sampleOf,
} from './picture-routes.ts';
import { type TrainingBody, trainingBody } from './schemas.ts';
import { EventStream, hangUp } from './sse.ts';

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
    data: [
      ...(await context.registry.list()).map(({ id, source, info }) => ({
        id,
        family: info.family,
        parameters: info.parameters,
        context: contextOf(info),
        created: info.created,
        chat: info.chat,
        produces: describe(info, id).produces,
        state: context.pool.state(id),
        source,
        card: info.card,
      })),
      ...(await pictureModels(context)),
    ],
  }));

  app.get('/api/presets', async () => ({
    data: [...textPresetList(), ...imagePresetList()],
  }));

  addFileRoutes(app, context);
  addFileCheck(app, context);
  addTrainings(app, context);
  addSampleSheets(app, context);
}

const textPresetList = (): object[] =>
  textPresets.map((preset) => ({
    id: preset.id,
    family: 'text',
    title: preset.title,
    description: preset.description,
    // The vocabulary of characters depends on the text; 96 stands for English.
    parameters: textParameterCount(
      presetConfig(preset, preset.tokenizer.name === 'bpe' ? preset.tokenizer.vocabulary : 96),
    ),
    context: preset.model.context,
    steps: preset.training.steps,
    tokenizer: preset.tokenizer.name,
  }));

/** Steps of a training that goes on from a model, where the request does not say. */
const TUNING_STEPS = 100;
/** A tenth of what its preset starts from nothing with: what the model knows is to be kept. */
const TUNING_RATE = 3e-4;

/** From a preset, or from a model that is there. @throws InkstoneError `parameter_invalid`, `model_not_found`, `preset_unknown` */
/** A preset has its own. @throws InkstoneError `parameter_invalid` */
function requireNoRates(body: TrainingBody): void {
  const param = (['learning_rate', 'batch_size'] as const).find((name) => body[name] !== undefined);
  if (param === undefined) return;
  throw new InkstoneError('parameter_invalid', `'${param}' is for a model that is gone on from`, {
    kind: 'usage',
    hint: `leave it out, or name such a model with 'from'; for pictures 'set' takes training.batch=8, training.generatorRate=0.001`,
    details: { param },
  });
}

async function methodOf(
  { registry }: ServerContext,
  body: TrainingBody,
): Promise<Pick<TrainingOrder, 'preset' | 'steps' | 'base' | 'family' | 'choices'>> {
  const { preset, from, steps, learning_rate: learningRate, batch_size: batch } = body;
  if (from === undefined) {
    requireNoRates(body);
    if (preset !== undefined && isImagePreset(preset)) return newPictures(preset, body);
    requireNoPictureSettings(body);
    if (preset !== undefined) return { preset: textPreset(preset).id, steps };
    throw new InkstoneError('parameter_invalid', "one of 'preset' and 'from' is needed", {
      kind: 'usage',
      hint: 'name a preset, or a model to go on from',
      details: { param: 'preset' },
    });
  }
  const found = await registry.find(from);
  if (isPictures(found)) return pictureTuning(found, body);
  requireNoPictureSettings(body);
  const { folder, info } = found;
  requireWriting(requireOwn(info, 'be tuned').config);
  const planned = steps ?? TUNING_STEPS;
  return {
    // AdamW with a short warm-up; the sizes are the model's own.
    preset: preset === undefined ? 'tiny' : textPreset(preset).id,
    steps: planned,
    base: {
      ...{ model: from, folder, learningRate: learningRate ?? TUNING_RATE, batch },
      every: Math.max(1, Math.ceil(planned / 5)),
    },
  };
}

function addTrainings(app: FastifyInstance, context: ServerContext): void {
  const { trainings } = context;
  type ById = { Params: { id: string } };

  app.post('/api/trainings', async (request, reply) => {
    const body = parse(trainingBody, request.body);
    const how = await methodOf(context, body);
    if (await context.registry.has(body.name))
      throw new InkstoneError('run_exists', `there is a model named ${body.name} already`, {
        kind: 'conflict',
        hint: 'choose another name',
        details: { param: 'name' },
      });
    const file = await pathOfFile(context, body.file);
    const asked = { owner: request.keyId, once: onceOf(request) };
    const trace = request.span?.traceparent;
    const row = await trainings.create({ name: body.name, file, seed: body.seed, ...how, trace }, asked);
    reply.code(201);
    return trainings.status(row);
  });

  app.get('/api/trainings', async () => ({ data: await trainings.list() }));

  app.get<ById>('/api/trainings/:id', async (request) => {
    const row = await trainings.get(request.params.id);
    const lines = await trainings.metrics(row);
    const history = lines.filter((line) => line.type === 'train' || line.type === 'evaluate').map(pointOf);
    const samples = lines.filter((line) => line.type === 'sample').map((line) => sampleOf(row.id, line));
    const rollbacks = lines.filter((line) => line.type === 'rollback').map(turnOf);
    return { ...(await trainings.status(row)), history, samples, rollbacks };
  });

  app.post<ById>('/api/trainings/:id/stop', async (request) =>
    trainings.status(await trainings.stop(request.params.id)),
  );
  app.post<ById>('/api/trainings/:id/resume', async (request) =>
    trainings.status(await trainings.resume(request.params.id)),
  );

  app.get<ById>('/api/trainings/:id/events', async (request, reply) => {
    const { id } = request.params;
    await trainings.get(id);
    const gone = hangUp(reply);
    const out = new EventStream(reply, gone);
    out.start();
    let sent = 0;
    let newest = '';
    let state = '';
    while (!gone.aborted && !context.draining) {
      // The row first: what it calls final has all its lines written.
      const row = await trainings.get(id);
      const lines = await trainings.metrics(row);
      // A run that went back has taken lines back, too, and may have written as many since.
      if (sent > 0 && JSON.stringify(lines[sent - 1]) !== newest) sent = 0;
      for (const line of lines.slice(sent)) await sendLine(out, id, line);
      sent = lines.length;
      newest = JSON.stringify(lines[sent - 1]) ?? '';
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

function pointOf(line: MetricLine): object {
  const { step, loss, val_loss, tokens_per_second, size } = line;
  const score = scoreOf(line);
  return {
    step,
    ...(score === undefined ? {} : { score: score.value, score_name: score.name, best_score: score.best }),
    ...(loss === undefined ? {} : { loss }),
    ...(val_loss === undefined ? {} : { val_loss }),
    ...(tokens_per_second === undefined ? {} : { tokens_per_second }),
    ...(size === undefined ? {} : { size }),
  };
}

const turnOf = ({ step, from, why, rollbacks }: MetricLine): object => ({ step, from, why, rollbacks });

async function sendLine(out: EventStream, id: string, line: MetricLine): Promise<void> {
  if (line.type === 'sample') await out.send({ type: 'sample', ...sampleOf(id, line) });
  else if (line.type === 'rollback') await out.send({ type: 'rollback', ...turnOf(line) });
  else if (line.type === 'train' || line.type === 'evaluate')
    await out.send({
      type: 'metrics',
      ...pointOf(line),
      ...(line.remaining === undefined ? {} : { remaining: line.remaining }),
    });
}
