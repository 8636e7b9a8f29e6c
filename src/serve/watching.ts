/**
 * Every request is watched: a span, a meter where it asks for content, a count and a line in the log when it is over. And
 * `/metrics` for Prometheus. Prompts are in no log unless the operator asked for that.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { monotonic } from '../base/host.ts';
import type { GenAiOperation, RequestMeter } from '../operate/watch/request-meter.ts';
import { readTraceparent, type Span } from '../operate/watch/span.ts';
import type { Watch } from '../operate/watch/watch.ts';
import { isGone } from './sse.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Code of the error that it ended with, after the first byte too. */
    failure: string | undefined;
    span: Span | undefined;
    meter: RequestMeter | undefined;
    arrived: number;
  }
}

/** Routes that make content. */
export const OPERATIONS: Readonly<Record<string, GenAiOperation>> = {
  '/v1/chat/completions': 'chat',
  '/v1/responses': 'chat',
  '/v1/completions': 'text_completion',
  '/v1/embeddings': 'embeddings',
  '/v1/images/generations': 'generate_content',
  '/v1/images/edits': 'generate_content',
};

export interface WatchingOptions {
  watch: Watch;
  /** Gets the facts of each request when it is over. */
  log?: ((message: string, facts: Record<string, unknown>) => void) | undefined;
  /** Puts what was asked into the log. */
  logPrompts?: boolean | undefined;
}

/** Before the guards, so that what they refuse is watched as well. */
export function addWatching(app: FastifyInstance, { watch, log, logPrompts = false }: WatchingOptions): void {
  app.decorateRequest('failure', undefined);
  app.decorateRequest('span', undefined);
  app.decorateRequest('meter', undefined);
  app.decorateRequest('arrived', 0);
  app.addHook('onRequest', async (request, reply) => {
    request.arrived = monotonic();
    const route = request.routeOptions.url ?? 'none';
    request.span = watch.tracer?.start(`${request.method} ${route}`, {
      kind: 'server',
      parent: readTraceparent(request.headers.traceparent as string | undefined),
      attributes: {
        'http.request.method': request.method,
        'http.route': route,
        'inkstone.request.id': request.id,
      },
    });
    reply.raw.once('close', () => finish(request, reply, route));
  });

  const finish = (request: FastifyRequest, reply: FastifyReply, route: string): void => {
    const { method, span, meter, failure } = request;
    const hungUp = !reply.raw.writableFinished;
    // Nginx's number for a client that went away.
    const status = hungUp ? 499 : reply.raw.statusCode;
    const seconds = (monotonic() - request.arrived) / 1000;
    meter?.close({ status, code: failure });
    watch.metrics.add('http', 1, { method, route, status: String(status) });
    watch.metrics.observe('httpSeconds', seconds, { route });
    span?.set({ 'http.response.status_code': status });
    if (status >= 500) span?.fail(failure ?? String(status));
    span?.end();
    log?.('request', {
      ...{ request: request.id, method, route, status, ms: Math.round(seconds * 1e4) / 10 },
      ...(request.keyId === undefined ? {} : { key: request.keyId }),
      ...(failure === undefined ? {} : { error: failure }),
      ...(span === undefined ? {} : { trace: span.place.trace }),
      ...(meter === undefined ? {} : factsOf(meter)),
      ...(logPrompts && meter !== undefined ? { body: request.body } : {}),
    });
  };
}

function factsOf({ model, tokens, firstToken, finish }: RequestMeter): Record<string, unknown> {
  return {
    ...(model === undefined ? {} : { model }),
    ...{ prompt_tokens: tokens.prompt, completion_tokens: tokens.completion },
    ...(firstToken === undefined ? {} : { first_token_ms: Math.round(firstToken * 1e4) / 10 }),
    ...(finish.length === 0 ? {} : { finish }),
  };
}

/** Behind the guards: whose request it is is known. */
export function addMeters(app: FastifyInstance, watch: Watch): void {
  app.addHook('preHandler', async (request, reply) => {
    const operation = request.method === 'POST' ? OPERATIONS[request.routeOptions.url ?? ''] : undefined;
    if (operation === undefined) return;
    // Who left while the guards looked is told of no more: nothing would end what is begun here.
    if (isGone(reply)) throw new InkstoneError('cancelled', 'the client has left', { kind: 'usage' });
    const { id, keyId: key, span } = request;
    request.meter = watch.begin({ id, operation, key, span });
  });
  app.get('/metrics', async (_, reply) =>
    reply.type(watch.metrics.contentType).send(await watch.metrics.text()),
  );
}
