/** `/openapi.json`, made from the same schemas that check requests. */
import { z } from 'zod';
import { batchBody } from './batches.ts';
import { evaluationBody } from './evaluation-routes.ts';
import { imageBody, wayBody } from './images.ts';
import { promptBody, promptEvaluationBody, promptRenderBody } from './prompt-routes.ts';
import { responsesBody } from './responses/request.ts';
import {
  chatBody,
  completionBody,
  embeddingBody,
  fineTuningBody,
  inspectBody,
  trainingBody,
  voteBody,
} from './schemas.ts';
import { sessionBody } from './sessions.ts';
import { silenceBody } from './watch-routes.ts';

const json = (schema: object): object => ({ content: { 'application/json': { schema } } });
const body = (schema: z.ZodType): object => ({
  required: true,
  ...json(z.toJSONSchema(schema, { io: 'input' })),
});
const form = (schema: z.ZodType): object => ({
  required: true,
  content: { 'multipart/form-data': { schema: z.toJSONSchema(schema, { io: 'input' }) } },
});
const file = z.string().meta({ format: 'binary' });
const uploadForm = z.object({ purpose: z.string(), file });
const error = {
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: ['string', 'null'] },
        code: { type: ['string', 'null'] },
      },
    },
  },
};

function operation(summary: string, more: object = {}): object {
  return {
    summary,
    responses: {
      '200': { description: 'OK', ...json({ type: 'object' }) },
      default: { description: 'Error', ...json(error) },
    },
    ...more,
  };
}

const named = (...names: string[]): object => ({
  parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
});
const byId = named('id');
const byName = named('name');
const byLabel = named('name', 'label');

