/** Over a real socket: what `/metrics` shows after requests, what the log says of them, and a trace through two processes. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { runMain } from '../../src/cli/testing.ts';
import { LetterReplica } from '../../src/serve/testing.ts';
import { tinyWriter, until, wireHome } from './harness.ts';

const home = wireHome(['letters']);
const say = { model: 'letters', messages: [{ role: 'user', content: 'a secret' }], seed: 0, max_tokens: 5 };

async function metricsOf(address: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${address}/metrics`, { headers });
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  return response.text();
}
const valueIn = (text: string, series: string): number =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.split(' ')[1] ?? Number.NaN,
  );

describe('/metrics', () => {
  it('counts requests, tokens and refusals by model and route', async () => {
    const { server, client, post } = await home.start(new LetterReplica('letters'));
    await client.chat.completions.create(say as never);
    const stream = client.chat.completions.stream({ ...say, stream: true } as never);
    for await (const chunk of stream) void chunk;
    await client.completions.create({ model: 'letters', prompt: 'abc', n: 3, max_tokens: 2 });
    await post('/v1/chat/completions', { ...say, model: 'gone' });
    await post('/v1/chat/completions', 'not json');
    await fetch(`${server.address}/nothing/here/at/all`);
    const text = await metricsOf(server.address);
    const m = '{model_name="letters"}';
    // The chat's prompt has its roles around it.
    expect(valueIn(text, `inkstone:generation_tokens_total${m}`)).toBe(5 + 5 + 6);
    expect(valueIn(text, `inkstone:time_to_first_token_seconds_count${m}`)).toBe(3);
    expect(valueIn(text, `inkstone:inter_token_latency_seconds_count${m}`)).toBe(4 + 4 + 3);
    expect(valueIn(text, `inkstone:e2e_request_latency_seconds_count${m}`)).toBe(3);
    expect(
      valueIn(text, 'inkstone:request_success_total{model_name="letters",finished_reason="length"}'),
    ).toBe(5);
    const http = (route: string, status: number): number =>
      valueIn(text, `inkstone_http_requests_total{method="POST",route="${route}",status="${status}"}`);
    expect(http('/v1/chat/completions', 200)).toBe(2);
    expect(http('/v1/chat/completions', 404)).toBe(1);
    expect(http('/v1/chat/completions', 400)).toBe(1);
    // Where the studio is built its pages' route stands for all that is none.
    expect(text).toMatch(
      /^inkstone_http_requests_total\{method="GET",route="(none|\/\*)",status="404"\} 1$/m,
    );
    // A name that is not there makes no series: anybody could make them without end.
    expect(text).not.toContain('gone');
    expect(valueIn(text, 'inkstone:num_requests_running{model_name="letters"}')).toBe(0);
  });

  it('tells how old the last backup is, once there is one', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    expect(await metricsOf(server.address)).not.toMatch(/^inkstone_backup_age_seconds /m);
    const { status, json } = await runMain([
      'store',
      'backup',
      '--to',
      `${home.folder}/backups`,
      '--home',
      home.folder,
      '--json',
    ]);
    expect({ status, json }).toMatchObject({ status: 0, json: { state: 'verified' } });
    const age = valueIn(await metricsOf(server.address), 'inkstone_backup_age_seconds');
    expect(age).toBeGreaterThanOrEqual(0);
    expect(age).toBeLessThan(300);
  });

  it('shows what runs and waits, and forgets who hung up', async () => {
    const { server } = await home.start(new LetterReplica('letters', { pace: 30 }), { concurrency: 1 });
    const abort = new AbortController();
    const ask = (): Promise<unknown> =>
      fetch(`${server.address}/v1/chat/completions`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, signal: abort.signal },
        body: JSON.stringify({ ...say, max_tokens: 1000 }),
      }).catch(() => undefined);
    const both = Promise.all([ask(), ask()]);
    const onTheirWay = () => server.context.watch.requests;
    await until(
      () => onTheirWay().some(({ running }) => running) && onTheirWay().some((meter) => meter.waited()),
    );
    const text = await metricsOf(server.address);
    expect(valueIn(text, 'inkstone:num_requests_running{model_name="letters"}')).toBe(1);
    expect(valueIn(text, 'inkstone:num_requests_waiting{model_name="letters"}')).toBe(1);
    expect(valueIn(text, 'inkstone_queue_oldest_seconds')).toBeGreaterThan(0);
    abort.abort();
    await both;
    await until(() => server.context.watch.requests.length === 0);
    const after = await metricsOf(server.address);
    expect(valueIn(after, 'inkstone:num_requests_waiting{model_name="letters"}')).toBe(0);
    expect(after).toMatch(/inkstone_http_requests_total\{[^}]*status="499"\} 2/);
  });

  it('asks for a key where there are keys', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const { key, row } = await server.context.keys.create('prometheus');
    try {
      expect((await fetch(`${server.address}/metrics`)).status).toBe(401);
      expect(await metricsOf(server.address, { authorization: `Bearer ${key}` })).toContain(
        'inkstone_build_info',
      );
    } finally {
      await server.context.keys.revoke(row.id);
    }
  });
});

describe('the log', () => {
  const logged = async (logPrompts: boolean): Promise<Record<string, unknown>[]> => {
    const lines: Record<string, unknown>[] = [];
    const { post, server } = await home.start(new LetterReplica('letters', { failAfter: 3 }), {
      logRequest: (_, facts) => lines.push(facts),
      logPrompts,
    });
    const { headers } = await post('/v1/chat/completions', { ...say, max_tokens: 2 });
    const stream = await fetch(`${server.address}/v1/chat/completions`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ ...say, stream: true }),
    });
    await stream.text();
    await until(() => lines.length === 2);
    expect(lines[0]?.request).toBe(headers.get('x-request-id'));
    return lines;
  };

  it('tells route, status, times and tokens with the request’s id, and nothing of what was asked', async () => {
    const [whole, broken] = await logged(false);
    expect(whole).toMatchObject({
      ...{ method: 'POST', route: '/v1/chat/completions', status: 200, model: 'letters' },
      ...{ completion_tokens: 2, finish: ['length'] },
    });
    expect(whole?.first_token_ms).toBeGreaterThanOrEqual(0);
    // After the first byte the status stays 200; the error is told nevertheless.
    expect(broken).toMatchObject({ status: 200, error: 'replica_crashed' });
    expect(JSON.stringify([whole, broken])).not.toContain('secret');
  });

  it('tells what was asked where the operator wants it', async () =>
    expect(JSON.stringify(await logged(true))).toContain('a secret'));
});

describe('a trace', () => {
  const before = process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
  let collector: http.Server | undefined;
  afterEach(() => {
    collector?.close();
    if (before === undefined) delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
    else process.env.OTEL_EXPORTER_OTLP_ENDPOINT = before;
  });

  it('goes from the client through the server into the model’s process', async () => {
    interface Sent {
      resource: { attributes: { key: string; value: { stringValue?: string } }[] };
      scopeSpans: { spans: { name: string; traceId: string; spanId: string; parentSpanId?: string }[] }[];
    }
    const spans: (Sent['scopeSpans'][0]['spans'][0] & { role: string | undefined; whole: string })[] = [];
    collector = http.createServer(async (request, response) => {
      let body = '';
      for await (const piece of request) body += piece;
      for (const { resource, scopeSpans } of (JSON.parse(body) as { resourceSpans: Sent[] }).resourceSpans) {
        const role = resource.attributes.find(({ key }) => key === 'inkstone.role')?.value.stringValue;
        for (const span of scopeSpans.flatMap((scope) => scope.spans))
          spans.push({ ...span, role, whole: JSON.stringify(span) });
      }
      response.end('{}');
    });
    await new Promise<void>((resolve) => collector?.listen(0, '127.0.0.1', resolve));
    const { port } = collector.address() as AddressInfo;
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${port}`;
    await tinyWriter(home, 'tiny');
    const { post } = await home.start(undefined, { model: 'tiny', loadWait: 60 });
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const { status } = await post(
      '/v1/chat/completions',
      { ...say, model: 'tiny' },
      { traceparent: `00-${trace}-00f067aa0ba902b7-01` },
    );
    expect(status).toBe(200);
    await expect.poll(() => spans.filter(({ traceId }) => traceId === trace).length).toBe(4);
    const named = (name: string) => spans.find((span) => span.name === name);
    const route = named('POST /v1/chat/completions');
    expect(route).toMatchObject({ parentSpanId: '00f067aa0ba902b7', role: 'server' });
    expect(named('queue')?.parentSpanId).toBe(route?.spanId);
    const chat = named('chat tiny');
    expect(chat?.parentSpanId).toBe(route?.spanId);
    expect(chat?.whole).toContain('"gen_ai.usage.output_tokens","value":{"intValue":"5"}');
    expect(named('generate')).toMatchObject({ parentSpanId: chat?.spanId, role: 'model-host' });
    expect(spans.map(({ whole }) => whole).join()).not.toContain('secret');
  });
});
