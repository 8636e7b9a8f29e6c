/** The gateway over real sockets, before servers that answer, refuse, break off, fall silent and go away. */

import type { ServerResponse } from 'node:http';
import http from 'node:http';
import net from 'node:net';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type Answer,
  type Fake,
  GatewayScene,
  refuses,
  type Started,
  says,
} from '../../../test/services/gateway.ts';
import { gate } from '../../base/testing.ts';
import type { GatewayOptions } from './config.ts';
import type { Gateway } from './gateway.ts';

const scene = new GatewayScene();
beforeAll(() => scene.open());
afterEach(() => scene.end());
afterAll(() => scene.close());
const fake = (name: string, answer?: Answer, models?: string[]): Promise<Fake> =>
  scene.fake(name, answer, models);
const start = (
  fakes: readonly Fake[],
  more?: Partial<GatewayOptions>,
  each?: (fake: Fake) => object,
): Promise<Started> => scene.start(fakes, more, each);

const messages = [{ role: 'user' as const, content: 'say' }];
const ask = async (client: OpenAI, model = 'm'): Promise<string | null | undefined> =>
  (await client.chat.completions.create({ model, messages })).choices[0]?.message.content;
const manage = (gateway: Gateway, method: string, what: string, body?: object): Promise<Response> =>
  fetch(`${gateway.address}/gateway/${what}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe('a gateway', () => {
  it('spreads requests, under one list of models, and passes what clients send', async () => {
    const [a, b] = [await fake('a', says('a'), ['m', 'x']), await fake('b')];
    const { client, gateway, lines } = await start([a, b], {}, () => ({ key: 'theirs' }));
    const said = new Set<unknown>();
    for (let i = 0; i < 20; i++) said.add(await ask(client));
    expect([...said].sort()).toEqual(['a', 'b']);
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['m', 'x']);
    expect(await ask(client, 'x')).toBe('a');
    expect(a.asked[0]).toMatchObject({ path: '/v1/chat/completions', body: { model: 'm', messages } });
    // The client's own key goes nowhere; the server's is sent.
    expect(a.asked[0]?.headers.authorization).toBe('Bearer theirs');
    await expect(ask(client, 'y')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    expect(lines.at(-2)).toMatchObject({ model: 'x', status: 200, upstream: 'a', attempts: 1 });
    expect(lines.at(-1)).toMatchObject({ model: 'y', status: 404, failure: 'model_not_found' });
    const metrics = await (await fetch(`${gateway.address}/metrics`)).text();
    expect(metrics).toMatch(/inkstone_gateway_requests_total\{upstream="a",status="200"\} \d+/);
    expect(metrics).toContain('inkstone_gateway_upstream_open{upstream="b"} 1');
  });

  it('sends addresses on as they are written, however many there are', async () => {
    const one = await fake('one');
    const { gateway } = await start([one]);
    const paths = [
      ...['/v1/things?after=a%20b&limit=2', '/v1/things/%C3%A9?x=%2F&y=a+b', '/v1/things?q=it%27s'],
      ...Array.from({ length: 300 }, (_, i) => `/v1/things/${i}`),
    ];
    await Promise.all(paths.map(async (path) => (await fetch(gateway.address + path)).text()));
    expect(one.asked.map(({ path }) => path).sort()).toEqual(paths.sort());
  });

  it('calls a model by the name that it has elsewhere', async () => {
    const vendor = await fake('vendor');
    const { client } = await start([vendor], {}, () => ({ models: { m: 'their/m-70b' } }));
    await ask(client);
    expect(vendor.asked[0]?.body).toEqual({ model: 'their/m-70b', messages });
  });

  it('asks another where one refuses, breaks or is away, and opens the circuit', async () => {
    const [bad, good] = [await fake('bad', refuses(500)), await fake('good')];
    const { client, gateway } = await start([bad, good]);
    for (let i = 0; i < 30; i++) expect(await ask(client)).toBe('good');
    // Five failures in a row open the circuit: it is not asked again.
    // But for one trial after each second that this took.
    const [seen] = gateway.snapshot().upstreams;
    expect(seen?.opens).toBeGreaterThan(0);
    expect(seen?.breaker).not.toBe('closed');
    expect(bad.asked).toHaveLength(4 + (seen?.opens ?? 0));
    expect(bad.asked.length).toBeLessThan(25);
    bad.answer = says('bad');
    await bad.down();
    for (let i = 0; i < 10; i++) expect(await ask(client)).toBe('good');
    await good.down();
    await expect(ask(client)).rejects.toMatchObject({ status: 503, code: 'upstreams_unavailable' });
    await good.up();
    await until(() => gateway.snapshot().upstreams[1]?.breaker !== 'open');
    expect(await ask(client)).toBe('good');
  });

  it('takes a higher tier only while the lower ones do not answer', async () => {
    const [own, vendor] = [await fake('own'), await fake('vendor')];
    const { client, gateway } = await start([own, vendor], {}, ({ name }) => ({
      tier: name === 'own' ? 0 : 1,
    }));
    for (let i = 0; i < 5; i++) expect(await ask(client)).toBe('own');
    await own.down();
    for (let i = 0; i < 5; i++) expect(await ask(client)).toBe('vendor');
    await gateway.upstreams.look();
    expect(gateway.snapshot().upstreams[0]).toMatchObject({ healthy: false });
    await own.up();
    await gateway.upstreams.look();
    await until(() => gateway.snapshot().upstreams[0]?.breaker !== 'open');
    expect(await ask(client)).toBe('own');
  });

  it('gives a refusal back that all share, with its time to come back', async () => {
    const full = refuses(429, { 'retry-after': '7' });
    const { client, gateway } = await start([await fake('a', full), await fake('b', full)]);
    await expect(ask(client)).rejects.toMatchObject({ status: 429, code: 'no' });
    const { upstreams } = gateway.snapshot();
    expect(upstreams.map(({ sent, failed }) => [sent, failed])).toEqual([
      [1, 0],
      [1, 0],
    ]);
    const raw = await fetch(`${gateway.address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', messages }),
    });
    expect([raw.status, raw.headers.get('retry-after')]).toEqual([429, '7']);
    expect(raw.headers.get('x-request-id')).toMatch(/^req-/);
  });

  it('passes client errors through as they are, and asks nobody else', async () => {
    const [a, b] = [await fake('a', refuses(400)), await fake('b', refuses(400))];
    const { client } = await start([a, b]);
    await expect(ask(client)).rejects.toMatchObject({ status: 400, code: 'no' });
    expect(a.asked.length + b.asked.length).toBe(1);
  });
});

