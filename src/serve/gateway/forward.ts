/**
 * One request of a client to one server after another until one answers, and the answer's way back. Sent elsewhere only
 * while the client has seen nothing; after that an error is told in its stream. Knows no keys and no routes.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { InkstoneError } from '../../base/errors.ts';
import { monotonic } from '../../base/host.ts';
import type { Outcome } from '../../operate/balance/target.ts';
import { answerOf } from '../errors.ts';
import { answered, type CallHead, type Connections, forwarded, whole } from './call.ts';
import type { GatewaySettings } from './config.ts';
import type { RequestFacts } from './request-facts.ts';
import { keyOf, type Upstream, type Upstreams } from './upstreams.ts';

export interface Forwarding {
  id: string;
  /** Below `/v1`, with its query. */
  path: string;
  tenant: string;
  bytes: Buffer;
  facts: RequestFacts;
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
  const gone = new AbortController();
  const leave = (): void => {
    if (!reply.writableFinished) gone.abort();
  };
  reply.on('close', leave);
  const how: Forwarded = { status: 503, upstream: undefined, attempts: 0, upstreamTime: 0, sent: 0 };
  const { rollout } = upstreams;
  const version =
    rollout?.state === 'running' || rollout?.state === 'rolled-back' ? rollout.next() : rollout?.to;
  const tried = new Set<Upstream>();
  let refusal: Refusal | undefined;
  while (tried.size < settings.attempts && !gone.signal.aborted) {
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
    const attempt = new AbortController();
    const stop = (): void => attempt.abort();
    gone.signal.addEventListener('abort', stop, { once: true });
    one.underWay.add(stop);
    const end = (outcome: Outcome): void => {
      gone.signal.removeEventListener('abort', stop);
      one.underWay.delete(stop);
      one.target.end(monotonic(), outcome, how.upstreamTime);
      if (outcome !== 'abandoned') rollout?.seen(one.target.version, outcome === 'failed', how.upstreamTime);
    };
    let head: CallHead;
    try {
      head = await connections.call(
        urlOf(one, sent.path),
        { method: request.method ?? 'POST', ...outgoing(one, request, sent) },
        1000 * settings.timeout,
        attempt.signal,
      );
      how.upstreamTime = monotonic() - began;
    } catch {
      how.upstreamTime = monotonic() - began;
      end(gone.signal.aborted ? 'abandoned' : 'failed');
      continue;
    }
    if (ELSEWHERE.has(head.status)) {
      const body = await whole(head.body, LARGEST_ERROR).catch(() => undefined);
      // Too many requests is an answer; who gives it is not broken.
      end(head.status === 429 ? 'answered' : 'failed');
      if (body !== undefined && (refusal === undefined || head.status === 429))
        refusal = { status: head.status, headers: answered(head.headers), body };
      continue;
    }
    how.status = head.status;
    const code = await pass(head, reply, sent.id, gone.signal);
    if (code !== undefined) how.failure = code;
    end(gone.signal.aborted ? 'abandoned' : code === undefined ? 'answered' : 'failed');
    return how;
  }
  reply.off('close', leave);
  if (gone.signal.aborted) return { ...how, status: 499 };
  if (refusal !== undefined) {
    how.status = refusal.status;
    how.failure = 'upstream_refused';
    reply.writeHead(refusal.status, { ...refusal.headers, 'x-request-id': sent.id }).end(refusal.body);
    return how;
  }
  const error = nobody(upstreams, sent.facts.model, how.attempts);
  how.failure = error.code;
  how.status = refuse(reply, sent.id, error);
  return how;
}

function urlOf({ base }: Upstream, path: string): URL {
  return new URL(base + path);
}

/** With the name that the model has there. */
function outgoing(
  one: Upstream,
  request: IncomingMessage,
  { id, bytes, facts }: Forwarding,
): { headers: Record<string, string | string[]>; body?: Buffer } {
  const headers = { ...forwarded(request.headers), ...keyOf(one.settings), 'x-request-id': id };
  if (bytes.length === 0) return { headers };
  const name = facts.model === undefined ? undefined : one.models?.get(facts.model);
  const body =
    name === undefined || name === facts.model
      ? bytes
      : Buffer.from(JSON.stringify({ ...facts.body, model: name }));
  return { headers, body };
}

/** @returns code of what cut the answer short; undefined where it is whole or the client left */
function pass(
  { status, headers, body }: CallHead,
  reply: ServerResponse,
  id: string,
  gone: AbortSignal,
): Promise<string | undefined> {
  const events = String(headers['content-type'] ?? '').startsWith('text/event-stream');
  reply.writeHead(status, { ...answered(headers), 'x-request-id': id });
  if (events) reply.flushHeaders();
  return new Promise((resolve) => {
    let over = false;
    const finish = (code: string | undefined): void => {
      if (over) return;
      over = true;
      resolve(code);
    };
    body.on('data', (piece: Buffer) => {
      if (!reply.write(piece)) {
        body.pause();
        reply.once('drain', () => body.resume());
      }
    });
    body.on('end', () => {
      reply.end();
      finish(undefined);
    });
    const broken = (): void => {
      if (over) return;
      const left = gone.aborted || reply.destroyed;
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
export function refuse(reply: ServerResponse, id: string, error: unknown): number {
  const { status, body, headers } = answerOf(error);
  if (reply.headersSent || reply.destroyed) return status;
  reply
    .writeHead(status, { ...headers, 'content-type': 'application/json; charset=utf-8', 'x-request-id': id })
    .end(JSON.stringify(body));
  return status;
}
