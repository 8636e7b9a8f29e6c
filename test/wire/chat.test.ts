/** Chat and completions with the real `openai` and `ai` packages, and a replica that says the alphabet. */
import { generateText, streamText } from 'ai';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { InkstoneError } from '../../src/base/errors.ts';
import { answerOf } from '../../src/serve/errors.ts';
import { LetterReplica } from '../../src/serve/testing.ts';
import { wireHome } from './harness.ts';

const home = wireHome();
const say = {
  model: 'letters',
  messages: [{ role: 'user' as const, content: 'say' }],
  seed: 0,
  max_tokens: 5,
};

describe('the openai package', () => {
  it('lists models and fetches one', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const all = await client.models.list();
    expect(all.data.map((m) => m.id)).toContain('letters');
    expect((await client.models.retrieve('letters')).owned_by).toBe('inkstone');
  });

  it('completes a chat', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const answer = await client.chat.completions.create({ ...say, logprobs: true, top_logprobs: 2 });
    expect(answer.choices[0]?.message.content).toBe('abcde');
    expect(answer.choices[0]?.finish_reason).toBe('length');
    expect(answer.usage).toEqual({ prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 });
    expect(answer.choices[0]?.logprobs?.content?.map((t) => t.top_logprobs.length)).toEqual([2, 2, 2, 2, 2]);
  });

  it('gives log-probability entries a list of alternatives even where none were asked for', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const answer = await client.chat.completions.create({ ...say, logprobs: true });
    expect(answer.choices[0]?.logprobs?.content?.[0]?.top_logprobs).toEqual([]);
  });

  it('streams with the helper, role first, usage last', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const stream = client.chat.completions.stream({ ...say, stream_options: { include_usage: true } });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    stream.on('chunk', (chunk) => chunks.push(chunk));
    const whole = await stream.finalChatCompletion();
    expect(whole.choices[0]?.message.content).toBe('abcde');
    expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant');
    expect(
      chunks.every(
        (c) => Array.isArray(c.choices) && c.choices.every((choice) => Number.isInteger(choice.index)),
      ),
    ).toBe(true);
    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(5);
    expect(chunks.slice(0, -1).every((c) => (c.usage ?? null) === null)).toBe(true);
    expect(chunks.filter((c) => c.choices[0]?.finish_reason !== null && c.choices.length > 0)).toHaveLength(
      1,
    );
  });

  it('streams several answers, each with its own end', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const texts = ['', ''];
    const ends = new Set<number>();
    for await (const chunk of await client.chat.completions.create({ ...say, n: 2, stream: true })) {
      for (const choice of chunk.choices) {
        texts[choice.index] += choice.delta.content ?? '';
        if (choice.finish_reason !== null) ends.add(choice.index);
      }
    }
    expect(texts).toEqual(['abcde', 'bcdef']);
    expect(ends).toEqual(new Set([0, 1]));
  });

  it('completes text, plain and streamed, several prompts at once', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const plain = await client.completions.create({
      model: 'letters',
      prompt: ['x', 'yy'],
      max_tokens: 3,
      seed: 0,
      logprobs: 1,
    });
    expect(plain.choices.map((c) => c.text)).toEqual(['abc', 'abc']);
    expect(plain.usage?.prompt_tokens).toBe(3);
    expect(plain.choices[0]?.logprobs?.text_offset).toEqual([0, 1, 2]);
    let text = '';
    for await (const chunk of await client.completions.create({
      model: 'letters',
      prompt: 'x',
      max_tokens: 3,
      seed: 0,
      stream: true,
    }))
      text += chunk.choices[0]?.text ?? '';
    expect(text).toBe('abc');
  });

  it('maps errors to its classes', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    await expect(client.chat.completions.create({ ...say, model: 'leters' })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    );
    await expect(client.chat.completions.create({ ...say, temperature: 9 })).rejects.toBeInstanceOf(
      OpenAI.BadRequestError,
    );
  });

  it('throws in the stream when the model fails after the first byte', async () => {
    const { client } = await home.start(new LetterReplica('letters', { failAfter: 2 }));
    const read = async (): Promise<void> => {
      for await (const chunk of await client.chat.completions.create({ ...say, stream: true })) void chunk;
    };
    await expect(read()).rejects.toThrow(/fell over/);
  });
});