describe('a stream through it', () => {
  const chunk = (content: string): string =>
    `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }] })}\n\n`;
  const streams =
    (end: (reply: ServerResponse) => void): Answer =>
    (_, reply) => {
      reply.writeHead(200, { 'content-type': 'text/event-stream' });
      reply.write(chunk('a'));
      setTimeout(() => {
        reply.write(chunk('b'));
        end(reply);
      }, 30);
    };
  const read = async (client: OpenAI): Promise<string> => {
    let text = '';
    const stream = await client.chat.completions.create({ model: 'm', messages, stream: true });
    for await (const piece of stream) text += piece.choices[0]?.delta.content ?? '';
    return text;
  };

  it('arrives piece by piece', async () => {
    const { client } = await start([
      await fake(
        'a',
        streams((reply) => reply.end('data: [DONE]\n\n')),
      ),
    ]);
    expect(await read(client)).toBe('ab');
  });

  it('ends with an error where the server breaks off, and is not begun anew', async () => {
    const breaks = streams((reply) => reply.destroy());
    const [a, b] = [await fake('a', breaks), await fake('b', breaks)];
    const { client, gateway, lines } = await start([a, b]);
    await expect(read(client)).rejects.toMatchObject({ code: 'upstream_broke' });
    expect(a.asked.length + b.asked.length).toBe(1);
    expect(gateway.snapshot().upstreams.reduce((sum, one) => sum + one.failed, 0)).toBe(1);
    expect(lines.at(-1)).toMatchObject({ failure: 'upstream_broke' });
  });

  it('ends at the server as soon as the client hangs up', async () => {
    let closed = false;
    const endless: Answer = (_, reply) => {
      reply.writeHead(200, { 'content-type': 'text/event-stream' });
      const timer = setInterval(() => reply.write(chunk('a')), 5);
      reply.on('close', () => {
        clearInterval(timer);
        closed = true;
      });
    };
    const { client, gateway } = await start([await fake('a', endless)]);
    const stream = await client.chat.completions.create({ model: 'm', messages, stream: true });
    for await (const _ of stream) break;
    await until(() => closed && gateway.snapshot().outstanding === 0);
    expect(gateway.snapshot().upstreams[0]).toMatchObject({ outstanding: 0, failed: 0, breaker: 'closed' });
  });

  it('of a server that is cut off is given up, and goes elsewhere before the first byte', async () => {
    const [a, b] = [await fake('a', () => undefined), await fake('b')];
    const { client, gateway, lines } = await start([a, b], {}, ({ name }) => ({
      tier: name === 'a' ? 0 : 1,
    }));
    const answer = ask(client);
    await until(() => a.asked.length === 1);
    a.cutOff();
    await gateway.upstreams.look();
    // A single look that fails may be chance.
    expect(b.asked).toHaveLength(0);
    await gateway.upstreams.look();
    expect(await answer).toBe('b');
    expect(lines.at(-1)).toMatchObject({ upstream: 'b', attempts: 2, status: 200 });
    expect(gateway.snapshot().upstreams.map(({ outstanding }) => outstanding)).toEqual([0, 0]);
  });

  it('of a server that is cut off ends with an error after the first byte', async () => {
    const a = await fake(
      'a',
      streams(() => undefined),
    );
    const { client, gateway } = await start([a]);
    const stream = await client.chat.completions.create({ model: 'm', messages, stream: true });
    const reading = async (): Promise<void> => {
      for await (const piece of stream) {
        if (piece.choices[0]?.delta.content !== 'a') continue;
        a.cutOff();
        for (let i = 0; i < 2; i++) await gateway.upstreams.look();
      }
    };
    await expect(reading()).rejects.toMatchObject({ code: 'upstream_broke' });
  });

  it('of a server that falls silent goes elsewhere before the first byte, and ends after it', async () => {
    const silent: Answer = () => undefined;
    const mute = streams(() => undefined);
    const [a, b] = [await fake('a', silent), await fake('b')];
    const first = await start([a, b], { timeout: 2 }, ({ name }) => ({ tier: name === 'a' ? 0 : 1 }));
    expect(await ask(first.client)).toBe('b');
    const second = await start([await fake('c', mute)], { timeout: 2 });
    await expect(read(second.client)).rejects.toMatchObject({ code: 'upstream_broke' });
  });
});

