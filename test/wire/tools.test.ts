/** Tool calls over the wire: read from what a model says, forced on one that would not, with both SDKs and their helpers. */
import { generateText, stepCountIs, streamText, tool } from 'ai';
import type OpenAI from 'openai';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { LetterReplica, ScriptedReplica } from '../../src/serve/testing.ts';
import { tinyWriter, until, wireHome } from './harness.ts';

const home = wireHome(['letters']);
beforeAll(() => tinyWriter(home, 'bytes'));
const weather = {
  type: 'function' as const,
  function: {
    name: 'weather',
    description: 'How the weather is',
    parameters: {
      ...{ type: 'object', properties: { city: { type: 'string' } } },
      ...{ required: ['city'], additionalProperties: false },
    },
  },
};
const time = { type: 'function' as const, function: { name: 'time' } };
const question: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'How is it in Paris?' }];
const ask = { model: 'letters', messages: question, tools: [weather, time] };
const calling = (name: string, given: string): string =>
  `<tool_call>\n{"name": "${name}", "arguments": ${given}}\n</tool_call>`;
const paris = calling('weather', '{"city": "Paris"}');

async function chunksOf(client: OpenAI, more: object = {}): Promise<OpenAI.ChatCompletionChunk.Choice[]> {
  const choices: OpenAI.ChatCompletionChunk.Choice[] = [];
  const stream = await client.chat.completions.create({ ...ask, ...more, stream: true } as typeof ask & {
    stream: true;
  });
  for await (const chunk of stream) choices.push(...chunk.choices);
  return choices;
}

describe('a call that the model wants', () => {
  it('is an answer without content', async () => {
    const replica = new ScriptedReplica('letters', [paris]);
    const { client } = await home.start(replica);
    const [choice] = (await client.chat.completions.create(ask)).choices;
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(choice?.message).toMatchObject({
      content: null,
      tool_calls: [{ type: 'function', function: { name: 'weather', arguments: '{"city": "Paris"}' } }],
    });
    expect(choice?.message.tool_calls?.[0]?.id).toMatch(/^call_\w{24}$/);
    expect(replica.asked[0]?.prompt).toContain('"name":"weather"');
    expect(replica.asked[0]?.prompt).toContain('How the weather is');
  });

  it('streams its name first, then its arguments under the same index', async () => {
    const { client } = await home.start(
      new ScriptedReplica('letters', [`Let me look. ${paris}\n${calling('time', '{}')}`]),
    );
    const choices = await chunksOf(client);
    expect(choices[0]?.delta).toEqual({ role: 'assistant', content: null });
    expect(choices.map(({ delta }) => delta.content ?? '').join('')).toBe('Let me look.');
    const deltas = choices.flatMap(({ delta }) => delta.tool_calls ?? []);
    for (const index of [0, 1]) {
      const [first, ...rest] = deltas.filter((delta) => delta.index === index);
      expect(first).toMatchObject({ type: 'function', function: { arguments: '' } });
      expect(first?.id).toMatch(/^call_/);
      for (const delta of rest) {
        expect([delta.id, delta.type, delta.function?.name]).toEqual([undefined, undefined, undefined]);
        expect(delta.function?.arguments).not.toBe('');
      }
      expect(rest.map((delta) => delta.function?.arguments).join('')).toBe(
        index === 0 ? '{"city": "Paris"}' : '{}',
      );
    }
    expect(deltas.filter(({ index }) => index === 0).length).toBeGreaterThan(3);
    expect(choices.map((one) => one.finish_reason).filter((reason) => reason !== null)).toEqual([
      'tool_calls',
    ]);
  });

  it('is cut where the tokens run out, and says so', async () => {
    const { client } = await home.start(new ScriptedReplica('letters', [paris]));
    const [choice] = (await client.chat.completions.create({ ...ask, max_tokens: 19 })).choices;
    expect(choice?.finish_reason).toBe('length');
    const [call] = choice?.message.tool_calls ?? [];
    expect(call).toMatchObject({ function: { name: 'weather', arguments: '{"city": "Pa' } });
    const choices = await chunksOf(client, { max_tokens: 19 });
    expect(choices.at(-1)?.finish_reason).toBe('length');
  });

  it('is text where no tool was offered or none may be called', async () => {
    const replica = new ScriptedReplica('letters', [paris]);
    const { client } = await home.start(replica);
    for (const more of [{ tools: undefined }, { tool_choice: 'none' as const }]) {
      const { tools, ...rest } = { ...ask, ...more };
      const [choice] = (
        await client.chat.completions.create({ ...rest, ...(tools === undefined ? {} : { tools }) })
      ).choices;
      expect(choice).toMatchObject({ message: { content: paris }, finish_reason: 'stop' });
      expect(replica.asked.at(-1)?.prompt).not.toContain('<tools>');
    }
  });

  it('comes alone where parallel calls are not wanted', async () => {
    const { client } = await home.start(new ScriptedReplica('letters', [`${paris}${paris}`]));
    const one = await client.chat.completions.create({ ...ask, parallel_tool_calls: false });
    expect(one.choices[0]?.message.tool_calls).toHaveLength(1);
    expect(one.choices[0]?.finish_reason).toBe('tool_calls');
    const two = await client.chat.completions.create(ask);
    expect(two.choices[0]?.message.tool_calls).toHaveLength(2);
  });

  it('has its log-probabilities left out, and those of the text beside it kept', async () => {
    const { client } = await home.start(new ScriptedReplica('letters', [`Look: ${paris}`]));
    const [choice] = (await client.chat.completions.create({ ...ask, logprobs: true })).choices;
    expect(choice?.logprobs?.content?.map(({ token }) => token).join('')).toMatch(/^Look:/);
    expect(choice?.logprobs?.content?.length).toBeLessThan(15);
    for (const entry of choice?.logprobs?.content ?? []) expect(entry.top_logprobs).toEqual([]);
  });
});

