/** GGUF models through llama.cpp behind our contracts: the same tokens as our own engine, settings, constraints, vectors. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SamplingSettings, TextEvent, TextToken } from '../../base/contracts/generator.ts';
import type { Replica } from '../../base/contracts/replica.ts';
import { trainBpe, WordCounter } from '../../data/tokenizer/bpe-train.ts';
import { CharacterTokenizer } from '../../data/tokenizer/characters.ts';
import type { Tokenizer } from '../../data/tokenizer/tokenizer.ts';
import { ggufPieces } from '../../formats/gguf.ts';
import { safetensorsPieces } from '../../formats/safetensors.ts';
import { textConfig, textParameters } from '../../models/text/architectures.ts';
import { toGguf } from '../../models/text/gguf.ts';
import { initialise } from '../../nn/parameters.ts';
import { createBackend } from '../../runtime/index.ts';
import { missingEngine } from '../packages/testing.ts';
import { ReplicaPool } from '../pool.ts';
import { ModelRegistry } from '../registry.ts';
import { TextGenerator } from '../text-generator.ts';

const missing = await missingEngine('llama');

const counter = new WordCounter();
counter.add(
  '{"name": "the words of the world", "wide": [1, 2]} 世界 are worn and the world is wide '.repeat(5),
);
const bpe = trainBpe(counter.counts, 300);
const characters = CharacterTokenizer.fromCharacters(
  Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join(''),
);
const template = { source: '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>' };

let home: string;
let registry: ModelRegistry;
let pool: ReplicaPool;

/** A model with sharp preferences, as our folder and as a GGUF file; both are registered. */
async function make(name: string, tokenizer: Tokenizer, given: Record<string, unknown>): Promise<void> {
  const config = textConfig.parse({ vocabulary: tokenizer.vocabularySize, ...given });
  const weights = initialise(textParameters(config), 3);
  for (const [key, { data }] of Object.entries(weights))
    if (/wte|embed_tokens|lm_head/.test(key))
      for (let i = 0; i < data.length; i++) (data as Float32Array)[i] = 12 * Number(data[i]);
  const folder = path.join(home, `${name}-folder`);
  const { architecture = 'gpt2', ...model } = config;
  const file = path.join(home, `${name}.gguf`);
  const gguf = toGguf({ name, config, weights, tokenizer, template }, 'f32');
  await writeFile(file, Buffer.concat(ggufPieces(gguf)));
  await mkdir(folder);
  await writeFile(path.join(folder, 'config.json'), JSON.stringify({ family: 'text', architecture, model }));
  await writeFile(path.join(folder, 'tokenizer.json'), tokenizer.toJson());
  await writeFile(path.join(folder, 'model.safetensors'), Buffer.concat(safetensorsPieces(weights)));
  await registry.register(name, file);
  await registry.register(`${name}-own`, folder);
}

const llama = {
  architecture: 'llama',
  layers: 2,
  heads: 4,
  keyHeads: 2,
  headWidth: 16,
  width: 64,
  hidden: 96,
};

beforeAll(async () => {
  if (missing !== undefined) return;
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-llama-'));
  registry = await ModelRegistry.open(home);
  await make('llama', bpe, { ...llama, context: 256 });
  await make('gpt2', characters, { layers: 2, heads: 2, width: 64, context: 128, bias: true });
  pool = new ReplicaPool({ registry, slots: 4, limit: 4 });
});
afterAll(async () => {
  if (missing !== undefined) return;
  await pool.stop();
  await rm(home, { recursive: true, force: true });
});

const sampling: SamplingSettings = { maxTokens: 24, temperature: 0, topK: 0, topP: 1, seed: 5, stop: [] };

interface Said {
  text: string;
  tokens: TextToken[];
  events: TextEvent[];
}

async function say(
  model: Pick<TextGenerator, 'generate'> | Replica,
  more: Partial<SamplingSettings> = {},
  prompt = 'the world',
  signal = new AbortController().signal,
): Promise<Said> {
  const events: TextEvent[] = [];
  const request = { id: 'test', prompt, sampling: { ...sampling, ...more } };
  for await (const event of model.generate(request, signal)) events.push(event);
  const deltas = events.filter((event) => event.type === 'delta');
  return {
    text: deltas.map((event) => event.text).join(''),
    tokens: deltas.flatMap((event) => event.tokens),
    events,
  };
}