describe('managing it', () => {
  it('drains a server: it finishes what it has and gets nothing new', async () => {
    const [a, b] = [await fake('a'), await fake('b')];
    const { client, gateway } = await start([a, b]);
    expect((await manage(gateway, 'POST', 'upstreams/a/drain')).status).toBe(200);
    for (let i = 0; i < 10; i++) expect(await ask(client)).toBe('b');
    await manage(gateway, 'POST', 'upstreams/a/resume');
    const said = new Set<unknown>();
    for (let i = 0; i < 30; i++) said.add(await ask(client));
    expect(said.size).toBe(2);
    expect((await manage(gateway, 'POST', 'upstreams/none/drain')).status).toBe(404);
    expect((await manage(gateway, 'GET', 'status')).status).toBe(200);
  });

  it('rolls a version out by share, and takes it back by itself where it fails', async () => {
    const [old, fresh] = [await fake('old'), await fake('fresh', refuses(500))];
    const { client, gateway } = await start([old, fresh], {}, ({ name }) => ({
      version: name === 'old' ? '1' : '2',
    }));
    const order = { from: '1', to: '2', steps: [0.5, 1], seconds: 0, requests: 5 };
    expect((await manage(gateway, 'POST', 'rollout', order)).status).toBe(200);
    // No client sees any of its failures: they are asked for again of the old one.
    for (let i = 0; i < 30; i++) expect(await ask(client)).toBe('old');
    await gateway.upstreams.look();
    expect(gateway.snapshot().rollout).toMatchObject({ state: 'rolled-back', share: 0 });
    const before = fresh.asked.length;
    for (let i = 0; i < 10; i++) await ask(client);
    expect(fresh.asked).toHaveLength(before);
    expect((await manage(gateway, 'POST', 'rollout', { from: '1', to: '9' })).status).toBe(404);
    expect((await manage(gateway, 'POST', 'rollout', { from: '1' })).status).toBe(400);
  });

  it('takes a version back whose servers are away', async () => {
    const [old, fresh] = [await fake('old'), await fake('fresh')];
    const rollout = { from: '1', to: '2', steps: [0.5, 1], seconds: 0, requests: 5 };
    const { client, gateway } = await start([old, fresh], { rollout }, ({ name }) => ({
      version: name === 'old' ? '1' : '2',
    }));
    await fresh.down();
    for (let i = 0; i < 20; i++) expect(await ask(client)).toBe('old');
    await gateway.upstreams.look();
    expect(gateway.snapshot().rollout).toMatchObject({ state: 'rolled-back' });
  });

  it('goes on to all of the traffic where the new version is as good', async () => {
    const [old, fresh] = [await fake('old'), await fake('fresh')];
    const rollout = { from: '1', to: '2', steps: [0.5, 1], seconds: 0, requests: 5, slower: 1e9 };
    const { client, gateway } = await start([old, fresh], { rollout }, ({ name }) => ({
      version: name === 'old' ? '1' : '2',
    }));
    for (let i = 0; i < 20; i++) await ask(client);
    expect(Math.abs(fresh.asked.length - old.asked.length)).toBeLessThan(4);
    await gateway.upstreams.look();
    expect(gateway.snapshot().rollout).toMatchObject({ state: 'done', share: 1 });
    const before = old.asked.length;
    for (let i = 0; i < 10; i++) expect(await ask(client)).toBe('fresh');
    expect(old.asked).toHaveLength(before);
  });
});

