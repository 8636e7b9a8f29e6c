/** The server over a real socket: bad input, load, who may ask, the studio's routes. The SDKs' suites are in test/wire. */

import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { gate } from '../base/testing.ts';
import { type RunningServer, type ServerOptions, startServer } from './index.ts';
import { type LetterOptions, LetterReplica, writeEmptyModel } from './testing.ts';

let home: string;
let servers: RunningServer[] = [];

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-serve-'));
  await writeEmptyModel(home, 'letters');
});

afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  servers = [];
});

afterAll(() => rm(home, { recursive: true, force: true }));

async function start(
  letters: LetterOptions = {},
  options: ServerOptions = {},
): Promise<{ server: RunningServer; replica: LetterReplica; client: OpenAI }> {
  const replica = new LetterReplica('letters', letters);
  const server = await startServer({
    port: 0,
    home,
    model: 'letters',
    startReplica: () => replica,
    ...options,
  });
  servers.push(server);
  return {
    server,
    replica,
    client: new OpenAI({ baseURL: `${server.address}/v1`, apiKey: 'none', maxRetries: 0 }),
  };
}

const say = {
  model: 'letters',
  messages: [{ role: 'user' as const, content: 'say' }],
  seed: 0,
  max_tokens: 5,
};

async function post(
  server: RunningServer,
  route: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{
  status: number;
  body: { error: { code: string; param: string | null; type: string; message: string } };
  headers: Headers;
}> {
  const response = await fetch(`${server.address}${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as never, headers: response.headers };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('bad input', () => {
  it.each([
    ['no model', { messages: say.messages }, 'parameter_invalid', 'model'],
    ['no messages', { model: 'letters' }, 'parameter_invalid', 'messages'],
    [
      'an unknown role',
      { ...say, messages: [{ role: 'king', content: 'x' }] },
      'parameter_invalid',
      'messages.0.role',
    ],
    [
      'an image',
      { ...say, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'unsupported_parameter',
      'messages.0.content.0',
    ],
    [
      'a response format without its schema',
      { ...say, response_format: { type: 'json_schema' } },
      'parameter_invalid',
      'response_format.json_schema',
    ],
    ['top_logprobs alone', { ...say, top_logprobs: 2 }, 'parameter_invalid', 'top_logprobs'],
    [
      'a long prompt',
      { ...say, messages: [{ role: 'user', content: 'x'.repeat(65) }] },
      'context_length_exceeded',
      'messages',
    ],
    ['half of a JSON', '{"model":', 'body_invalid', null],
  ])('refuses %s', async (_, body, code, param) => {
    const { server } = await start();
    const answer = await post(server, '/v1/chat/completions', body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({ code, param, type: 'invalid_request_error' });
    expect(answer.headers.get('x-request-id')).toMatch(/^req-/);
  });

  it('refuses a body that is too large, a wrong type and a wrong address', async () => {
    const { server } = await start({}, { maxBody: 2048 });
    expect(
      (await post(server, '/v1/completions', { model: 'letters', prompt: 'x'.repeat(4096) })).status,
    ).toBe(413);
    expect((await post(server, '/v1/completions', 'x', { 'content-type': 'text/csv' })).status).toBe(415);
    expect((await post(server, '/v1/nothing', {})).body.error.code).toBe('route_missing');
  });

  it('says what a model that is being loaded waits for', async () => {
    const { passed: loading, open: loaded } = gate();
    const { server } = await start({ loading }, { loadWait: 0.05 });
    const answer = await post(server, '/v1/chat/completions', say);
    expect(answer.status).toBe(503);
    expect(answer.body.error).toMatchObject({ code: 'model_loading', progress: 0.5 });
    expect(answer.headers.get('retry-after')).toBe('1');
    loaded();
  });
});

describe('load', () => {
  it('answers 429 with a time to come back when the queue is full', async () => {
    const { passed: loading, open: loaded } = gate();
    const { server, client } = await start({ loading }, { concurrency: 1, queue: 1, loadWait: 60 });
    const busy = [client.chat.completions.create(say), client.chat.completions.create(say)];
    await until(() => server.context.generation.queue.status().waiting === 1);
    const answer = await post(server, '/v1/chat/completions', say);
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(answer.body.error.type).toBe('rate_limit_error');
    loaded();
    await Promise.all(busy);
  });

  it('cancels what a client hangs up on, mid-stream and before', async () => {
    const { server, replica, client } = await start({ pace: 10 }, { concurrency: 1 });
    const stream = await client.chat.completions.create({ ...say, max_tokens: 1000, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content === 'b') break;
    await until(() => replica.finished.length === 1);
    expect(replica.finished[0]).toMatch(/cancelled|length [2-9]$/);
    expect(server.context.generation.queue.status().running).toBe(0);
    const request = http.request(`${server.address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    request.on('error', () => undefined);
    request.end(JSON.stringify({ ...say, max_tokens: 1000 }));
    await until(() => replica.running === 1);
    request.destroy();
    await until(() => replica.running === 0 && server.context.generation.queue.status().running === 0);
  });

  it('finishes streams before it ends, and takes nothing new', async () => {
    const { server, client } = await start({ pace: 20 });
    let text = '';
    const reading = (async () => {
      for await (const chunk of await client.chat.completions.create({
        ...say,
        max_tokens: 10,
        stream: true,
      }))
        text += chunk.choices[0]?.delta.content ?? '';
    })();
    await until(() => text.length > 1);
    const closing = server.close();
    expect((await post(server, '/v1/chat/completions', say).catch(() => ({ status: 503 }))).status).toBe(503);
    await reading;
    await closing;
    expect(text).toBe('abcdefghij');
  });
});

