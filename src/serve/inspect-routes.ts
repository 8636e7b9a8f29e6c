/** `POST /api/inspect`: a text as a model reads it: surprises, alternatives, attention. The work is the replica's. */
import type { FastifyInstance } from 'fastify';
import type { LayerAttention, TextInspection } from '../base/contracts/inspection.ts';
import { InkstoneError } from '../base/errors.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { openReplica } from './generation.ts';
import { type InspectBody, inspectBody } from './schemas.ts';
import { hangUp } from './sse.ts';

/** Numbers that one answer may hold, written out; as base64 four times as many. */
const MOST_NUMBERS = 4e6;

export function addInspection(app: FastifyInstance, { generation }: ServerContext): void {
  app.post('/api/inspect', async (request, reply) => {
    const body = parse(inspectBody, request.body);
    const signal = hangUp(reply);
    const { replica, context, release } = await openReplica(
      generation,
      { id: request.id, model: body.model, key: request.keyId },
      signal,
    );
    try {
      if (replica.inspect === undefined)
        throw new InkstoneError('inspection_unsupported', `${body.model} cannot be looked into`, {
          kind: 'unsupported',
          hint: 'choose a model that Inkstone runs itself',
          details: { param: 'model' },
        });
      const verdict = await generation.guard.input(body.text, context);
      if (verdict.action === 'block')
        throw new InkstoneError('content_filter', verdict.reason, {
          kind: 'usage',
          details: { param: 'text' },
        });
      const text = verdict.action === 'replace' ? verdict.text : body.text;
      const { attention, top, stride } = body;
      const layers = typeof attention === 'boolean' ? (attention ? 'all' : 'none') : attention;
      return answerOf(body, await replica.inspect({ text, top, layers, stride }, signal));
    } finally {
      release();
    }
  });
}

function answerOf(body: InspectBody, found: TextInspection): object {
  const { tokens, attention, nats, predictions, bytes, kind } = found;
  const mean = predictions === 0 ? null : nats / predictions;
  return {
    object: 'inspection',
    model: body.model,
    kind,
    tokens: tokens.map(({ surprise, rank, top, ...token }) => ({
      ...token,
      surprise: surprise ?? null,
      rank: rank ?? null,
      top_logprobs: top,
    })),
    ...{ nats, predictions, bytes, mean_nats: mean },
    perplexity: mean === null ? null : Math.exp(mean),
    bits_per_byte: bytes === 0 ? null : nats / Math.LN2 / bytes,
    attention: attention.length === 0 ? null : written(attention, tokens.length, body.format),
  };
}

function written(attention: readonly LayerAttention[], time: number, format: InspectBody['format']): object {
  const numbers = attention.reduce((total, { weights }) => total + weights.length, 0);
  const most = format === 'base64' ? 4 * MOST_NUMBERS : MOST_NUMBERS;
  if (numbers > most)
    throw new InkstoneError(
      'answer_too_large',
      `the maps hold ${numbers} numbers, ${most} are sent at once`,
      {
        kind: 'usage',
        hint: format === 'base64' ? 'ask for fewer layers' : 'ask for fewer layers, or for format base64',
        details: { param: 'attention' },
      },
    );
  return {
    format,
    layers: attention.map(({ layer, heads, weights }) => ({
      layer,
      heads,
      weights: format === 'base64' ? base64(weights) : nested(weights, heads, time),
    })),
  };
}

/** Little-endian float32, `[heads, tokens, tokens]`. */
const base64 = (weights: Float32Array): string =>
  Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength).toString('base64');

function nested(weights: Float32Array, heads: number, time: number): number[][][] {
  return Array.from({ length: heads }, (_, head) =>
    Array.from({ length: time }, (_, query) => {
      const at = (head * time + query) * time;
      return Array.from(weights.subarray(at, at + time), (value) => Number(value.toPrecision(6)));
    }),
  );
}
