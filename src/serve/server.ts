/** The server put together: services, routes, start and orderly end. */
import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { homeFolder, monotonic, now } from '../base/host.ts';
import { codeVersion } from '../base/version.ts';
import type { WeightFormat } from '../nn/quantise.ts';
import { AuditLog } from '../operate/audit-log.ts';
import { forgetLines } from '../operate/jobs/batch.ts';
import { adoptEarlier } from '../operate/jobs/earlier.ts';
import { Jobs } from '../operate/jobs/jobs.ts';
import { placeOf } from '../operate/place.ts';
import { ReplicaPool, type StartReplica } from '../operate/pool.ts';
import { Ledger } from '../operate/quota/ledger.ts';
import { Prices } from '../operate/quota/prices.ts';
import { Quotas } from '../operate/quota/quotas.ts';
import { ModelRegistry } from '../operate/registry.ts';
import { Trainings } from '../operate/trainings.ts';
import { Alerter } from '../operate/watch/alerts/alerter.ts';
import { readAlertConfig } from '../operate/watch/alerts/config.ts';
import { Watch } from '../operate/watch/watch.ts';
import { passThrough } from '../safeguard/pass-through.ts';
import { lastBackup, openStore } from '../store/index.ts';
import { addAccess } from './access.ts';
import { addBatches, InsideRequests } from './batches.ts';
import { chatCompletions } from './chat.ts';
import { clientErrorHandler, refuseExpectation } from './client-errors.ts';
import { completions } from './completions.ts';
import type { ServerContext } from './context.ts';
import { addEmbeddings } from './embeddings.ts';
import { answerOf } from './errors.ts';
import { addEvaluations } from './evaluation-routes.ts';
import { addFineTuning } from './fine-tuning.ts';
import { addGuards, LOOPBACK } from './guards.ts';
import { addImages } from './images.ts';
import { addInspection } from './inspect-routes.ts';
import { addJsonParser, addPatience } from './intake.ts';
import { addJobs } from './job-routes.ts';
import { Keys } from './keys.ts';
import { addModelRoutes } from './model-routes.ts';
import { openApi } from './openapi.ts';
import { Owners } from './owners.ts';
import { addPages } from './pages.ts';
import { addPromptRoutes } from './prompt-routes.ts';
import { addQuotas } from './quota-routes.ts';
import { addResponses } from './responses/routes.ts';
import { CONCURRENCY, openScheduling, type SchedulingOptions } from './scheduling.ts';
import { addSessions, Sessions } from './sessions.ts';
import { addStudioRoutes } from './studio-routes.ts';
import { keepResults } from './tuning-results.ts';
import { addUploads } from './uploads.ts';
import { addVotes } from './vote-routes.ts';
import { addWatchRoutes } from './watch-routes.ts';
import { addMeters, addWatching } from './watching.ts';

export interface ServerOptions extends SchedulingOptions {
  host?: string;
  /** 0 takes a free one. */
  port?: number;
  home?: string;
  /** Bytes of a JSON body. */
  maxBody?: number;
  allowedOrigins?: readonly string[];
  /** Models kept loaded. */
  maxModels?: number;
  /** Memory for all models together, and for one process of them, in MB. */
  memoryMegabytes?: number | undefined;
  hostMegabytes?: number | undefined;
  /** Minutes after which a model that nobody asks for is put down; default never. */
  idleMinutes?: number | undefined;
  /** Seconds to wait for a model that is being loaded. */
  loadWait?: number;
  /** Loaded at the start; default: the first there is. */
  model?: string;
  /** How weights are kept where a model has no setting of its own; default `float32`. */
  weights?: WeightFormat;
  /** Memory for the keys and values of one model, in MB; sequences that do not fit wait. */
  cacheMegabytes?: number;
  /** For tests: replicas of another kind. */
  startReplica?: StartReplica;
  registry?: ModelRegistry;
  log?(message: string, details: Record<string, unknown>): void;
  /** Told of every request when it is over: its id, route, status, times and tokens. */
  logRequest?(message: string, facts: Record<string, unknown>): void;
  /** What tokens cost, for budgets and bills. */
  prices?: Prices;
  /** Puts what was asked into that. */
  logPrompts?: boolean;
}

