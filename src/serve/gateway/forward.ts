/**
 * One request of a client to one server after another until one answers, and the answer's way back. Sent elsewhere only
 * while the client has seen nothing; after that an error is told in its stream. Knows no keys and no routes.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { InkstoneError } from '../../base/errors.ts';
import { monotonic } from '../../base/host.ts';
import type { Outcome } from '../../operate/balance/target.ts';
import { PROVIDER } from '../../operate/watch/request-meter.ts';
import type { Attributes, Span } from '../../operate/watch/span.ts';
import { BEHALF } from '../behalf.ts';
import { answerOf } from '../errors.ts';
import { OPERATIONS } from '../watching.ts';
import { answered, type Call, type CallHead, type Connections, forwarded, whole } from './call.ts';
import type { GatewaySettings } from './config.ts';
import { type Metered, withUsage } from './metering.ts';
import type { RequestFacts } from './request-facts.ts';
import { keyOf, type Upstream, type Upstreams } from './upstreams.ts';

export interface Forwarding {
  id: string;
  /** Below `/v1`, with its query. */
  path: string;
  /** From `/v1` on, decoded, without a query. */
  route: string;
  tenant: string;
  bytes: Buffer;
  facts: RequestFacts;
  /** Where somebody's limits are counted. */
  metered?: Metered | undefined;
  /** The request as the gateway sees it; each server that is asked gets a child of it. */
  span?: Span | undefined;
}

/** How it went, for log and metrics. */
export interface Forwarded {
  status: number;
  upstream: string | undefined;
  attempts: number;
  /** Milliseconds that the last server took to its first byte. */
  upstreamTime: number;
  /** The instant that it was first sent; 0 for never. */
  sent: number;
  /** Code of the error that was told. */
  failure?: string;
  /** All of a good answer left. */
  complete?: boolean;
}

/** Who asked, and what is under way on its behalf. */
interface Client {
  gone: boolean;
  call?: Call;
}

interface Refusal {
  status: number;
  headers: Record<string, string | string[]>;
  body: Buffer;
}

/** Answers after which another may do better: too many requests there, or it is in trouble itself. */
const ELSEWHERE = new Set([429, 500, 502, 503, 504]);
const LARGEST_ERROR = 256 * 1024;

export async function forward(
  parts: { settings: GatewaySettings; upstreams: Upstreams; connections: Connections },
  request: IncomingMessage,
  reply: ServerResponse,
  sent: Forwarding,
): Promise<Forwarded> {
  const { settings, upstreams, connections } = parts;
  const client: Client = { gone: false };
  const leave = (): void => {
    if (reply.writableFinished) return;
    client.gone = true;
    client.call?.cancel();
  };
  reply.on('close', leave);
  const how: Forwarded = { status: 503, upstream: undefined, attempts: 0, upstreamTime: 0, sent: 0 };
  const { rollout } = upstreams;
  const version =
    rollout?.state === 'running' || rollout?.state === 'rolled-back' ? rollout.next() : rollout?.to;
  const tried = new Set<Upstream>();
  let refusal: Refusal | undefined;
  while (tried.size < settings.attempts && !client.gone) {
    const { tenant, facts } = sent;
    const one = upstreams.choose(facts.model, version, tried, { tenant, prompt: facts.prompt });
    if (one === undefined) break;
    // A version none of whose servers may be asked fails, too.
    if (version !== undefined && tried.size === 0 && one.target.version !== version)
      rollout?.seen(version, true, 0);
    tried.add(one);
    how.attempts++;
    how.upstream = one.target.name;
    const began = monotonic();
    one.target.begin(began);
    if (how.sent === 0) how.sent = began;
    const span = attemptSpan(one, sent);
    const call = connections.call(
      one.base + sent.path,
      { method: request.method ?? 'POST', ...outgoing(one, request, sent, span) },
      1000 * settings.timeout,
    );
    client.call = call;
    one.underWay.add(call.cancel);
    const end = (outcome: Outcome): void => {
      one.underWay.delete(call.cancel);
      if (outcome !== 'answered')
        span?.fail(outcome === 'failed' ? (how.failure ?? 'upstream_failed') : 'cancelled');
      span?.end();
      one.target.end(monotonic(), outcome, how.upstreamTime);
      if (outcome !== 'abandoned') rollout?.seen(one.target.version, outcome === 'failed', how.upstreamTime);
    };
    let head: CallHead;
    try {
      head = await call.head;
      how.upstreamTime = monotonic() - began;
    } catch {
      how.upstreamTime = monotonic() - began;
      end(client.gone ? 'abandoned' : 'failed');
      continue;
    }
    span?.set({ 'http.response.status_code': head.status });
    if (ELSEWHERE.has(head.status)) {
      const body = await whole(head.body, LARGEST_ERROR).catch(() => undefined);
      // Too many requests is an answer; who gives it is not broken.
      end(head.status === 429 ? 'answered' : 'failed');
      if (body !== undefined && (refusal === undefined || head.status === 429))
        refusal = { status: head.status, headers: answered(head.headers), body };
      continue;
    }
    how.status = head.status;
    const code = await pass(head, reply, sent, client);
    if (code !== undefined) how.failure = code;
    how.complete = code === undefined && !client.gone;
    span?.set(usageAttributes(sent.metered));
    end(client.gone ? 'abandoned' : code === undefined ? 'answered' : 'failed');
    return how;
  }
  reply.off('close', leave);
  if (client.gone) return { ...how, status: 499 };
  if (refusal !== undefined) {
    how.status = refusal.status;
    how.failure = 'upstream_refused';
    reply.writeHead(refusal.status, { ...refusal.headers, ...own(sent) }).end(refusal.body);
    return how;
  }
  const error = nobody(upstreams, sent.facts.model, how.attempts);
  how.failure = error.code;
  how.status = refuse(reply, sent.id, error, sent.metered?.headers);
  return how;
}

