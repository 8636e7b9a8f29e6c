import { afterEach, describe, expect, it, vi } from 'vitest';
import { toProblem } from './client.ts';
import { type GenerationEvent, type GenerationRequest, generate, requestBody, tokensOf } from './generate.ts';

const SETTINGS = { temperature: 0.8, topK: 0, topP: 1, maxTokens: 8, seed: undefined, stop: [] };
const REQUEST: GenerationRequest = {
  model: 'm',
  input: { prompt: 'Hi' },
  settings: SETTINGS,
  probabilities: true,
};

afterEach(() => {
  vi.unstubAllGlobals();
});

function answers(...responses: Response[]) {
  vi.stubGlobal('document', { baseURI: 'http://localhost/' });
  vi.stubGlobal('fetch', async (_: unknown, options: { signal: AbortSignal }) => {
    options.signal.throwIfAborted();
    return responses.shift();
  });
}

const events = (...chunks: unknown[]) =>
  new Response(
    chunks.map((chunk) => `data: ${typeof chunk === 'string' ? chunk : JSON.stringify(chunk)}\n\n`).join(''),
  );

async function run(request = REQUEST, signal = new AbortController().signal): Promise<GenerationEvent[]> {
  const found: GenerationEvent[] = [];
  for await (const event of generate(request, signal)) found.push(event);
  return found;
}

describe('requestBody', () => {
  it('leaves out what is not set', () => {
    expect(requestBody(REQUEST)).toEqual({
      ...{ model: 'm', prompt: 'Hi', max_tokens: 8, temperature: 0.8, top_p: 1, logprobs: 5, stream: true },
    });
  });

  it('carries everything in a conversation', () => {
    const settings = { ...SETTINGS, topK: 40, seed: 0, stop: ['\n'] };
    const body = requestBody({
      ...REQUEST,
      input: { messages: [{ role: 'user', content: 'Hi' }] },
      settings,
    });
    expect(body).toMatchObject({ logprobs: true, top_logprobs: 5, top_k: 40, seed: 0, stop: ['\n'] });
    expect(body).not.toHaveProperty('prompt');
  });
});

describe('generate', () => {
  it('yields pieces, then the end with the usage', async () => {
    const logprobs = { tokens: ['a'], token_logprobs: [-0.1], top_logprobs: [{ b: -3, a: -0.1 }] };
    answers(
      events(
        { choices: [{ index: 0, text: 'a', logprobs, finish_reason: null }] },
        { choices: [{ index: 0, text: '', finish_reason: 'stop' }] },
        { choices: [], usage: { completion_tokens: 1 } },
        '[DONE]',
      ),
    );
    const top = [
      { text: 'a', logprob: -0.1 },
      { text: 'b', logprob: -3 },
    ];
    expect(await run()).toEqual([
      { type: 'open' },
      { type: 'piece', text: 'a', tokens: [{ text: 'a', logprob: -0.1, top }] },
      { type: 'end', reason: 'stop', tokens: 1 },
    ]);
  });

  it('asks again while the model loads', async () => {
    const body = JSON.stringify({ error: { code: 'model_loading', message: 'Loading m', progress: 0.5 } });
    answers(
      new Response(body, { status: 503, headers: { 'retry-after': '0' } }),
      events({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }),
    );
    expect((await run()).map((event) => event.type)).toEqual(['loading', 'open', 'end']);
  });

  it.each([
    [
      'an error after the first byte',
      events({ error: { message: 'gone', code: 'replica_failed' } }),
      'server',
    ],
    [
      'a stream that ends early',
      events({ choices: [{ index: 0, text: 'a', finish_reason: null }] }),
      'broken',
    ],
    ['an event that is no JSON', events('{"choices":'), 'broken'],
    ['an event that is no object', events('7'), 'broken'],
    ['a full queue', new Response('{}', { status: 429 }), 'busy'],
  ])('fails on %s', async (_, response, kind) => {
    answers(response);
    expect(toProblem(await run().catch((thrown: unknown) => thrown)).kind).toBe(kind);
  });

  it('stops while it waits for a model', async () => {
    const controller = new AbortController();
    answers(
      new Response('{"error":{"code":"model_loading"}}', { status: 503, headers: { 'retry-after': '60' } }),
    );
    setTimeout(() => controller.abort(), 5);
    await expect(run(REQUEST, controller.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('tokensOf', () => {
  it('reads a conversation’s form, with and without content', () => {
    const content = [{ token: 'x', logprob: -1, top_logprobs: [{ token: 'y', logprob: -0.5 }] }];
    expect(tokensOf({ content })).toEqual([{ text: 'x', logprob: -1, top: [{ text: 'y', logprob: -0.5 }] }]);
    expect(tokensOf({ content: null })).toEqual([]);
    expect(tokensOf(undefined)).toEqual([]);
    expect(tokensOf({ tokens: ['q'], token_logprobs: [null], top_logprobs: null })).toEqual([
      { text: 'q', logprob: 0, top: [] },
    ]);
  });
});
