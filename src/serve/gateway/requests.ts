/** How a gateway reads a request and answers one itself: bodies within bounds, addresses, hosts. Knows no servers and no keys. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { InkstoneError } from '../../base/errors.ts';
import { LOOPBACK } from '../guards.ts';

/** @throws InkstoneError `route_missing` */
export function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new InkstoneError('route_missing', `there is nothing at ${path}`, { kind: 'missing' });
  }
}

/** A page elsewhere may point its own name at 127.0.0.1; without a key the Host header must be this machine's. @throws InkstoneError `host_forbidden` */
export function checkHost({ headers: { host, origin } }: IncomingMessage): void {
  const name = (host ?? 'localhost').replace(/:\d+$/, '').toLowerCase();
  if (LOOPBACK.has(name) && (origin === undefined || origin === `http://${host}`)) return;
  throw new InkstoneError(
    'host_forbidden',
    `this gateway does not answer for ${origin ?? host} without a key`,
    {
      kind: 'denied',
      hint: 'make one: inkstone keys create NAME',
      details: { httpStatus: 403 },
    },
  );
}

export function send(reply: ServerResponse, status: number, body: object, id?: string): void {
  reply
    .writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      ...(id === undefined ? {} : { 'x-request-id': id }),
      ...(status === 503 ? { 'retry-after': '2' } : {}),
    })
    .end(JSON.stringify(body));
}

/** @throws InkstoneError `body_too_large`, `cancelled` */
export async function bodyOf(request: IncomingMessage, most: number): Promise<Buffer> {
  const large = (): InkstoneError =>
    new InkstoneError('body_too_large', 'the request is larger than this gateway takes', {
      kind: 'usage',
      hint: 'send less, or raise maxBody',
      details: { httpStatus: 413 },
    });
  if (Number(request.headers['content-length'] ?? 0) > most) throw large();
  if (request.method === 'GET' || request.method === 'HEAD') return Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let size = 0;
    request.on('data', (piece: Buffer) => {
      size += piece.length;
      if (size > most) {
        request.pause();
        reject(large());
      } else pieces.push(piece);
    });
    request.on('end', () => resolve(pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)));
    request.on('error', () =>
      reject(
        new InkstoneError('cancelled', 'the client left before its request was there', { kind: 'usage' }),
      ),
    );
  });
}
