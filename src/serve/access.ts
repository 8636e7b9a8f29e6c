/** What a key may do: the scope that each route asks for, whose files and jobs are whose, and the audit log of what was changed. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import type { AuditLog } from '../operate/audit-log.ts';
import { type KeyRow, maySee, mayUseModel, type Scope } from './keys.ts';
import type { Owners } from './owners.ts';
import { OPERATIONS } from './watching.ts';

/** The first that fits; what fits none needs a key and no scope. */
const SCOPES: readonly [RegExp, Scope][] = [
  [/^\/metrics$/, 'metrics'],
  [/^\/(api\/(watch|keys|audit|alerts)|gateway\/)/, 'admin'],
  [/^\/v1\/(completions|chat|responses|embeddings|images|audio)/, 'generate'],
  [/^\/api\/(inspect|prompt-render|votes|prompts)/, 'generate'],
  [/^\/(v1|api)\/files/, 'files'],
  [/^\/v1\/(fine_tuning|batches)|^\/api\/(trainings|prompt-evaluations|evaluations|jobs)/, 'train'],
];

export function scopeOf(method: string, route: string): Scope | undefined {
  if (route.startsWith('/v1/models') && method === 'DELETE') return 'train';
  return SCOPES.find(([pattern]) => pattern.test(route))?.[1];
}

/** @throws InkstoneError `scope_missing` */
export function requireScope(key: KeyRow | undefined, method: string, route: string): void {
  const scope = scopeOf(method, route);
  if (scope === undefined || maySee(key, scope)) return;
  throw new InkstoneError('scope_missing', `this key may not ${method} ${route}`, {
    kind: 'denied',
    hint: `it needs the scope ${scope}`,
    details: { httpStatus: 403 },
  });
}

/** Routes of things that belong to who made them. */
const OWNED =
  /^\/(v1\/files|api\/files|v1\/fine_tuning\/jobs|api\/trainings|api\/prompt-evaluations|api\/evaluations|v1\/batches)(\/:[a-z_]+)?/;
/** Where a request names a file. */
const FILE_FIELDS = ['file', 'training_file', 'validation_file', 'input_file_id'] as const;

/** Where a request names a model. */
const MODEL_FIELDS = ['model', 'from', 'embed'] as const;

/** @throws InkstoneError `model_forbidden` */
export function requireModel(key: KeyRow, model: string, param = 'model'): void {
  if (mayUseModel(key, model)) return;
  throw new InkstoneError('model_forbidden', `this key may not use the model '${model}'`, {
    kind: 'denied',
    details: { param, httpStatus: 403 },
  });
}

function missing(id: string): InkstoneError {
  return new InkstoneError('not_found', `there is no ${id}`, { kind: 'missing' });
}

export function addAccess(
  app: FastifyInstance,
  { owners, audit }: { owners: Owners; audit: AuditLog },
): void {
  app.addHook('preHandler', async (request) => {
    const route = request.routeOptions.url ?? '';
    requireScope(request.key, request.method, route);
    if (request.keyId === undefined) return;
    if (OWNED.test(route)) {
      const id = Object.values((request.params ?? {}) as Record<string, string>)[0];
      // Another's is told like one that is not there: its id is no news.
      if (id !== undefined && !(await owners.isOwn(request, id))) throw missing(id);
    }
    const body = request.body as Record<string, unknown> | null | undefined;
    if (request.method !== 'POST' || typeof body !== 'object' || body === null) return;
    for (const field of MODEL_FIELDS) {
      const model = body[field];
      if (typeof model === 'string' && request.key !== undefined) requireModel(request.key, model, field);
    }
    for (const field of FILE_FIELDS) {
      const id = body[field];
      if (typeof id === 'string' && !(await owners.isOwn(request, id))) throw missing(id);
    }
  });

  app.addHook('preSerialization', async (request, reply, payload) => {
    const owned = OWNED.exec(request.routeOptions.url ?? '');
    // Only whole collections: what is below one thing belongs to it.
    if (request.keyId === undefined || owned === null || owned[2] !== undefined) return payload;
    if (reply.statusCode >= 300) return payload;
    const { id, data } = (payload ?? {}) as { id?: unknown; data?: { id: string }[] };
    if (request.method === 'POST' && typeof id === 'string') await owners.set(id, request.keyId);
    if (request.method !== 'GET' || !Array.isArray(data)) return payload;
    return { ...(payload as object), data: await owners.own(request, data) };
  });

  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? '';
    if (['GET', 'HEAD', 'OPTIONS'].includes(request.method) || route in OPERATIONS || route === '/session')
      return;
    if (!/^\/(v1|api)\//.test(route) || reply.statusCode >= 400) return;
    if (/^\/api\/(inspect|prompt-render|votes)/.test(route)) return;
    const target = Object.values((request.params ?? {}) as Record<string, string>)[0];
    await audit.append({
      actor: actorOf(request),
      action: `${request.method} ${route}`,
      target,
      details: { request: request.id },
    });
  });
}

export const actorOf = (request: FastifyRequest): string => request.keyId ?? 'open';
