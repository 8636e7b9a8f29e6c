/** Text in and out of a model that runs: settings of their own for each request of a batch, places that are given back. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SamplingSettings, TextEvent } from '../base/contracts/generator.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { writeByteModel } from './testing.ts';
import { TextGenerator } from './text-generator.ts';

let folder: string;
let backend: Backend;
let generator: TextGenerator;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-generator-'));
  await writeByteModel(folder, 128);
  backend = await createBackend('cpu', { threads: 1, inline: true });
  generator = await TextGenerator.open(folder, backend, { maxBatch: 8 });
});
afterAll(async () => {
  await generator.close();
  await backend.close();
  await rm(folder, { recursive: true, force: true });
});

const plain: SamplingSettings = { maxTokens: 30, temperature: 1, topK: 0, topP: 1, seed: 1, stop: [] };
/** Letters are likelier than other bytes. */
const letters = Object.fromEntries(Array.from({ length: 26 }, (_, i) => [97 + i, 6]));

async function say(prompt: string, more: Partial<SamplingSettings>): Promise<unknown> {
  const events: TextEvent[] = [];
  for await (const event of generator.generate({ id: prompt, prompt, sampling: { ...plain, ...more } }))
    events.push(event);
  const deltas = events.filter((event) => event.type === 'delta');
  return {
    text: deltas.map(({ text }) => text).join(''),
    tokens: deltas.flatMap(({ tokens }) => tokens.map(({ bytes }) => bytes)),
    end: events.at(-1),
  };
}

describe('a text generator', () => {
  const schema = {
    ...{ type: 'object', required: ['a', 'b'], additionalProperties: false },
    properties: { a: { type: 'integer' }, b: { type: 'array', items: { type: 'boolean' }, maxItems: 3 } },
  };
  const requests: [string, Partial<SamplingSettings>][] = [
    ['greedy', { temperature: 0, logprobs: 0 }],
    ['cut', { topK: 20, topP: 0.8, seed: 2, logitBias: letters }],
    ['least', { minP: 0.2, temperature: 2, seed: 3, logitBias: letters }],
    ['penalties', { temperature: 0, repetitionPenalty: 1.4, frequencyPenalty: 0.5, presencePenalty: 0.2 }],
    ['stops', { logitBias: letters, stop: ['a', 'qu'], seed: 4, logprobs: 1 }],
    ['schema', { constraint: { type: 'json_schema', schema }, maxTokens: 60, seed: 5 }],
    ['object', { constraint: { type: 'json_object' }, maxTokens: 25, seed: 6 }],
    ['pattern', { constraint: { type: 'regex', pattern: '[a-f]{4}(-\\d\\d)+' }, seed: 7 }],
    ['beams', { beams: { width: 3, lengthPenalty: 0.8, count: 3 }, maxTokens: 9, logprobs: 0 }],
    [
      'beams under a pattern',
      {
        beams: { width: 2, lengthPenalty: 1, count: 2 },
        constraint: { type: 'regex', pattern: '(yes|no|maybe)' },
      },
    ],
  ];

  it('gives each request of a batch what it gives it alone', async () => {
    const together = await Promise.all(requests.map(([prompt, more]) => say(prompt, more)));
    for (const [i, [prompt, more]] of requests.entries())
      expect(await say(prompt, more), prompt).toEqual(together[i]);
    const texts = together.map((one) => (one as { text: string }).text);
    expect(JSON.parse(texts[5] as string)).toMatchObject({ a: expect.any(Number), b: expect.any(Array) });
    expect(JSON.parse(texts[6] as string)).toEqual(expect.any(Object));
    expect(texts[7]).toMatch(/^[a-f]{4}(-\d\d)+$/);
    expect(together[9]).toMatchObject({
      text: expect.stringMatching(/^(yes|no|maybe)$/),
      end: { reason: 'stop', others: [{ text: expect.stringMatching(/^(yes|no|maybe)$/), reason: 'stop' }] },
    });
  });

  it('gives as many tokens back as text, where a stop string cuts it', async () => {
    const { text, tokens } = (await say('stops', {
      logitBias: letters,
      stop: ['a'],
      seed: 4,
      logprobs: 0,
    })) as {
      text: string;
      tokens: number[][];
    };
    expect(text).not.toContain('a');
    expect(Buffer.from(tokens.flat()).toString()).toBe(text);
    const beams = { width: 3, lengthPenalty: 1, count: 3 };
    const { end } = (await say('stops', { beams, stop: ['a', 'b', 'c'], logitBias: letters })) as {
      end: { others: { text: string }[] };
    };
    for (const other of end.others) expect(other.text).not.toMatch(/[abc]/);
  });

  it.each([
    ['a drawn text', {}],
    ['a document', { constraint: { type: 'json_object' as const } }],
    ['beams', { beams: { width: 8, lengthPenalty: 1, count: 1 } }],
  ])('gives the place of %s back at once when it is cancelled', async (_, more) => {
    const abort = new AbortController();
    const long = { ...plain, logitBias: { 256: -100 }, maxTokens: 100_000, ...more };
    const events = generator.generate({ id: 'long', prompt: 'x', sampling: long }, abort.signal);
    await events.next();
    const rest = events.next();
    // Seven others fill the batch; the next waits until there is a place.
    abort.abort();
    while ((await rest).done !== true && (await events.next()).done !== true);
    expect(generator.status()).toEqual(expect.objectContaining({ running: 0, waiting: 0 }));
  });

  it('gives the place of a reader that leaves in mid-answer back', async () => {
    const long = { ...plain, logitBias: { 256: -100 }, maxTokens: 100_000 };
    for await (const event of generator.generate({ id: 'left', prompt: 'x', sampling: long }))
      if (event.type === 'delta') break;
    await say('after', { maxTokens: 2 });
    expect(generator.status()).toEqual(expect.objectContaining({ running: 0, waiting: 0 }));
  });

  it.each([
    [
      'an unknown keyword',
      { constraint: { type: 'json_schema', schema: { not: {} } } },
      'schema_unsupported',
    ],
    ['no document', { constraint: { type: 'json_schema', schema: false } }, 'schema_unsatisfiable'],
    ['a look behind', { constraint: { type: 'regex', pattern: '(?<=a)b' } }, 'schema_unsupported'],
    ['too many beams', { beams: { width: 9, lengthPenalty: 1, count: 1 } }, 'beams_invalid'],
    ['a token that is not there', { logitBias: { 300: 1 } }, 'token_invalid'],
  ] as [string, Partial<SamplingSettings>, string][])('refuses %s', async (_, more, code) => {
    await expect(say('bad', more)).rejects.toMatchObject({ code });
  });
});