describe('a stream as it is on the wire', () => {
  const read = async (server: { address: string }, route: string, more: object): Promise<string[]> => {
    const response = await fetch(`${server.address}${route}`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ ...say, prompt: 'say', stream: true, ...more }),
    });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(response.headers.get('x-request-id')).toMatch(/^req-/);
    const text = await response.text();
    expect(text.endsWith('\n\n')).toBe(true);
    return text
      .trim()
      .split('\n\n')
      .map((event) => {
        expect(event).toMatch(/^data: [^\n]+$/);
        return event.slice('data: '.length);
      });
  };

  it.each(['/v1/chat/completions', '/v1/completions'])('of %s ends with [DONE]', async (route) => {
    const { server } = await home.start(new LetterReplica('letters'));
    for (const usage of [undefined, true, false]) {
      const more = usage === undefined ? {} : { stream_options: { include_usage: usage } };
      const events = await read(server, route, more);
      expect(events.pop()).toBe('[DONE]');
      const chunks = events.map((event) => JSON.parse(event) as OpenAI.ChatCompletionChunk);
      expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
      expect(chunks.filter(({ choices }) => choices.length === 0)).toHaveLength(usage === true ? 1 : 0);
      expect(chunks.filter((chunk) => 'usage' in chunk)).toHaveLength(usage === true ? 1 : 0);
      const reasons = chunks.flatMap(({ choices }) => choices.map((choice) => choice.finish_reason));
      expect(reasons.at(-1)).toBe('length');
      expect(reasons.slice(0, -1).every((reason) => reason === null)).toBe(true);
    }
  });

  it.each(['/v1/chat/completions', '/v1/completions', '/v1/responses'])(
    'of %s ends with an error where one comes late',
    async (route) => {
      const { server } = await home.start(new LetterReplica('letters', { failAfter: 2 }));
      const response = await fetch(`${server.address}${route}`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({
          ...say,
          [route === '/v1/responses' ? 'input' : 'prompt']: 'say',
          stream: true,
        }),
      });
      const last = (await response.text()).trim().split('\n\n').at(-1) ?? '';
      const { error } = JSON.parse(last.slice(last.indexOf('data: ') + 6)) as { error: object };
      expect(error).toEqual({
        ...{ message: 'the model fell over', type: 'server_error', param: null, code: 'replica_crashed' },
      });
    },
  );

  it('tells which errors are worth another try', () => {
    const headersOf = (kind: 'conflict' | 'limit') =>
      answerOf(new InkstoneError('x', 'y', { kind, details: kind === 'limit' ? { retryAfter: 1.2 } : {} }))
        .headers;
    expect(headersOf('conflict')).toEqual({ 'x-should-retry': 'false' });
    expect(headersOf('limit')).toEqual({ 'retry-after': '2', 'retry-after-ms': '1200' });
  });
});

describe('the ai package', () => {
  it('generates and streams through .chat()', async () => {
    const { ai } = await home.start(new LetterReplica('letters'));
    const model = ai.chat('letters');
    const whole = await generateText({ model, prompt: 'say', maxOutputTokens: 4, seed: 0 });
    expect(whole.text).toBe('abcd');
    expect(whole.finishReason).toBe('length');
    const stream = streamText({ model, prompt: 'say', maxOutputTokens: 4, seed: 1 });
    expect(await stream.text).toBe('bcde');
    expect((await stream.usage).outputTokens).toBe(4);
  });

  it('works as an OpenAI-compatible provider', async () => {
    const { compatible: provider } = await home.start(new LetterReplica('letters'));
    expect(
      (await generateText({ model: provider('letters'), prompt: 'say', maxOutputTokens: 3, seed: 0 })).text,
    ).toBe('abc');
    expect(
      await streamText({
        model: provider.completionModel('letters'),
        prompt: 'say',
        maxOutputTokens: 3,
        seed: 0,
      }).text,
    ).toBe('abc');
  });
});
