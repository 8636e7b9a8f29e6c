/** Who may ask: API keys, the Host header against DNS rebinding, the Origin header against foreign pages. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import type { Keys } from './keys.ts';

export const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1', '[::1]']);

export interface GuardOptions {
  keys: Keys;
  /** Origins that may call from a browser; `*` for all. Default: only the server's own pages. */
  allowedOrigins: readonly string[];
  /** The server listens on loopback only. */
  loopbackOnly: boolean;
}

const isPublic = (url: string): boolean => !url.startsWith('/v1/') && !url.startsWith('/api/');

export function addGuards(app: FastifyInstance, options: GuardOptions): void {
  app.decorateRequest('keyId', undefined);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
    if (options.loopbackOnly) checkHost(request);
    const allowed = checkOrigin(request, options.allowedOrigins);
    if (allowed !== undefined) {
      reply.header('access-control-allow-origin', allowed);
      reply.header('vary', 'origin');
      reply.header('access-control-expose-headers', 'x-request-id, retry-after, retry-after-ms');
      if (request.method === 'OPTIONS') {
        reply.header('access-control-allow-methods', 'GET, POST, DELETE, OPTIONS');
        reply.header(
          'access-control-allow-headers',
          'authorization, content-type, x-stainless-arch, x-stainless-lang, x-stainless-os, x-stainless-package-version, x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout',
        );
        await reply.code(204).send();
        return;
      }
    }
    if (!isPublic(request.url)) request.keyId = (await options.keys.check(request.headers.authorization))?.id;
  });
}

const hostName = (host: string): string => host.replace(/:\d+$/, '').toLowerCase();

/** A page elsewhere may point its own name at 127.0.0.1; the Host header gives it away. */
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
  if (origin === undefined || origin === `http://${host}` || origin === `https://${host}`) return undefined;
  if (allowed.includes('*')) return '*';
  if (allowed.includes(origin)) return origin;
  throw new InkstoneError('origin_forbidden', `pages of ${origin} may not use this server`, {
    kind: 'denied',
    hint: 'allow them with --allow-origin',
    details: { httpStatus: 403 },
  });
}
