/**
 * `/v1/fine_tuning/jobs`: a real training run behind each job, through the same jobs as the studio's trainings. Knows
 * shapes of answers; the run is in train/instruct-run.ts.
 */

import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { JobState } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, readText } from '../base/host.ts';
import { readConversations } from '../data/text/instructions.ts';
import { requireWriting } from '../models/text/any.ts';
import { requireOwn } from '../operate/model-info.ts';
import type { MetricLine } from '../operate/run-metrics.ts';
import { isFinal, type Training } from '../operate/trainings.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { pathOfFile } from './file-routes.ts';
import { onceOf } from './once.ts';
import { type FineTuningBody, fineTuningBody, listQuery } from './schemas.ts';
import { resultsOf } from './tuning-results.ts';
import { page } from './uploads.ts';

/** What a learning rate is multiplied with where the request gives a multiplier. */
const BASE_RATE = 3e-4;
/** Milliseconds after which a client may ask again. */
const POLL = 500;

const STATUS: Record<JobState, string> = {
  queued: 'queued',
  running: 'running',
  succeeded: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
};

const numeric = (value: number | 'auto' | null | undefined): number | undefined =>
  typeof value === 'number' ? value : undefined;

/** The hyperparameters, where old and new clients put them. */
function hyperparametersOf(body: FineTuningBody): NonNullable<FineTuningBody['hyperparameters']> {
  return body.method?.supervised?.hyperparameters ?? body.hyperparameters ?? {};
}

async function jobObject(context: ServerContext, row: Training): Promise<object> {
  const tune = row.tune as NonNullable<Training['tune']>;
  const result = path.join(row.folder, 'result.json');
  const done = row.state === 'succeeded' && (await exists(result));
  const outcome = done
    ? (JSON.parse(await readText(result)) as { tokens: number; steps: number })
    : undefined;
  const hyperparameters = {
    n_epochs: tune.epochs ?? 3,
    batch_size: tune.batch ?? 'auto',
    learning_rate_multiplier: tune.learningRate === undefined ? 'auto' : tune.learningRate / BASE_RATE,
  };
  return {
    id: row.id,
    object: 'fine_tuning.job',
    model: tune.from,
    created_at: row.created,
    finished_at: row.ended ?? null,
    estimated_finish: null,
    fine_tuned_model: row.state === 'succeeded' ? tune.model : null,
    organization_id: 'inkstone',
    result_files: await resultsOf(context, row.id),
    status: STATUS[row.state],
    training_file: tune.trainingFile,
    validation_file: tune.validationFile ?? null,
    hyperparameters,
    method: { type: 'supervised', supervised: { hyperparameters } },
    trained_tokens: outcome === undefined ? null : Math.round(outcome.tokens * (tune.epochs ?? 3)),
    error:
      row.state === 'failed' && row.error !== undefined
        ? { code: row.error.code, message: row.error.message, param: null }
        : null,
    integrations: [],
    metadata: tune.metadata ?? null,
    seed: row.seed ?? 1,
    user_provided_suffix: tune.suffix ?? null,
  };
}

/** What happened, the newest first. */
function eventsOf(row: Training, lines: readonly MetricLine[]): { id: string }[] {
  const event = (name: string, message: string, data?: object) => ({
    object: 'fine_tuning.job.event',
    id: `ftevent-${row.id.slice(6)}-${name}`,
    created_at: row.created,
    level: row.state === 'failed' && name === 'end' ? 'error' : 'info',
    message,
    type: data === undefined ? 'message' : 'metrics',
    data: data ?? {},
  });
  const told = lines.flatMap((line) => {
    const { step, loss, val_loss } = line;
    if (line.type === 'train')
      return [event(`train-${step}`, `Step ${step}: training loss=${loss}`, { step, train_loss: loss })];
    if (line.type === 'evaluate' && val_loss !== undefined)
      return [
        event(`valid-${step}`, `Step ${step}: validation loss=${val_loss}`, { step, valid_loss: val_loss }),
      ];
    return [];
  });
  const end = isFinal(row.state)
    ? [
        event(
          'end',
          row.error?.message ??
            `The job has ${row.state === 'succeeded' ? 'successfully completed' : `been ${row.state}`}`,
        ),
      ]
    : [];
  return [event('created', `Created fine-tuning job: ${row.id}`), ...told, ...end].reverse();
}

