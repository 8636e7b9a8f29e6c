/** Limits of keys at the gateway, over real sockets before servers that tell what they used, tell nothing, or break off. */

import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Fake, GatewayScene, refuses, says } from '../../../test/services/gateway.ts';
import { gate } from '../../base/testing.ts';
import { Ledger } from '../../operate/quota/ledger.ts';
import { Prices } from '../../operate/quota/prices.ts';
import { openFileStore } from '../../store/index.ts';
import type { KeySettings } from '../keys.ts';
import type { Gateway } from './gateway.ts';

const scene = new GatewayScene();
beforeAll(() => scene.open());
afterEach(() => scene.end());
afterAll(() => scene.close());

const messages = [{ role: 'user', content: 'say' }];
/** A token costs 1. */
const prices = Prices.parse(['*=1000000/1000000']);
let stores = 0;

async function start(fakes: readonly Fake[], gateways = 1) {
  const store = await openFileStore(path.join(scene.folder, `shared-${stores++}`));
  const all: Gateway[] = [];
  for (let i = 0; i < gateways; i++)
    all.push((await scene.start(fakes, {}, undefined, { store, prices })).gateway);
  const [gateway] = all as [Gateway];
  const { keys } = gateway;
  const operator = await keys.create('operator');
  const as = async (settings: KeySettings) => {
    const { key, row } = await keys.create(`key-${Math.random()}`, settings);
    const post = (what: object, to = gateway, route = '/v1/chat/completions', more: RequestInit = {}) =>
      fetch(`${to.address}${route}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify(what),
        ...more,
      });
    const chat = (more: object = {}, to = gateway, rest: RequestInit = {}) =>
      post({ model: 'm', messages, max_tokens: 5, ...more }, to, undefined, rest);
    const spent = async () => (await new Ledger(store, Date.now).row(row.id)).spent;
    return { key, row, post, chat, spent };
  };
  return { gateway, all, as, operator };
}

const codeOf = async (response: Response): Promise<string> =>
  ((await response.json()) as { error: { code: string } }).error.code;

/** A whole answer that used so much, once it may come. */
const used =
  (prompt: number, completion: number, until = Promise.resolve()): Answer =>
  (_, reply) =>
    void until.then(() => {
      const usage = { prompt_tokens: prompt, completion_tokens: completion };
      reply.writeHead(200, { 'content-type': 'application/json', 'x-ratelimit-limit-requests': '99999' });
      reply.end(JSON.stringify({ choices: [], usage }));
    });

const delta = (content: string): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;
const streams =
  (end: (reply: ServerResponse, asked: boolean) => void): Answer =>
  (_, reply, { stream_options: options }) => {
    reply.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const letter of 'abc') reply.write(delta(letter));
    end(reply, (options as { include_usage?: boolean } | undefined)?.include_usage === true);
  };
const tells = streams((reply, asked) => {
  if (asked) reply.write('data: {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3}}\n\n');
  reply.end('data: [DONE]\n\n');
});

describe('limits of a minute', () => {
  it('are those of the key over all servers, and told in headers of the gateway’s own', async () => {
    const [a, b] = [await scene.fake('a', used(1, 1)), await scene.fake('b', used(1, 1))];
    const { as } = await start([a, b]);
    const { chat } = await as({ limits: { requestsPerMinute: 2, tokensPerMinute: 1000 } });
    const first = await chat();
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(first.headers.get('x-ratelimit-limit-tokens')).toBe('1000');
    expect((await chat()).status).toBe(200);
    const refused = await chat();
    expect(refused.status).toBe(429);
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await codeOf(refused)).toBe('requests_limited');
    expect(a.asked.length + b.asked.length).toBe(2);
    // What another key has left is another matter; of an account at a server nothing is told.
    const other = await (await as({})).chat();
    expect([other.status, other.headers.get('x-ratelimit-limit-requests')]).toEqual([200, null]);
  });

  it('take what an answer may need at most, and give back what it did not', async () => {
    const a = await scene.fake('a', used(2, 3));
    const { as } = await start([a]);
    const { chat } = await as({ limits: { tokensPerMinute: 100 } });
    expect(await codeOf(await chat({ max_tokens: 100 }))).toBe('tokens_limited');
    expect(a.asked).toHaveLength(0);
    for (let i = 0; i < 10; i++) expect((await chat({ max_tokens: 30 })).status).toBe(200);
    expect((await chat({ max_tokens: 60 })).status).toBe(429);
  });

  it('bound requests at once, and a place is free when a client hangs up', async () => {
    const a = await scene.fake('a', () => undefined);
    const { as } = await start([a]);
    const { chat } = await as({ limits: { concurrency: 1 } });
    const abort = new AbortController();
    const held = chat({}, undefined, { signal: abort.signal }).catch(() => undefined);
    await expect.poll(() => a.asked.length).toBe(1);
    expect(await codeOf(await chat())).toBe('concurrency_limited');
    abort.abort();
    await held;
    a.answer = says('a');
    await expect.poll(async () => (await chat()).status).toBe(200);
  });
});

describe('a budget', () => {
  it('is never overspent by requests that come at once to several gateways before several servers', async () => {
    const { passed: held, open: release } = gate();
    const [a, b] = [await scene.fake('a', used(1, 5, held)), await scene.fake('b', used(1, 5, held))];
    const { as, all } = await start([a, b], 2);
    // Each may take 5 for its answer and some 15 for its prompt; in the end it takes 6.
    const { chat, spent } = await as({ limits: { budget: 50 } });
    let refused = 0;
    const asking = Array.from({ length: 12 }, async (_, i) => {
      const answer = await chat({}, all[i % 2]);
      if (answer.status !== 200) refused++;
      return answer;
    });
    // None is given back anything before each has been let in or refused.
    await expect.poll(() => a.asked.length + b.asked.length + refused).toBe(12);
    release();
    const answers = await Promise.all(asking);
    const good = answers.filter(({ status }) => status === 200).length;
    expect(good).toBe(2);
    for (const one of answers.filter(({ status }) => status !== 200))
      expect(await codeOf(one)).toBe('insufficient_quota');
    expect(a.asked.length + b.asked.length).toBe(2);
    await expect.poll(spent).toBe(12);
  });

  it('pays for what a stream used, which the gateway asks for and the client does not see', async () => {
    const a = await scene.fake('a', tells);
    const { as } = await start([a]);
    const { chat, spent } = await as({ limits: { budget: 1000 } });
    const quiet = await (await chat({ stream: true, stream_options: { other: 1 } })).text();
    expect(quiet).toBe(`${'abc'.split('').map(delta).join('')}data: [DONE]\n\n`);
    expect(a.asked[0]?.body.stream_options).toEqual({ other: 1, include_usage: true });
    await expect.poll(spent).toBe(5);
    const open = await (await chat({ stream: true, stream_options: { include_usage: true } })).text();
    expect(open).toContain('"usage"');
    await expect.poll(spent).toBe(10);
  });

  it('pays for what was seen of a stream that broke off or that nobody read to its end', async () => {
    const a = await scene.fake(
      'a',
      streams((reply) => setTimeout(() => reply.destroy(), 20)),
    );
    const { as } = await start([a]);
    const { chat, spent } = await as({ limits: { budget: 1000 } });
    expect(await (await chat({ stream: true })).text()).toContain('upstream_broke');
    const broken = await spent().then(async () => {
      await expect.poll(spent).toBeGreaterThan(3);
      return spent();
    });
    a.answer = streams(() => undefined);
    const abort = new AbortController();
    const reader = (await chat({ stream: true }, undefined, { signal: abort.signal })).body?.getReader();
    await reader?.read();
    abort.abort();
    await reader?.closed.catch(() => undefined);
    // The prompt and three letters each time.
    await expect.poll(spent).toBe(2 * broken);
  });

  it('pays nothing for what nobody answered, and the most for an answer that does not say', async () => {
    const a = await scene.fake('a', refuses(400));
    const { as } = await start([a]);
    const { chat, spent } = await as({ limits: { budget: 100 } });
    expect((await chat()).status).toBe(400);
    a.answer = refuses(500);
    expect((await chat()).status).toBe(500);
    await a.down();
    expect((await chat()).status).toBe(503);
    await a.up();
    a.answer = (_, reply) => void reply.end('{"choices":[]}');
    expect((await chat({ max_tokens: 40 })).status).toBe(200);
    await expect.poll(spent).toBeGreaterThanOrEqual(40);
    expect(await spent()).toBeLessThan(60);
  });

  it('reserves by what answers have shown: a model with a token for each byte', async () => {
    const content = 'x'.repeat(400);
    const a = await scene.fake('a', used(450, 20));
    const { as } = await start([a]);
    const { post, spent } = await as({ limits: { budget: 1200 } });
    const chat = () => post({ model: 'm', messages: [{ role: 'user', content }] });
    expect((await chat()).status).toBe(200);
    await expect.poll(spent).toBe(470);
    // Two more would fit by a quarter of a token for each byte.
    const answers = await Promise.all([chat(), chat()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 429]);
  });
});

describe('what a key may do', () => {
  it('holds for its models, by whatever address and in whatever form they are named', async () => {
    const a = await scene.fake('a', says('a'), ['m', 'secret']);
    const { as } = await start([a]);
    const { post, key } = await as({ models: ['m'] });
    expect((await post({ model: 'm', messages })).status).toBe(200);
    for (const route of [
      '/v1/chat/completions',
      '/v1//chat/completions/',
      '/v1/%63hat/completions',
      '/v1/new',
    ])
      expect(await codeOf(await post({ model: 'secret', messages }, undefined, route))).toBe(
        'model_forbidden',
      );
    expect(await codeOf(await post({ messages }))).toBe('model_forbidden');
    const form = new FormData();
    form.append('model', 'secret');
    form.append('image', new Blob(['x']), 'x.png');
    const headers = { authorization: `Bearer ${key}` };
    const edit = await post({}, undefined, '/v1/images/edits', { body: form, headers });
    expect(await codeOf(edit)).toBe('model_forbidden');
    expect(a.asked).toHaveLength(1);
  });

  it('holds for work that is done later: it cannot be counted here', async () => {
    const a = await scene.fake('a', says('a'));
    const { as } = await start([a]);
    const limited = await as({ limits: { budget: 1 } });
    for (const route of ['/v1/batches', '/v1/fine_tuning/jobs', '/v1/%62atches'])
      expect(await codeOf(await limited.post({ model: 'm' }, undefined, route))).toBe('route_uncounted');
    expect((await (await as({})).post({}, undefined, '/v1/batches')).status).toBe(200);
  });

  it('holds for its scopes, the gateway’s own routes too', async () => {
    const a = await scene.fake('a', says('a'));
    const { as, gateway, operator } = await start([a]);
    const reader = await as({ scopes: ['metrics'] });
    expect(await codeOf(await reader.chat())).toBe('scope_missing');
    const status = (key: string) =>
      fetch(`${gateway.address}/gateway/status`, { headers: { authorization: `Bearer ${key}` } });
    expect((await status((await as({})).key)).status).toBe(403);
    expect((await status(operator.key)).status).toBe(200);
  });
});
