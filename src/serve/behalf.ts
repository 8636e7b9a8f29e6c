/**
 * On whose behalf a gateway asks: its clients' keys end there, and without a word of who asked all of them would see each
 * other's files, jobs and answers here and share one place in the queue. Knows keys, no routes.
 */
import type { FastifyRequest } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { type KeyRow, type Keys, maySee, OVER_OTHERS, SCOPES, valid } from './keys.ts';

/** What a gateway sends: the id of its client's key. */
export const BEHALF = 'x-inkstone-behalf';

/** Who asks: a key's rights and limits, and whose its things are. */
export interface Asker {
  key: KeyRow | undefined;
  id: string | undefined;
}

const ID = /^[\w.-]{1,64}$/;

/** Whoever is asked for looks after nobody else, whatever the gateway's key may do. */
function lowered(key: KeyRow): KeyRow {
  return { ...key, scopes: SCOPES.filter((scope) => !OVER_OTHERS.includes(scope) && maySee(key, scope)) };
}

/**
 * The key's own id, or where a gateway asks for somebody: both ids. The header counts only from a key with the scope
 * `gateway`, and on a server that has no keys.
 * @throws InkstoneError `header_invalid`
 */
export function askerOf(request: FastifyRequest, key: KeyRow | undefined): Asker {
  const behalf = request.headers[BEHALF];
  if (behalf === undefined || !maySee(key, 'gateway')) return { key, id: key?.id };
  if (typeof behalf !== 'string' || !ID.test(behalf))
    throw new InkstoneError('header_invalid', `the header ${BEHALF} names no key`, {
      kind: 'usage',
      hint: 'it has the id of a key: letters, digits, points and dashes, 64 at most',
    });
  return { key: key === undefined ? undefined : lowered(key), id: `${key?.id ?? ''}/${behalf}` };
}

/**
 * Who asked once, by the id that was kept, for what is done later.
 * @throws InkstoneError `invalid_api_key` where the key was taken back, `key_expired`
 */
export async function askerAgain(keys: Keys, id: string | undefined): Promise<Asker> {
  if (id === undefined) return { key: undefined, id };
  const [by = '', behalf] = id.split('/');
  const row = await keys.find(by);
  if (row !== undefined) return { key: behalf === undefined ? valid(row) : lowered(valid(row)), id };
  // Asked for through a gateway while there were no keys here.
  if (by === '' && behalf !== undefined && !(await keys.any())) return { key: undefined, id };
  throw new InkstoneError('invalid_api_key', 'the API key was taken back', { kind: 'denied' });
}
