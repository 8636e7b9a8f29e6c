/** Who may ask: API keys, the Host header against DNS rebinding, the Origin header against foreign pages. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { askerAgain, askerOf } from './behalf.ts';
import type { Keys } from './keys.ts';
import type { Sessions } from './sessions.ts';

export const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1', '[::1]']);

export interface GuardOptions {
  keys: Keys;
  sessions: Sessions;
  /** Origins that may call from a browser; `*` for all. Default: only the server's own pages. */
  allowedOrigins: readonly string[];
  /** The server listens on loopback only. */
  loopbackOnly: boolean;
  /** On whose behalf the server asks itself; undefined for everybody else. */
  inside?(request: FastifyRequest): { owner: string | undefined } | undefined;
}

/** By the route that answers, not by the address: a route has many spellings (`/%761/models`). */
function isPublic(request: FastifyRequest): boolean {
  const route = request.routeOptions.url;
  return (
    route === undefined || !(route.startsWith('/v1/') || route.startsWith('/api/') || route === '/metrics')
  );
}

export function addGuards(app: FastifyInstance, options: GuardOptions): void {
  app.decorateRequest('keyId', undefined);
  app.decorateRequest('key', undefined);
  app.decorateRequest('inside', false);
  // Answers are data: whatever is in them, no browser runs it. Pages say themselves what they need, and a page that
  // did not change keeps what it said: a browser would take the policy of a 304 in its place.
  app.addHook('onSend', async (_, reply, payload) => {
    const isPage = String(reply.getHeader('content-type') ?? '').startsWith('text/html');
    if (!isPage && reply.statusCode !== 304) reply.header('content-security-policy', DATA_POLICY);
    return payload;
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
    reply.header('x-frame-options', 'DENY');
    if (options.loopbackOnly && !(await options.keys.any())) checkHost(request);
    const allowed = checkOrigin(request, options.allowedOrigins);
    if (allowed !== undefined) {
      reply.header('access-control-allow-origin', allowed);
      reply.header('vary', 'origin');
      reply.header('access-control-expose-headers', EXPOSED);
      if (request.method === 'OPTIONS') {
        reply.header('access-control-allow-methods', 'GET, POST, PUT, DELETE, OPTIONS');
        // Clients send headers of their own (`x-stainless-…`); none of them decides anything here.
        reply.header(
          'access-control-allow-headers',
          request.headers['access-control-request-headers'] ?? 'authorization, content-type',
        );
        reply.header('access-control-max-age', '600');
        await reply.code(204).send();
        return;
      }
    }
    if (isPublic(request)) return;
    const { authorization } = request.headers;
    const own = options.inside?.(request);
    if (own !== undefined) {
      request.inside = true;
      const asker = await askerAgain(options.keys, own.owner);
      request.key = asker.key;
      request.keyId = asker.id;
      return;
    }
    // A page's cookie counts only where no key is sent.
    const session = authorization === undefined ? await options.sessions.check(request) : undefined;
    const asker = askerOf(request, session ?? (await options.keys.check(authorization)));
    request.key = asker.key;
    request.keyId = asker.id;
    // The last key may be taken back while the server runs; then it is not open to the world.
    if (request.key === undefined && !options.loopbackOnly)
      throw new InkstoneError('invalid_api_key', 'this server has no API key yet, and it is open to others', {
        kind: 'denied',
        hint: 'make one: inkstone keys create NAME',
      });
  });
}

const EXPOSED = [
  'x-request-id, retry-after, retry-after-ms',
  ...['limit', 'remaining', 'reset'].flatMap((what) =>
    ['requests', 'tokens'].map((kind) => `x-ratelimit-${what}-${kind}`),
  ),
].join(', ');

const DATA_POLICY = "default-src 'none'; frame-ancestors 'none'";

const hostName = (host: string): string => host.replace(/:\d+$/, '').toLowerCase();

/** A page elsewhere may point its own name at 127.0.0.1; the Host header gives it away. A key would stop it too. */
function checkHost(request: FastifyRequest): void {
  if (LOOPBACK.has(hostName(request.headers.host ?? 'localhost'))) return;
  throw new InkstoneError('host_forbidden', `this server does not answer for ${request.headers.host}`, {
    kind: 'denied',
    hint: 'use localhost, or listen with --host and an API key',
    details: { httpStatus: 403 },
  });
}

/** The value for Access-Control-Allow-Origin, where one is due. */
function checkOrigin(request: FastifyRequest, allowed: readonly string[]): string | undefined {
  const { origin, host } = request.headers;
  // A form on another site sends no preflight; browsers say where it comes from.
  const changes = !['GET', 'HEAD', 'OPTIONS'].includes(request.method);
  if (origin === undefined && changes && request.headers['sec-fetch-site'] === 'cross-site')
    throw foreign('another site');
  if (origin === undefined || origin === `http://${host}` || origin === `https://${host}`) return undefined;
  if (allowed.includes('*')) return '*';
  if (allowed.includes(origin)) return origin;
  throw foreign(origin);
}

function foreign(origin: string): InkstoneError {
  return new InkstoneError('origin_forbidden', `pages of ${origin} may not use this server`, {
    kind: 'denied',
    hint: 'allow them with --allow-origin',
    details: { httpStatus: 403 },
  });
}
