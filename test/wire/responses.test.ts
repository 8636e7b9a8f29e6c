/** `/v1/responses` with both SDKs and their helpers: events in order, items, tools, schemas, what is kept. */
import { generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai';
import type OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { passThrough } from '../../src/safeguard/pass-through.ts';
import { LetterReplica, ScriptedReplica } from '../../src/serve/testing.ts';
import { tinyWriter, until, wireHome } from './harness.ts';

const home = wireHome(['letters']);
beforeAll(() => tinyWriter(home, 'bytes'));
const ask = { model: 'letters', input: 'say' };
const short = { ...ask, max_output_tokens: 5, seed: 0 } as typeof ask & { max_output_tokens: number };
const weather = {
  ...{ type: 'function' as const, name: 'weather', strict: false },
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};
const paris = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>';

type Event = OpenAI.Responses.ResponseStreamEvent;
async function eventsOf(client: OpenAI, body: object): Promise<Event[]> {
  const events: Event[] = [];
  const stream = await client.responses.create({ ...body, stream: true } as never);
  for await (const event of stream as unknown as AsyncIterable<Event>) events.push(event);
  return events;
}

/** What every stream must be, whatever it tells. */
function checkStream(events: readonly Event[]): void {
  expect(events[0]?.type).toBe('response.created');
  expect(events[1]?.type).toBe('response.in_progress');
  expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, i) => i));
  const ids: string[] = [];
  for (const event of events) {
    if (event.type === 'response.output_item.added') {
      expect(event.output_index).toBe(ids.length);
      const { id } = event.item as { id: string };
      expect(id).not.toBe('');
      expect(ids).not.toContain(id);
      ids.push(id);
    } else if ('item_id' in event && 'output_index' in event)
      expect(event.item_id).toBe(ids[event.output_index as number]);
    else if (event.type === 'response.output_item.done')
      expect((event.item as { id: string }).id).toBe(ids[event.output_index]);
  }
  const last = events.at(-1);
  if (last?.type !== 'response.completed' && last?.type !== 'response.incomplete')
    throw new Error(last?.type);
  expect(last.response.usage?.total_tokens).toBeGreaterThan(0);
  expect(last.response.output.map((item) => item.id)).toEqual(ids);
}