describe('who may ask, and how much', () => {
  it('wants a key where there is one, and answers for its own name only where there is none', async () => {
    const { client, gateway } = await start([await fake('a')]);
    const foreign = await new Promise<number | undefined>((resolve) => {
      const headers = { host: 'evil.example' };
      http.get(`${gateway.address}/v1/models`, { headers }, (answer) => resolve(answer.statusCode));
    });
    expect(foreign).toBe(403);
    const { key } = await gateway.keys.create('test');
    await expect(ask(client)).rejects.toMatchObject({ status: 401 });
    expect((await manage(gateway, 'GET', 'status')).status).toBe(401);
    const keyed = new OpenAI({ baseURL: `${gateway.address}/v1`, apiKey: key, maxRetries: 0 });
    expect(await ask(keyed)).toBe('a');
  });

  it('refuses what is too large, too much, or leads elsewhere', async () => {
    const { passed: held, open: release } = gate();
    const slow: Answer = (request, reply, body) => void held.then(() => says('a')(request, reply, body));
    const a = await fake('a', slow);
    const { client, gateway } = await start([a], { limit: 2, maxBody: 2048 });
    const large = { model: 'm', messages: [{ role: 'user' as const, content: 'x'.repeat(4096) }] };
    await expect(client.chat.completions.create(large)).rejects.toMatchObject({ status: 413 });
    const inside = [ask(client), ask(client)];
    await until(() => a.asked.length === 2);
    await expect(ask(client)).rejects.toMatchObject({ status: 429, code: 'queue_full' });
    release();
    expect(await Promise.all(inside)).toEqual(['a', 'a']);
    for (const path of ['/v1/%2e%2e/admin', '/v1/..%2fadmin', '/v1/%E0%A4%A', '/nothing'])
      expect((await fetch(`${gateway.address}${path}`)).status).toBe(404);
    expect(a.asked).toHaveLength(2);
  });

  it('does not wait for connections that were opened in advance', async () => {
    const { gateway } = await start([await fake('a')]);
    const socket = net.connect(Number(new URL(gateway.address).port), '127.0.0.1');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await new Promise((resolve) => socket.once('connect', resolve));
    await gateway.close();
    await closed;
  });

  it('ends in order: finishes streams, takes nothing new', async () => {
    const slow: Answer = (request, reply, body) =>
      void setTimeout(() => says('a')(request, reply, body), 100);
    const a = await fake('a', slow);
    const { client, gateway } = await start([a]);
    const answer = ask(client);
    await until(() => a.asked.length === 1);
    const closed = gateway.close();
    expect(await answer).toBe('a');
    await closed;
    await expect(ask(client)).rejects.toThrow();
  });
});
