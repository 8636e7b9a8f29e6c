/**
 * `/v1/batches`: a file of requests becomes a file of answers. Knows shapes of answers; the work is a durable job
 * (operate/jobs), and each request of a batch goes through the same routes as any other, under the key that asked.
 */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Job } from '../base/contracts/jobs.ts';
import { InkstoneError } from '../base/errors.ts';
import { now } from '../base/host.ts';
import {
  type BatchAnswer,
  type BatchInput,
  type BatchRequest,
  type BatchResult,
  type BatchStep,
  batchWorker,
} from '../operate/jobs/batch.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { type FileRow, keepFile, pathOfFile } from './file-routes.ts';
import { onceOf } from './once.ts';
import { isOwn } from './owners.ts';
import { listQuery } from './schemas.ts';
import { page } from './uploads.ts';

const ENDPOINTS = ['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/responses'] as const;
/** Milliseconds after which a client may ask again. */
const POLL = 500;
const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000 };

export const batchBody = z.strictObject({
  input_file_id: z.string().min(1),
  endpoint: z.enum(ENDPOINTS),
  /** OpenAI's clients say `24h`; any time up to that is taken. */
  completion_window: z.string().regex(/^[1-9]\d{0,5}[smh]$/, 'a time such as 24h'),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
  output_expires_after: z.object({ anchor: z.literal('created_at'), seconds: z.int().min(3600) }).nullish(),
});

type BatchJob = Job<BatchInput, BatchResult>;

/** The header by which the server knows its own requests, and what it says. */
export const INSIDE = 'x-inkstone-inside';

/** Requests that the server sends to itself: nobody outside knows the word. */
export class InsideRequests {
  private readonly word = randomUUID();

  headers(owner: string | undefined): Record<string, string> {
    return { [INSIDE]: `${this.word} ${owner ?? ''}` };
  }

  /** On whose behalf; undefined for a request from outside. */
  of(request: FastifyRequest): { owner: string | undefined } | undefined {
    const given = request.headers[INSIDE];
    if (typeof given !== 'string' || !given.startsWith(`${this.word} `)) return undefined;
    const owner = given.slice(this.word.length + 1);
    return { owner: owner === '' ? undefined : owner };
  }
}

const seconds = (milliseconds: number | undefined): number | null =>
  milliseconds === undefined ? null : Math.floor(milliseconds / 1000);

function statusOf(job: BatchJob, step: BatchStep | undefined): string {
  if (job.state === 'succeeded') return job.result?.expired === true ? 'expired' : 'completed';
  if (job.state === 'failed' || job.state === 'cancelled') return job.state;
  if (job.cancelling === true) return 'cancelling';
  return step?.phase ?? 'validating';
}

function batchObject(job: BatchJob): object {
  const step = job.step as BatchStep | undefined;
  const status = statusOf(job, step);
  const { input, result } = job;
  const at = (wanted: string): number | null => (status === wanted ? seconds(job.ended) : null);
  const problems = step?.problems ?? [];
  const errors =
    status === 'failed' && problems.length === 0 && job.error !== undefined
      ? [{ code: job.error.code, message: job.error.message, line: null, param: null }]
      : problems;
  return {
    id: job.id,
    object: 'batch',
    endpoint: input.endpoint,
    errors: errors.length === 0 ? null : { object: 'list', data: errors },
    input_file_id: input.file,
    completion_window: input.window,
    status,
    output_file_id: result?.output ?? null,
    error_file_id: result?.errors ?? null,
    created_at: seconds(job.created),
    in_progress_at: seconds(step?.inProgress),
    expires_at: seconds(input.expires),
    finalizing_at: seconds(step?.finalizing),
    completed_at: at('completed'),
    failed_at: at('failed'),
    expired_at: at('expired'),
    cancelling_at: job.cancelling === true || status === 'cancelled' ? seconds(job.ended ?? now()) : null,
    cancelled_at: at('cancelled'),
    request_counts: {
      total: step?.total ?? 0,
      completed: result?.completed ?? step?.completed ?? 0,
      failed: result?.failed ?? step?.failed ?? 0,
    },
    metadata: input.metadata ?? null,
  };
}