describe('the helpers', () => {
  const answered = [paris, 'It is sunny in Paris.'];
  it('of openai run a tool and go on with what it gave', async () => {
    for (const stream of [false, true]) {
      const replica = new ScriptedReplica('letters', answered);
      const { client } = await home.start(replica);
      const cities: string[] = [];
      const runner = client.chat.completions.runTools({
        ...{ model: 'letters', messages: question, ...(stream ? { stream: true as const } : {}) },
        tools: [
          {
            type: 'function',
            function: {
              ...weather.function,
              parse: JSON.parse,
              function: ({ city }: { city: string }) => {
                cities.push(city);
                return 'sunny';
              },
            },
          },
        ],
      } as Parameters<typeof client.chat.completions.runTools>[0]);
      expect(await runner.finalContent()).toBe('It is sunny in Paris.');
      expect(cities).toEqual(['Paris']);
      expect(replica.asked[1]?.prompt).toContain('<tool_response>\nsunny\n</tool_response>');
      expect(replica.asked[1]?.prompt).toContain('{"name":"weather","arguments":{"city":"Paris"}}');
    }
  });

  it('of openai collect a streamed call', async () => {
    const { client } = await home.start(new ScriptedReplica('letters', [paris]));
    const seen: string[] = [];
    const stream = client.chat.completions
      .stream(ask)
      .on('tool_calls.function.arguments.done', ({ name, arguments: given }) =>
        seen.push(`${name} ${given}`),
      );
    const whole = await stream.finalChatCompletion();
    expect(seen).toEqual(['weather {"city": "Paris"}']);
    expect(whole.choices[0]?.message.tool_calls).toHaveLength(1);
  });

  it.each(['chat', 'compatible'] as const)('of ai run tools in steps, through %s', async (kind) => {
    const tools = {
      weather: tool({
        description: 'How the weather is',
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => `sunny in ${city}`,
      }),
    };
    const modelOf = (wire: Awaited<ReturnType<typeof home.start>>) =>
      kind === 'chat' ? wire.ai.chat('letters') : wire.compatible('letters');
    const wire = await home.start(new ScriptedReplica('letters', answered));
    const whole = await generateText({
      ...{ model: modelOf(wire), tools, prompt: 'Weather?', stopWhen: stepCountIs(3) },
    });
    expect(whole.text).toBe('It is sunny in Paris.');
    expect(whole.steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop']);
    expect(whole.steps[0]?.toolResults[0]?.output).toBe('sunny in Paris');
    const streaming = await home.start(new ScriptedReplica('letters', answered));
    const stream = streamText({
      ...{ model: modelOf(streaming), tools, prompt: 'Weather?', stopWhen: stepCountIs(3) },
    });
    const kinds = new Set<string>();
    for await (const part of stream.fullStream) {
      expect(part.type).not.toBe('error');
      kinds.add(part.type);
    }
    expect([...kinds]).toEqual(
      expect.arrayContaining([
        'tool-input-start',
        'tool-input-delta',
        'tool-call',
        'tool-result',
        'text-delta',
      ]),
    );
    expect(await stream.text).toBe('It is sunny in Paris.');
  });
});

describe('a call that has to come', () => {
  const options = { model: 'bytes', loadWait: 60 };
  const more = { model: 'bytes', temperature: 0, max_tokens: 120, seed: 1 };
  const city = {
    type: 'function' as const,
    function: {
      name: 'weather',
      parameters: {
        type: 'object',
        properties: { city: { $ref: '#/$defs/city' }, days: { type: 'integer', minimum: 1, maximum: 9 } },
        required: ['city', 'days'],
        additionalProperties: false,
        $defs: { city: { enum: ['Paris', 'Rome'] } },
      },
    },
  };

  it('comes from a model that knows nothing of tools', async () => {
    const { client, ai } = await home.shared(options);
    const named = { type: 'function' as const, function: { name: 'weather' } };
    for (const [tool_choice, reason] of [
      ['required', 'tool_calls'],
      [named, 'stop'],
    ] as const) {
      const tools = [time, city];
      const [choice] = (await client.chat.completions.create({ ...ask, ...more, tools, tool_choice }))
        .choices;
      expect(choice?.finish_reason).toBe(reason);
      const [call] = choice?.message.tool_calls ?? [];
      if (call?.type !== 'function') throw new Error('no call');
      const given = JSON.parse(call.function.arguments) as { city?: string; days?: number };
      if (tool_choice !== 'required') expect(call.function.name).toBe('weather');
      if (call.function.name === 'weather') {
        expect(['Paris', 'Rome']).toContain(given.city);
        expect(given.days).toBeGreaterThan(0);
      } else expect(given).toEqual({});
    }
    const { toolCalls } = await generateText({
      ...{ model: ai.chat('bytes'), prompt: 'x', toolChoice: { type: 'tool', toolName: 'paint' } },
      ...{ temperature: 0, maxOutputTokens: 100 },
      tools: { paint: tool({ inputSchema: z.object({ colour: z.enum(['red', 'blue']) }) }) },
    });
    expect(toolCalls).toHaveLength(1);
    expect(['red', 'blue']).toContain(z.object({ colour: z.string() }).parse(toolCalls[0]?.input).colour);
  });

  it('is one of the allowed tools', async () => {
    const { client } = await home.shared(options);
    const allowed = { mode: 'required' as const, tools: [{ type: 'function', function: { name: 'time' } }] };
    const [choice] = (
      await client.chat.completions.create({
        ...{ ...ask, ...more, tools: [city, time] },
        tool_choice: { type: 'allowed_tools', allowed_tools: allowed },
      })
    ).choices;
    expect(choice?.message.tool_calls?.[0]).toMatchObject({ function: { name: 'time', arguments: '{}' } });
  });
});

describe('tools that may be called', () => {
  const strict = { ...weather, function: { ...weather.function, strict: true } };
  it('are held to their schemas where they are strict', async () => {
    const replica = new ScriptedReplica('letters', [paris]);
    const { client } = await home.start(replica);
    await client.chat.completions.create(ask);
    expect(replica.asked[0]?.sampling.constraint).toBeUndefined();
    await client.chat.completions.create({ ...ask, tools: [strict], parallel_tool_calls: false });
    expect(replica.asked[1]?.sampling.constraint).toMatchObject({
      ...{ type: 'tool_calls', open: '<tool_call>', close: '</tool_call>', parallel: false },
    });
  });

  it('leave an answer its schema, on a model that runs', async () => {
    const { client } = await home.shared({ model: 'bytes', loadWait: 60 });
    const schema = {
      type: 'object',
      properties: { x: { enum: [1, 2] } },
      required: ['x'],
      additionalProperties: false,
    };
    for (let seed = 0; seed < 4; seed++) {
      const { choices } = await client.chat.completions.create({
        ...{ ...ask, model: 'bytes', seed, max_tokens: 150, tools: [strict] },
        response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
      });
      const [choice] = choices;
      const [call] = choice?.message.tool_calls ?? [];
      if (call?.type === 'function') {
        expect(choice?.finish_reason).toBe('tool_calls');
        expect(typeof (JSON.parse(call.function.arguments) as { city: unknown }).city).toBe('string');
      } else expect([1, 2]).toContain((JSON.parse(choice?.message.content ?? '') as { x: number }).x);
    }
  });

  it('are left to the model where a schema says more than can be kept to, unless they are strict', async () => {
    const parameters = { type: 'object', properties: { a: { type: 'array', uniqueItems: true } } };
    const tools = [{ type: 'function' as const, function: { name: 'f', parameters } }];
    const { client } = await home.shared({ model: 'bytes', loadWait: 60 });
    const call = { ...ask, model: 'bytes', seed: 1, max_tokens: 100, tool_choice: 'required' as const };
    const { choices } = await client.chat.completions.create({ ...call, tools });
    const [made] = choices[0]?.message.tool_calls ?? [];
    expect(made).toMatchObject({ function: { name: 'f' } });
    const [{ function: given }] = tools as [(typeof tools)[0]];
    const held = client.chat.completions.create({
      ...call,
      tools: [{ type: 'function', function: { ...given, strict: true } }],
    });
    await expect(held).rejects.toMatchObject({ status: 400, code: 'schema_unsupported', param: 'tools' });
  });
});

describe('refused', () => {
  const named = { type: 'function', function: { name: 'rain' } };
  it.each([
    ['a tool of another kind', { tools: [{ type: 'custom', custom: { name: 'x' } }] }, 'tools.0.type'],
    [
      'a name with spaces',
      { tools: [{ type: 'function', function: { name: 'a b' } }] },
      'tools.0.function.name',
    ],
    ['a tool twice', { tools: [time, time] }, 'tools'],
    ['a choice without tools', { tools: undefined, tool_choice: 'required' }, 'tool_choice'],
    ['a choice that is none of the tools', { tool_choice: named }, 'tool_choice'],
    ['a choice that is none', { tool_choice: 'perhaps' }, 'tool_choice'],
    [
      'a schema that nothing fits',
      {
        tools: [
          {
            type: 'function',
            function: {
              name: 'f',
              parameters: { type: 'object', properties: { a: false }, required: ['a'] },
            },
          },
        ],
        tool_choice: 'required',
      },
      'tools',
    ],
    [
      'a result of no call',
      { messages: [...question, { role: 'tool', content: 'x', tool_call_id: 'call_1' }] },
      'messages.1.tool_call_id',
    ],
    ['functions of old', { functions: [{ name: 'f' }] }, 'functions'],
  ])('is %s', async (_, more, param) => {
    const { post } = await home.start(new LetterReplica('letters'));
    const { status, body } = await post('/v1/chat/completions', { ...ask, ...more });
    const { error } = body as { error: { param: string; type: string } };
    expect([status, error.type, error.param]).toEqual([400, 'invalid_request_error', param]);
  });
});

describe('a client that hangs up in a call', () => {
  it('frees its place', async () => {
    const replica = new ScriptedReplica('letters', [calling('weather', `{"city": "${'P'.repeat(9000)}"}`)], {
      pace: 2,
    });
    const { client, server } = await home.start(replica);
    const stream = await client.chat.completions.create({ ...ask, max_tokens: 5000, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.tool_calls?.[0]?.function?.arguments) break;
    await until(() => replica.running === 0 && server.context.generation.queue.status().running === 0);
  });
});