/** Headers of the gateway's own in every answer. */
const own = ({ id, metered }: Forwarding): Record<string, string> => ({
  ...metered?.headers,
  'x-request-id': id,
});

/** One server that is asked, in OpenTelemetry's words for a model that is called. */
function attemptSpan(
  { base, target, models }: Upstream,
  { route, facts, span }: Forwarding,
): Span | undefined {
  if (span === undefined) return undefined;
  const { hostname, port, protocol } = new URL(base);
  const operation = OPERATIONS[route];
  const model = facts.model === undefined ? undefined : (models?.get(facts.model) ?? facts.model);
  return span.child([operation ?? route, model].filter((part) => part !== undefined).join(' '), {
    kind: 'client',
    attributes: {
      'server.address': hostname,
      'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
      'inkstone.upstream': target.name,
      ...(operation === undefined
        ? {}
        : { 'gen_ai.operation.name': operation, 'gen_ai.provider.name': PROVIDER }),
      ...(model === undefined ? {} : { 'gen_ai.request.model': model }),
    },
  });
}

function usageAttributes(metered: Metered | undefined): Attributes {
  const used = metered?.used();
  return used === undefined
    ? {}
    : { 'gen_ai.usage.input_tokens': used.prompt, 'gen_ai.usage.output_tokens': used.completion };
}

/** With the name that the model has there. */
function outgoing(
  one: Upstream,
  request: IncomingMessage,
  { id, bytes, facts, metered, tenant }: Forwarding,
  attempt: Span | undefined,
): { headers: Record<string, string | string[]>; body?: Buffer } {
  const headers = {
    ...forwarded(request.headers),
    ...keyOf(one.settings),
    'x-request-id': id,
    ...(tenant === '' ? {} : { [BEHALF]: tenant }),
    // Without a collector here the client's own goes on.
    ...(attempt === undefined ? {} : { traceparent: attempt.traceparent }),
    // What is counted must be readable.
    ...(metered === undefined ? {} : { 'accept-encoding': 'identity' }),
  };
  if (bytes.length === 0) return { headers };
  const name = facts.model === undefined ? undefined : one.models?.get(facts.model);
  let { body } = facts;
  if (body === undefined) return { headers, body: bytes };
  if (name !== undefined && name !== facts.model) body = { ...body, model: name };
  if (metered?.asksUsage === true) body = withUsage(body);
  return { headers, body: body === facts.body ? bytes : Buffer.from(JSON.stringify(body)) };
}

/** @returns code of what cut the answer short; undefined where it is whole or the client left */
function pass(
  { status, headers, body }: CallHead,
  reply: ServerResponse,
  sent: Forwarding,
  client: Client,
): Promise<string | undefined> {
  const events = String(headers['content-type'] ?? '').startsWith('text/event-stream');
  const reader = status < 400 ? sent.metered?.reader(events) : undefined;
  const { 'content-length': length, ...kept } = answered(headers);
  // Of a stream an event may be taken out.
  if (length !== undefined && !(events && reader !== undefined)) kept['content-length'] = length;
  reply.writeHead(status, { ...kept, ...own(sent) });
  if (events) reply.flushHeaders();
  return new Promise((resolve) => {
    let over = false;
    const finish = (code: string | undefined): void => {
      if (over) return;
      over = true;
      resolve(code);
    };
    body.on('data', (piece: Buffer) => {
      const out = reader === undefined ? piece : reader.take(piece);
      if (out.length > 0 && !reply.write(out)) {
        body.pause();
        reply.once('drain', () => body.resume());
      }
    });
    body.on('end', () => {
      const last = reader?.end();
      if (last !== undefined && last.length > 0) reply.write(last);
      reply.end();
      finish(undefined);
    });
    const broken = (): void => {
      if (over) return;
      const left = client.gone || reply.destroyed;
      if (!left) tellBroken(body, reply, events);
      finish(left ? undefined : 'upstream_broke');
    };
    body.on('error', broken);
    body.on('aborted', broken);
    body.on('close', broken);
  });
}

/** After the first byte an error is an event; what is no stream is cut, so that nobody takes a part for the whole. */
function tellBroken(body: Readable, reply: ServerResponse, events: boolean): void {
  body.destroy();
  if (!events) {
    reply.destroy();
    return;
  }
  const error = new InkstoneError('upstream_broke', 'the server that answered broke off', {
    kind: 'resource',
    hint: 'send the request again',
  });
  reply.end(`data: ${JSON.stringify(answerOf(error).body)}\n\n`);
}

function nobody(upstreams: Upstreams, model: string | undefined, attempts: number): InkstoneError {
  if (model !== undefined && !upstreams.knows(model))
    return new InkstoneError('model_not_found', `The model '${model}' does not exist`, {
      kind: 'missing',
      hint: 'GET /v1/models tells which there are',
      details: { param: 'model' },
    });
  const retryAfter = upstreams.comeBack();
  const what =
    attempts === 0 ? 'no server takes requests now' : `${attempts} servers were asked, none answered`;
  return new InkstoneError('upstreams_unavailable', what, {
    kind: 'resource',
    hint: 'send the request again in a moment',
    details: { retryAfter },
  });
}

/** An answer of the gateway's own. @returns its status */
export function refuse(
  reply: ServerResponse,
  id: string,
  error: unknown,
  more: Record<string, string> = {},
): number {
  const { status, body, headers } = answerOf(error);
  if (reply.headersSent || reply.destroyed) return status;
  const all = { ...more, ...headers, 'content-type': 'application/json; charset=utf-8', 'x-request-id': id };
  reply.writeHead(status, all).end(JSON.stringify(body));
  return status;
}
