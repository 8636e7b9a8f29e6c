/** The header `Idempotency-Key`: whoever sends a request again with it gets what the first made. Knows no routes. */
import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { InkstoneError } from '../base/errors.ts';

const LONGEST = 255;

/** The key, apart for each API key, and a mark that tells one request from another. @throws InkstoneError `parameter_invalid` */
export function onceOf(request: FastifyRequest): { key: string; mark: string } | undefined {
  const given = request.headers['idempotency-key'];
  if (typeof given !== 'string' || given === '') return undefined;
  if (given.length > LONGEST)
    throw new InkstoneError('parameter_invalid', `an idempotency key has at most ${LONGEST} characters`, {
      kind: 'usage',
      hint: 'send a UUID',
    });
  const { method, keyId = '', body } = request;
  const route = request.routeOptions.url ?? '';
  const mark = createHash('sha256')
    .update(JSON.stringify(body ?? null))
    .digest('hex');
  return { key: `${method} ${route} ${keyId} ${given}`, mark };
}
