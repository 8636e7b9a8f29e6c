/**
 * Limits at the door: before a request for content does anything, what it may take at most is taken from its key's limits; when
 * it is over, what it used is booked. Tells what is left in OpenAI's headers.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Use } from '../operate/quota/prices.ts';
import type { Quotas } from '../operate/quota/quotas.ts';
import type { Watch } from '../operate/watch/watch.ts';
import { requireModel } from './access.ts';
import { estimateOf, limitHeaders } from './limits.ts';
import { OPERATIONS } from './watching.ts';

export interface QuotaOptions {
  quotas: Quotas;
  watch: Watch;
  defaultMaxTokens: number;
}

export function addQuotas(app: FastifyInstance, { quotas, watch, defaultMaxTokens }: QuotaOptions): void {
  app.addHook('preHandler', async (request, reply) => {
    const { key, meter } = request;
    if (key === undefined || meter === undefined) return;
    const route = request.routeOptions.url ?? '';
    if (OPERATIONS[route] === undefined) return;
    const body = request.body as { model?: unknown } | null | undefined;
    const model = typeof body?.model === 'string' ? body.model : '';
    const limits = key.limits ?? {};
    const estimate = estimateOf(route, request.body, { maxTokens: defaultMaxTokens });
    try {
      const lease = await quotas.admit(key.id, limits, model, estimate, { batch: request.inside });
      // A form brings its model later than a body does.
      meter.use = (given) => {
        requireModel(key, given);
        lease.model = given;
      };
      meter.cover = async (need) => {
        await lease.cover(need);
        told(reply);
      };
      meter.onClose((over) => {
        const used: Use = { ...over.tokens, pictures: over.pictures };
        const { prompt, completion } = used;
        watch.metrics.add('keyTokens', prompt, { key: key.id, kind: 'input' });
        watch.metrics.add('keyTokens', completion, { key: key.id, kind: 'output' });
        watch.metrics.add('keyCost', quotas.prices.cost(lease.model, used), { key: key.id });
        // A store that is full or away: the next booking tries again with its own; this one is told in the log by the store.
        void lease.settle(used);
      });
    } finally {
      told(reply);
    }
    function told(to: FastifyReply): void {
      if (to.raw.headersSent || key === undefined) return;
      to.headers(limitHeaders(quotas.allowances(key.id, limits)));
    }
  });
}
