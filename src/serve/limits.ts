/** What a request may take at most, before anybody has counted, and what is left of a key's limits in OpenAI's headers. */
import type { Use } from '../operate/quota/prices.ts';
import type { Allowances } from '../operate/quota/quotas.ts';

/** Tokens a UTF-8 byte, for estimates until a prompt is counted. */
export const TOKENS_PER_BYTE = 1 / 4;

const whole = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.floor(value) : undefined;

export interface Guess {
  /** Of an answer where the request does not say. */
  maxTokens: number;
  /** Default: a quarter. */
  tokensPerByte?: number;
  /** `promptBytes` of the body, where they are known. */
  bytes?: number;
}

/** Whatever of a body becomes a prompt, in bytes of UTF-8, as JSON. */
export function promptBytes(body: unknown): number {
  const { messages, prompt, input, instructions, tools } = fieldsOf(body);
  return Buffer.byteLength(JSON.stringify([messages, prompt, input, instructions, tools]));
}

const fieldsOf = (body: unknown): Record<string, unknown> =>
  (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;

/** Tokens of one answer where the request says. */
export function answerLimit(body: unknown): number | undefined {
  const { max_completion_tokens: chat, max_tokens: old, max_output_tokens: responses } = fieldsOf(body);
  return whole(chat) ?? whole(old) ?? whole(responses);
}

/** What a body that was not checked yet may ask for. */
export function estimateOf(
  route: string,
  body: unknown,
  { maxTokens, tokensPerByte = TOKENS_PER_BYTE, bytes }: Guess,
): Use {
  const given = fieldsOf(body);
  if (route.startsWith('/v1/images')) return { prompt: 0, completion: 0, pictures: whole(given.n) ?? 1 };
  const prompt = Math.ceil((bytes ?? promptBytes(body)) * tokensPerByte);
  if (route === '/v1/embeddings') return { prompt, completion: 0 };
  const longest = answerLimit(body) ?? maxTokens;
  const prompts = route === '/v1/completions' && Array.isArray(given.prompt) ? given.prompt.length : 1;
  const answers = Math.max(1, whole(given.n) ?? 1, whole(given.best_of) ?? 1);
  return { prompt, completion: longest * prompts * answers };
}

/** As OpenAI writes it: `6m0s`, `1.5s`, `20ms`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.ceil(milliseconds)}ms`;
  const seconds = Math.ceil(milliseconds / 100) / 10;
  const minutes = Math.floor(seconds / 60);
  const rest = Number((seconds % 60).toFixed(1));
  return minutes === 0 ? `${rest}s` : `${minutes}m${rest}s`;
}

/** `x-ratelimit-…` of each limit that there is. */
export function limitHeaders(allowances: Allowances): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const kind of ['requests', 'tokens'] as const) {
    const allowance = allowances[kind];
    if (allowance === undefined) continue;
    headers[`x-ratelimit-limit-${kind}`] = String(allowance.limit);
    headers[`x-ratelimit-remaining-${kind}`] = String(allowance.remaining);
    headers[`x-ratelimit-reset-${kind}`] = duration(allowance.reset);
  }
  return headers;
}
