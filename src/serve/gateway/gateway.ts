/**
 * One address before several servers, ours or any that speaks the OpenAI wire: who may ask, how much at once, and the few
 * routes of its own. Where a request goes is upstreams.ts's, how it gets there forward.ts's.
 */
import { randomUUID } from 'node:crypto';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { monotonic, now } from '../../base/host.ts';
import { Ledger } from '../../operate/quota/ledger.ts';
import { Prices } from '../../operate/quota/prices.ts';
import { Quotas } from '../../operate/quota/quotas.ts';
import { type SpanExporter, tracerFromEnvironment } from '../../operate/watch/otlp.ts';
import { readTraceparent, type Span, type Tracer } from '../../operate/watch/span.ts';
import { requireScope } from '../access.ts';
import { parse } from '../errors.ts';
import { LOOPBACK } from '../guards.ts';
import { type KeyRow, Keys } from '../keys.ts';
import { OPERATIONS } from '../watching.ts';
import { Connections } from './call.ts';
import { type GatewayOptions, type GatewaySettings, gatewaySettings, rolloutSettings } from './config.ts';
import { type Forwarded, type Forwarding, forward, refuse } from './forward.ts';
import { type Metered, Metering } from './metering.ts';
import { GatewayMetrics } from './metrics.ts';
import { factsOf, formFacts } from './request-facts.ts';
import { bodyOf, checkHost, decoded, send } from './requests.ts';
import { Upstreams, type UpstreamsOptions } from './upstreams.ts';

export interface StartGatewayOptions extends Pick<UpstreamsOptions, 'outliers' | 'seed'> {
  settings: GatewayOptions;
  host?: string;
  /** 0 takes a free one. */
  port?: number;
  /** Holds the keys and what each has spent. */
  store: Store;
  /** What tokens cost, for budgets. */
  prices?: Prices;
  /** Default: what the environment says. */
  tracing?: { tracer: Tracer; exporter?: SpanExporter } | undefined;
  /** A line for each request. */
  logRequest?(facts: Record<string, unknown>): void;
  log?(message: string, details: Record<string, unknown>): void;
}

/** What names its model in a form. */
const FORM = '/v1/images/edits';
/** Seconds for what still runs when the gateway ends. */
const CLOSE_GRACE = 30;

/** @throws InkstoneError `key_needed`, `port_taken` */
export async function startGateway(options: StartGatewayOptions): Promise<Gateway> {
  const gateway = new Gateway(options);
  await gateway.start();
  return gateway;
}

export class Gateway {
  readonly settings: GatewaySettings;
  readonly upstreams: Upstreams;
  readonly keys: Keys;
  address = '';
  private readonly options: StartGatewayOptions;
  private readonly connections = new Connections();
  private readonly metrics: GatewayMetrics;
  private readonly metering: Metering;
  private readonly tracing: StartGatewayOptions['tracing'];
  private readonly server: http.Server;
  private readonly sockets = new Set<Socket>();
  private outstanding = 0;
  private draining = false;
  private readonly host: string;

  constructor(options: StartGatewayOptions) {
    this.options = options;
    this.host = options.host ?? '127.0.0.1';
    this.settings = gatewaySettings.parse(options.settings);
    this.keys = new Keys(options.store);
    const { store, prices = new Prices() } = options;
    const quotas = new Quotas({ ledger: new Ledger(store, now), prices, clock: monotonic });
    this.tracing = options.tracing ?? tracerFromEnvironment('gateway');
    this.metering = new Metering(quotas, this.settings.maxTokens);
    this.upstreams = new Upstreams({
      settings: this.settings,
      connections: this.connections,
      ...(options.outliers === undefined ? {} : { outliers: options.outliers }),
      ...(options.seed === undefined ? {} : { seed: options.seed }),
      ...(options.log === undefined ? {} : { log: options.log }),
    });
    this.metrics = new GatewayMetrics(this.upstreams, () => this.outstanding);
    this.server = http.createServer(
      { keepAliveTimeout: 60_000, headersTimeout: 30_000, requestTimeout: 600_000, maxHeaderSize: 16_384 },
      (request, reply) => void this.take(request, reply),
    );
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
  }

