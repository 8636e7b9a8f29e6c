/** Keys over a real socket: scopes, models, limits with their headers, rotation, whose things are whose, log-in with a cookie. */

import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { EmbeddingRequest, TextEmbedding } from '../../src/base/contracts/embedder.ts';
import { Prices } from '../../src/operate/quota/prices.ts';
import type { KeySettings, RunningServer } from '../../src/serve/index.ts';
import { LetterReplica } from '../../src/serve/testing.ts';
import { type Asked, until, wireHome } from './harness.ts';

const home = wireHome(['letters', 'secret']);
const say = { model: 'letters', messages: [{ role: 'user', content: 'say' }], seed: 0, max_tokens: 5 };
const codeOf = ({ body }: Asked): string => (body as { error: { code: string } }).error.code;

let running: RunningServer | undefined;
afterEach(async () => {
  // Keys of one test are none of the next one's.
  for (const row of (await running?.context.keys.list()) ?? []) await running?.context.keys.revoke(row.id);
});

async function start(
  pace = 0,
  {
    replica = new LetterReplica('letters', pace > 0 ? { pace } : {}),
    ...options
  }: Parameters<typeof home.start>[1] & { replica?: LetterReplica } = {},
) {
  const wire = await home.start(replica, options);
  running = wire.server;
  const { keys } = wire.server.context;
  await keys.create('operator');
  const as = async (name: string, settings: KeySettings = {}) => {
    const { key, row } = await keys.create(name, settings);
    const headers = { authorization: `Bearer ${key}` };
    const ask = async (method: string, route: string, body?: unknown): Promise<Asked> => {
      const response = await fetch(`${wire.server.address}${route}`, {
        method,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: text.startsWith('{') ? JSON.parse(text) : text,
      };
    };
    return {
      key,
      row,
      headers,
      ask,
      chat: (more: object = {}) => ask('POST', '/v1/chat/completions', { ...say, ...more }),
    };
  };
  return { ...wire, as };
}

describe('a key', () => {
  it('does what its scopes say and nothing else', async () => {
    const { as } = await start();
    const writer = await as('writer', { scopes: ['generate'] });
    expect((await writer.chat()).status).toBe(200);
    expect((await writer.ask('GET', '/v1/models')).status).toBe(200);
    for (const [method, route] of [
      ['GET', '/v1/files'],
      ['GET', '/v1/fine_tuning/jobs'],
      ['POST', '/api/trainings'],
      ['GET', '/metrics'],
      ['DELETE', '/v1/models/letters'],
    ] as const) {
      const refused = await writer.ask(method, route, method === 'POST' ? {} : undefined);
      expect([route, refused.status, codeOf(refused)]).toEqual([route, 403, 'scope_missing']);
      expect((refused.body as { error: { type: string } }).error.type).toBe('permission_error');
    }
    const scraper = await as('scraper', { scopes: ['metrics'] });
    expect((await scraper.ask('GET', '/metrics')).status).toBe(200);
    expect(codeOf(await scraper.chat())).toBe('scope_missing');
  });

  it('uses the models it may use, on every route that names one', async () => {
    const { as } = await start();
    const own = await as('own', { models: ['let*'] });
    expect((await own.chat()).status).toBe(200);
    expect([
      codeOf(await own.chat({ model: 'secret' })),
      (await own.chat({ model: 'secret' })).status,
    ]).toEqual(['model_forbidden', 403]);
    expect(codeOf(await own.ask('POST', '/api/inspect', { model: 'secret', text: 'a' }))).toBe(
      'model_forbidden',
    );
    const form = new FormData();
    form.append('model', 'secret');
    form.append('prompt', 'a');
    form.append('image', new Blob([await readFile(path.resolve('test/wire/keys.test.ts'))]), 'a.png');
    const response = await fetch(`${running?.address}/v1/images/edits`, {
      ...{ method: 'POST', body: form, headers: own.headers },
    });
    expect(((await response.json()) as { error: { code: string } }).error.code).toBe('model_forbidden');
  });

  it('expires', async () => {
    const { as } = await start();
    const old = await as('old', { expires: Math.floor(Date.now() / 1000) - 1 });
    const refused = await old.chat();
    expect([refused.status, codeOf(refused)]).toEqual([401, 'key_expired']);
  });

  it('is rotated: both work for a while, or the old one ends at once', async () => {
    const { as, server } = await start();
    const first = await as('first');
    const { key } = await server.context.keys.rotate('first', 60);
    const { post } = {
      post: (k: string) =>
        fetch(`${server.address}/v1/models`, { headers: { authorization: `Bearer ${k}` } }),
    };
    expect([(await post(first.key)).status, (await post(key)).status]).toEqual([200, 200]);
    const { key: newest, row } = await server.context.keys.rotate('first');
    expect([first.key, key, newest].map((k) => k.slice(0, 4))).toEqual(['ink-', 'ink-', 'ink-']);
    expect([(await post(first.key)).status, (await post(key)).status, (await post(newest)).status]).toEqual([
      401, 401, 200,
    ]);
    expect(row.id).toBe(first.row.id);
  });

  it('is told what is left, and refused in OpenAI’s shape', async () => {
    const { as } = await start();
    const small = await as('small', { limits: { requestsPerMinute: 2, tokensPerMinute: 1000 } });
    const first = await small.chat();
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(first.headers.get('x-ratelimit-limit-tokens')).toBe('1000');
    expect(first.headers.get('x-ratelimit-reset-requests')).toMatch(/^(\d+m)?\d+(\.\d)?s$/);
    const streamed = await small.ask('POST', '/v1/chat/completions', { ...say, stream: true });
    expect(streamed.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    const refused = await small.chat();
    expect(refused).toMatchObject({
      status: 429,
      body: { error: { type: 'rate_limit_error', code: 'requests_limited' } },
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    const tokens = await as('tokens', { limits: { tokensPerMinute: 50 } });
    expect(codeOf(await tokens.chat({ max_tokens: 500 }))).toBe('tokens_limited');
    expect((await tokens.chat({ max_tokens: 500 })).headers.get('x-should-retry')).toBe('false');
    expect((await tokens.chat()).status).toBe(200);
  });

  it('has so many requests at once, and a place again when one hangs up', async () => {
    const { as, server } = await start(20);
    const one = await as('one', { limits: { concurrency: 1 } });
    const abort = new AbortController();
    const long = fetch(`${server.address}/v1/chat/completions`, {
      ...{
        method: 'POST',
        headers: { ...one.headers, 'content-type': 'application/json' },
        signal: abort.signal,
      },
      body: JSON.stringify({ ...say, max_tokens: 1000 }),
    }).catch(() => undefined);
    await until(() => server.context.watch.requests.some((meter) => meter.running));
    expect(codeOf(await one.chat())).toBe('concurrency_limited');
    abort.abort();
    await long;
    await until(() => server.context.watch.requests.length === 0);
    expect((await one.chat()).status).toBe(200);
  });

  it('spends its budget to the end and not beyond, also when all come at once', async () => {
    const { as, server } = await start(2, { prices: Prices.parse(['*=0/1000000']) });
    // A token of an answer costs 1, each request takes 5: two fit into 12.
    const poor = await as('poor', { limits: { budget: 12 } });
    const answers = await Promise.all(Array.from({ length: 8 }, () => poor.chat()));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(2);
    for (const refused of answers.filter(({ status }) => status !== 200)) {
      expect(refused).toMatchObject({ status: 429, body: { error: { type: 'insufficient_quota' } } });
      expect(refused.headers.get('x-should-retry')).toBe('false');
    }
    await expect.poll(async () => (await server.context.quotas.ledger.row(poor.row.id)).spent).toBe(10);
    expect(codeOf(await poor.chat({ max_tokens: 3 }))).toBe('insufficient_quota');
    expect((await poor.chat({ max_tokens: 2 })).status).toBe(200);
    // What was refused by the queue or its own words costs nothing.
    expect((await poor.chat({ max_tokens: 0.5 })).status).toBe(400);
    const text = await (await as('all', { scopes: ['metrics'] })).ask('GET', '/metrics');
    expect(text.body).toContain(`inkstone_key_cost_total{key="${poor.row.id}"} 12`);
  });

  it('pays for what was made until a client hung up', async () => {
    const { as, server } = await start(10, { prices: Prices.parse(['*=0/1000000']) });
    const one = await as('hasty', { limits: { budget: 1000 } });
    const abort = new AbortController();
    const response = await fetch(`${server.address}/v1/chat/completions`, {
      ...{ method: 'POST', signal: abort.signal },
      headers: { ...one.headers, 'content-type': 'application/json' },
      body: JSON.stringify({ ...say, max_tokens: 500, stream: true }),
    });
    const reader = response.body?.getReader();
    for (let i = 0; i < 4; i++) await reader?.read();
    abort.abort();
    await until(() => server.context.watch.requests.length === 0);
    const spent = async () => (await server.context.quotas.ledger.row(one.row.id)).spent;
    await expect.poll(spent).toBeGreaterThanOrEqual(2);
    expect(await spent()).toBeLessThan(400);
  });

  it('counts the tokens of embeddings before any work is done', async () => {
    const asked: string[] = [];
    const replica = Object.assign(new LetterReplica('letters'), {
      embed: async ({ texts }: EmbeddingRequest): Promise<TextEmbedding[]> => {
        asked.push(...texts);
        return texts.map((text) => ({ vector: Float32Array.of(1), tokens: text.length }));
      },
      lengths: async (texts: readonly string[]) => texts.map((text) => text.length),
    });
    Object.assign(replica.model, { produces: ['text', 'embedding'] });
    const { as, server } = await start(0, { prices: Prices.parse(['*=1000000/0']), replica });
    const one = await as('reader', { limits: { budget: 100, tokensPerMinute: 100 } });
    const embed = (input: string) => one.ask('POST', '/v1/embeddings', { model: 'letters', input });
    // A quarter of a token for each byte would let it in.
    expect(codeOf(await embed('x'.repeat(150)))).toBe('tokens_limited');
    expect(asked).toEqual([]);
    const answers = await Promise.all([1, 2, 3].map(() => embed('y'.repeat(40))));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 429]);
    await expect.poll(async () => (await server.context.quotas.ledger.row(one.row.id)).spent).toBe(80);
  });
});

describe('whose things are whose', () => {
  const upload = async (address: string, headers: Record<string, string>): Promise<string> => {
    const form = new FormData();
    form.append('purpose', 'fine-tune');
    form.append('file', new Blob(['{"messages":[]}\n']), 'a.jsonl');
    const response = await fetch(`${address}/v1/files`, { method: 'POST', headers, body: form });
    return ((await response.json()) as { id: string }).id;
  };

  it('another key’s file is not there: to list, read, delete or train on', async () => {
    const { as, server } = await start();
    const [ann, bob, boss] = [await as('ann'), await as('bob'), await as('boss', { scopes: ['admin'] })];
    const id = await upload(server.address, ann.headers);
    const other = await upload(server.address, bob.headers);
    const listed = async (who: typeof ann): Promise<string[]> =>
      ((await who.ask('GET', '/v1/files')).body as { data: { id: string }[] }).data.map((file) => file.id);
    expect(await listed(ann)).toEqual([id]);
    expect(await listed(bob)).toEqual([other]);
    expect((await listed(boss)).sort()).toEqual([id, other].sort());
    for (const [method, route, body] of [
      ['GET', `/v1/files/${id}`],
      ['GET', `/v1/files/${id}/content`],
      ['DELETE', `/v1/files/${id}`],
      ['GET', `/api/files/${id}/check?model=letters`],
      ['POST', '/v1/fine_tuning/jobs', { model: 'letters', training_file: id }],
      ['POST', '/api/trainings', { name: 'x', preset: 'tiny', file: id }],
    ] as const) {
      const refused = await bob.ask(method, route, body);
      expect([route, refused.status]).toEqual([route, 404]);
    }
    expect((await ann.ask('GET', `/v1/files/${id}/content`)).body).toEqual({ messages: [] });
    const owners = async (): Promise<string[]> =>
      (await server.context.store.rows.list('owners')).map((row) => row.id).sort();
    expect(await owners()).toEqual([id, other].sort());
    expect((await ann.ask('DELETE', `/v1/files/${id}`)).status).toBe(200);
    // Who had it goes with it, or the table would grow with each file that came and went.
    expect(await owners()).toEqual([other]);
  });

  it('another key’s response is not there', async () => {
    const { as } = await start();
    const [ann, bob] = [await as('ann'), await as('bob')];
    const made = await ann.ask('POST', '/v1/responses', {
      model: 'letters',
      input: 'say',
      max_output_tokens: 3,
    });
    const { id } = made.body as { id: string };
    expect((await bob.ask('GET', `/v1/responses/${id}`)).status).toBe(404);
    expect(
      (await bob.ask('POST', '/v1/responses', { model: 'letters', input: 'go on', previous_response_id: id }))
        .status,
    ).toBe(404);
    expect((await ann.ask('GET', `/v1/responses/${id}`)).status).toBe(200);
  });
});

describe('the studio’s log-in', () => {
  it('stands for the key, and changes nothing without the token of its own page', async () => {
    const { as, server } = await start();
    const ann = await as('ann');
    const session = (method: string, body?: object, headers: Record<string, string> = {}) =>
      fetch(`${server.address}/session`, {
        method,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    expect(await (await session('GET')).json()).toEqual({ needed: true });
    const begun = await session('POST', { key: ann.key });
    const set = begun.headers.get('set-cookie') ?? '';
    expect(set).toMatch(/^inkstone_session=[\w-]{43}; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Strict$/);
    const { csrf } = (await begun.json()) as { csrf: string };
    const cookie = set.split(';')[0] as string;
    expect(await (await session('GET', undefined, { cookie })).json()).toMatchObject({
      csrf,
      key: { name: 'ann' },
    });
    const chat = (headers: Record<string, string>) =>
      fetch(`${server.address}/v1/chat/completions`, {
        ...{
          method: 'POST',
          headers: { 'content-type': 'application/json', cookie, ...headers },
          body: JSON.stringify(say),
        },
      });
    expect((await fetch(`${server.address}/v1/models`, { headers: { cookie } })).status).toBe(200);
    expect((await chat({})).status).toBe(403);
    expect((await chat({ 'x-csrf-token': `${csrf}x` })).status).toBe(403);
    expect((await chat({ 'x-csrf-token': csrf })).status).toBe(200);
    // A cookie beside a wrong key does not help.
    expect((await chat({ 'x-csrf-token': csrf, authorization: 'Bearer ink-wrong' })).status).toBe(401);
    expect((await session('DELETE', undefined, { cookie })).status).toBe(403);
    expect((await session('DELETE', undefined, { cookie, 'x-csrf-token': csrf })).status).toBe(200);
    expect((await chat({ 'x-csrf-token': csrf })).status).toBe(401);
  });

  it('ends with its key', async () => {
    const { as, server } = await start();
    const ann = await as('ann');
    const begun = await fetch(`${server.address}/session`, {
      ...{
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ key: ann.key }),
      },
    });
    const cookie = (begun.headers.get('set-cookie') ?? '').split(';')[0] as string;
    await server.context.keys.revoke('ann');
    expect((await fetch(`${server.address}/v1/models`, { headers: { cookie } })).status).toBe(401);
  });

  it('refuses wrong keys, after ten a minute without looking', async () => {
    const { as, server } = await start();
    const ann = await as('ann');
    const login = (key: string) =>
      fetch(`${server.address}/session`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ key }) },
      });
    const began = performance.now();
    let looked = 0;
    while (looked < 200 && (await login('ink-wrong')).status === 401) looked++;
    expect(looked).toBeGreaterThanOrEqual(10);
    // One more for each six seconds that this took.
    expect(looked).toBeLessThanOrEqual(10 + (performance.now() - began) / 6000);
    expect((await login(ann.key)).status).toBe(429);
    const log = await readFile(server.context.audit.file, 'utf8');
    expect(log).toContain('session.refused');
    expect(log).not.toContain(ann.key);
  });
});

