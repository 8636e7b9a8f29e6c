/**
 * Limits at the door: before a request for content does anything, what it may take at most is taken from its key's limits; when
 * it is over, what it used is booked. Tells what is left in OpenAI's headers.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Use } from '../operate/quota/prices.ts';
import type { Allowance, Quotas } from '../operate/quota/quotas.ts';
import type { Watch } from '../operate/watch/watch.ts';
import { requireModel } from './access.ts';
import { OPERATIONS } from './watching.ts';

/** UTF-8 bytes of a token, for estimates until a prompt is counted. */
const BYTES_PER_TOKEN = 4;
/** Of embeddings nothing is counted before the work is done; so a little less. */
const BYTES_PER_EMBEDDED_TOKEN = 3;

const whole = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.floor(value) : undefined;

/** What a body that was not checked yet may ask for. */
export function estimateOf(route: string, body: unknown, defaultMaxTokens: number): Use {
  const given = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const texts = [given.messages, given.prompt, given.input, given.instructions, given.tools];
  const bytes = Buffer.byteLength(JSON.stringify(texts));
  if (route.startsWith('/v1/images')) return { prompt: 0, completion: 0, pictures: whole(given.n) ?? 1 };
  if (route === '/v1/embeddings')
    return { prompt: Math.ceil(bytes / BYTES_PER_EMBEDDED_TOKEN), completion: 0 };
  const longest =
    whole(given.max_completion_tokens) ??
    whole(given.max_tokens) ??
    whole(given.max_output_tokens) ??
    defaultMaxTokens;
  const prompts = route === '/v1/completions' && Array.isArray(given.prompt) ? given.prompt.length : 1;
  const answers = Math.max(1, whole(given.n) ?? 1, whole(given.best_of) ?? 1);
  return { prompt: Math.ceil(bytes / BYTES_PER_TOKEN), completion: longest * prompts * answers };
}

/** As OpenAI writes it: `6m0s`, `1.5s`, `20ms`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.ceil(milliseconds)}ms`;
  const seconds = Math.ceil(milliseconds / 100) / 10;
  const minutes = Math.floor(seconds / 60);
  const rest = Number((seconds % 60).toFixed(1));
  return minutes === 0 ? `${rest}s` : `${minutes}m${rest}s`;
}

function tell(reply: FastifyReply, kind: string, { limit, remaining, reset }: Allowance): void {
  reply.header(`x-ratelimit-limit-${kind}`, String(limit));
  reply.header(`x-ratelimit-remaining-${kind}`, String(remaining));
  reply.header(`x-ratelimit-reset-${kind}`, duration(reset));
}

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
    const estimate = estimateOf(route, request.body, defaultMaxTokens);
    try {
      const lease = await quotas.admit(key.id, limits, model, estimate);
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
        void lease.settle(used).catch(() => undefined);
      });
    } finally {
      told(reply);
    }
    function told(to: FastifyReply): void {
      if (to.raw.headersSent || key === undefined) return;
      const { requests, tokens } = quotas.allowances(key.id, limits);
      if (requests !== undefined) tell(to, 'requests', requests);
      if (tokens !== undefined) tell(to, 'tokens', tokens);
    }
  });
}
