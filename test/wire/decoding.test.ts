/** Structured outputs, penalties and bias over the wire, with both SDKs and a tiny model of random weights that runs. */
import path from 'node:path';
import { generateText, Output } from 'ai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { writeByteModel } from '../../src/operate/testing.ts';
import { type Wire, wireHome } from './harness.ts';

const home = wireHome(['empty']);
beforeAll(() => writeByteModel(path.join(home.folder, 'runs', 'bytes')));

const start = (): Promise<Wire> => home.shared({ model: 'bytes', loadWait: 60 });
const chat = {
  model: 'bytes',
  messages: [{ role: 'user' as const, content: 'who?' }],
  max_tokens: 150,
  seed: 4,
};
const person = z.object({
  name: z.string().min(1).max(12),
  age: z.int().min(0).max(130),
  tags: z.array(z.enum(['a', 'b'])).max(3),
});

describe('the openai package', () => {
  it('parses a document that fits the schema, whatever the seed', async () => {
    const { client } = await start();
    for (let seed = 0; seed < 5; seed++) {
      const answer = await client.chat.completions.parse({
        ...{ ...chat, seed, response_format: zodResponseFormat(person, 'person') },
      });
      expect(person.safeParse(answer.choices[0]?.message.parsed).success).toBe(true);
      expect(answer.choices[0]?.finish_reason).toBe('stop');
    }
  });

  it('streams one, several at once', async () => {
    const { client } = await start();
    const stream = client.chat.completions.stream({
      ...{ ...chat, n: 3, response_format: zodResponseFormat(person, 'person') },
    });
    const whole = await stream.finalChatCompletion();
    expect(whole.choices).toHaveLength(3);
    for (const choice of whole.choices)
      expect(person.safeParse(JSON.parse(choice.message.content ?? '')).success).toBe(true);
  });

  it('gets an object that ends in time, and a cut one where no object has room', async () => {
    const { client } = await start();
    const answer = await client.chat.completions.create({
      ...{ ...chat, max_tokens: 9, response_format: { type: 'json_object' as const } },
    });
    expect(typeof JSON.parse(answer.choices[0]?.message.content ?? '')).toBe('object');
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    const cut = await client.chat.completions.create({
      ...{ ...chat, max_tokens: 9, response_format: zodResponseFormat(person, 'person') },
    });
    expect(cut.choices[0]?.finish_reason).toBe('length');
    expect(cut.choices[0]?.message.content).toMatch(/^\{ ?"name":/);
  });

  it('gets what a pattern asks for', async () => {
    const { client } = await start();
    const answer = await client.completions.create({
      ...{ model: 'bytes', prompt: 'no: ', max_tokens: 20, seed: 1 },
      ...({ structured_outputs: { regex: '[A-Z]{2}-\\d{3}' } } as object),
    });
    expect(answer.choices[0]?.text).toMatch(/^[A-Z]{2}-\d{3}$/);
    expect(answer.choices[0]?.finish_reason).toBe('stop');
  });

  it('feels bias and penalties', async () => {
    const { client } = await start();
    const ask = { model: 'bytes', prompt: 'b', max_tokens: 12, temperature: 0 };
    const one = async (more: object): Promise<string> =>
      (await client.completions.create({ ...ask, ...more })).choices[0]?.text ?? '';
    const a = { logit_bias: { '97': 100 } };
    expect(await one(a)).toBe('a'.repeat(12));
    const bias = { logit_bias: { '97': 90, '98': 89.5, '99': 89 } };
    // The model's own scores lie within 1 of each other.
    const far = { logit_bias: { '97': 90, '98': 85 } };
    expect(await one(far)).toBe('a'.repeat(12));
    expect(await one({ ...far, frequency_penalty: 2 })).toMatch(/^aaab/);
    expect(new Set(await one({ ...bias, presence_penalty: 2 }))).toEqual(new Set('abc'));
    expect((await one({ ...bias, repetition_penalty: 1.5 })).slice(0, 2)).toBe('ac');
    expect(await one({ ...bias, min_p: 1, temperature: 1 })).toBe('a'.repeat(12));
  });
});

describe('beams, competition and echo', () => {
  const ask = { model: 'bytes', prompt: 'the ink', max_tokens: 6, seed: 3, temperature: 1 };
  it('gives the texts of a beam search as answers, whole and streamed', async () => {
    const { client } = await start();
    const beams = { ...ask, n: 3, best_of: 4, ...({ use_beam_search: true, length_penalty: 0 } as object) };
    const whole = await client.completions.create({ ...beams, logprobs: 0 });
    const sums = whole.choices.map(({ logprobs }) =>
      (logprobs?.token_logprobs ?? []).reduce((sum, value) => sum + value, 0),
    );
    expect(sums).toEqual([...sums].sort((a, b) => b - a));
    expect(new Set(whole.choices.map(({ text }) => text)).size).toBe(3);
    const said = whole.choices.reduce((sum, { logprobs }) => sum + (logprobs?.tokens?.length ?? 0), 0);
    expect(whole.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: said });
    const texts = ['', '', ''];
    for await (const { choices } of await client.completions.create({ ...beams, stream: true }))
      for (const { index, text } of choices) texts[index] += text;
    expect(texts).toEqual(whole.choices.map(({ text }) => text));
    const chat = await client.chat.completions.create({
      ...{ model: 'bytes', messages: [{ role: 'user' as const, content: 'hm' }], max_tokens: 5, n: 2 },
      ...({ use_beam_search: true } as object),
    });
    expect(chat.choices.map(({ index }) => index)).toEqual([0, 1]);
  });

  it('gives the likeliest of several drawn answers', async () => {
    const { client } = await start();
    const all = await client.completions.create({ ...ask, n: 5, logprobs: 0 });
    const best = await client.completions.create({ ...ask, n: 2, best_of: 5 });
    const mean = ({ logprobs }: (typeof all.choices)[number]): number => {
      const values = logprobs?.token_logprobs ?? [];
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    const sorted = [...all.choices].sort((a, b) => mean(b) - mean(a)).map(({ text }) => text);
    expect(best.choices.map(({ text }) => text)).toEqual(sorted.slice(0, 2));
    expect(best.choices[0]?.logprobs).toBeNull();
    expect(best.usage?.completion_tokens).toBe(all.usage?.completion_tokens);
  });

  it('echoes the prompt with the log-probabilities that its tokens have', async () => {
    const { client } = await start();
    const greedy = { ...ask, temperature: 0 };
    const answer = await client.completions.create({ ...greedy, logprobs: 2 });
    const text = answer.choices[0]?.text ?? '';
    const echoed = await client.completions.create({ ...greedy, echo: true, logprobs: 2 });
    expect(echoed.choices[0]?.text).toBe(`the ink${text}`);
    const { tokens, token_logprobs, top_logprobs, text_offset } = echoed.choices[0]?.logprobs ?? {};
    expect(tokens?.slice(0, 7).join('')).toBe('the ink');
    expect(token_logprobs?.[0]).toBeNull();
    expect(top_logprobs?.[0]).toBeNull();
    expect(text_offset?.slice(0, 4)).toEqual([0, 1, 2, 3]);
    expect(token_logprobs?.slice(7)).toEqual(answer.choices[0]?.logprobs?.token_logprobs);
    // The prompt alone, one token longer: what was generated has the same probability there.
    if (/^[\x20-\x7e]/.test(text)) {
      const scored = await client.completions.create({
        ...{ ...greedy, prompt: `the ink${text[0]}`, max_tokens: 0, echo: true, logprobs: 0 },
      });
      expect(scored.choices[0]?.text).toBe(`the ink${text[0]}`);
      expect(scored.choices[0]?.logprobs?.token_logprobs?.[7]).toBeCloseTo(token_logprobs?.[7] ?? 0, 4);
    }
  });
});

describe('the ai package', () => {
  it('generates an object', async () => {
    const { compatible } = await start();
    const { output } = await generateText({
      model: compatible('bytes'),
      prompt: 'who?',
      maxOutputTokens: 150,
      seed: 2,
      output: Output.object({ schema: person }),
    });
    expect(person.safeParse(output).success).toBe(true);
  });
});

describe('bad input', () => {
  const schema = (given: object): object => ({
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema: given } },
  });
  it('is told before anything is written, and the server goes on', async () => {
    const { post } = await start();
    const cases: [object, string, string][] = [
      [schema({ type: 'array', uniqueItems: true }), 'schema_unsupported', 'response_format'],
      [schema({ type: 'integer', minimum: 3, maximum: 2 }), 'schema_unsatisfiable', 'response_format'],
      [schema({ type: 'text' }), 'schema_invalid', 'response_format'],
      [{ response_format: { type: 'xml' } }, 'parameter_invalid', 'response_format.type'],
      [{ structured_outputs: { regex: '(?=a)b' } }, 'schema_unsupported', 'structured_outputs'],
      [{ structured_outputs: { regex: 'a', json_object: true } }, 'parameter_invalid', 'structured_outputs'],
      [{ structured_outputs: { json: '{' } }, 'parameter_invalid', 'structured_outputs'],
      [{ logit_bias: { a: 1 } }, 'parameter_invalid', 'logit_bias.a'],
      [{ logit_bias: { 999: 1 } }, 'token_invalid', 'logit_bias'],
      [{ min_p: 2 }, 'parameter_invalid', 'min_p'],
      [{ repetition_penalty: 0 }, 'parameter_invalid', 'repetition_penalty'],
      [{ presence_penalty: 3 }, 'parameter_invalid', 'presence_penalty'],
      [{ n: 3, best_of: 2 }, 'parameter_invalid', 'best_of'],
      [{ best_of: 2 }, 'unsupported_parameter', 'best_of'],
    ];
    for (const [more, code, param] of cases) {
      const answer = await post('/v1/chat/completions', {
        ...chat,
        ...more,
        stream: code.startsWith('schema'),
      });
      expect(answer.status, JSON.stringify(more)).toBe(400);
      expect(answer.body).toMatchObject({ error: { code, param, type: 'invalid_request_error' } });
    }
    const beams = { ...{ model: 'bytes', prompt: 'a' }, use_beam_search: true };
    for (const [more, code] of [
      [{ ...beams, best_of: 17 }, 'parameter_invalid'],
      [{ ...beams, n: 2, echo: true }, 'unsupported_parameter'],
      [{ model: 'bytes', prompt: 'a', best_of: 2, stream: true }, 'unsupported_parameter'],
      [{ model: 'bytes', prompt: 'a', suffix: 'b' }, 'unsupported_parameter'],
    ] as const)
      expect((await post('/v1/completions', more)).body).toMatchObject({ error: { code } });
    const unsupported = await post('/v1/chat/completions', {
      ...{ ...chat, ...schema({ type: 'object', properties: { a: { type: 'array', contains: {} } } }) },
    });
    expect(unsupported.body).toMatchObject({
      error: { message: expect.stringMatching(/\/properties\/a: "contains"/) },
    });
    expect((await post('/v1/chat/completions', { ...chat, max_tokens: 2 })).status).toBe(200);
  });
});
