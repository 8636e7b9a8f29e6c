/** `/openapi.json`, made from the same schemas that check requests. */
import { z } from 'zod';
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

const byId = { parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }] };

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
