/** `/v1/embeddings`: texts in, unit vectors out, as numbers or as base64 of little-endian float32. */
import type { FastifyInstance } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import type { RequestMeter } from '../operate/watch/request-meter.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { type GenerationServices, type OpenedReplica, openReplica } from './generation.ts';
import { embeddingBody } from './schemas.ts';
import { hangUp } from './sse.ts';
import { refuse } from './unsupported.ts';
import { waitingOf } from './waiting.ts';

export function addEmbeddings(app: FastifyInstance, { generation }: ServerContext): void {
  app.post('/v1/embeddings', async (request, reply) => {
    const given = (request.body as { input?: unknown } | null | undefined)?.input;
    // Ids of OpenAI's own tokenizers say nothing to another model.
    const ids = Array.isArray(given) && given.some((part) => typeof part === 'number' || Array.isArray(part));
    refuse(ids, 'input', ' as token ids');
    const body = parse(embeddingBody, request.body);
    const texts = typeof body.input === 'string' ? [body.input] : body.input;
    const signal = hangUp(reply);
    const opened = await openReplica(
      generation,
      {
        ...{ id: request.id, model: body.model, key: request.keyId, gives: 'embedding' },
        ...waitingOf(request),
      },
      signal,
    );
    try {
      const embeddings = await embed(generation, opened, request.meter, texts, signal);
      const total = embeddings.reduce((sum, { tokens }) => sum + tokens, 0);
      request.meter?.prompt(0, total);
      request.meter?.end('stop', 0);
      return {
        object: 'list',
        data: embeddings.map(({ vector }, index) => {
          const cut = shortened(vector, body.dimensions ?? vector.length);
          return {
            object: 'embedding',
            index,
            embedding: body.encoding_format === 'base64' ? base64(cut) : Array.from(cut),
          };
        }),
        model: body.model,
        usage: { prompt_tokens: total, total_tokens: total },
      };
    } finally {
      opened.release();
    }
  });
}

async function embed(
  { guard }: GenerationServices,
  { replica, context, ticket }: OpenedReplica,
  meter: RequestMeter | undefined,
  texts: readonly string[],
  signal: AbortSignal,
) {
  const checked: string[] = [];
  for (const text of texts) {
    const verdict = await guard.input(text, context);
    if (verdict.action === 'block')
      throw new InkstoneError('content_filter', verdict.reason, {
        kind: 'usage',
        details: { param: 'input' },
      });
    checked.push(verdict.action === 'replace' ? verdict.text : text);
  }
  if (replica.embed === undefined || replica.lengths === undefined)
    throw new InkstoneError('invariant_broken', `${replica.model.id} promises embeddings and gives none`);
  // Counted before any work, so that what is reserved is what it costs.
  const prompt = (await replica.lengths(checked)).reduce((sum, length) => sum + length, 0);
  ticket.expect({ prompt, answer: 0 });
  await meter?.cover?.({ prompt, completion: 0 });
  return replica.embed({ id: context.requestId, texts: checked }, signal);
}

/** The first numbers, of length 1 again (Kusupati et al. 2022). @throws InkstoneError `parameter_invalid` */
function shortened(vector: Float32Array, dimensions: number): Float32Array {
  if (dimensions === vector.length) return vector;
  if (dimensions > vector.length)
    throw new InkstoneError(
      'parameter_invalid',
      `'dimensions': this model's embeddings have ${vector.length} dimensions`,
      { kind: 'usage', details: { param: 'dimensions' } },
    );
  const cut = vector.slice(0, dimensions);
  const length = Math.sqrt(cut.reduce((sum, x) => sum + x * x, 0));
  return length === 0 ? cut : cut.map((x) => x / length);
}

function base64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((x, i) => bytes.writeFloatLE(x, i * 4));
  return bytes.toString('base64');
}