describe('the openai package', () => {
  it('gets an answer', async () => {
    const { client } = await home.start(new LetterReplica('letters', { stopAfter: 3 }));
    const answer = await client.responses.create({
      ...short,
      metadata: { a: 'b' },
      instructions: 'be brief',
    });
    expect(answer).toMatchObject({
      object: 'response',
      status: 'completed',
      output_text: 'abc',
      error: null,
    });
    expect(answer.output[0]).toMatchObject({
      ...{ type: 'message', role: 'assistant', status: 'completed' },
      content: [{ type: 'output_text', text: 'abc', annotations: [], logprobs: [] }],
    });
    expect(answer.usage).toMatchObject({ output_tokens: 3, output_tokens_details: { reasoning_tokens: 0 } });
    expect(answer.metadata).toEqual({ a: 'b' });
  });

  it('streams with every event in its place', async () => {
    const { client } = await home.start(new LetterReplica('letters', { stopAfter: 3 }));
    const events = await eventsOf(client, short);
    checkStream(events);
    expect(events.map(({ type }) => type.replace('response.', ''))).toEqual([
      ...['created', 'in_progress', 'output_item.added', 'content_part.added'],
      ...['output_text.delta', 'output_text.delta', 'output_text.delta'],
      ...['output_text.done', 'content_part.done', 'output_item.done', 'completed'],
    ]);
  });

  it('names each event on the wire, too, and ends with [DONE]', async () => {
    const { server } = await home.start(new LetterReplica('letters', { stopAfter: 1 }));
    const response = await fetch(`${server.address}/v1/responses`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ ...short, stream: true }),
    });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const events = (await response.text()).trim().split('\n\n');
    expect(events.pop()).toBe('data: [DONE]');
    for (const event of events) {
      const [, type, data] = /^event: (\S+)\ndata: (.*)$/.exec(event) ?? [];
      expect((JSON.parse(data as string) as { type: string }).type).toBe(type);
    }
  });

  it('says that an answer was cut', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const answer = await client.responses.create(short);
    expect(answer).toMatchObject({
      ...{ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } },
      ...{ output_text: 'abcde', output: [{ status: 'incomplete' }] },
    });
    const events = await eventsOf(client, short);
    checkStream(events);
    expect(events.at(-1)?.type).toBe('response.incomplete');
  });

  it('says that an answer was filtered', async () => {
    const { client, server } = await home.start(new LetterReplica('letters'));
    server.context.generation.guard = {
      ...passThrough,
      output: async (soFar) =>
        soFar.length === 2 ? { action: 'block', reason: 'enough', categories: [] } : { action: 'allow' },
    };
    expect(await client.responses.create(short)).toMatchObject({
      ...{ status: 'incomplete', incomplete_details: { reason: 'content_filter' }, output_text: 'ab' },
    });
  });

  it('collects with its helper, calls among it', async () => {
    const { client } = await home.start(new ScriptedReplica('letters', [`Let me look. ${paris}`]));
    const events: Event[] = [];
    const stream = client.responses
      .stream({ ...ask, tools: [weather] })
      .on('event', (event) => events.push(event));
    const whole = await stream.finalResponse();
    checkStream(events);
    expect(whole.output.map(({ type }) => type)).toEqual(['message', 'function_call']);
    expect(whole.output[1]).toMatchObject({
      name: 'weather',
      arguments: '{"city": "Paris"}',
      status: 'completed',
    });
    expect((whole.output[1] as { call_id: string }).call_id).toMatch(/^call_/);
    const types = events.map(({ type }) => type);
    expect(types.filter((type) => type === 'response.function_call_arguments.done')).toHaveLength(1);
    expect(types.indexOf('response.output_text.done')).toBeLessThan(
      types.indexOf('response.function_call_arguments.delta'),
    );
  });

  it('parses documents that a model was held to', async () => {
    const { client } = await home.shared({ model: 'bytes', loadWait: 60 });
    const format = zodTextFormat(
      z.object({ colour: z.enum(['red', 'blue']), size: z.int().min(1).max(9) }),
      'thing',
    );
    const more = { model: 'bytes', input: 'x', max_output_tokens: 80, temperature: 0 };
    const answer = await client.responses.parse({ ...more, text: { format } });
    expect(['red', 'blue']).toContain(answer.output_parsed?.colour);
    const stream = client.responses.stream({ ...more, text: { format } });
    expect((await stream.finalResponse()).output_parsed).toEqual(answer.output_parsed);
    const named = { type: 'function' as const, name: 'weather' };
    const strict = { ...weather.parameters, required: ['city'], additionalProperties: false };
    const called = await client.responses.create({
      ...{ ...more, max_output_tokens: 300, tools: [{ ...weather, parameters: strict }], tool_choice: named },
    });
    expect(called.output[0]).toMatchObject({ type: 'function_call', name: 'weather' });
  });

  it('gets log-probabilities where it asks for them', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const include = ['message.output_text.logprobs' as const];
    const answer = await client.responses.create({ ...short, include, top_logprobs: 2 });
    const [item] = answer.output;
    if (item?.type !== 'message' || item.content[0]?.type !== 'output_text') throw new Error('no text');
    expect(item.content[0].logprobs?.map(({ token }) => token)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(item.content[0].logprobs?.[0]?.top_logprobs).toHaveLength(2);
    const plain = await client.responses.create({ ...short, include });
    if (plain.output[0]?.type !== 'message' || plain.output[0].content[0]?.type !== 'output_text')
      throw new Error();
    expect(plain.output[0].content[0].logprobs?.[0]?.top_logprobs).toEqual([]);
  });

  it('throws what breaks a stream, in the middle and before', async () => {
    const { client } = await home.start(new LetterReplica('letters', { failAfter: 2 }));
    await expect(eventsOf(client, short)).rejects.toThrow(/fell over/);
    await expect(client.responses.stream(short).finalResponse()).rejects.toThrow(/fell over/);
    await expect(client.responses.create(short)).rejects.toMatchObject({ status: 503 });
    await expect(client.responses.create({ ...short, model: 'nobody' })).rejects.toMatchObject({
      status: 404,
    });
  });
});

