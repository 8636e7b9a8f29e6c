/** From a wire request to events: queue, guard, replica. Shared by both completion routes; knows no shapes of answers. */
import type {
  FinishReason,
  Generator,
  SamplingSettings,
  TextEvent,
  TextRequest,
  TextToken,
} from '../base/contracts/generator.ts';
import type { Guard, GuardContext } from '../base/contracts/guard.ts';
import type { RequestQueue, Ticket, TokenCost } from '../base/contracts/queue.ts';
import type { Replica } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';
import type { RequestMeter } from '../operate/watch/request-meter.ts';

export interface GenerationServices {
  queue: RequestQueue;
  guard: Guard;
  /** The replica of a model. @throws InkstoneError `model_not_found` */
  replica(model: string): Promise<Replica>;
  /** Seconds to wait for a model that is being loaded before answering 503. */
  loadWait: number;
  /** Tokens of an answer where the request does not say. */
  defaultMaxTokens: number;
  /** What is counted of a request, by its id. */
  meter?(id: string): RequestMeter | undefined;
}

export interface Choice {
  index: number;
  prompt: string;
  sampling: SamplingSettings;
  /** The answer begins with the prompt. */
  echo?: boolean;
}

export type ChoiceEvent =
  | { index: number; type: 'delta'; text: string; tokens: readonly TextToken[] }
  | { index: number; type: 'end'; reason: FinishReason; completionTokens: number; promptTokens: number };

/** Answers that are drawn once the model is known; by then the request has its place. */
export type MakeChoices = (replica: Replica) => Promise<readonly Choice[]>;

export interface Opened {
  events: AsyncIterable<ChoiceEvent>;
  choices: readonly Choice[];
  /** Always called, also after errors. */
  close(): void;
}

/**
 * Takes a place, waits for its turn and the model, checks every prompt. Everything that can be refused is
 * refused here, before the first byte of an answer.
 * @throws InkstoneError `queue_full`, `model_not_found`, `model_loading`, `context_length_exceeded`, `content_filter`
 */
export async function openGeneration(
  services: GenerationServices,
  request: {
    id: string;
    model: string;
    key: string | undefined;
    choices: MakeChoices;
    /** The parameter that holds the prompt. */
    param: string;
    /** As far as the request says: tokens of the prompt, most of the answers. */
    cost?: Partial<TokenCost>;
    /** Runs where nobody waits for an answer. */
    batch?: boolean;
    /** Milliseconds within which its turn must come; default: as the queue says. */
    deadline?: number;
  },
  signal: AbortSignal,
): Promise<Opened> {
  const context = contextOf(request);
  const { guard } = services;
  let choices: readonly Choice[] = [];
  let ready: { admitted: Admitted; by: Replica } | undefined;
  const { replica, ticket, release } = await openReplica(
    services,
    {
      ...request,
      gives: 'text',
      prepare: async (found) => {
        choices = await request.choices(found);
        // Counted while it waits: between one request's end and the next one's first step the model has nothing to do.
        if (found.status().state !== 'ready') return;
        try {
          ready = { admitted: await admitAll(guard, found, choices, context, request.param), by: found };
        } catch (thrown) {
          // One whose process is lost meanwhile may be back when the turn comes.
          if (!InkstoneError.is(thrown) || thrown.kind !== 'resource') throw thrown;
        }
      },
    },
    signal,
  );
  try {
    const { checked, prompt } =
      ready?.by === replica
        ? ready.admitted
        : await admitAll(guard, replica, choices, context, request.param);
    const answer = checked.reduce(
      (sum, { sampling }) => sum + sampling.maxTokens * (sampling.beams?.width ?? 1),
      0,
    );
    ticket.expect({ prompt, answer });
    const meter = services.meter?.(request.id);
    await meter?.cover?.({ prompt: Math.ceil(prompt / meter.each), completion: answer });
    const events = merge(
      checked.map((choice) => guarded(services, replica, request.id, choice, context, signal)),
    );
    return { events: metered(events, ticket, prompt), choices: checked, close: release };
  } catch (thrown) {
    release();
    throw thrown;
  }
}

/** Tells the queue what a request costs while it runs. */
async function* metered(
  events: AsyncIterable<ChoiceEvent>,
  ticket: Ticket,
  prompt: number,
): AsyncGenerator<ChoiceEvent> {
  const made = new Map<number, number>();
  let answer = 0;
  for await (const event of events) {
    const before = made.get(event.index) ?? 0;
    const after = event.type === 'end' ? event.completionTokens : before + Math.max(1, event.tokens.length);
    made.set(event.index, after);
    answer += after - before;
    ticket.spent({ prompt, answer });
    yield event;
  }
}

