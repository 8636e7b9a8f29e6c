/**
 * How bodies come in: JSON no deeper than any request needs, since whatever walks it later would run out of stack; and within
 * a time, since every request that is being sent holds a place. Knows no routes but those that take large files.
 */
import type { FastifyInstance } from 'fastify';
import { InkstoneError } from '../base/errors.ts';

/** Brackets within brackets; a JSON schema of tools may have thirty. */
const DEEPEST = 128;
/** Milliseconds for a body of JSON, and without a byte for a file that is uploaded. */
const WHOLE = 30_000;
const STALLED = 60_000;
/** Milliseconds for all headers. */
const HEADERS = 15_000;

const UPLOADS = /^\/(v1|api)\/files$|^\/v1\/images\/edits$/;

/** Whether brackets go deeper than so many; strings are passed over. */
export function isDeeper(text: string, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 92) i++;
      else if (code === 34) inString = false;
    } else if (code === 34) inString = true;
    else if (code === 91 || code === 123) {
      if (++depth > limit) return true;
    } else if (code === 93 || code === 125) depth--;
  }
  return false;
}

export function addJsonParser(app: FastifyInstance): void {
  // `__proto__` and `constructor.prototype` are refused, as Fastify's own parser does.
  const plain = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (!isDeeper(body as string, DEEPEST)) return plain(request, body as string, done);
    done(
      new InkstoneError('body_too_deep', `the JSON has more than ${DEEPEST} brackets within each other`, {
        kind: 'usage',
        hint: 'send it flatter',
      }),
    );
  });
}

export interface Patience {
  whole?: number;
  stalled?: number;
}

export function addPatience(app: FastifyInstance, { whole = WHOLE, stalled = STALLED }: Patience = {}): void {
  app.server.headersTimeout = HEADERS;
  app.addHook('onRequest', async (request, reply) => {
    const { raw } = request;
    if (raw.method === 'GET' || raw.method === 'HEAD' || raw.complete) return;
    const upload = UPLOADS.test(request.routeOptions.url ?? '');
    let seen = raw.socket.bytesRead;
    const look = (): void => {
      if (raw.complete) return;
      // A file may take long, as long as it comes. (To listen to its data would take them from whoever reads it.)
      if (upload && raw.socket.bytesRead > seen) {
        seen = raw.socket.bytesRead;
        timer = setTimeout(look, stalled);
      } else raw.destroy();
    };
    let timer = setTimeout(look, upload ? stalled : whole);
    const forget = (): void => clearTimeout(timer);
    raw.once('end', forget);
    reply.raw.once('close', forget);
  });
}
