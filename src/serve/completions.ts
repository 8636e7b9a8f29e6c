/** `/v1/completions`: a text goes on. The work is in generation.ts, the answer's way out in answers.ts. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { answer } from './answers.ts';
import { parse } from './errors.ts';
import type { GenerationServices } from './generation.ts';
import { choicesOf, samplingOf } from './sampling.ts';
import { completionBody } from './schemas.ts';
import { completionShape } from './shapes.ts';
import { refuse } from './unsupported.ts';

export async function completions(
  services: GenerationServices,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  refuse(
    isTokens((request.body as { prompt?: unknown } | null | undefined)?.prompt),
    'prompt',
    ' as token ids',
  );
  const body = parse(completionBody, request.body);
  const wanted = body.logprobs !== null && body.logprobs !== undefined;
  const settings = samplingOf(body, body.max_tokens, body.logprobs ?? undefined, services);
  const prompts = typeof body.prompt === 'string' ? [body.prompt] : body.prompt;
  const n = body.n ?? 1;
  const echo = body.echo === true;
  // A beam search has chosen among its texts already.
  const of = settings.beams === undefined ? (body.best_of ?? n) : n;
  refuse(echo && settings.beams !== undefined && n > 1, 'echo', " with a beam search's 'n'");
  refuse(of > n && body.stream === true, 'best_of', " with 'stream'");
  // What is compared has to be known.
  if (of > n) settings.logprobs ??= 0;
  const choices = choicesOf(prompts, settings, of).map((choice) => ({ ...choice, echo }));
  return answer(services, request, reply, {
    ...{ body, choices: async () => choices, shape: completionShape(wanted), limit: settings.maxTokens },
    ...{ param: 'prompt', of },
  });
}

/** OpenAI's legacy form: ids of its own tokenizers, which say nothing to another model. */
function isTokens(prompt: unknown): boolean {
  return Array.isArray(prompt) && prompt.some((part) => typeof part === 'number' || Array.isArray(part));
}