export interface RunningServer {
  address: string;
  context: ServerContext;
  app: FastifyInstance;
  /** Takes nothing new, finishes what runs (streams too), puts the models down. */
  close(): Promise<void>;
}

/** Milliseconds that a client may take to send a request, uploads included. */
const REQUEST_TIMEOUT = 1_800_000;

/** Milliseconds for the last bytes to leave. */
const CLOSE_GRACE = 500;

/** @throws InkstoneError `port_taken`, `key_needed`, `model_not_found` */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const home = options.home ?? homeFolder();
  const host = options.host ?? '127.0.0.1';
  const store = await openStore(home);
  const registry = options.registry ?? new ModelRegistry(home, store);
  if (options.model !== undefined) await registry.get(options.model);
  const pool = new ReplicaPool({
    registry,
    ...(options.maxModels === undefined ? {} : { limit: options.maxModels }),
    ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
    ...(options.memoryMegabytes === undefined ? {} : { memoryBytes: options.memoryMegabytes * 2 ** 20 }),
    ...(options.hostMegabytes === undefined ? {} : { hostBytes: options.hostMegabytes * 2 ** 20 }),
    ...(options.idleMinutes === undefined ? {} : { idleAfter: options.idleMinutes * 60_000 }),
    slots: options.concurrency ?? CONCURRENCY,
    ...(options.weights === undefined ? {} : { weights: options.weights }),
    ...(options.cacheMegabytes === undefined ? {} : { cacheBytes: options.cacheMegabytes * 2 ** 20 }),
    ...(options.startReplica === undefined ? {} : { start: options.startReplica }),
    ...(options.log === undefined ? {} : { log: options.log }),
  });
  const scheduling = openScheduling(options, pool);
  const keys = new Keys(store);
  const loopbackOnly = LOOPBACK.has(host);
  if (!loopbackOnly && !(await keys.any())) {
    throw new InkstoneError('key_needed', `listening on ${host} lets others in, and no API key is set`, {
      kind: 'denied',
      hint: 'make one first: inkstone keys create NAME',
    });
  }
  const owners = new Owners(store);
  const jobs = new Jobs({
    store,
    ended: async (job) => {
      if (job.kind === 'batch') await forgetLines(store, job.id);
    },
    ...(options.log === undefined ? {} : { log: options.log }),
  });
  const place = await placeOf(home);
  const trainings = new Trainings({
    ...{ home, jobs, place },
    finished: async (training, succeeded) => {
      // What was loaded while the run went on has older weights.
      void pool.forget(training.name);
      watch.drift.forget(training.name);
      // A tuned model answers under its own name before its job is called done.
      if (training.tune === undefined || !succeeded) return;
      await registry.register(training.tune.model, training.folder);
      void pool.forget(training.tune.model);
      watch.drift.forget(training.tune.model);
      await keepResults({ home, store, trainings, owners }, training);
    },
  });
  const watch = new Watch({
    sources: {
      ...{ home, version: await codeVersion(), replicas: () => pool.statuses() },
      rows: store.rows,
      lastBackup: () => lastBackup(store),
    },
  });
  const alertConfig = await readAlertConfig(home);
  const alerter = new Alerter({ home, store, metrics: watch.metrics, config: alertConfig, log: options.log });
  const context: ServerContext = {
    home,
    place,
    store,
    registry,
    pool,
    trainings,
    jobs,
    keys,
    draining: false,
    routes: [],
    scheduling,
    generation: {
      queue: scheduling.queue,
      guard: passThrough,
      replica: (id) => pool.get(id),
      loadWait: options.loadWait ?? 5,
      defaultMaxTokens: 256,
      meter: (id) => watch.meter(id),
    },
    watch,
    alerter,
    alertConfig,
    quotas: new Quotas({
      ledger: new Ledger(store, now),
      prices: options.prices ?? new Prices(),
      clock: monotonic,
    }),
    sessions: new Sessions(keys),
    owners,
    audit: new AuditLog(home),
  };
  const app = await buildApp(context, options, loopbackOnly);
  const address = await listen(app, host, options.port ?? 4747);
  await adoptEarlier(store, home, place);
  context.jobs.start();
  await alerter.start();
  void warm(context, options.model);
  return { address, context, app, close: () => close(app, context) };
}

