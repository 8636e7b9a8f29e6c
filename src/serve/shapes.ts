/** How answers look on the two completion routes, whole and in chunks. Knows no requests and no models. */
import type { TextToken } from '../base/contracts/generator.ts';
import type { Answer } from './answer-parts.ts';

/** One route's way of writing answers. */
export interface Shape {
  object: string;
  chunk: string;
  prefix: string;
  first?(index: number): object;
  delta(index: number, text: string, logprobs: object | null): object;
  /** A call begins; `call` counts the calls of one answer. */
  call?(index: number, call: number, id: string, name: string): object;
  arguments?(index: number, call: number, text: string): object;
  last(index: number, reason: string): object;
  whole(index: number, answer: Answer, reason: string): object;
  logprobs(tokens: readonly TextToken[], offset: number): object | null;
}

const describe = (t: { token: string; logprob: number; bytes: readonly number[] }): object => ({
  token: t.token,
  logprob: t.logprob,
  bytes: t.bytes,
});

/** `/v1/chat/completions`. @param wanted whether log-probabilities were asked for @param tools whether there may be calls */
export function chatShape(wanted: boolean, tools: boolean): Shape {
  const called = (index: number, call: object): object => ({
    ...{ index, delta: { tool_calls: [call] }, logprobs: null, finish_reason: null },
  });
  const logprobs = (tokens: readonly TextToken[]): object | null =>
    wanted
      ? { content: tokens.map((t) => ({ ...describe(t), top_logprobs: t.top.map(describe) })), refusal: null }
      : null;
  return {
    object: 'chat.completion',
    chunk: 'chat.completion.chunk',
    prefix: 'chatcmpl',
    first: (index) => ({
      index,
      // A message that only calls has no content.
      delta: { role: 'assistant', content: tools ? null : '' },
      logprobs: null,
      finish_reason: null,
    }),
    delta: (index, text, log) => ({ index, delta: { content: text }, logprobs: log, finish_reason: null }),
    call: (index, call, id, name) =>
      called(index, { index: call, id, type: 'function', function: { name, arguments: '' } }),
    arguments: (index, call, text) => called(index, { index: call, function: { arguments: text } }),
    last: (index, reason) => ({ index, delta: {}, logprobs: null, finish_reason: reason }),
    whole: (index, { text, tokens, calls }, reason) => ({
      index,
      message: {
        role: 'assistant',
        content: text === '' && calls.length > 0 ? null : text,
        refusal: null,
        ...(calls.length === 0
          ? {}
          : {
              tool_calls: calls.map(({ id, name, arguments: given }) => ({
                ...{ id, type: 'function', function: { name, arguments: given } },
              })),
            }),
      },
      logprobs: logprobs(tokens),
      finish_reason: reason,
    }),
    logprobs,
  };
}

/** `/v1/completions`. @param wanted whether log-probabilities were asked for */
export function completionShape(wanted: boolean): Shape {
  const logprobs = (tokens: readonly TextToken[], offset: number): object | null => {
    if (!wanted) return null;
    let at = offset;
    return {
      tokens: tokens.map((t) => t.token),
      // The first token of a prompt has nothing before it.
      token_logprobs: tokens.map((t) => (Number.isNaN(t.logprob) ? null : t.logprob)),
      top_logprobs: tokens.map((t) =>
        Number.isNaN(t.logprob) ? null : Object.fromEntries(t.top.map((o) => [o.token, o.logprob])),
      ),
      text_offset: tokens.map((t) => {
        const start = at;
        at += t.token.length;
        return start;
      }),
    };
  };
  return {
    object: 'text_completion',
    chunk: 'text_completion',
    prefix: 'cmpl',
    delta: (index, text, log) => ({ index, text, logprobs: log, finish_reason: null }),
    last: (index, reason) => ({ index, text: '', logprobs: null, finish_reason: reason }),
    whole: (index, { text, tokens }, reason) => ({
      index,
      text,
      logprobs: logprobs(tokens, 0),
      finish_reason: reason,
    }),
    logprobs,
  };
}
