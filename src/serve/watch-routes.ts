/** `/api/watch` and `/api/alerts`: what the server is doing, what is wrong, and quiet for a while. For keys that look after others. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { memoryUse, now } from '../base/host.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';

export const silenceBody = z.strictObject({
  /** A rule's name; `*` at its end for all that begin so. */
  rule: z.string().min(1).max(100),
  hours: z
    .number()
    .positive()
    .max(24 * 30),
  comment: z.string().max(500).default(''),
});

export function addWatchRoutes(app: FastifyInstance, context: ServerContext): void {
  const { alerter, keys, pool, quotas, watch } = context;

  app.get('/api/watch', async () => {
    const meters = watch.requests;
    const oldest = Math.max(0, ...meters.map((meter) => (meter.waited() ?? 0) / 1000));
    const { running, waiting, capacity, concurrency } = context.generation.queue.status();
    const { free, total } = memoryUse();
    const last = alerter.overview.points.at(-1);
    return {
      at: now(),
      every: context.alertConfig.every,
      points: alerter.overview.points,
      queue: { running, waiting, capacity, concurrency, oldest },
      machine: { memoryUsed: 1 - free / total, diskUsed: last?.diskUsed ?? null, models: pool.memory() },
      replicas: pool.statuses().map(([model, { state, progress, memory, restarts, decoding }]) => {
        const own = meters.filter((meter) => meter.model === model);
        return {
          ...{ model, state, progress, memory: memory ?? null, restarts: restarts ?? 0 },
          running: own.filter((meter) => meter.running).length,
          waiting: own.filter((meter) => meter.waited() !== undefined).length,
          cacheUsed: decoding?.cacheUsed ?? null,
        };
      }),
      alerts: await alerter.alerts(),
      silences: await alerter.silences.list(now()),
      keys: await Promise.all(
        (await keys.list()).map(async ({ id, name, prefix, expires, limits }) => {
          const { spent, cost, prompt, completion, requests } = await quotas.ledger.row(id);
          return {
            ...{ id, name, prefix, expires: expires ?? null, requests, prompt, completion, cost, spent },
            ...{ budget: limits?.budget ?? null, period: limits?.period ?? 'total' },
          };
        }),
      ),
    };
  });

  app.get('/api/alerts', async () => ({
    data: await alerter.alerts(),
    silences: await alerter.silences.list(now()),
    rules: alerter.rules.map(({ id, severity, summary, hint, for: lasting }) => ({
      ...{ id, severity, summary, hint, for: lasting },
    })),
  }));

  app.post('/api/alerts/silences', async (request, reply) => {
    const { rule, hours, comment } = parse(silenceBody, request.body);
    const by = request.keyId ?? 'open';
    reply.code(201);
    return alerter.silences.add({ rule, until: now() + hours * 3_600_000, comment, by });
  });

  app.delete<{ Params: { id: string } }>('/api/alerts/silences/:id', async (request) => {
    await alerter.silences.remove(request.params.id);
    return { id: request.params.id, deleted: true };
  });
}