describe('what is kept', () => {
  it('is fetched, listed, gone on from and deleted', async () => {
    const replica = new ScriptedReplica('letters', ['one', 'two', 'three']);
    const { client } = await home.start(replica);
    const first = await client.responses.create({ ...ask, instructions: 'Be kind.' });
    expect(await client.responses.retrieve(first.id)).toMatchObject({ id: first.id, output_text: 'one' });
    const second = await client.responses.create({
      ...{
        ...ask,
        input: [
          { role: 'user', content: 'and?' },
          { role: 'user', content: [{ type: 'input_text', text: 'well?' }] },
        ],
      },
      previous_response_id: first.id,
    });
    const prompt = replica.asked[1]?.prompt ?? '';
    expect(prompt).toMatch(/User: say\n\nAssistant: one\n*User: and\?\n\nUser: well\?/);
    // Instructions are for one answer only.
    expect(prompt).not.toContain('Be kind.');
    const items = await client.responses.inputItems.list(second.id, { order: 'asc' });
    expect(items.data.map((item) => (item as { content: { text: string }[] }).content[0]?.text)).toEqual([
      'and?',
      'well?',
    ]);
    const newest = await client.responses.inputItems.list(second.id, { limit: 1 });
    expect([newest.data.length, newest.has_more]).toEqual([1, true]);
    const all: unknown[] = [];
    for await (const item of client.responses.inputItems.list(second.id, { limit: 1 })) all.push(item);
    expect(all).toHaveLength(2);
    await client.responses.delete(first.id);
    await expect(client.responses.retrieve(first.id)).rejects.toMatchObject({
      status: 404,
      code: 'response_missing',
    });
    await expect(client.responses.create({ ...ask, previous_response_id: second.id })).rejects.toMatchObject({
      ...{ status: 404, param: 'previous_response_id' },
    });
  });

  it('is not what was not to be kept, broke, or was left', async () => {
    const replica = new LetterReplica('letters', { pace: 5 });
    const { client, server } = await home.start(replica);
    const answer = await client.responses.create({ ...short, store: false });
    await expect(client.responses.retrieve(answer.id)).rejects.toMatchObject({ status: 404 });
    const rows = () =>
      server.context.store.rows.list<{ id: string; response: { model: string } }>('responses');
    const before = (await rows()).length;
    const stream = await client.responses.create({
      ...short,
      max_output_tokens: 1000,
      stream: true,
    } as never);
    for await (const event of stream as unknown as AsyncIterable<Event>)
      if (event.type === 'response.output_text.delta') break;
    await until(() => replica.running === 0 && server.context.generation.queue.status().running === 0);
    expect(await rows()).toHaveLength(before);
  });

  it('is seen with the key that made it alone', async () => {
    const { client, server } = await home.start(new LetterReplica('letters'));
    const one = await server.context.keys.create('one');
    const two = await server.context.keys.create('two');
    const mine = client.withOptions({ apiKey: one.key });
    const { id } = await mine.responses.create(short);
    expect((await mine.responses.retrieve(id)).id).toBe(id);
    const theirs = client.withOptions({ apiKey: two.key });
    await expect(theirs.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
    await expect(theirs.responses.create({ ...short, previous_response_id: id })).rejects.toMatchObject({
      status: 404,
    });
    await expect(theirs.responses.delete(id)).rejects.toMatchObject({ status: 404 });
    for (const { row } of [one, two]) await server.context.keys.revoke(row.id);
  });

  it('cannot be cancelled or streamed again', async () => {
    const { client, server } = await home.start(new LetterReplica('letters'));
    const { id } = await client.responses.create(short);
    await expect(client.responses.cancel(id)).rejects.toMatchObject({
      status: 400,
      code: 'response_complete',
    });
    expect((await fetch(`${server.address}/v1/responses/${id}?stream=true`)).status).toBe(400);
  });
});

describe('the ai package', () => {
  const prompt = 'Weather?';
  it('generates and streams with openai(model)', async () => {
    const { ai } = await home.start(new LetterReplica('letters'));
    const whole = await generateText({ model: ai('letters'), prompt, maxOutputTokens: 4 });
    expect(whole.text).toHaveLength(4);
    expect(whole.finishReason).toBe('length');
    const stream = streamText({ model: ai('letters'), prompt, maxOutputTokens: 4 });
    expect(await stream.text).toHaveLength(4);
    expect((await stream.usage).outputTokens).toBe(4);
    expect(await stream.warnings).toEqual([]);
  });

  it('runs tools in steps, referring to what was said before', async () => {
    const tools = {
      weather: tool({
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => `sunny in ${city}`,
      }),
    };
    for (const streamed of [false, true]) {
      const replica = new ScriptedReplica('letters', [`Let me look. ${paris}`, 'It is sunny.']);
      const { ai } = await home.start(replica);
      const call = { model: ai('letters'), tools, prompt, stopWhen: stepCountIs(3) };
      if (streamed) {
        const stream = streamText(call);
        for await (const part of stream.fullStream) expect(part.type).not.toBe('error');
        expect(await stream.text).toBe('It is sunny.');
      } else expect((await generateText(call)).text).toBe('It is sunny.');
      expect(replica.asked[1]?.prompt).toContain('Let me look.');
      expect(replica.asked[1]?.prompt).toContain('sunny in Paris');
    }
  });

  it('makes objects, whole and in pieces', async () => {
    const { ai } = await home.shared({ model: 'bytes', loadWait: 60 });
    const schema = z.object({ kind: z.enum(['cat', 'dog']), count: z.int().min(0).max(99) });
    const call = { model: ai('bytes'), schema, prompt: 'x', maxOutputTokens: 80, temperature: 0 };
    const { object } = await generateObject(call);
    expect(['cat', 'dog']).toContain(object.kind);
    const stream = streamObject(call);
    let pieces = 0;
    for await (const partial of stream.partialObjectStream) if (Object.keys(partial).length > 0) pieces++;
    expect(pieces).toBeGreaterThan(0);
    expect(await stream.object).toEqual(object);
  });

  it('is told what breaks a stream', async () => {
    const { ai } = await home.start(new LetterReplica('letters', { failAfter: 2 }));
    const errors: unknown[] = [];
    const stream = streamText({
      model: ai('letters'),
      prompt,
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    });
    await stream.consumeStream();
    expect(errors).toHaveLength(1);
    expect(String((errors[0] as Error).message)).toContain('fell over');
  });
});

describe('refused', () => {
  it.each([
    ['no input', { input: undefined }, 'input'],
    ['an empty list', { input: [] }, 'input'],
    [
      'an image',
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
      'input.0.content.0',
    ],
    ['an item of another kind', { input: [{ type: 'web_search_call', id: 'x' }] }, 'input.0.type'],
    ['a message of nobody', { input: [{ type: 'message', content: 'x' }] }, 'input.0.role'],
    ['half a call', { input: [{ type: 'function_call', name: 'f' }] }, 'input.0'],
    [
      'an output of no call',
      { input: [{ type: 'function_call_output', call_id: 'x', output: 'y' }] },
      'input.0.call_id',
    ],
    ['a tool of the house', { tools: [{ type: 'web_search' }] }, 'tools.0.type'],
    ['a choice without tools', { tool_choice: 'required' }, 'tool_choice'],
    ['work in the background', { background: true }, 'background'],
    ['a conversation elsewhere', { conversation: 'conv_1' }, 'conversation'],
    ['reasoning', { reasoning: { effort: 'high' } }, 'reasoning'],
    ['cutting by itself', { truncation: 'auto' }, 'truncation'],
    ['a longer way of speaking', { text: { verbosity: 'high' } }, 'text.verbosity'],
    [
      'a schema that nothing fits',
      {
        text: {
          format: { type: 'json_schema', name: 'x', schema: { type: 'integer', minimum: 2, maximum: 1 } },
        },
      },
      'text.format',
    ],
    ['an unknown part to include', { include: ['everything'] }, 'include.0'],
    ['too long a text', { input: 'x'.repeat(65) }, 'input'],
  ])('is %s', async (_, more, param) => {
    const { post } = await home.start(new LetterReplica('letters'));
    const { status, body } = await post('/v1/responses', { ...ask, ...more });
    const { error } = body as { error: { param: string; type: string } };
    expect([status, error.type, error.param]).toEqual([400, 'invalid_request_error', param]);
  });

  it.each([
    ['a response', { previous_response_id: 'resp_none' }, 'previous_response_id'],
    ['an item', { input: [{ type: 'item_reference', id: 'msg_none_0' }] }, 'input.0.id'],
  ])('is %s that is not there', async (_, more, param) => {
    const { post } = await home.start(new LetterReplica('letters'));
    const { status, body } = await post('/v1/responses', { ...ask, ...more });
    expect([status, (body as { error: { param: string } }).error.param]).toEqual([404, param]);
  });
});