export function addFineTuning(app: FastifyInstance, context: ServerContext): void {
  const { trainings, registry } = context;
  type ById = { Params: { id: string } };

  /** @throws InkstoneError `job_missing` */
  const found = async (id: string): Promise<Training> => {
    const row = await trainings.get(id).catch(() => undefined);
    if (row?.tune !== undefined) return row;
    throw new InkstoneError('job_missing', `there is no fine-tuning job ${id}`, {
      kind: 'missing',
      details: { param: 'fine_tuning_job_id' },
    });
  };

  /** Everything that can be refused is refused before the job is accepted. */
  const order = async (body: FineTuningBody) => {
    if (body.method !== null && body.method !== undefined && body.method.type !== 'supervised')
      throw new InkstoneError('unsupported_parameter', `the method ${body.method.type} is not supported`, {
        kind: 'unsupported',
        hint: 'supervised is',
        details: { param: 'method' },
      });
    const base = await registry.get(body.model);
    requireWriting(requireOwn(base.info, 'be tuned').config);
    const checked = async (id: string, param: string): Promise<string> => {
      const file = await pathOfFile(context, id);
      try {
        readConversations(await readText(file));
      } catch (thrown) {
        const error = InkstoneError.from(thrown);
        throw new InkstoneError('invalid_training_file', `${id}: ${error.message}`, {
          kind: 'data',
          ...(error.hint === undefined ? {} : { hint: error.hint }),
          details: { param, httpStatus: 400 },
          cause: thrown,
        });
      }
      return file;
    };
    const file = await checked(body.training_file, 'training_file');
    const { validation_file: judged } = body;
    const validation = typeof judged === 'string' ? await checked(judged, 'validation_file') : undefined;
    const given = hyperparametersOf(body);
    const multiplier = numeric(given.learning_rate_multiplier);
    const mark = randomUUID().slice(0, 8);
    const suffix = body.suffix ?? undefined;
    const plain = body.model.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 30);
    return {
      name: `ft-${plain}-${mark}`,
      file,
      preset: 'chat',
      seed: body.seed ?? undefined,
      tune: {
        from: body.model,
        folder: base.folder,
        model: `ft:${plain}:inkstone:${suffix ?? ''}:${mark}`,
        trainingFile: body.training_file,
        validationFile: typeof judged === 'string' ? judged : undefined,
        validation,
        epochs: numeric(given.n_epochs),
        lora: numeric(given.lora_rank),
        batch: numeric(given.batch_size),
        learningRate: multiplier === undefined ? undefined : multiplier * BASE_RATE,
        suffix,
        metadata: body.metadata ?? undefined,
      },
    };
  };

  app.post('/v1/fine_tuning/jobs', async (request, reply) => {
    const asked = { owner: request.keyId, once: onceOf(request) };
    const wanted = await order(parse(fineTuningBody, request.body));
    const row = await trainings.create({ ...wanted, trace: request.span?.traceparent }, asked);
    reply.header('openai-poll-after-ms', String(POLL));
    return jobObject(context, row);
  });

  app.get('/v1/fine_tuning/jobs', async (request) => {
    const query = parse(listQuery, request.query);
    const { rows, more } = page(await context.owners.own(request, await trainings.tunings()), query);
    return {
      object: 'list',
      data: await Promise.all(rows.map((row) => jobObject(context, row))),
      has_more: more,
    };
  });

  app.get<ById>('/v1/fine_tuning/jobs/:id', async (request, reply) => {
    reply.header('openai-poll-after-ms', String(POLL));
    return jobObject(context, await found(request.params.id));
  });

  /** A job that can still be acted upon. @throws InkstoneError `job_over` */
  const open = async (id: string, verb: string): Promise<string> => {
    const { state } = await found(id);
    if (!isFinal(state)) return id;
    throw new InkstoneError('job_over', `the job ${id} has ${state} and cannot be ${verb}`, {
      kind: 'usage',
    });
  };
  app.post<ById>('/v1/fine_tuning/jobs/:id/cancel', async (request) =>
    jobObject(context, await trainings.stop(await open(request.params.id, 'cancelled'))),
  );
  // A job that rests counts as queued: there is no status for it that clients know.
  app.post<ById>('/v1/fine_tuning/jobs/:id/pause', async (request) =>
    jobObject(context, await trainings.pause(await open(request.params.id, 'paused'))),
  );
  app.post<ById>('/v1/fine_tuning/jobs/:id/resume', async (request) =>
    jobObject(context, await trainings.resume(await open(request.params.id, 'resumed'))),
  );

  app.get<ById>('/v1/fine_tuning/jobs/:id/events', async (request) => {
    const row = await found(request.params.id);
    const { rows, more } = page(eventsOf(row, await trainings.metrics(row)), parse(listQuery, request.query));
    return { object: 'list', data: rows, has_more: more };
  });

  app.get<ById>('/v1/fine_tuning/jobs/:id/checkpoints', async (request) => {
    const row = await found(request.params.id);
    const lines = (await trainings.metrics(row)).filter((line) => line.type === 'evaluate');
    const last = lines.at(-1);
    const data =
      row.state === 'succeeded' && last !== undefined
        ? [
            {
              id: `ftckpt-${row.id.slice(6)}`,
              object: 'fine_tuning.job.checkpoint',
              created_at: row.created,
              fine_tuning_job_id: row.id,
              fine_tuned_model_checkpoint: row.tune?.model,
              step_number: last.step,
              metrics: { step: last.step, valid_loss: last.val_loss ?? null },
            },
          ]
        : [];
    return {
      object: 'list',
      data,
      has_more: false,
      first_id: data[0]?.id ?? null,
      last_id: data.at(-1)?.id ?? null,
    };
  });
}