describe('who may ask', () => {
  it('is open until the first key, then wants it', async () => {
    const { server, client } = await start();
    const { key, row } = await server.context.keys.create('test');
    await expect(client.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const keyed = new OpenAI({ baseURL: `${server.address}/v1`, apiKey: key, maxRetries: 0 });
    expect((await keyed.models.list()).data.length).toBeGreaterThan(0);
    expect(JSON.stringify(await server.context.keys.list())).not.toContain(key);
    expect((await fetch(`${server.address}/health`)).status).toBe(200);
    await server.context.keys.revoke(row.id);
    expect((await client.models.list()).data.length).toBeGreaterThan(0);
  });

  it('refuses foreign pages and foreign names, and lets allowed origins in', async () => {
    const { server } = await start({}, { allowedOrigins: ['https://studio.example'] });
    expect((await post(server, '/v1/chat/completions', say, { origin: 'https://evil.example' })).status).toBe(
      403,
    );
    const welcome = await post(server, '/v1/chat/completions', say, { origin: 'https://studio.example' });
    expect(welcome.status).toBe(200);
    expect(welcome.headers.get('access-control-allow-origin')).toBe('https://studio.example');
    const rebound = await new Promise<number | undefined>((resolve) => {
      http.get(`${server.address}/v1/models`, { headers: { host: 'evil.example' } }, (response) =>
        resolve(response.statusCode),
      );
    });
    expect(rebound).toBe(403);
  });

  it('does not listen beyond loopback without a key', async () => {
    await expect(startServer({ port: 0, host: '0.0.0.0', home })).rejects.toMatchObject({
      code: 'key_needed',
    });
  });
});

describe('the studio’s routes', () => {
  it('tells of system, models and presets', async () => {
    const { server } = await start();
    const get = async (route: string): Promise<Record<string, unknown>> =>
      (await fetch(`${server.address}${route}`)).json() as never;
    expect(await get('/api/system')).toMatchObject({
      version: expect.any(String),
      machine: { cores: expect.any(Number) },
    });
    expect(((await get('/api/models')) as { data: { id: string }[] }).data.map((m) => m.id)).toContain(
      'letters',
    );
    expect(((await get('/api/presets')) as { data: { id: string }[] }).data.map((p) => p.id)).toContain(
      'nanogpt-cpu',
    );
    expect(await get('/openapi.json')).toMatchObject({ openapi: '3.1.0' });
  });

  it('takes files and refuses bad trainings', async () => {
    const { server } = await start();
    const upload = async (body: string, name = 'a.txt') =>
      fetch(`${server.address}/api/files?name=${encodeURIComponent(name)}`, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream' },
        body,
      });
    const file = (await (await upload('some text', '../../etc/passwd')).json()) as {
      id: string;
      name: string;
      bytes: number;
    };
    expect(file).toMatchObject({ name: 'passwd', bytes: 9 });
    expect((await upload('')).status).toBe(422);
    expect(
      (await post(server, '/api/trainings', { name: 'm', file: file.id, preset: 'tinny' })).body.error.code,
    ).toBe('preset_unknown');
    expect(
      (await post(server, '/api/trainings', { name: '../m', file: file.id, preset: 'tiny' })).body.error.code,
    ).toBe('name_invalid');
    expect(
      (await post(server, '/api/trainings', { name: 'm', file: 'file-no', preset: 'tiny' })).body.error.code,
    ).toBe('file_missing');
    expect(
      (await post(server, '/api/trainings', { name: 'letters', file: file.id, preset: 'tiny' })).body.error
        .code,
    ).toBe('run_exists');
  });
});
