/** Metrics in Prometheus' form, meters with a clock of their own, spans, and what a collector is sent. */
import { describe, expect, it } from 'vitest';
import type { ReplicaStatus } from '../../base/contracts/replica.ts';
import { METRICS, publishedNames } from './definitions.ts';
import { decodingStatus } from './in-host.ts';
import { Metrics } from './metrics.ts';
import { otlpBody, SpanExporter, tracerFromEnvironment } from './otlp.ts';
import { RequestMeter } from './request-meter.ts';
import { type EndedSpan, readTraceparent, Tracer, writeTraceparent } from './span.ts';
import { Watch } from './watch.ts';

const valueIn = (text: string, series: string): number =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.split(' ')[1] ?? Number.NaN,
  );

describe('metrics', () => {
  it('have a type, a help and well-formed names without doubles', async () => {
    const names = Object.values(METRICS).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { name, kind, help } of Object.values(METRICS)) {
      expect(name).toMatch(/^[a-z_][a-z0-9_:]*$/);
      expect(help).not.toBe('');
      expect(name.endsWith('_total')).toBe(kind === 'counter');
    }
    const text = await new Metrics().text();
    for (const { name, kind } of Object.values(METRICS)) expect(text).toContain(`# TYPE ${name} ${kind}`);
    expect(text).toContain('nodejs_eventloop_lag_p99_seconds');
    expect(text).toContain('process_resident_memory_bytes');
  });

  it('carry the names that dashboards know, after our own prefix', () => {
    const names = publishedNames();
    for (const name of ['num_requests_running', 'num_requests_waiting', 'kv_cache_usage_perc'])
      expect(names).toContain(`inkstone:${name}`);
    for (const name of ['time_to_first_token', 'inter_token_latency', 'e2e_request_latency'])
      expect(names).toContain(`inkstone:${name}_seconds_bucket`);
    expect(names).toContain('inkstone:prefix_cache_hits_total');
    for (const name of ['client_token_usage', 'client_operation_duration_seconds'])
      expect(names).toContain(`gen_ai_${name}_count`);
    for (const name of ['time_to_first_token', 'time_per_output_token'])
      expect(names).toContain(`gen_ai_server_${name}_seconds_sum`);
  });

  it('add what another process counted, also when it began anew', async () => {
    const metrics = new Metrics();
    for (const total of [5, 8, 8, 2]) metrics.total('preemptions', total, { model_name: 'm' });
    expect(valueIn(await metrics.text(), 'inkstone:num_preemptions_total{model_name="m"}')).toBe(10);
  });

  it('escape labels, and one source that fails hides no other', async () => {
    const metrics = new Metrics();
    metrics.collect(() => Promise.reject(new Error('no')));
    metrics.collect((m) => m.set('waiting', 3, { model_name: 'a"b\\c\nd' }));
    expect(await metrics.text()).toContain('inkstone:num_requests_waiting{model_name="a\\"b\\\\c\\nd"} 3');
  });
});

describe('a meter', () => {
  it('tells queue, first token, tokens and whole by the clock', async () => {
    const metrics = new Metrics();
    let at = 1000;
    const meter = new RequestMeter(metrics, { id: 'r', operation: 'chat', clock: () => at });
    meter.enter('m');
    at += 2000;
    expect(meter.waited()).toBe(2000);
    meter.begin();
    expect(meter.waited()).toBeUndefined();
    meter.prompt(0, 7);
    at += 500;
    meter.piece(0, 1);
    at += 100;
    meter.piece(0, 1);
    at += 300;
    meter.piece(0, 2);
    meter.end('stop', 4);
    at += 100;
    meter.close({ status: 200 });
    meter.close({ status: 500 });
    const text = await metrics.text();
    const m = '{model_name="m"}';
    expect(valueIn(text, `inkstone:request_queue_time_seconds_sum${m}`)).toBe(2);
    expect(valueIn(text, `inkstone:time_to_first_token_seconds_sum${m}`)).toBe(2.5);
    expect(valueIn(text, `inkstone:inter_token_latency_seconds_sum${m}`)).toBeCloseTo(0.4);
    expect(valueIn(text, `inkstone:inter_token_latency_seconds_count${m}`)).toBe(3);
    expect(valueIn(text, `inkstone:e2e_request_latency_seconds_sum${m}`)).toBe(3);
    expect(valueIn(text, `inkstone:prompt_tokens_total${m}`)).toBe(7);
    expect(valueIn(text, `inkstone:generation_tokens_total${m}`)).toBe(4);
    const of = 'gen_ai_operation_name="chat",gen_ai_request_model="m",gen_ai_provider_name="inkstone"';
    expect(valueIn(text, `gen_ai_server_time_per_output_token_seconds_sum{${of}}`)).toBeCloseTo(0.4 / 3);
    expect(valueIn(text, `gen_ai_client_token_usage_sum{${of},gen_ai_token_type="output"}`)).toBe(4);
    expect(valueIn(text, 'inkstone_request_failures_total')).toBe(0);
  });

  it('counts refusals by reason and failures apart', async () => {
    const metrics = new Metrics();
    const close = (status: number, code?: string): void =>
      new RequestMeter(metrics, { id: 'r', operation: 'chat' }).close({ status, code });
    close(429, 'queue_full');
    close(503, 'model_loading');
    close(400, 'parameter_invalid');
    close(500, 'internal_error');
    close(200, 'replica_crashed');
    const text = await metrics.text();
    expect(valueIn(text, 'inkstone_requests_rejected_total{reason="queue_full"}')).toBe(1);
    expect(valueIn(text, 'inkstone_requests_rejected_total{reason="model_loading"}')).toBe(1);
    expect(valueIn(text, 'inkstone_request_failures_total')).toBe(3);
    expect(valueIn(text, 'inkstone_requests_total')).toBe(5);
  });
});

