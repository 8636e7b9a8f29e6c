/** The server's edges: spellings of addresses, keys taken back, files, events, the guard, what clients do when told to wait. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { passThrough } from '../safeguard/pass-through.ts';
import { type RunningServer, type ServerOptions, startServer } from './index.ts';
import { type LetterOptions, LetterReplica, writeEmptyModel } from './testing.ts';

let home: string;
let servers: RunningServer[] = [];

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-edges-'));
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
  const client = new OpenAI({ baseURL: `${server.address}/v1`, apiKey: 'none', maxRetries: 0 });
  return { server, replica, client };
}

/** A request whose address goes out as it is written. */
function raw(
  server: RunningServer,
  target: string,
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number | undefined; headers: http.IncomingHttpHeaders; body: string }> {
  const port = new URL(server.address).port;
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path: target, ...options }, (response) => {
      let body = '';
      response.on('data', (piece) => (body += String(piece)));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    request.on('error', reject);
    request.end();
  });
}

const chat = {
  model: 'letters',
  messages: [{ role: 'user' as const, content: 'say' }],
  seed: 0,
  max_tokens: 5,
};

async function upload(
  server: RunningServer,
  name: string,
  type = 'application/octet-stream',
): Promise<Response> {
  const headers = { 'content-type': type };
  const body = type.endsWith('json') ? '{}' : 'text';
  return fetch(`${server.address}/api/files?name=${encodeURIComponent(name)}`, {
    method: 'POST',
    headers,
    body,
  });
}

describe('keys', () => {
  it('cannot be walked around by another spelling of an address', async () => {
    const { server } = await start();
    const { row } = await server.context.keys.create('test');
    for (const target of [
      '/v1/models',
      '/%761/models',
      'http://localhost/v1/models',
      '/v1/models?x=/health',
      '/%61pi/models',
    ])
      expect([target, (await raw(server, target)).status]).toEqual([target, 401]);
    for (const target of ['//v1/models', '/v1%2Fmodels', '/./v1/models', '/V1/models'])
      expect([target, (await raw(server, target)).status]).toEqual([target, 404]);
    expect((await raw(server, '/health')).status).toBe(200);
    // With a key no foreign page gets far, so a proxy may use its own name.
    expect((await raw(server, '/health', { headers: { host: 'proxy.example' } })).status).toBe(200);
    await server.context.keys.revoke(row.id);
  });

  it('taken back one by one never leave a server open to others', async () => {
    const own = await mkdtemp(path.join(tmpdir(), 'inkstone-open-'));
    const { server: local } = await start({}, { home: own, model: 'starter' });
    const { key, row } = await local.context.keys.create('only');
    const { server } = await start({}, { home: own, host: '0.0.0.0', model: 'starter' });
    const headers = { authorization: `Bearer ${key}` };
    expect((await raw(server, '/v1/models', { headers })).status).toBe(200);
    await server.context.keys.revoke(row.id);
    expect((await raw(server, '/v1/models', { headers })).status).toBe(401);
    expect((await raw(server, '/health')).status).toBe(200);
    for (const one of [local, server]) await one.close();
    await rm(own, { recursive: true, force: true });
  });

  it('let the browser ask first, from allowed origins alone', async () => {
    const { server } = await start({}, { allowedOrigins: ['https://app.example'] });
    const ask = (origin: string): ReturnType<typeof raw> =>
      raw(server, '/v1/chat/completions', {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'x-own',
        },
      });
    const welcome = await ask('https://app.example');
    expect(welcome.status).toBe(204);
    expect(welcome.headers).toMatchObject({
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-headers': 'x-own',
    });
    expect((await ask('https://other.example')).status).toBe(403);
    expect((await ask('null')).status).toBe(403);
  });
});