export interface OpenedReplica {
  replica: Replica;
  context: GuardContext;
  ticket: Ticket;
  /** Gives the place in the queue back; always called, also after errors. */
  release(): void;
}

/** What a model must give, and what to say of one that does not. */
const GIVES = {
  text: ['model_writes_nothing', 'writes no text', 'send it to /v1/embeddings'],
  embedding: ['model_embeds_nothing', 'gives no embeddings', 'choose a model that does'],
  image: ['model_pictures_nothing', 'makes no pictures', 'choose a model that does'],
} as const;

/** @throws InkstoneError `model_writes_nothing`, `model_embeds_nothing` */
export function requireGives(replica: Replica, gives: keyof typeof GIVES): void {
  const { produces, id } = replica.model;
  if (produces.includes(gives)) return;
  const [code, what, hint] = GIVES[gives];
  throw new InkstoneError(code, `the model '${id}' ${what}`, {
    kind: 'unsupported',
    hint: gives === 'text' && !produces.includes('embedding') ? `it gives ${produces.join(', ')}` : hint,
    details: { param: 'model' },
  });
}

/**
 * A place in the queue and a model that is ready.
 * @throws InkstoneError `queue_full`, `model_not_found`, `model_loading`, and what `requireGives` throws
 */
export async function openReplica(
  services: GenerationServices,
  request: {
    id: string;
    model: string;
    key: string | undefined;
    /** Left out where any model will do. */
    gives?: keyof typeof GIVES;
    cost?: Partial<TokenCost>;
    batch?: boolean;
    deadline?: number;
    /** What is to be done before the turn comes, and can be refused. */
    prepare?(replica: Replica): Promise<void>;
  },
  signal: AbortSignal,
): Promise<OpenedReplica> {
  const meter = services.meter?.(request.id);
  meter?.use?.(request.model);
  const ticket = services.queue.enter({
    id: request.id,
    signal,
    model: request.model,
    ...(request.key === undefined ? {} : { key: request.key }),
    ...(request.cost === undefined ? {} : { cost: request.cost }),
    ...(request.batch === undefined ? {} : { batch: request.batch }),
    ...(request.deadline === undefined ? {} : { deadline: request.deadline }),
  });
  try {
    // Asked for twice: what cannot be served is refused before the wait, and a replica may be replaced during it.
    const first = await services.replica(request.model);
    if (request.gives !== undefined) requireGives(first, request.gives);
    meter?.enter(request.model);
    await request.prepare?.(first);
    await ticket.turn();
    const replica = await services.replica(request.model);
    await loaded(replica, services.loadWait, signal);
    meter?.begin();
    return { replica, context: contextOf(request), ticket, release: () => ticket.release() };
  } catch (thrown) {
    ticket.release();
    throw thrown;
  }
}

async function loaded(replica: Replica, wait: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let leave: (() => void) | undefined;
  const late = new Promise<void>((_, reject) => {
    timer = setTimeout(() => {
      const { progress, state } = replica.status();
      reject(
        new InkstoneError(
          'model_loading',
          `the model '${replica.model.id}' is ${state === 'draining' ? 'being replaced' : 'being loaded'}, ${Math.round(progress * 100)} % done`,
          {
            kind: 'resource',
            hint: 'try again in a moment',
            details: { progress, retryAfter: 1 },
          },
        ),
      );
    }, wait * 1000);
    leave = () => reject(new InkstoneError('cancelled', 'the request was cancelled', { kind: 'usage' }));
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
  });
  await Promise.race([replica.ready(), late]).finally(() => {
    clearTimeout(timer);
    if (leave !== undefined) signal.removeEventListener('abort', leave);
  });
}

const contextOf = ({
  id,
  model,
  key,
}: {
  id: string;
  model: string;
  key: string | undefined;
}): GuardContext => ({
  requestId: id,
  model,
  ...(key === undefined ? {} : { key }),
});

/** Choices that passed the guard, and the tokens of their prompts. */
interface Admitted {
  checked: readonly Choice[];
  prompt: number;
}

async function admitAll(
  guard: Guard,
  replica: Replica,
  choices: readonly Choice[],
  context: GuardContext,
  param: string,
): Promise<Admitted> {
  const checked: Choice[] = [];
  let prompt = 0;
  for (const choice of choices) {
    const admitted = await admit(guard, replica, choice, context, param);
    checked.push(admitted.choice);
    prompt += admitted.tokens;
  }
  return { checked, prompt };
}