export function openApi(version: string): object {
  return {
    openapi: '3.1.0',
    info: { title: 'Inkstone', version, license: { name: 'MIT' } },
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    security: [{ key: [] }, {}],
    paths: {
      '/v1/models': { get: operation('Lists the models') },
      '/v1/models/{id}': {
        get: operation('One model', byId),
        delete: operation('Forgets a model that was tuned or registered', byId),
      },
      '/v1/completions': { post: operation('Continues a text', { requestBody: body(completionBody) }) },
      '/v1/chat/completions': { post: operation('Answers a conversation', { requestBody: body(chatBody) }) },
      '/v1/embeddings': { post: operation('Vectors of texts', { requestBody: body(embeddingBody) }) },
      '/v1/responses': {
        post: operation('Answers a conversation, kept by default', { requestBody: body(responsesBody) }),
      },
      '/v1/responses/{id}': {
        get: operation('A kept response', byId),
        delete: operation('Forgets a response', byId),
      },
      '/v1/responses/{id}/cancel': { post: operation('Refused: nothing runs in the background', byId) },
      '/v1/responses/{id}/input_items': { get: operation('What a response was asked', byId) },
      '/v1/images/generations': {
        post: operation('Makes pictures', { requestBody: body(imageBody) }),
      },
      '/v1/images/interpolations': {
        post: operation('Goes from picture to picture', { requestBody: body(wayBody) }),
      },
      '/v1/images/edits': {
        post: operation('Changes a picture', {
          requestBody: form(imageBody.extend({ image: file, mask: file.optional() })),
        }),
      },
      '/v1/files': {
        get: operation('Uploaded files, the newest first'),
        post: operation('Uploads a file', { requestBody: form(uploadForm) }),
      },
      '/v1/files/{id}': {
        get: operation('One file', byId),
        delete: operation('Deletes a file', byId),
      },
      '/v1/files/{id}/content': { get: operation('What a file holds', byId) },
      '/v1/batches': {
        get: operation('Batches, the newest first'),
        post: operation('Answers a file of requests', { requestBody: body(batchBody) }),
      },
      '/v1/batches/{id}': { get: operation('One batch', byId) },
      '/v1/batches/{id}/cancel': { post: operation('Ends it with what is answered', byId) },
      '/api/jobs': { get: operation('Durable jobs of a kind, the newest first: ?kind=') },
      '/api/jobs/{id}': { get: operation('One durable job: its step, its tries, who works on it', byId) },
      '/v1/fine_tuning/jobs': {
        get: operation('Tuning jobs, the newest first'),
        post: operation('Tunes a model on a file', { requestBody: body(fineTuningBody) }),
      },
      '/v1/fine_tuning/jobs/{id}': { get: operation('One tuning job', byId) },
      '/v1/fine_tuning/jobs/{id}/cancel': { post: operation('Ends it', byId) },
      '/v1/fine_tuning/jobs/{id}/pause': { post: operation('Lets it rest', byId) },
      '/v1/fine_tuning/jobs/{id}/resume': { post: operation('Lets it go on', byId) },
      '/v1/fine_tuning/jobs/{id}/events': { get: operation('What happened, the newest first', byId) },
      '/v1/fine_tuning/jobs/{id}/checkpoints': { get: operation('What it kept', byId) },
      '/health': { get: operation('Whether the server is well') },
      '/health/ready': { get: operation('Whether the server takes work') },
      '/api/system': { get: operation('Version, machine, memory') },
      '/api/models': { get: operation('Models with their cards') },
      '/api/trainings/{id}/samples/{step}': {
        get: operation('The sample sheet of a step', named('id', 'step')),
      },
      '/api/presets': { get: operation('Trainings that can be started') },
      '/api/inspect': {
        post: operation('How each token surprises a model, and where its heads look', {
          requestBody: body(inspectBody),
        }),
      },
      '/api/prompts': {
        get: operation('Prompts with their newest versions and labels'),
        post: operation('Keeps a prompt as a new version', { requestBody: body(promptBody) }),
      },
      '/api/prompts/{name}': { get: operation('One version: ?at= a number or a label', byName) },
      '/api/prompts/{name}/history': { get: operation('All versions and where labels pointed', byName) },
      '/api/prompts/{name}/diff': { get: operation('What changed: ?from= and ?to=', byName) },
      '/api/prompts/{name}/labels/{label}': {
        put: operation('Points a label at a version', byLabel),
        delete: operation('Takes a label away', byLabel),
      },
      '/api/prompt-render': {
        post: operation('Fills a prompt in', { requestBody: body(promptRenderBody) }),
      },
      '/api/prompt-evaluations': {
        get: operation('Comparisons of prompts'),
        post: operation('Compares prompts on questions with known answers', {
          requestBody: body(promptEvaluationBody),
        }),
      },
      '/api/prompt-evaluations/{id}': { get: operation('One comparison with its result', byId) },
      '/api/prompt-evaluations/{id}/stop': { post: operation('Stops it; answers are kept', byId) },
      '/api/prompt-evaluations/{id}/resume': { post: operation('Goes on with it', byId) },
      '/api/evaluations': {
        get: operation('Evaluations of models'),
        post: operation('Scores a model on a file', { requestBody: body(evaluationBody) }),
      },
      '/api/evaluations/{id}': { get: operation('One evaluation with its figures and its card', byId) },
      '/api/evaluations/{id}/stop': { post: operation('Stops it', byId) },
      '/api/evaluations/{id}/resume': { post: operation('Begins anew with it', byId) },
      '/metrics': { get: operation('Numbers for Prometheus, as text') },
      '/session': {
        get: operation('Whether a key is needed, and whose session this is'),
        post: operation('Logs a browser in with a key', { requestBody: body(sessionBody) }),
        delete: operation('Logs it out'),
      },
      '/api/watch': { get: operation('Load, replicas, alerts and cost by key, now and a while back') },
      '/api/alerts': { get: operation('Rules, alerts and silences') },
      '/api/alerts/silences': {
        post: operation('Silences a rule for a while', { requestBody: body(silenceBody) }),
      },
      '/api/alerts/silences/{id}': { delete: operation('Ends a silence', byId) },
      '/api/votes': {
        get: operation('Which of two answers was preferred, by pair, with an interval'),
        post: operation('Keeps one vote', { requestBody: body(voteBody) }),
        delete: operation('Forgets all votes'),
      },
      '/api/files': {
        get: operation('Uploaded files'),
        post: operation('Uploads a file', {
          parameters: [{ name: 'name', in: 'query', required: true, schema: { type: 'string' } }],
          requestBody: { required: true, content: { 'application/octet-stream': {} } },
        }),
      },
      '/api/files/{id}/check': { get: operation('What a file holds for a model to be tuned on it', byId) },
      '/api/trainings': {
        get: operation('Trainings'),
        post: operation('Starts a training', { requestBody: body(trainingBody) }),
      },
      '/api/trainings/{id}': { get: operation('One training with its history', byId) },
      '/api/trainings/{id}/events': { get: operation('Its events as they come (server-sent events)', byId) },
      '/api/trainings/{id}/stop': { post: operation('Stops it after the current step', byId) },
      '/api/trainings/{id}/resume': { post: operation('Goes on from its last checkpoint', byId) },
    },
  };
}
