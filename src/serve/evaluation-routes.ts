/** `/api/evaluations`: a model's score on an uploaded file, with a card, as `inkstone evaluate` makes them. Knows shapes of answers. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { WEIGHT_FORMATS } from '../nn/quantise.ts';
import { EvaluationJobs } from '../operate/evaluation-jobs.ts';
import { requireOwn } from '../operate/model-info.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { pathOfFile } from './file-routes.ts';
import { onceOf } from './once.ts';

export const evaluationBody = z.strictObject({
  model: z.string().min(1),
  /** Id of an uploaded text, or of an archive of pictures. */
  file: z.string().min(1),
  /** Texts: the last part of the characters, or all. */
  split: z.enum(['validation', 'all']).optional(),
  validation: z.number().gt(0).lt(1).optional(),
  /** Tokens from one window to the next. */
  stride: z.int().min(1).optional(),
  /** Pictures that are made and scored. */
  samples: z.int().min(50).max(50_000).optional(),
  weights: z.enum(WEIGHT_FORMATS).optional(),
});

export function addEvaluations(app: FastifyInstance, context: ServerContext): void {
  const jobs = new EvaluationJobs(context);
  type ById = { Params: { id: string } };

  app.post('/api/evaluations', async (request, reply) => {
    const { file: id, model, ...settings } = parse(evaluationBody, request.body);
    const { info, folder } = await context.registry.find(model);
    if (info.family !== 'image') requireOwn(info, 'be evaluated');
    const file = await pathOfFile(context, id);
    reply.code(201);
    const asked = { owner: request.keyId, once: onceOf(request) };
    return jobs.create({ ...settings, model, folder, file }, asked);
  });
  app.get('/api/evaluations', async () => ({ data: await jobs.list() }));
  app.get<ById>('/api/evaluations/:id', async (request) => jobs.get(request.params.id));
  app.post<ById>('/api/evaluations/:id/stop', async (request) => jobs.stop(request.params.id));
  app.post<ById>('/api/evaluations/:id/resume', async (request) => jobs.resume(request.params.id));
}