async function buildApp(
  context: ServerContext,
  options: ServerOptions,
  loopbackOnly: boolean,
): Promise<FastifyInstance> {
  const app = Fastify({
    bodyLimit: options.maxBody ?? 4 * 2 ** 20,
    genReqId: () => `req-${randomUUID()}`,
    forceCloseConnections: 'idle',
    requestTimeout: REQUEST_TIMEOUT,
    // Bodies are checked by our own schemas, which name the parameter.
    exposeHeadRoutes: false,
    clientErrorHandler,
    frameworkErrors: (thrown, request, reply) => {
      const { status, body } = answerOf(thrown);
      reply.header('x-request-id', request.id);
      void (reply as FastifyReply).code(status).send(body);
    },
  });
  app.server.on('checkExpectation', refuseExpectation);
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) context.routes.push({ method: one, url });
  });
  app.setErrorHandler((thrown, request, reply) => {
    const { status, body, headers } = answerOf(thrown);
    request.failure = body.error.code ?? undefined;
    if (status >= 500 && !InkstoneError.is(thrown))
      options.log?.('request failed', { request: request.id, error: (thrown as Error).stack });
    return reply.code(status).headers(headers).send(body);
  });
  app.setNotFoundHandler((request, reply) => {
    const { status, body } = answerOf(
      new InkstoneError('route_missing', `there is nothing at ${request.method} ${request.url}`, {
        kind: 'missing',
      }),
    );
    return reply.code(status).send(body);
  });
  addJsonParser(app);
  addPatience(app);
  app.addContentTypeParser('application/octet-stream', (_, payload, done) => done(null, payload));
  app.addHook('preHandler', async (request) => {
    if (context.draining && request.method === 'POST') {
      throw new InkstoneError('shutting_down', 'the server is shutting down', {
        kind: 'resource',
        hint: 'send the request again in a moment',
        details: { retryAfter: 2 },
      });
    }
  });
  addWatching(app, { watch: context.watch, log: options.logRequest, logPrompts: options.logPrompts });
  const { keys, sessions, audit } = context;
  const inside = new InsideRequests();
  addGuards(app, {
    ...{ keys, sessions, allowedOrigins: options.allowedOrigins ?? [], loopbackOnly },
    inside: (request) => inside.of(request),
  });
  addAccess(app, context);
  addSessions(app, { sessions, keys, audit });
  addMeters(app, context.watch);
  addQuotas(app, { ...context, defaultMaxTokens: context.generation.defaultMaxTokens });
  addModelRoutes(app, context);
  app.post('/v1/completions', (request, reply) => completions(context.generation, request, reply));
  app.post('/v1/chat/completions', (request, reply) => chatCompletions(context.generation, request, reply));
  addResponses(app, context);
  addEmbeddings(app, context);
  addImages(app, context);
  const version = await codeVersion();
  app.get('/openapi.json', async () => openApi(version));
  await addUploads(app, context);
  addFineTuning(app, context);
  addBatches(app, context, inside);
  addJobs(app, context);
  addStudioRoutes(app, context);
  addInspection(app, context);
  addPromptRoutes(app, context);
  addEvaluations(app, context);
  addVotes(app, context);
  addWatchRoutes(app, context);
  await addPages(app);
  return app;
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (cause) {
    if ((cause as { code?: string }).code !== 'EADDRINUSE') throw InkstoneError.from(cause, 'listen_failed');
    throw new InkstoneError('port_taken', `port ${port} is taken`, {
      kind: 'resource',
      hint: `stop what uses it, or choose another: --port ${port + 1}`,
      cause,
    });
  }
}

/** The first model is loaded before anybody asks. */
async function warm(context: ServerContext, model: string | undefined): Promise<void> {
  const id = model ?? (await context.registry.list())[0]?.id;
  if (id !== undefined) await context.pool.get(id).catch(() => undefined);
}

async function close(app: FastifyInstance, context: ServerContext): Promise<void> {
  context.draining = true;
  // Trainings write their checkpoints while streams come to their end.
  await Promise.all([context.jobs.close(), context.generation.queue.drain()]);
  // Answers are complete; what still hangs on are kept-alive connections and ends of event streams.
  const grace = setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE);
  await app.close();
  clearTimeout(grace);
  context.scheduling.autoscaler?.stop();
  await context.pool.drain();
  await context.alerter.close();
  await context.quotas.ledger.flush();
  await context.watch.close();
  await context.store.close();
}