async function replica(name: string): Promise<Replica> {
  const found = await pool.get(name);
  await found.ready();
  return found;
}

describe.skipIf(missing !== undefined)(
  `GGUF models (${missing ?? 'llama.cpp'})`,
  { timeout: 240_000 },
  () => {
    test('are listed and described from their file alone', async () => {
      const { info } = await registry.get('llama');
      expect(info).toMatchObject({ engine: 'llama.cpp', architecture: 'llama', context: 256, chat: true });
      expect((await registry.list()).map(({ id }) => id)).toContain('gpt2');
      const own = (await registry.get('llama-own')).info;
      expect(info.parameters).toBe(own.parameters);
      const { model } = await replica('llama');
      expect(model).toMatchObject({ id: 'llama', context: 256, chat: true, produces: ['text', 'embedding'] });
      expect(model.template?.source).toBe(template.source);
    });

    test.each(['llama', 'gpt2'])('give the same greedy tokens as our own engine: %s', async (name) => {
      const [theirs, ours] = [await replica(name), await replica(`${name}-own`)];
      const prompts = ['the world', 'a', '{"name"'];
      for (const prompt of prompts) {
        const want = await say(ours, { logprobs: 3, maxTokens: 16 }, prompt);
        const got = await say(theirs, { logprobs: 3, maxTokens: 16 }, prompt);
        expect(got.text).toBe(want.text);
        expect(got.tokens.map(({ bytes }) => bytes)).toEqual(want.tokens.map(({ bytes }) => bytes));
        got.tokens.forEach(({ logprob, top }, i) => {
          // Keys and values are halves there.
          expect(logprob).toBeCloseTo(want.tokens[i]?.logprob as number, 1);
          expect(top).toHaveLength(3);
        });
        expect(got.events.at(-1)).toEqual(want.events.at(-1));
        expect(await theirs.countTokens(prompt)).toBe(await ours.countTokens(prompt));
      }
      // Together, more than there are places, without log-probabilities.
      const together = await Promise.all(
        [...prompts, ...prompts].map((p) => say(theirs, { maxTokens: 16 }, p)),
      );
      const alone = await Promise.all(prompts.map((p) => say(ours, { maxTokens: 16 }, p)));
      expect(together.map(({ text }) => text)).toEqual([...alone, ...alone].map(({ text }) => text));
    });

    test('follow the settings of a request', async () => {
      const model = await replica('llama');
      const warm = { temperature: 1, maxTokens: 30 };
      const [a, b, c] = await Promise.all([
        say(model, warm),
        say(model, warm),
        say(model, { ...warm, seed: 6 }),
      ]);
      expect(b.text).toBe(a.text);
      expect(c.text).not.toBe(a.text);
      expect((await say(model, { ...warm, topK: 1 })).text).toBe((await say(model, { maxTokens: 30 })).text);
      expect((await say(model, { ...warm, minP: 1 })).text).toBe((await say(model, { maxTokens: 30 })).text);
      const plain = await say(model, { maxTokens: 30, logprobs: 0 });
      const stop = plain.text.slice(4, 8);
      const cut = await say(model, { maxTokens: 30, stop: [stop] });
      expect(cut.text).toBe(plain.text.slice(0, plain.text.indexOf(stop)));
      expect(cut.events.at(-1)).toMatchObject({ reason: 'stop' });
      const [first] = bpe.encode('wide');
      const biased = await say(model, { maxTokens: 3, logitBias: { [String(first)]: 1e6 } });
      expect(biased.text).toBe(bpe.decode([first, first, first] as number[]));
      const penalised = await say(model, { maxTokens: 30, logprobs: 0, presencePenalty: 1e6 });
      expect(new Set(penalised.tokens.map(({ bytes }) => bytes.join())).size).toBe(penalised.tokens.length);
    });

    test('write documents that a schema allows', async () => {
      const model = await replica('llama');
      const schema = {
        type: 'object',
        properties: { name: { type: 'string', maxLength: 12 }, wide: { enum: ['yes', 'no'] } },
        required: ['name', 'wide'],
        additionalProperties: false,
      };
      for (const seed of [1, 2, 3]) {
        const said = await say(model, {
          ...{ seed, temperature: 1.5, maxTokens: 120 },
          constraint: { type: 'json_schema', schema },
        });
        const made = JSON.parse(said.text) as { name: string; wide: string };
        expect(typeof made.name).toBe('string');
        expect(['yes', 'no']).toContain(made.wide);
      }
      await expect(
        say(model, { constraint: { type: 'json_schema', schema: { type: 'nothing' } } }),
      ).rejects.toMatchObject({ kind: 'usage' });
    });

    test('end when they are cancelled, and refuse what they cannot do', async () => {
      const model = await replica('llama');
      const abort = new AbortController();
      let last: TextEvent | undefined;
      const request = { id: 'long', prompt: 'wide', sampling: { ...sampling, maxTokens: 1e6 } };
      for await (const event of model.generate(request, abort.signal)) {
        if (event.type === 'delta') abort.abort();
        last = event;
      }
      expect(last).toMatchObject({ type: 'end', reason: 'cancelled' });
      await expect(say(model, { topP: 0 })).rejects.toMatchObject({ code: 'sampling_invalid' });
      await expect(model.inspect?.({ id: 'x', text: 'wide' } as never, abort.signal)).rejects.toMatchObject({
        code: 'engine_unsupported',
      });
      // A prompt longer than the context keeps its last tokens; the context rolls on.
      const long = await say(model, { maxTokens: 140 }, 'the world is wide '.repeat(60));
      expect(long.events.at(-1)).toMatchObject({ completionTokens: expect.any(Number) });
    });

    test('give vectors of length 1, alike for the same text', async () => {
      const model = await replica('llama');
      const { signal } = new AbortController();
      const made = await model.embed?.({ id: 'e', texts: ['the world', 'wide', 'the world', ''] }, signal);
      expect(made).toHaveLength(4);
      for (const { vector, tokens } of made ?? []) {
        expect(vector).toHaveLength(64);
        expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
        expect(tokens).toBeGreaterThan(0);
      }
      const [a, b, c] = (made ?? []).map(({ vector }) => vector) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      expect([...c]).toEqual([...a]);
      expect([...b]).not.toEqual([...a]);
      await expect(model.embed?.({ id: 'e', texts: ['wide '.repeat(600)] }, signal)).rejects.toMatchObject({
        code: 'context_length_exceeded',
      });
    });

    test('that are damaged say so once, and the pool goes on', async () => {
      const whole = Buffer.concat(
        ggufPieces(
          toGguf(
            {
              name: 'x',
              config: textConfig.parse({ ...llama, context: 64, vocabulary: bpe.vocabularySize }),
              weights: initialise(
                textParameters(textConfig.parse({ ...llama, context: 64, vocabulary: bpe.vocabularySize })),
                1,
              ),
              tokenizer: bpe,
            },
            'f32',
          ),
        ),
      );
      const file = (name: string): string => path.join(home, `${name}.gguf`);
      await writeFile(file('cut'), whole.subarray(0, whole.length - 5000));
      await expect(registry.register('cut', file('cut'))).rejects.toMatchObject({ code: 'gguf_corrupt' });
      // An architecture that nobody knows: the head is fine, llama.cpp refuses.
      await writeFile(
        file('odd'),
        Buffer.from(
          whole.toString('latin1').replace('\x05\0\0\0\0\0\0\0llama', '\x05\0\0\0\0\0\0\0lxama'),
          'latin1',
        ),
      );
      await registry.register('odd', file('odd'));
      const broken = await pool.get('odd');
      await expect(broken.ready()).rejects.toMatchObject({ code: 'model_invalid', kind: 'data' });
      expect((await say(await replica('llama'), { maxTokens: 2 })).events.at(-1)).toMatchObject({
        completionTokens: 2,
      });
      await expect(registry.register('gone', file('gone'))).rejects.toMatchObject({ code: 'model_missing' });
      await writeFile(path.join(home, 'model.bin'), 'x');
      await expect(registry.register('pickle', path.join(home, 'model.bin'))).rejects.toMatchObject({
        code: 'model_pickled',
        hint: expect.stringContaining('save_pretrained'),
      });
    });

    test('the model in our own process writes what the one in its own does', async () => {
      const backend = await createBackend('cpu', {});
      const own = await TextGenerator.open((await registry.get('gpt2-own')).folder, backend);
      expect((await say(own)).text).toBe((await say(await replica('gpt2'))).text);
      await own.close();
      await backend.close();
    });
  },
);
