/** Structured outputs, penalties and bias over the wire, with both SDKs and a tiny model of random weights that runs. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { generateText, Output } from 'ai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { BpeTokenizer } from '../../src/data/tokenizer/bpe.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { gpt2Parameters } from '../../src/models/index.ts';
import { initialise } from '../../src/nn/parameters.ts';
import { type Wire, wireHome } from './harness.ts';

const home = wireHome(['empty']);
const END = 256;

beforeAll(async () => {
  // Every byte is a token of its own number.
  const tokens = Array.from({ length: END + 1 }, (_, id) =>
    id === END ? new TextEncoder().encode('<|endoftext|>') : Uint8Array.of(id),
  );
  const tokenizer = new BpeTokenizer({ tokens, merges: [], endOfText: END });
  const model = { layers: 1, heads: 2, width: 16, context: 512, vocabulary: END + 1, bias: true };
  const folder = path.join(home.folder, 'runs', 'bytes');
  await mkdir(folder, { recursive: true });
  const config = { family: 'text', architecture: 'gpt2', model, created: 5 };
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(path.join(folder, 'tokenizer.json'), tokenizer.toJson());
  const weights = initialise(gpt2Parameters(model), 5);
  await writeFile(path.join(folder, 'model.safetensors'), writeSafetensors(weights));
});

const start = (): Promise<Wire> => home.start(undefined, { model: 'bytes', loadWait: 60 });
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
    const unsupported = await post('/v1/chat/completions', {
      ...{ ...chat, ...schema({ type: 'object', properties: { a: { type: 'array', contains: {} } } }) },
    });
    expect(unsupported.body).toMatchObject({
      error: { message: expect.stringMatching(/\/properties\/a: "contains"/) },
    });
    expect((await post('/v1/chat/completions', { ...chat, max_tokens: 2 })).status).toBe(200);
  });
});
