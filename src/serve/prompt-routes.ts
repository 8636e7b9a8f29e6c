/** `/api/prompts…`: prompts with versions and labels, filled in, and compared on questions. Knows shapes of answers. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { InkstoneError } from '../base/errors.ts';
import { readText } from '../base/host.ts';
import { NORMALISATIONS, readTasks, TASK_METRICS } from '../evaluate/index.ts';
import { requireWriting } from '../models/text/any.ts';
import { chatTemplateFor } from '../operate/chat-templates.ts';
import { requireOwn } from '../operate/model-info.ts';
import { PromptJobs } from '../operate/prompt-jobs.ts';
import {
  compilePrompt,
  type Embed,
  PromptRegistry,
  PromptRenderer,
  promptDefinition,
  type Rendered,
} from '../prompt/index.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { pathOfFile } from './file-routes.ts';
import { openReplica } from './generation.ts';
import { onceOf } from './once.ts';
import { hangUp } from './sse.ts';

const name = z.string().min(1).max(64);
const reference = z.string().min(1).max(128);

export const promptBody = z.strictObject({
  name,
  definition: promptDefinition,
  note: z.string().max(500).optional(),
  label: z.string().optional(),
});

export const promptRenderBody = z
  .strictObject({
    /** `greet@production`; or a definition that is not kept yet. */
    prompt: reference.optional(),
    definition: promptDefinition.optional(),
    values: z.record(z.string(), z.unknown()).default({}),
    /** Which question it is, for examples that are drawn. */
    number: z.int().min(0).default(0),
    /** Whose chat template turns take. */
    model: z.string().optional(),
    template: z.string().optional(),
    /** A model that compares examples; else BM25 over characters does. */
    embed: z.string().optional(),
  })
  .refine((body) => (body.prompt === undefined) !== (body.definition === undefined), {
    message: 'give either a prompt or a definition',
    path: ['prompt'],
  });

const labelBody = z.strictObject({ version: z.union([z.int().min(1), z.string().min(1)]) });
const versionQuery = z.object({ at: z.string().min(1).optional() });
const diffQuery = z.object({ from: z.string().min(1), to: z.string().min(1).default('latest') });

export const promptEvaluationBody = z.strictObject({
  model: z.string().min(1),
  prompts: z.array(reference).min(1).max(32),
  /** Id of an uploaded file of JSON lines. */
  file: z.string().min(1),
  metrics: z.array(z.enum(TASK_METRICS)).min(1).optional(),
  normalise: z.enum(NORMALISATIONS).optional(),
  answer: z.string().min(1).optional(),
  tokens: z.int().min(1).max(10_000).optional(),
  limit: z.int().min(1).optional(),
  seed: z.int().min(0).optional(),
  /** A model that compares examples. */
  embed: z.string().min(1).optional(),
});

export function addPromptRoutes(app: FastifyInstance, context: ServerContext): void {
  const prompts = new PromptRegistry(context.store);
  const jobs = new PromptJobs(context);
  addRegistry(app, prompts);

  app.post('/api/prompt-render', async (request, reply) => {
    const body = parse(promptRenderBody, request.body);
    const prompt =
      body.prompt === undefined ? compilePrompt(body.definition) : await prompts.open(body.prompt);
    const render = (embed?: Embed): Promise<Rendered> =>
      new PromptRenderer(prompt, embed).render(body.values, { number: body.number });
    const rendered =
      body.embed === undefined
        ? await render()
        : await withVectors(context, request, reply, body.embed, render);
    const model = body.model === undefined ? undefined : await context.registry.get(body.model);
    const template = await chatTemplateFor(body.template, model);
    return {
      prompt: rendered.text ?? (await template.render(rendered.messages ?? [])),
      ...(rendered.messages === undefined ? {} : { template: template.name }),
      ...rendered,
    };
  });

  addEvaluations(app, context, prompts, jobs);
}

/** Vectors by a served model, as long as the work takes. */
async function withVectors<T>(
  { generation }: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
  model: string,
  work: (embed: Embed) => Promise<T>,
): Promise<T> {
  const signal = hangUp(reply);
  const { id, keyId: key } = request;
  const { replica, release } = await openReplica(generation, { id, model, key, gives: 'embedding' }, signal);
  try {
    return await work(async (texts) => {
      const vectors = await replica.embed?.({ id, texts: [...texts] }, signal);
      return (vectors ?? []).map(({ vector }) => vector);
    });
  } finally {
    release();
  }
}

function addRegistry(app: FastifyInstance, prompts: PromptRegistry): void {
  type ByName = { Params: { name: string } };
  type ByLabel = { Params: { name: string; label: string } };

  app.get('/api/prompts', async () => ({ data: await prompts.list() }));
  app.post('/api/prompts', async (request, reply) => {
    const { name: given, definition, ...options } = parse(promptBody, request.body);
    const made = await prompts.add(given, definition, options);
    reply.code(made.added ? 201 : 200);
    return made;
  });
  app.get<ByName>('/api/prompts/:name', async (request) => {
    const { at } = parse(versionQuery, request.query);
    return prompts.get(at === undefined ? request.params.name : `${request.params.name}@${at}`);
  });
  app.get<ByName>('/api/prompts/:name/history', async (request) => prompts.history(request.params.name));
  app.get<ByName>('/api/prompts/:name/diff', async (request) => {
    const { from, to } = parse(diffQuery, request.query);
    return prompts.diff(request.params.name, from, to);
  });
  app.put<ByLabel>('/api/prompts/:name/labels/:label', async (request) => {
    const { version } = parse(labelBody, request.body);
    return prompts.label(`${request.params.name}@${version}`, request.params.label);
  });
  app.delete<ByLabel>('/api/prompts/:name/labels/:label', async (request) =>
    prompts.label(request.params.name, request.params.label, true),
  );
}

function addEvaluations(
  app: FastifyInstance,
  context: ServerContext,
  prompts: PromptRegistry,
  jobs: PromptJobs,
): void {
  type ById = { Params: { id: string } };

  app.post('/api/prompt-evaluations', async (request, reply) => {
    const { file: id, prompts: given, model, embed, ...settings } = parse(promptEvaluationBody, request.body);
    // Everything that can be refused is refused before the job is accepted.
    const { info, folder } = await context.registry.get(model);
    requireWriting(requireOwn(info, 'be compared on prompts').config);
    const file = await pathOfFile(context, id);
    readTasks(await readText(file), id, { answer: settings.answer ?? 'answer', choices: 'choices' });
    const versions: string[] = [];
    for (const one of given) {
      const { name: found, version } = await prompts.get(one);
      versions.push(`${found}@${version}`);
    }
    if (new Set(versions).size < versions.length)
      throw new InkstoneError('prompts_same', 'two of the prompts are the same', {
        kind: 'usage',
        hint: 'name each version once',
        details: { param: 'prompts' },
      });
    const vectors = embed === undefined ? {} : { embed: (await context.registry.get(embed)).folder };
    reply.code(201);
    const asked = { owner: request.keyId, once: onceOf(request) };
    return jobs.create({ ...settings, ...vectors, file, prompts: versions, model, folder }, asked);
  });
  app.get('/api/prompt-evaluations', async () => ({ data: await jobs.list() }));
  app.get<ById>('/api/prompt-evaluations/:id', async (request) => jobs.get(request.params.id));
  app.post<ById>('/api/prompt-evaluations/:id/stop', async (request) => jobs.stop(request.params.id));
  app.post<ById>('/api/prompt-evaluations/:id/resume', async (request) => jobs.resume(request.params.id));
}
