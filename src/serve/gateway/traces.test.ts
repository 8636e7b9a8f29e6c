/** Traces through the gateway: from the client's span to that of the server that answered, with what was refused on the way. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { GatewayScene, refuses, says } from '../../../test/services/gateway.ts';
import { type EndedSpan, readTraceparent, Tracer } from '../../operate/watch/span.ts';

const scene = new GatewayScene();
beforeAll(() => scene.open());
afterEach(() => scene.end());
afterAll(() => scene.close());

const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
const traceparent = `00-${trace}-00f067aa0ba902b7-01`;

async function start(share = 1) {
  const [bad, good] = [await scene.fake('bad', refuses(500)), await scene.fake('good', says('a secret'))];
  const ended: EndedSpan[] = [];
  const tracer = new Tracer((span) => void ended.push(span), share);
  const tiers = ({ name }: { name: string }) => ({ tier: name === 'bad' ? 0 : 1 });
  const { gateway } = await scene.start([bad, good], {}, tiers, { tracing: { tracer } });
  const post = (route: string, headers: Record<string, string> = {}) =>
    fetch(`${gateway.address}${route}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'a secret' }] }),
    });
  return { bad, good, ended, gateway, post };
}

it('a request is a span of the client’s trace, each server that is asked a child of it', async () => {
  const { bad, good, ended, post, gateway } = await start();
  const { key } = await gateway.keys.create('one');
  const response = await post('/v1/chat/completions', { traceparent, authorization: `Bearer ${key}` });
  expect(response.status).toBe(200);
  await expect.poll(() => ended.length).toBe(3);
  const [failed, answered, whole] = ended as [EndedSpan, EndedSpan, EndedSpan];
  expect(ended.map(({ place }) => place.trace)).toEqual([trace, trace, trace]);
  expect(whole).toMatchObject({
    name: 'POST /v1/chat/completions',
    kind: 'server',
    parent: '00f067aa0ba902b7',
    error: undefined,
    attributes: { 'http.response.status_code': 200, 'http.route': '/v1/chat/completions' },
  });
  for (const one of [failed, answered])
    expect(one).toMatchObject({ name: 'chat m', parent: whole.place.span, kind: 'client' });
  expect(failed).toMatchObject({
    error: 'upstream_failed',
    attributes: { 'inkstone.upstream': 'bad', 'http.response.status_code': 500 },
  });
  expect(answered).toMatchObject({
    error: undefined,
    attributes: {
      'inkstone.upstream': 'good',
      'server.address': '127.0.0.1',
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'm',
      'gen_ai.usage.input_tokens': 1,
      'gen_ai.usage.output_tokens': 1,
    },
  });
  // Each server goes on from its own span.
  for (const [fake, span] of [
    [bad, failed],
    [good, answered],
  ] as const)
    expect(readTraceparent(fake.asked[0]?.headers.traceparent as string)).toEqual({
      ...span.place,
      sampled: true,
    });
  expect(JSON.stringify(ended)).not.toContain('secret');
});

it('what is refused before a server is asked is one, too, and names stay few', async () => {
  const { ended, gateway, post } = await start();
  expect((await post('/v1/some/thing/else%2f..')).status).toBe(404);
  await gateway.keys.create('one');
  expect((await post('/v1/chat/completions')).status).toBe(401);
  expect(ended.map(({ name }) => name)).toEqual(['POST /v1/*', 'POST /v1/chat/completions']);
  expect(ended.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([404, 401]);
});

it('that is not kept here is not kept there; without a collector the client’s own goes on', async () => {
  const { good, ended, post } = await start(0);
  expect((await post('/v1/chat/completions')).status).toBe(200);
  expect(good.asked[0]?.headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  expect(ended).toEqual([]);
  const fake = await scene.fake('plain', says('a'));
  const { gateway } = await scene.start([fake]);
  await fetch(`${gateway.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', traceparent },
    body: JSON.stringify({ model: 'm', messages: [] }),
  });
  expect(fake.asked[0]?.headers.traceparent).toBe(traceparent);
});
