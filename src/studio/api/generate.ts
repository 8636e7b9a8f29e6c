/**
 * One streamed generation over the OpenAI wire: the request's body, and the stream as pieces of text with
 * their tokens. A model that is still loading is asked again until it answers. Does not know the page.
 */
import { problemOf, RequestFailure } from './client.ts';
import { patiently } from './patient.ts';
import { eventData } from './sse.ts';

export interface Settings {
  temperature: number;
  /** 0 keeps all. */
  topK: number;
  topP: number;
  maxTokens: number;
  /** Undefined lets the server choose. */
  seed: number | undefined;
  stop: readonly string[];
}

export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface GenerationRequest {
  model: string;
  /** A text to go on with, or the turns of a conversation. */
  input: { prompt: string } | { messages: readonly Message[] };
  settings: Settings;
  /** Ask for the probabilities of each token. */
  probabilities: boolean;
}

export interface Alternative {
  text: string;
  /** Natural logarithm of the probability. */
  logprob: number;
}

export interface Token extends Alternative {
  top: readonly Alternative[];
  /** 1 for the likeliest of all, where it is known. */
  rank?: number;
}

export type GenerationEvent =
  | { type: 'loading'; message: string; progress?: number }
  | { type: 'open' }
  | { type: 'piece'; text: string; tokens: readonly Token[] }
  | { type: 'end'; reason: string; tokens?: number };

/** How many alternatives per token are asked for. */
export const ALTERNATIVES = 5;

export function isChat(request: GenerationRequest): boolean {
  return 'messages' in request.input;
}

export function endpoint(request: GenerationRequest): string {
  return isChat(request) ? '/v1/chat/completions' : '/v1/completions';
}

/** The JSON body of a request; what is sent and what "view as code" shows. */
export function requestBody(request: GenerationRequest): Record<string, unknown> {
  const { model, input, settings, probabilities } = request;
  const logprobs = isChat(request)
    ? { logprobs: true, top_logprobs: ALTERNATIVES }
    : { logprobs: ALTERNATIVES };
  return {
    model,
    ...input,
    max_tokens: settings.maxTokens,
    temperature: settings.temperature,
    top_p: settings.topP,
    ...(settings.topK > 0 ? { top_k: settings.topK } : {}),
    ...(settings.seed === undefined ? {} : { seed: settings.seed }),
    ...(settings.stop.length > 0 ? { stop: settings.stop } : {}),
    ...(probabilities ? logprobs : {}),
    stream: true,
  };
}

/** Streams one answer. @throws RequestFailure; DOMException `AbortError` when the signal fires */
export async function* generate(
  request: GenerationRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerationEvent> {
  const body = {
    ...requestBody(request),
    stream_options: { include_usage: true },
  };
  const asking = patiently(endpoint(request), body, signal);
  let step = await asking.next();
  for (; step.done !== true; step = await asking.next()) yield { type: 'loading', ...step.value };
  const response = step.value;
  if (response.body === null) throw broken('');
  yield { type: 'open' };
  yield* read(response.body, signal);
}

async function* read(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
  let reason: string | undefined;
  let count: number | undefined;
  for await (const data of eventData(body)) {
    if (signal.aborted) throw new DOMException('Stopped', 'AbortError');
    if (data === '[DONE]') break;
    const chunk = parse(data);
    if (chunk.error !== undefined) throw new RequestFailure(problemOf(chunk, 500));
    count = chunk.usage?.completion_tokens ?? count;
    const choice = chunk.choices?.[0];
    if (choice === undefined) continue;
    const text = choice.text ?? choice.delta?.content ?? '';
    const tokens = tokensOf(choice.logprobs ?? undefined);
    if (text !== '' || tokens.length > 0) yield { type: 'piece', text, tokens };
    reason = choice.finish_reason ?? reason;
  }
  if (reason === undefined) throw broken('stream_ended');
  yield {
    type: 'end',
    reason,
    ...(count === undefined ? {} : { tokens: count }),
  };
}

interface LegacyLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs?: (Record<string, number> | null)[] | null;
}

interface ChatLogprob {
  token: string;
  logprob: number;
  top_logprobs?: { token: string; logprob: number }[];
}

interface Chunk {
  error?: unknown;
  usage?: { completion_tokens?: number } | null;
  choices?: {
    text?: string;
    delta?: { content?: string | null };
    finish_reason?: string | null;
    logprobs?: LegacyLogprobs | { content: ChatLogprob[] | null } | null;
  }[];
}

/** Both forms of log-probabilities as one. */
export function tokensOf(logprobs: LegacyLogprobs | { content: ChatLogprob[] | null } | undefined): Token[] {
  if (logprobs === undefined) return [];
  if ('content' in logprobs) {
    return (logprobs.content ?? []).map(({ token, logprob, top_logprobs }) => ({
      text: token,
      logprob,
      top: sorted(
        (top_logprobs ?? []).map((other) => ({
          text: other.token,
          logprob: other.logprob,
        })),
      ),
    }));
  }
  return logprobs.tokens.map((text, index) => ({
    text,
    logprob: logprobs.token_logprobs[index] ?? 0,
    top: sorted(
      Object.entries(logprobs.top_logprobs?.[index] ?? {}).map(([other, logprob]) => ({
        text: other,
        logprob,
      })),
    ),
  }));
}

function sorted(alternatives: Alternative[]): Alternative[] {
  return alternatives.sort((one, other) => other.logprob - one.logprob);
}

function parse(data: string): Chunk {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value === 'object' && value !== null) return value as Chunk;
  } catch {
    // Told below in the same words as any other nonsense.
  }
  throw broken('bad_event');
}

function broken(code: string): RequestFailure {
  return new RequestFailure({ kind: 'broken', status: 200, code, message: '' });
}