describe('a browser elsewhere', () => {
  it('cannot send a form, with an Origin or without one', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const form = new FormData();
    form.append('purpose', 'fine-tune');
    form.append('file', new Blob(['x']), 'a.jsonl');
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      const response = await fetch(`${server.address}/v1/files`, {
        method: 'POST',
        headers: headers as never,
        body: form,
      });
      expect(response.status).toBe(403);
    }
    expect((await fetch(`${server.address}/v1/files`, { method: 'POST', body: form })).status).toBe(200);
  });

  it('may run nothing that an answer holds', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const { headers } = await fetch(`${server.address}/v1/models`);
    expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    const page = await fetch(`${server.address}/`);
    expect(page.headers.get('content-security-policy')).toMatch(/default-src 'self'.*frame-ancestors 'none'/);
    // A page that did not change keeps its policy: a browser takes that of a 304 in its place.
    const etag = page.headers.get('etag');
    if (etag !== null) {
      // fetch would ask for a page that no cache has.
      const again = await new Promise<http.IncomingMessage>((resolve, reject) => {
        http.get(`${server.address}/`, { headers: { 'if-none-match': etag } }, resolve).on('error', reject);
      });
      again.resume();
      expect(again.statusCode).toBe(304);
      expect(again.headers['content-security-policy'] ?? '').not.toContain("default-src 'none'");
    }
  });
});

describe('the audit log', () => {
  it('tells who changed what, and holds', async () => {
    const { as, server } = await start();
    const ann = await as('ann');
    await ann.ask('DELETE', '/v1/models/letters');
    const form = new FormData();
    form.append('purpose', 'fine-tune');
    form.append('file', new Blob(['x']), 'a.jsonl');
    await fetch(`${server.address}/v1/files`, { method: 'POST', headers: ann.headers, body: form });
    const log = (): Promise<string> => readFile(server.context.audit.file, 'utf8').catch(() => '');
    await expect.poll(log).toContain(`"actor":"${ann.row.id}","action":"POST /v1/files"`);
    await server.context.audit.verify();
  });
});
