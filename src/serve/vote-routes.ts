/** `/api/votes`: which of two answers somebody preferred, kept in the store and counted up. Knows no models' answers. */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { Row } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { now } from '../base/host.ts';
import { tallyVotes } from '../evaluate/votes.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { type VoteBody, voteBody } from './schemas.ts';

interface VoteRow extends Row, VoteBody {
  created: number;
}

/** The newest that are listed beside the table. */
const LISTED = 50;

export function addVotes(app: FastifyInstance, { store }: ServerContext): void {
  const all = async (): Promise<VoteRow[]> =>
    (await store.rows.list<VoteRow>('votes')).sort((one, other) => (one.id < other.id ? 1 : -1));

  const answer = async (): Promise<object> => {
    const votes = await all();
    const table = tallyVotes(votes.map(({ a, b, ...vote }) => ({ ...vote, a: a.name, b: b.name })));
    return {
      data: votes.slice(0, LISTED),
      total: votes.length,
      // JSON knows no NaN: nobody preferred either.
      table: table.map(({ preferred, ...row }) => ({
        ...row,
        preferred: { ...preferred, value: preferred.count === 0 ? null : preferred.value },
      })),
    };
  };

  app.post('/api/votes', async (request, reply) => {
    const body = parse(voteBody, request.body);
    if (body.a.name === body.b.name)
      throw new InkstoneError('parameter_invalid', "'b.name' is the same as 'a.name'", {
        kind: 'usage',
        hint: 'vote on two that differ in model, prompt or settings',
        details: { param: 'b.name' },
      });
    const at = now();
    const id = `vote-${at.toString(36).padStart(9, '0')}-${randomUUID().slice(0, 8)}`;
    await store.rows.put<VoteRow>('votes', { ...body, id, created: Math.floor(at / 1000) });
    reply.code(201);
    return answer();
  });

  app.get('/api/votes', answer);

  app.delete('/api/votes', async () => {
    for (const { id } of await all()) await store.rows.remove('votes', id);
    return answer();
  });
}