describe('a watch', () => {
  it('shows replicas, their caches and the machine', async () => {
    const status: ReplicaStatus = {
      ...{ state: 'ready', progress: 1, running: 0, waiting: 0, memory: 5, restarts: 2 },
      decoding: { cacheUsed: 0.25, promptTokens: 10, prefixTokens: 4, preempted: 1 },
    };
    const watch = new Watch({
      sources: { home: '.', version: '1', replicas: () => [['m', status]], lastBackup: async () => 0 },
    });
    const meter = watch.begin({ id: 'r', operation: 'chat' });
    meter.enter('m');
    const text = await watch.metrics.text();
    expect(valueIn(text, 'inkstone:num_requests_waiting{model_name="m"}')).toBe(1);
    expect(valueIn(text, 'inkstone:num_requests_running{model_name="m"}')).toBe(0);
    expect(valueIn(text, 'inkstone:kv_cache_usage_perc{model_name="m"}')).toBe(0.25);
    expect(valueIn(text, 'inkstone:prefix_cache_hits_total{model_name="m"}')).toBe(4);
    expect(valueIn(text, 'inkstone_replica_restarts_total{model_name="m"}')).toBe(2);
    expect(valueIn(text, 'inkstone_replicas{model_name="m",state="ready"}')).toBe(1);
    expect(valueIn(text, 'inkstone_memory_bytes{kind="models"}')).toBe(5);
    expect(valueIn(text, 'inkstone_disk_used_ratio')).toBeGreaterThan(0);
    expect(valueIn(text, 'inkstone_backup_age_seconds')).toBeGreaterThan(1e9);
    meter.begin();
    meter.close({ status: 200 });
    expect(watch.requests).toEqual([]);
    expect(valueIn(await watch.metrics.text(), 'inkstone:num_requests_waiting{model_name="m"}')).toBe(0);
  });

  it('knows what an engine tells of its cache, and that another tells nothing', () => {
    expect(
      decodingStatus({ cacheBytes: 30, cacheLimit: 20, promptTokens: 1, prefixTokens: 0, preempted: 0 }),
    ).toEqual({
      ...{ cacheUsed: 1, promptTokens: 1, prefixTokens: 0, preempted: 0 },
    });
    expect(decodingStatus({ running: 1 })).toBeUndefined();
    expect(decodingStatus(undefined)).toBeUndefined();
  });
});

