/** `/v1/completions` and `/v1/chat/completions`: shapes of requests and answers; the work is in generation.ts. */
import { randomInt } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FinishReason, SamplingSettings, TextToken } from '../base/contracts/generator.ts';
import { InkstoneError } from '../base/errors.ts';
import { now } from '../base/host.ts';
import { CHAT_STOP, chatPrompt } from '../data/text/chat.ts';
import { promptOfTurns, turnsOf } from './chat-prompt.ts';
import { parse } from './errors.ts';
import {
  type Choice,
  type ChoiceEvent,
  type GenerationServices,
  openGeneration,
  requireGives,
} from './generation.ts';
import { type ChatBody, type CompletionBody, chatBody, completionBody } from './schemas.ts';
import { chatShape, completionShape, type Shape } from './shapes.ts';
import { EventStream, hangUp } from './sse.ts';
import { constraintOf } from './structured.ts';
import { refuse, refuseUnsupported } from './unsupported.ts';

const reasonOf = (reason: FinishReason): string => (reason === 'cancelled' ? 'stop' : reason);

export async function chatCompletions(
  services: GenerationServices,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = parse(chatBody, request.body);
  if (body.top_logprobs !== null && body.top_logprobs !== undefined && body.logprobs !== true) {
    throw new InkstoneError('parameter_invalid', "'top_logprobs' needs 'logprobs' to be true", {
      kind: 'usage',
      details: { param: 'top_logprobs' },
    });
  }
  const settings = samplingOf(
    body,
    body.max_completion_tokens ?? body.max_tokens,
    body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
    services,
  );
  // Before anything else, so that a model that is not there is named first.
  const replica = await services.replica(body.model);
  requireGives(replica, 'text');
  const { chat } = replica.model;
  const prompt = chat ? chatPrompt(turnsOf(body.messages)) : promptOfTurns(body.messages);
  // A document ends by itself, and may hold such words.
  if (chat && settings.constraint === undefined) settings.stop = [...settings.stop, ...CHAT_STOP];
  return answer(
    services,
    request,
    reply,
    body,
    choicesOf([prompt], settings, body.n ?? 1),
    chatShape(body.logprobs === true),
    'messages',
  );
}

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
  refuse(body.best_of !== null && body.best_of !== undefined && body.best_of !== (body.n ?? 1), 'best_of');
  const wanted = body.logprobs !== null && body.logprobs !== undefined;
  const settings = samplingOf(body, body.max_tokens, body.logprobs ?? undefined, services);
  const prompts = typeof body.prompt === 'string' ? [body.prompt] : body.prompt;
  return answer(
    services,
    request,
    reply,
    body,
    choicesOf(prompts, settings, body.n ?? 1),
    completionShape(wanted),
    'prompt',
  );
}

/** OpenAI's legacy form: ids of its own tokenizers, which say nothing to another model. */
function isTokens(prompt: unknown): boolean {
  return Array.isArray(prompt) && prompt.some((part) => typeof part === 'number' || Array.isArray(part));
}

function samplingOf(
  body: CompletionBody | ChatBody,
  maxTokens: number | null | undefined,
  logprobs: number | undefined,
  services: GenerationServices,
): SamplingSettings {
  refuseUnsupported(body);
  const stop = body.stop ?? [];
  const constraint = constraintOf(body);
  return {
    maxTokens: maxTokens ?? services.defaultMaxTokens,
    temperature: body.temperature ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    topP: body.top_p ?? 1,
    seed: body.seed === null || body.seed === undefined ? randomInt(2 ** 31) : Math.abs(body.seed) % 2 ** 52,
    stop: typeof stop === 'string' ? [stop] : stop,
    ...(logprobs === undefined ? {} : { logprobs }),
    minP: body.min_p ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    logitBias: body.logit_bias ?? {},
    ...(constraint === undefined ? {} : { constraint }),
  };
}

/** Each further answer has the next seed: `n` answers differ, and repeat. */
function choicesOf(prompts: readonly string[], sampling: SamplingSettings, n: number): Choice[] {
  return prompts.flatMap((prompt, p) =>
    Array.from({ length: n }, (_, i) => ({
      index: p * n + i,
      prompt,
      sampling: { ...sampling, seed: sampling.seed + i },
    })),
  );
}

async function answer(
  services: GenerationServices,
  request: FastifyRequest,
  reply: FastifyReply,
  body: CompletionBody | ChatBody,
  choices: readonly Choice[],
  shape: Shape,
  param: string,
): Promise<unknown> {
  const signal = hangUp(reply);
  const head = { id: `${shape.prefix}-${request.id}`, created: Math.floor(now() / 1000), model: body.model };
  const opened = await openGeneration(
    services,
    { id: request.id, model: body.model, key: request.keyId, choices, param },
    signal,
  );
  try {
    if (body.stream !== true) return await collect(opened.events, choices.length, body.n ?? 1, head, shape);
    await stream(
      opened.events,
      new EventStream(reply, signal),
      choices.length,
      body.n ?? 1,
      { ...head, object: shape.chunk },
      shape,
      body.stream_options?.include_usage === true,
    );
    return reply;
  } finally {
    opened.close();
  }
}

interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

function usageOf(
  ends: ReadonlyMap<number, { promptTokens: number; completionTokens: number }>,
  n: number,
): Usage {
  let prompt = 0;
  let completion = 0;
  for (const [index, end] of ends) {
    // A prompt that several answers share is counted once.
    if (index % n === 0) prompt += end.promptTokens;
    completion += end.completionTokens;
  }
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

async function collect(
  events: AsyncIterable<ChoiceEvent>,
  count: number,
  each: number,
  head: object,
  shape: Shape,
): Promise<object> {
  const texts = new Array<string>(count).fill('');
  const tokens = Array.from({ length: count }, (): TextToken[] => []);
  const ends = new Map<number, Extract<ChoiceEvent, { type: 'end' }>>();
  for await (const event of events) {
    if (event.type === 'end') ends.set(event.index, event);
    else {
      texts[event.index] += event.text;
      (tokens[event.index] as TextToken[]).push(...event.tokens);
    }
  }
  return {
    ...head,
    object: shape.object,
    choices: texts.map((text, index) =>
      shape.whole(index, text, tokens[index] as TextToken[], reasonOf(ends.get(index)?.reason ?? 'stop')),
    ),
    usage: usageOf(ends, each),
  };
}

async function stream(
  events: AsyncIterable<ChoiceEvent>,
  out: EventStream,
  count: number,
  each: number,
  head: object,
  shape: Shape,
  withUsage: boolean,
): Promise<void> {
  const ends = new Map<number, { promptTokens: number; completionTokens: number }>();
  const offsets = new Array<number>(count).fill(0);
  try {
    if (shape.first !== undefined)
      for (let index = 0; index < count; index++) await out.send({ ...head, choices: [shape.first(index)] });
    for await (const event of events) {
      if (event.type === 'end') {
        ends.set(event.index, event);
        await out.send({ ...head, choices: [shape.last(event.index, reasonOf(event.reason))] });
        continue;
      }
      const log = shape.logprobs(event.tokens, offsets[event.index] as number);
      offsets[event.index] = (offsets[event.index] as number) + event.text.length;
      await out.send({ ...head, choices: [shape.delta(event.index, event.text, log)] });
    }
    if (withUsage) await out.send({ ...head, choices: [], usage: usageOf(ends, each) });
    await out.send('[DONE]');
    out.end();
  } catch (thrown) {
    await out.fail(thrown);
  }
}
