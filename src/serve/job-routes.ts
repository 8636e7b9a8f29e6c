/** `/api/jobs`: durable jobs as they stand: who works on them, where they are, how often they were tried. Knows no kinds. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Job } from '../base/contracts/jobs.ts';
import { InkstoneError } from '../base/errors.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { isOwn } from './owners.ts';

const query = z.object({ kind: z.string().max(40).default('batch') });

export function addJobs(app: FastifyInstance, { jobs }: ServerContext): void {
  const shown = ({ input: _, key: __, holder, ...job }: Job): object => ({
    ...job,
    /** Whether this very process works on it. */
    mine: holder === jobs.holder,
  });
  const ownerOf = (job: Job): string | undefined => (job.input as { owner?: string } | null)?.owner;

  app.get('/api/jobs', async (request) => {
    const all = await jobs.list(parse(query, request.query).kind);
    return { data: all.filter((job) => isOwn(request, ownerOf(job))).map(shown) };
  });

  app.get<{ Params: { id: string } }>('/api/jobs/:id', async (request) => {
    const job = await jobs.get(request.params.id);
    if (isOwn(request, ownerOf(job))) return shown(job);
    throw new InkstoneError('job_missing', `there is no job ${job.id}`, { kind: 'missing' });
  });
}
