/** `/openapi.json`, made from the same schemas that check requests. */
import { z } from 'zod';
import { promptBody, promptEvaluationBody, promptRenderBody } from './prompt-routes.ts';
import { chatBody, completionBody, embeddingBody, inspectBody, trainingBody } from './schemas.ts';

const json = (schema: object): object => ({ content: { 'application/json': { schema } } });
const body = (schema: z.ZodType): object => ({
  required: true,
  ...json(z.toJSONSchema(schema, { io: 'input' })),
});
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
      '/v1/models/{id}': { get: operation('One model', byId) },
      '/v1/completions': { post: operation('Continues a text', { requestBody: body(completionBody) }) },
      '/v1/chat/completions': { post: operation('Answers a conversation', { requestBody: body(chatBody) }) },
      '/v1/embeddings': { post: operation('Vectors of texts', { requestBody: body(embeddingBody) }) },
      '/health': { get: operation('Whether the server is well') },
      '/health/ready': { get: operation('Whether the server takes work') },
      '/api/system': { get: operation('Version, machine, memory') },
      '/api/models': { get: operation('Models with their cards') },
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