describe('starting', () => {
  it('refuses a port that is taken and a model that is not there', async () => {
    const { server } = await start();
    const port = Number(new URL(server.address).port);
    await expect(startServer({ home, port })).rejects.toMatchObject({ code: 'port_taken' });
    await expect(startServer({ home, port: 0, model: 'leters' })).rejects.toMatchObject({
      code: 'model_not_found',
      hint: 'did you mean letters?',
    });
  });

  it('is not ready while its model is being loaded, and says how far it is', async () => {
    const { server } = await start({ loading: Promise.resolve() });
    await fetch(`${server.address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(chat),
    });
    const answer = await raw(server, '/health/ready');
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(JSON.parse(answer.body)).toEqual({ status: 'starting', model: 'letters', progress: 0.5 });
    expect((await raw(server, '/health')).status).toBe(200);
  });

  it('shows a page that lets no foreign script in', async () => {
    const { server } = await start();
    const page = await raw(server, '/');
    expect(page.status).toBe(200);
    expect(page.headers['content-security-policy']).toContain("default-src 'self'");
    expect(page.headers['x-content-type-options']).toBe('nosniff');
  });
});

describe('requests', () => {
  it('name the parameter that is too long or cannot be', async () => {
    const { client } = await start();
    const long = { ...chat, messages: [{ role: 'user' as const, content: 'x'.repeat(65) }] };
    await expect(client.chat.completions.create(long)).rejects.toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      param: 'messages',
    });
    await expect(
      client.completions.create({ model: 'letters', prompt: 'x'.repeat(65) }),
    ).rejects.toMatchObject({
      param: 'prompt',
    });
    await expect(client.completions.create({ model: 'letters', prompt: [1, 2] })).rejects.toMatchObject({
      code: 'unsupported_parameter',
      param: 'prompt',
    });
  });

  it.each([
    ['functions', [{ name: 'f' }], null],
    ['modalities', ['text', 'audio'], ['text']],
    ['audio', { voice: 'a', format: 'wav' }, null],
  ])('with %s are refused where it would change the answer', async (param, value, harmless) => {
    const { client } = await start();
    await expect(client.chat.completions.create({ ...chat, [param]: value } as never)).rejects.toMatchObject({
      status: 400,
      code: 'unsupported_parameter',
      param,
    });
    const more = { [param]: harmless, metadata: { a: 'b' }, user: 'me', store: false, service_tier: 'auto' };
    await client.chat.completions.create({ ...chat, ...more } as never);
  });

  it.each([-1, Number.MAX_SAFE_INTEGER])('take the seed %d', async (seed) => {
    const { client } = await start();
    const answer = await client.chat.completions.create({ ...chat, seed, n: 2 });
    expect(answer.choices).toHaveLength(2);
  });

  it('parse, where the answer is text', async () => {
    const { client } = await start({ stopAfter: 4 });
    const answer = await client.chat.completions.parse(chat);
    expect(answer.choices[0]).toMatchObject({ message: { content: 'abcd' }, finish_reason: 'stop' });
  });

  it('told to wait are sent again by the client', async () => {
    const { server, client } = await start({ pace: 5 }, { concurrency: 1, queue: 0 });
    const first = client.chat.completions.create({ ...chat, max_tokens: 20 });
    while (server.context.generation.queue.status().running === 0) await new Promise((r) => setTimeout(r, 2));
    const patient = client.withOptions({ maxRetries: 2 });
    expect((await patient.chat.completions.create(chat)).choices[0]?.message.content).toBe('abcde');
    await first;
  });
});

describe('the guard', () => {
  it('refuses prompts, cuts answers and replaces pieces', async () => {
    const { server, client, replica } = await start();
    server.context.generation.guard = {
      ...passThrough,
      input: async (text) =>
        text === 'bad' ? { action: 'block', reason: 'not here', categories: ['x'] } : { action: 'allow' },
      output: async (soFar, piece) =>
        soFar.length === 3
          ? { action: 'block', reason: 'enough', categories: ['x'] }
          : { action: 'replace', text: piece.toUpperCase(), categories: [] },
    };
    const answer = await client.chat.completions.create(chat);
    expect(answer.choices[0]).toMatchObject({ message: { content: 'ABC' }, finish_reason: 'content_filter' });
    expect(replica.running).toBe(0);
    const bad = { ...chat, messages: [{ role: 'user' as const, content: 'bad' }] };
    await expect(client.chat.completions.create(bad)).rejects.toMatchObject({
      status: 400,
      code: 'content_filter',
    });
  });
});

describe('files', () => {
  it.each([
    ['..', 'file.txt'],
    ['.env', 'env'],
    ['C:\\books\\a.txt', 'a.txt'],
    ['诗.txt', '诗.txt'],
    ['a/b<c>.txt', 'b_c_.txt'],
  ])('named %j are kept as %j', async (given, kept) => {
    const { server } = await start();
    expect(((await (await upload(server, given)).json()) as { name: string }).name).toBe(kept);
  });

  it('sent as something else, or without a name, are refused', async () => {
    const { server } = await start();
    expect((await upload(server, 'a.txt', 'application/json')).status).toBe(415);
    expect((await upload(server, '')).status).toBe(400);
    expect((await raw(server, '/api/files?name=a.txt', { method: 'POST' })).status).toBe(415);
  });

  it('of a client that hangs up leave nothing behind', async () => {
    const { server } = await start();
    const before = (await readdir(path.join(home, 'files')).catch(() => [])).length;
    const request = http.request(`${server.address}/api/files?name=half.txt`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', 'content-length': '1000000' },
    });
    request.on('error', () => undefined);
    request.write('half of it');
    const kept = async (): Promise<number> =>
      (await readdir(path.join(home, 'files')).catch(() => [])).length;
    while ((await kept()) === before) await new Promise((resolve) => setTimeout(resolve, 5));
    request.destroy();
    while ((await kept()) > before) await new Promise((resolve) => setTimeout(resolve, 5));
  });
});

describe('trainings', () => {
  it('do not take the name of a model that is there', async () => {
    const { server } = await start();
    const file = ((await (await upload(server, 'a.txt')).json()) as { id: string }).id;
    const answer = await fetch(`${server.address}/api/trainings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'letters', file, preset: 'tiny' }),
    });
    expect(answer.status).toBe(409);
  });

  it('tell their history as events and end behind the final state', async () => {
    const { server } = await start();
    const folder = path.join(home, 'runs', 'told');
    await mkdir(folder, { recursive: true });
    const lines = [
      { type: 'train', step: 1, loss: 3, tokens_per_second: 10, remaining: 5 },
      { type: 'evaluate', step: 2, val_loss: 2.5 },
      { type: 'sample', step: 2, text: 'ink' },
      { type: 'state', step: 2, state: 'succeeded' },
    ];
    await writeFile(
      path.join(folder, 'metrics.jsonl'),
      lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
    );
    const job = {
      ...{ id: 'told', kind: 'training', state: 'succeeded', created: 1, ended: 2, progress: 1 },
      ...{ input: { name: 'told', file: '', preset: 'tiny', place: '' }, fence: 1, failures: 0 },
    };
    await server.context.store.rows.put('jobs', job);
    const { body, headers } = await raw(server, '/api/trainings/told/events');
    expect(headers['content-type']).toContain('text/event-stream');
    expect(headers['x-request-id']).toMatch(/^req-/);
    expect(
      body
        .trim()
        .split('\n\n')
        .map((event) => JSON.parse(event.replace('data: ', ''))),
    ).toEqual([
      { type: 'metrics', step: 1, loss: 3, tokens_per_second: 10, remaining: 5 },
      { type: 'metrics', step: 2, val_loss: 2.5 },
      { type: 'sample', step: 2, text: 'ink' },
      { type: 'state', state: 'succeeded' },
    ]);
    const whole = JSON.parse((await raw(server, '/api/trainings/told')).body);
    expect(whole).toMatchObject({ progress: 1, samples: [{ step: 2, text: 'ink' }] });
    expect(whole.history).toHaveLength(2);
    expect((await raw(server, '/api/trainings/none/events')).status).toBe(404);
  });
});
