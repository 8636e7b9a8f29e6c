/** The way out of an answer on the two completion routes: collected into one object, or streamed in chunks. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { now } from '../base/host.ts';
import { type Answer, type AnswerEvent, addTo, answerParts } from './answer-parts.ts';
import { type GenerationServices, type MakeChoices, openGeneration } from './generation.ts';
import type { ChatBody, CompletionBody } from './schemas.ts';
import type { Shape } from './shapes.ts';
import { EventStream, hangUp } from './sse.ts';
import type { Tooling } from './tools.ts';
import { waitingOf } from './waiting.ts';

export interface AnswerCall {
  body: CompletionBody | ChatBody;
  choices: MakeChoices;
  shape: Shape;
  /** Most tokens of one answer. */
  limit: number;
  /** The parameter that holds the prompt. */
  param: string;
  tooling?: Tooling | undefined;
  /** Answers to each prompt that compete for `n` places; default `n`. */
  of?: number;
}

interface Out {
  events: AsyncIterable<AnswerEvent>;
  shape: Shape;
  head: object;
  /** Answers, answers to each prompt, and how many of these are given. */
  count: number;
  each: number;
  best: number;
}

export async function answer(
  services: GenerationServices,
  request: FastifyRequest,
  reply: FastifyReply,
  { body, choices: make, shape, limit, param, tooling, of = body.n ?? 1 }: AnswerCall,
): Promise<unknown> {
  const signal = hangUp(reply);
  if (request.meter !== undefined) request.meter.each = of;
  const opened = await openGeneration(
    services,
    {
      ...{ id: request.id, model: body.model, key: request.keyId, choices: make, param },
      // A first guess, so that nothing has to be read before there is a place: four bytes a token.
      cost: { prompt: Math.ceil(Number(request.headers['content-length'] ?? 4) / 4), answer: limit * of },
      ...waitingOf(request, body.service_tier),
    },
    signal,
  );
  const { choices } = opened;
  try {
    const out: Out = {
      events: answerParts(opened.events, tooling),
      shape,
      head: { id: `${shape.prefix}-${request.id}`, created: Math.floor(now() / 1000), model: body.model },
      // A beam search is one choice with several answers.
      count: choices[0]?.sampling.beams === undefined ? choices.length : choices.length * of,
      each: of,
      best: body.n ?? 1,
    };
    if (body.stream !== true) return await collect(out);
    await stream(out, new EventStream(reply, signal), body.stream_options?.include_usage === true);
    return reply;
  } finally {
    opened.close();
  }
}

type End = Extract<AnswerEvent, { type: 'end' }>;

/** A prompt that several answers share is counted once. */
function usageOf(ends: ReadonlyMap<number, End>, each: number): Record<string, number> {
  let prompt = 0;
  let completion = 0;
  for (const [index, end] of ends) {
    if (index % each === 0) prompt += end.promptTokens;
    completion += end.completionTokens;
  }
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

async function collect({ events, shape, head, count, each, best }: Out): Promise<object> {
  const answers = Array.from({ length: count }, (): Answer => ({ text: '', tokens: [], calls: [] }));
  const ends = new Map<number, End>();
  for await (const event of events) {
    if (event.type === 'end') ends.set(event.index, event);
    else addTo(answers[event.index] as Answer, event);
  }
  return {
    ...head,
    object: shape.object,
    choices: chosen(answers, each, best).map(({ one, from }, index) =>
      shape.whole(index, one, ends.get(from)?.reason ?? 'stop'),
    ),
    usage: usageOf(ends, each),
  };
}

/** Of each prompt's answers those with the highest log-probability per token, in that order; all where all are wanted. */
function chosen(answers: readonly Answer[], each: number, best: number): { one: Answer; from: number }[] {
  const all = answers.map((one, from) => {
    const known = one.tokens.filter(({ logprob }) => !Number.isNaN(logprob));
    const total = known.reduce((sum, { logprob }) => sum + logprob, 0);
    return { one, from, mean: known.length === 0 ? 0 : total / known.length };
  });
  if (best >= each) return all;
  return Array.from({ length: answers.length / each }, (_, p) =>
    all
      .slice(p * each, (p + 1) * each)
      .sort((a, b) => b.mean - a.mean)
      .slice(0, best),
  ).flat();
}

async function stream(
  { events, shape, head, count, each }: Out,
  out: EventStream,
  withUsage: boolean,
): Promise<void> {
  const ends = new Map<number, End>();
  /** Characters of each answer so far. */
  const offsets = new Array<number>(count).fill(0);
  const send = (...choices: (object | undefined)[]): Promise<void> =>
    out.send({ ...head, object: shape.chunk, choices });
  try {
    if (shape.first !== undefined) for (let index = 0; index < count; index++) await send(shape.first(index));
    for await (const event of events) {
      const { index } = event;
      if (event.type === 'call') await send(shape.call?.(index, event.call, event.id, event.name));
      else if (event.type === 'arguments') await send(shape.arguments?.(index, event.call, event.text));
      else if (event.type === 'end') {
        ends.set(index, event);
        await send(shape.last(index, event.reason));
      } else {
        const at = offsets[index] as number;
        offsets[index] = at + event.text.length;
        await send(shape.delta(index, event.text, shape.logprobs(event.tokens, at)));
      }
    }
    if (withUsage) await out.send({ ...head, object: shape.chunk, choices: [], usage: usageOf(ends, each) });
    await out.send('[DONE]');
    out.end();
  } catch (thrown) {
    await out.fail(thrown);
  }
}