  async start(): Promise<void> {
    if (!LOOPBACK.has(this.host) && !(await this.keys.any()))
      throw new InkstoneError(
        'key_needed',
        `listening on ${this.host} lets others in, and no API key is set`,
        {
          kind: 'denied',
          hint: 'make one first: inkstone keys create NAME',
        },
      );
    await this.upstreams.start();
    const { port = 4748 } = this.options;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (cause) => {
        const taken = (cause as { code?: string }).code === 'EADDRINUSE';
        const code = taken ? 'port_taken' : 'listen_failed';
        reject(
          new InkstoneError(code, taken ? `port ${port} is taken` : cause.message, {
            kind: 'resource',
            cause,
          }),
        );
      });
      this.server.listen(port, this.host, resolve);
    });
    const { port: given, address, family } = this.server.address() as AddressInfo;
    this.address = `http://${family === 'IPv6' ? `[${address}]` : address}:${given}`;
  }

  private async take(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const began = monotonic();
    const id = `req-${randomUUID()}`;
    const path = request.url ?? '/';
    if (!path.startsWith('/v1/')) {
      await this.own(request, reply, path.split('?')[0] as string).catch((thrown: unknown) =>
        refuse(reply, id, thrown),
      );
      return;
    }
    const span = this.spanOf(request, id);
    let status = 500;
    let failure: string | undefined;
    try {
      const how = await this.serve(request, reply, id, path.slice(3), began, span);
      status = how?.status ?? 200;
      failure = how?.failure;
    } catch (thrown) {
      status = refuse(reply, id, thrown);
      failure = InkstoneError.from(thrown, 'internal_error').code;
      this.account(request, id, began, { status, thrown });
    }
    span?.set({ 'http.response.status_code': status });
    if (status >= 500) span?.fail(failure ?? String(status));
    span?.end();
  }

  /** Goes on from the client's trace; what the gateway refuses is in it, too. */
  private spanOf({ method = 'GET', url = '', headers }: IncomingMessage, id: string): Span | undefined {
    const [path = ''] = url.split('?');
    // Few names, whatever is asked for.
    const route = path in OPERATIONS || path === '/v1/models' ? path : '/v1/*';
    return this.tracing?.tracer.start(`${method} ${route}`, {
      kind: 'server',
      parent: readTraceparent([headers.traceparent].flat()[0]),
      attributes: {
        ...{ 'http.request.method': method, 'http.route': route, 'url.path': path.slice(0, 256) },
        'inkstone.request.id': id,
      },
    });
  }

  private account(
    request: IncomingMessage,
    id: string,
    began: number,
    { status, thrown }: { status: number; thrown: unknown },
  ): void {
    const failure = InkstoneError.from(thrown, 'internal_error').code;
    const whole = monotonic() - began;
    this.metrics.count({ status, upstream: undefined, attempts: 0, upstreamTime: 0, sent: 0 }, whole, whole);
    this.options.logRequest?.({ request: id, route: request.url, status, failure, ms: round(whole) });
    if (!InkstoneError.is(thrown))
      this.options.log?.('request failed', { request: id, error: (thrown as Error).stack });
  }

  private async serve(
    request: IncomingMessage,
    reply: ServerResponse,
    id: string,
    path: string,
    began: number,
    span: Span | undefined,
  ): Promise<Forwarded | undefined> {
    if (this.draining) throw ending();
    if (path.includes('\\') || /(^|\/)\.\.?(\/|$)/.test(decoded(path)))
      throw new InkstoneError('route_missing', `there is nothing at ${path}`, { kind: 'missing' });
    const key = await this.keys.check(request.headers.authorization);
    const method = request.method ?? 'GET';
    // As the servers will read it: an address has many spellings.
    const route = `/v1${decoded(path.split('?')[0] as string)}`.replace(/\/+/g, '/').replace(/\/$/, '');
    if (key === undefined) checkHost(request);
    else requireScope(key, method, route);
    // A place is taken before a byte of the body is read.
    if (this.outstanding >= this.settings.limit)
      throw new InkstoneError('queue_full', 'too many requests are inside', {
        kind: 'limit',
        hint: 'send the request again in a moment',
        details: { retryAfter: 1 },
      });
    this.outstanding++;
    try {
      const bytes = await bodyOf(request, this.settings.maxBody);
      const type = request.headers['content-type'];
      const facts = route === FORM ? await formFacts(bytes, type) : factsOf(bytes, type);
      if (method === 'GET' && route === '/v1/models') {
        this.models(reply, id);
        return undefined;
      }
      const how = await this.forward(request, reply, { id, path, route, key, bytes, facts, span });
      const whole = monotonic() - began;
      this.metrics.count(how, whole, how.sent === 0 ? whole : how.sent - began);
      this.options.logRequest?.({
        ...{ request: id, route: path, model: facts.model, key: key?.id, status: how.status },
        ...{ upstream: how.upstream, attempts: how.attempts, failure: how.failure },
        ...{ ms: round(whole), upstreamMs: round(how.upstreamTime) },
        ...(span === undefined ? {} : { trace: span.place.trace }),
      });
      return how;
    } finally {
      this.outstanding--;
    }
  }

  /** Within the key's limits, from the reservation to the booking. */
  private async forward(
    request: IncomingMessage,
    reply: ServerResponse,
    { key, ...sent }: Omit<Forwarding, 'tenant' | 'metered'> & { key: KeyRow | undefined },
  ): Promise<Forwarded> {
    let metered: Metered | undefined;
    try {
      const { method = 'GET' } = request;
      const { route } = sent;
      if (key !== undefined) metered = await this.metering.admit({ key, method, route, facts: sent.facts });
    } catch (thrown) {
      if (!InkstoneError.is(thrown) || key === undefined) throw thrown;
      const status = refuse(reply, sent.id, thrown, this.metering.headers(key));
      return { status, failure: thrown.code, upstream: undefined, attempts: 0, upstreamTime: 0, sent: 0 };
    }
    let how: Forwarded | undefined;
    try {
      const parts = { settings: this.settings, upstreams: this.upstreams, connections: this.connections };
      how = await forward(parts, request, reply, { ...sent, tenant: key?.id ?? '', metered });
      return how;
    } finally {
      metered?.settle(how ?? { status: 500 });
    }
  }

  /** All models of all servers, under the names that clients use. */
  private models(reply: ServerResponse, id: string): void {
    const names = [
      ...new Set(this.upstreams.all.flatMap(({ models }) => [...(models?.keys() ?? [])])),
    ].sort();
    const data = names.map((name) => ({ id: name, object: 'model', created: 0, owned_by: 'inkstone' }));
    send(
      reply,
      200,
      {
        ...{ object: 'list', data, has_more: false },
        ...{ first_id: names[0] ?? null, last_id: names.at(-1) ?? null },
      },
      id,
    );
  }

  private async own(request: IncomingMessage, reply: ServerResponse, path: string): Promise<void> {
    if (path === '/health')
      return send(reply, 200, { status: this.draining ? 'draining' : 'ok', running: this.outstanding });
    if (path === '/health/ready') {
      const { upstreams } = this.upstreams.snapshot();
      const ready = !this.draining && upstreams.some((one) => one.healthy && !one.draining);
      return send(reply, ready ? 200 : 503, {
        status: this.draining ? 'draining' : ready ? 'ready' : 'unavailable',
      });
    }
    if (path === '/metrics') {
      reply.writeHead(200, { 'content-type': this.metrics.contentType }).end(await this.metrics.text());
      return;
    }
    if (path.startsWith('/gateway/')) {
      const key = await this.keys.check(request.headers.authorization);
      if (key === undefined) checkHost(request);
      else requireScope(key, request.method ?? 'GET', path);
      return this.manage(request, reply, path.slice('/gateway/'.length));
    }
    throw new InkstoneError('route_missing', `there is nothing at ${request.method} ${path}`, {
      kind: 'missing',
    });
  }

  private async manage(request: IncomingMessage, reply: ServerResponse, what: string): Promise<void> {
    const [, name, order] = /^upstreams\/([^/]+)\/(drain|resume)$/.exec(what) ?? [];
    if (request.method === 'GET' && what === 'status') return send(reply, 200, this.snapshot());
    if (request.method === 'POST' && name !== undefined) {
      this.upstreams.named(decoded(name)).target.draining = order === 'drain';
      return send(reply, 200, this.snapshot());
    }
    if (request.method === 'POST' && what === 'rollout') {
      const bytes = await bodyOf(request, 65_536);
      this.upstreams.startRollout(parse(rolloutSettings, factsOf(bytes, 'application/json').body));
      return send(reply, 200, this.snapshot());
    }
    if (request.method === 'DELETE' && what === 'rollout') {
      const { rollout } = this.upstreams;
      if (rollout !== undefined && rollout.state !== 'done') rollout.state = 'rolled-back';
      return send(reply, 200, this.snapshot());
    }
    throw new InkstoneError('route_missing', `there is nothing at ${request.method} /gateway/${what}`, {
      kind: 'missing',
    });
  }

  /** Numbers for whoever publishes them. */
  snapshot(): { outstanding: number; limit: number; draining: boolean } & ReturnType<Upstreams['snapshot']> {
    const { outstanding, draining } = this;
    return { outstanding, limit: this.settings.limit, draining, ...this.upstreams.snapshot() };
  }

  /** Takes nothing new, finishes what runs. */
  async close(): Promise<void> {
    this.draining = true;
    this.upstreams.stop();
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    const leave = (): void => {
      this.server.closeIdleConnections();
      // Opened in advance, as browsers do, and never used: Node does not count these as idle.
      for (const socket of this.sockets) if (socket.bytesRead === 0) socket.destroy();
    };
    leave();
    const idle = setInterval(leave, 50);
    const late = setTimeout(() => this.server.closeAllConnections(), 1000 * CLOSE_GRACE);
    await closed;
    clearInterval(idle);
    clearTimeout(late);
    await this.metering.close();
    await this.tracing?.exporter?.flush();
    this.connections.close();
  }
}

const round = (milliseconds: number): number => Math.round(100 * milliseconds) / 100;

const ending = (): InkstoneError =>
  new InkstoneError('shutting_down', 'the gateway is shutting down', {
    kind: 'resource',
    hint: 'send the request again in a moment',
    details: { retryAfter: 2 },
  });
