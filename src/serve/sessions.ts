/**
 * Log-in for the studio: a key is sent once and a cookie stands for it that no script can read. What is changed with the cookie
 * needs a token besides, which another site cannot know. Sessions live as long as the server.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { InkstoneError } from '../base/errors.ts';
import { now } from '../base/host.ts';
import type { AuditLog } from '../operate/audit-log.ts';
import { Bucket } from '../operate/quota/bucket.ts';
import { parse } from './errors.ts';
import type { KeyRow, Keys } from './keys.ts';
import { valid } from './keys.ts';

const COOKIE = 'inkstone_session';
/** Seconds that a session lasts. */
const LIFETIME = 12 * 3600;
/** Sessions at once; the oldest go. */
const MOST = 10_000;
/** Wrong keys a minute from one address, and addresses that are remembered. */
const TRIES = 10;
const MOST_ADDRESSES = 10_000;

interface Session {
  key: string;
  csrf: string;
  expires: number;
}

export const sessionBody = z.object({ key: z.string().min(1).max(200) });

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

function cookieOf(request: FastifyRequest): string | undefined {
  for (const part of (request.headers.cookie ?? '').slice(0, 8192).split(';')) {
    const at = part.indexOf('=');
    if (part.slice(0, at).trim() === COOKIE) return part.slice(at + 1).trim();
  }
  return undefined;
}

export class Sessions {
  private readonly keys: Keys;
  /** By the hash of the cookie: whoever reads memory or a dump finds no cookie. */
  private readonly open = new Map<string, Session>();
  private readonly tries = new Map<string, Bucket>();

  constructor(keys: Keys) {
    this.keys = keys;
  }

  begin(key: KeyRow): { token: string; csrf: string } {
    const token = randomBytes(32).toString('base64url');
    const csrf = randomBytes(32).toString('base64url');
    for (const [id, { expires }] of this.open)
      if (expires <= now() || this.open.size >= MOST) this.open.delete(id);
    this.open.set(digest(token).toString('hex'), { key: key.id, csrf, expires: now() + LIFETIME * 1000 });
    return { token, csrf };
  }

  end(request: FastifyRequest): void {
    const token = cookieOf(request);
    if (token !== undefined) this.open.delete(digest(token).toString('hex'));
  }

  /** The session of a request's cookie and its key; undefined without one, or where the key is gone. */
  async of(request: FastifyRequest): Promise<{ key: KeyRow; csrf: string } | undefined> {
    const token = cookieOf(request);
    const session = token === undefined ? undefined : this.open.get(digest(token).toString('hex'));
    if (session === undefined || session.expires <= now()) return undefined;
    const key = await this.keys.find(session.key);
    return key === undefined ? undefined : { key: valid(key), csrf: session.csrf };
  }

  /** The key behind the cookie. @throws InkstoneError `csrf_missing` where something would change and the token is not there */
  async check(request: FastifyRequest): Promise<KeyRow | undefined> {
    const session = await this.of(request);
    if (session === undefined || ['GET', 'HEAD', 'OPTIONS'].includes(request.method)) return session?.key;
    const given = request.headers['x-csrf-token'];
    // Hashes have one length, whatever was sent.
    if (typeof given === 'string' && timingSafeEqual(digest(given), digest(session.csrf))) return session.key;
    throw new InkstoneError('csrf_missing', 'this request does not come from the studio’s own page', {
      kind: 'denied',
      hint: 'reload the page',
      details: { httpStatus: 403 },
    });
  }

  /** @throws InkstoneError `login_limited` */
  limit(address: string): void {
    const bucket = this.tries.get(address) ?? new Bucket(TRIES, now());
    if (this.tries.size >= MOST_ADDRESSES) this.tries.clear();
    this.tries.set(address, bucket);
    if (bucket.remaining(now()) > 0) return;
    throw new InkstoneError('login_limited', 'too many wrong keys came from here', {
      kind: 'limit',
      details: { retryAfter: bucket.wait(1, now()) / 1000 },
    });
  }

  failed(address: string): void {
    this.tries.get(address)?.take(1, now());
  }
}

/** Public routes: whoever has no key yet must reach them. */
export function addSessions(
  app: FastifyInstance,
  { sessions, keys, audit }: { sessions: Sessions; keys: Keys; audit: AuditLog },
): void {
  const attributes = (request: FastifyRequest): string =>
    `Path=/; HttpOnly; SameSite=Strict${request.protocol === 'https' || request.headers['x-forwarded-proto'] === 'https' ? '; Secure' : ''}`;

  app.get('/session', async (request) => {
    const session = await sessions.of(request).catch(() => undefined);
    const needed = await keys.any();
    return {
      needed,
      ...(session === undefined
        ? {}
        : {
            csrf: session.csrf,
            key: { id: session.key.id, name: session.key.name, scopes: session.key.scopes ?? null },
          }),
    };
  });

  app.post('/session', async (request, reply) => {
    sessions.limit(request.ip);
    const { key } = parse(sessionBody, request.body);
    if (!(await keys.any())) return { needed: false };
    try {
      const row = await keys.match(key);
      const { token, csrf } = sessions.begin(row);
      reply.header('set-cookie', `${COOKIE}=${token}; Max-Age=${LIFETIME}; ${attributes(request)}`);
      await audit.append({ actor: row.id, action: 'session.begin', details: { address: request.ip } });
      return { needed: true, csrf, key: { id: row.id, name: row.name, scopes: row.scopes ?? null } };
    } catch (thrown) {
      sessions.failed(request.ip);
      await audit.append({ actor: 'unknown', action: 'session.refused', details: { address: request.ip } });
      throw thrown;
    }
  });

  app.delete('/session', async (request, reply) => {
    await sessions.check(request);
    sessions.end(request);
    reply.header('set-cookie', `${COOKIE}=; Max-Age=0; ${attributes(request)}`);
    return { ended: true };
  });
}