async function admit(
  guard: Guard,
  replica: Replica,
  choice: Choice,
  context: GuardContext,
  param: string,
): Promise<{ choice: Choice; tokens: number }> {
  const verdict = await guard.input(choice.prompt, context);
  if (verdict.action === 'block')
    throw new InkstoneError('content_filter', verdict.reason, { kind: 'usage' });
  const prompt = verdict.action === 'replace' ? verdict.text : choice.prompt;
  const tokens = await replica.countTokens(prompt);
  const limit = replica.model.context;
  if (tokens > limit) {
    throw new InkstoneError(
      'context_length_exceeded',
      `This model's maximum context length is ${limit} tokens. However, your prompt has ${tokens} tokens.`,
      {
        kind: 'usage',
        hint: 'shorten the prompt',
        details: { param },
      },
    );
  }
  return { choice: { ...choice, prompt }, tokens };
}

async function* guarded(
  { guard, meter: meterOf }: GenerationServices,
  source: Generator<TextRequest, TextEvent> & Pick<Replica, 'inspect'>,
  id: string,
  choice: Choice,
  context: GuardContext,
  signal: AbortSignal,
): AsyncGenerator<ChoiceEvent> {
  const { index } = choice;
  const meter = meterOf?.(id);
  let promptTokens = 0;
  let soFar = '';
  let completionTokens = 0;
  if (choice.echo === true) {
    soFar = choice.prompt;
    yield { index, type: 'delta', text: soFar, tokens: await promptTokensOf(source, choice, signal) };
  }
  for await (const event of source.generate(
    {
      id: `${id}-${index}`,
      prompt: choice.prompt,
      sampling: choice.sampling,
      ...(context.key === undefined ? {} : { tenant: context.key }),
      ...(meter?.traceparent === undefined ? {} : { trace: meter.traceparent }),
    },
    signal,
  )) {
    if (event.type === 'start') {
      promptTokens = event.promptTokens;
      meter?.prompt(index, promptTokens);
    } else if (event.type === 'end') {
      const { reason, others = [] } = event;
      const all = others.reduce((sum, other) => sum + other.completionTokens, event.completionTokens);
      meter?.end(reason, all, index);
      yield { index, type: 'end', reason, completionTokens: event.completionTokens, promptTokens };
      // Further texts of a beam search are answers of their own.
      for (const [i, { text, tokens, ...end }] of others.entries()) {
        const verdict = await guard.output('', text, context);
        const own = { index: index + 1 + i, completionTokens: end.completionTokens, promptTokens };
        if (verdict.action === 'block') yield { ...own, type: 'end', reason: 'content_filter' };
        else {
          const said = verdict.action === 'replace' ? verdict.text : text;
          yield { index: own.index, type: 'delta', text: said, tokens };
          yield { ...own, type: 'end', reason: end.reason };
        }
      }
    } else {
      const count = Math.max(1, event.tokens.length);
      completionTokens += count;
      meter?.piece(index, count);
      const verdict = await guard.output(soFar, event.text, context);
      if (verdict.action === 'block') {
        meter?.end('content_filter', completionTokens, index);
        yield { index, type: 'end', reason: 'content_filter', completionTokens, promptTokens };
        return;
      }
      const text = verdict.action === 'replace' ? verdict.text : event.text;
      soFar += text;
      yield { index, type: 'delta', text, tokens: event.tokens };
    }
  }
}

/** How likely the model finds each token of a prompt; the first has nothing before it, and NaN. */
async function promptTokensOf(
  source: Pick<Replica, 'inspect'>,
  { prompt, sampling }: Choice,
  signal: AbortSignal,
): Promise<TextToken[]> {
  if (sampling.logprobs === undefined || prompt === '') return [];
  if (source.inspect === undefined)
    throw new InkstoneError(
      'unsupported_parameter',
      "'echo' with 'logprobs' is not supported by this model",
      {
        kind: 'unsupported',
        hint: 'leave one of them out',
        details: { param: 'echo' },
      },
    );
  const found = await source.inspect({ text: prompt, top: sampling.logprobs, layers: 'none' }, signal);
  return found.tokens.map(({ token, bytes, surprise, top }) => ({
    ...{ token, bytes, logprob: surprise === undefined ? Number.NaN : -surprise, top },
  }));
}

/** Several sequences at once, in the order their events come. */
async function* merge<T>(sources: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const next = (
    source: AsyncGenerator<T>,
  ): Promise<{ source: AsyncGenerator<T>; result: IteratorResult<T> }> =>
    source.next().then((result) => ({ source, result }));
  const waiting = new Map(sources.map((source) => [source, next(source)]));
  try {
    while (waiting.size > 0) {
      const { source, result } = await Promise.race(waiting.values());
      if (result.done === true) waiting.delete(source);
      else {
        yield result.value;
        waiting.set(source, next(source));
      }
    }
  } finally {
    for (const [source, pending] of waiting) {
      pending.catch(() => undefined);
      void source.return(undefined).catch(() => undefined);
    }
  }
}