const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
describe('traces', () => {
  it.each([
    ['nothing', undefined],
    ['no version', `${trace}-00f067aa0ba902b7-01`],
    ['zeros', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['version ff', `ff-${trace}-00f067aa0ba902b7-01`],
    ['capitals', `00-${trace.toUpperCase()}-00f067aa0ba902b7-01`],
    ['more behind version 00', `00-${trace}-00f067aa0ba902b7-01x`],
  ])('read no traceparent from %s', (_, text) => expect(readTraceparent(text)).toBeUndefined());

  it('go on from the W3C example and write it back', () => {
    const text = `00-${trace}-00f067aa0ba902b7-01`;
    const place = readTraceparent(text);
    expect(place).toEqual({ trace, span: '00f067aa0ba902b7', sampled: true });
    expect(writeTraceparent(place as never)).toBe(text);
  });

  it('keep who is whose child, and drop what the parent does not sample', () => {
    const ended: EndedSpan[] = [];
    const tracer = new Tracer((span) => ended.push(span));
    const parent = tracer.start('a', { kind: 'server' });
    const child = parent.child('b', { attributes: { n: 1 } });
    child.event('first token');
    child.fail('boom');
    child.end();
    child.end();
    parent.end();
    expect(ended.map(({ name }) => name)).toEqual(['b', 'a']);
    expect(ended[0]).toMatchObject({ parent: parent.place.span, error: 'boom', kind: 'internal' });
    expect(ended[0]?.place.trace).toBe(parent.place.trace);
    tracer.start('c', { parent: { trace, span: '00f067aa0ba902b7', sampled: false } }).end();
    expect(ended).toHaveLength(2);
    const none = new Tracer((span) => ended.push(span), 0);
    none.start('d').child('e').end();
    expect(ended).toHaveLength(2);
  });

  it('take the same share of traces as their ids say', () => {
    let kept = 0;
    const tracer = new Tracer(() => kept++, 0.25);
    for (let i = 0; i < 2000; i++) tracer.start('a').end();
    expect(kept).toBeGreaterThan(400);
    expect(kept).toBeLessThan(600);
  });

  it('are written as OTLP’s JSON', () => {
    const span: EndedSpan = {
      place: { trace, span: '00f067aa0ba902b7', sampled: true },
      ...{ parent: 'aaaaaaaaaaaaaaaa', name: 'chat m', kind: 'client', start: 1000.5, end: 1001, error: 'x' },
      attributes: { text: 'a', whole: 3, part: 0.5, yes: true, list: ['b'] },
      events: [{ name: 'first token', at: 1000.75, attributes: {} }],
    };
    expect(otlpBody([span], { 'service.name': 'inkstone' })).toEqual({
      resourceSpans: [
        {
          resource: { attributes: [{ key: 'service.name', value: { stringValue: 'inkstone' } }] },
          scopeSpans: [
            {
              scope: { name: 'inkstone' },
              spans: [
                {
                  ...{ traceId: trace, spanId: '00f067aa0ba902b7', parentSpanId: 'aaaaaaaaaaaaaaaa' },
                  ...{ name: 'chat m', kind: 3, flags: 1 },
                  ...{ startTimeUnixNano: '1000500000', endTimeUnixNano: '1001000000' },
                  attributes: [
                    { key: 'text', value: { stringValue: 'a' } },
                    { key: 'whole', value: { intValue: '3' } },
                    { key: 'part', value: { doubleValue: 0.5 } },
                    { key: 'yes', value: { boolValue: true } },
                    { key: 'list', value: { arrayValue: { values: [{ stringValue: 'b' }] } } },
                  ],
                  events: [{ name: 'first token', timeUnixNano: '1000750000', attributes: [] }],
                  status: { code: 2, message: 'x' },
                },
              ],
            },
          ],
        },
      ],
    });
  });

  it('are dropped and counted where nobody takes them, once more tried first', async () => {
    let calls = 0;
    const send = async (): Promise<Response> => new Response('', { status: ++calls === 2 ? 200 : 503 });
    const exporter = new SpanExporter({ url: 'http://collector/v1/traces', send: send as typeof fetch });
    const tracer = new Tracer(exporter.take);
    tracer.start('a').end();
    await exporter.flush();
    expect([calls, exporter.dropped]).toEqual([2, 0]);
    tracer.start('b').end();
    await exporter.flush();
    expect([calls, exporter.dropped]).toEqual([4, 1]);
  });

  it('go where the environment says', () => {
    const url = 'http://127.0.0.1:4318';
    const open = (more: Record<string, string>) =>
      tracerFromEnvironment('server', more)?.exporter as unknown as { options: object } | undefined;
    expect(open({})).toBeUndefined();
    expect(open({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SDK_DISABLED: 'true' })).toBeUndefined();
    expect(
      open({ OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`, OTEL_EXPORTER_OTLP_HEADERS: 'a=b%20c,bad,x=%' })
        ?.options,
    ).toMatchObject({ url: `${url}/v1/traces`, headers: { a: 'b c' } });
    expect(open({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/own` })?.options).toMatchObject({
      url: `${url}/own`,
    });
  });
});