export function addBatches(app: FastifyInstance, context: ServerContext, inside: InsideRequests): void {
  const { jobs, store } = context;
  type ById = { Params: { id: string } };

  jobs.register(
    batchWorker({
      store,
      path: (file) => pathOfFile(context, file),
      keep: async (id, name, pieces, owner) => {
        await context.owners.set(id, owner);
        await keepFile(context, { id, name, pieces, length: 0, purpose: 'batch_output' });
      },
      ask: (request, owner, signal) => ask(app, inside, request, owner, signal),
    }),
  );

  /** One's own: whoever has another key does not learn that it is there. @throws InkstoneError `batch_missing` */
  const found = async (request: FastifyRequest<ById>): Promise<BatchJob> => {
    const { id } = request.params;
    const job = (await jobs.find('batch', id)) as BatchJob | undefined;
    if (job !== undefined && isOwn(request, job.input.owner)) return job;
    throw new InkstoneError('batch_missing', `there is no batch ${id}`, {
      kind: 'missing',
      details: { param: 'batch_id' },
    });
  };

  app.post('/v1/batches', async (request, reply) => {
    const body = parse(batchBody, request.body);
    const length =
      Number(body.completion_window.slice(0, -1)) * (UNITS[body.completion_window.at(-1) ?? ''] ?? 0);
    if (length > 24 * 3_600_000)
      throw new InkstoneError('parameter_invalid', "'completion_window': at most 24h", {
        kind: 'usage',
        details: { param: 'completion_window' },
      });
    await pathOfFile(context, body.input_file_id);
    const row = await store.rows.get<FileRow>('files', body.input_file_id);
    if (row?.purpose !== 'batch')
      throw new InkstoneError('invalid_file_purpose', `${body.input_file_id} was not uploaded for a batch`, {
        kind: 'usage',
        hint: 'upload it with purpose "batch"',
        details: { param: 'input_file_id' },
      });
    const once = onceOf(request);
    const created = now();
    const job = await jobs.create<BatchInput>({
      kind: 'batch',
      id: `batch_${randomUUID().replaceAll('-', '')}`,
      input: {
        file: body.input_file_id,
        endpoint: body.endpoint,
        window: body.completion_window,
        expires: created + length,
        ...(body.metadata ? { metadata: body.metadata } : {}),
        ...(request.keyId === undefined ? {} : { owner: request.keyId }),
      },
      ...(once === undefined ? {} : { key: once.key, same: once.mark }),
    });
    reply.header('openai-poll-after-ms', String(POLL));
    return batchObject(job as BatchJob);
  });

  app.get('/v1/batches', async (request) => {
    const all = (await jobs.list('batch')) as BatchJob[];
    const own = all.filter(({ input }) => isOwn(request, input.owner));
    const { rows, more } = page(own, parse(listQuery, request.query));
    return {
      object: 'list',
      data: rows.map(batchObject),
      first_id: rows[0]?.id ?? null,
      last_id: rows.at(-1)?.id ?? null,
      has_more: more,
    };
  });

  app.get<ById>('/v1/batches/:id', async (request, reply) => {
    reply.header('openai-poll-after-ms', String(POLL));
    return batchObject(await found(request));
  });

  app.post<ById>('/v1/batches/:id/cancel', async (request) => {
    const job = await found(request);
    if (job.ended !== undefined)
      throw new InkstoneError('batch_over', `the batch ${job.id} has ended and cannot be cancelled`, {
        kind: 'conflict',
      });
    return batchObject((await jobs.cancel(job.id)) as BatchJob);
  });
}

async function ask(
  app: FastifyInstance,
  inside: InsideRequests,
  { url, body }: BatchRequest,
  owner: string | undefined,
  signal: AbortSignal,
): Promise<BatchAnswer> {
  try {
    const response = await app.inject({
      method: 'POST',
      url,
      payload: body,
      headers: { 'content-type': 'application/json', ...inside.headers(owner) },
      signal,
    });
    const { statusCode: status } = response;
    const after = Number(response.headers['retry-after'] ?? 1);
    // Full, loading, or a model's process just gone: it passes, unless it says that it does not (a budget that is spent).
    const passes = [429, 500, 502, 503].includes(status) && response.headers['x-should-retry'] !== 'false';
    return {
      status,
      request: String(response.headers['x-request-id'] ?? ''),
      body: response.json(),
      ...(passes ? { again: Number.isFinite(after) ? after : 1 } : {}),
    };
  } catch (thrown) {
    return { status: 500, request: '', body: { error: String(thrown) }, again: 1 };
  }
}
