/** Weights in fewer bits from the command line: what evaluate says they cost, generate with them, a model's own setting. */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exists, packageFolder } from '../../base/host.ts';
import { runMain } from '../testing.ts';

const inkstone = (...words: string[]) => runMain(words);

const there = await exists(path.join(packageFolder, 'models', 'starter', 'model.safetensors'));

describe.skipIf(!there)('the starter in fewer bits (needs models/starter)', () => {
  let folder: string;
  let data: string;
  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-weights-'));
    data = path.join(folder, 'prose.txt');
    await fs.writeFile(
      data,
      'The old house stood at the end of the lane, and nobody had lived in it for many years. '.repeat(3) +
        'She looked at him for a long time without saying anything; then she went to the window and drew the curtain. '.repeat(
          3,
        ) +
        'It was late in the afternoon when the coach came to the door, and the rain had not ceased since the morning. '.repeat(
          3,
        ),
    );
  });
  afterAll(() => fs.rm(folder, { recursive: true, force: true }));

  test('evaluate shows the score beside that of float32, on paper too', async () => {
    const at = async (weights: string): Promise<Record<string, unknown>> => {
      const out = path.join(folder, weights);
      const words = ['--data', data, '--split', 'all', '--weights', weights, '--out', out, '--json'];
      return (await inkstone('evaluate', 'starter', ...words)).json;
    };
    const [plain, int8, int4] = [await at('float32'), await at('int8'), await at('int4')];
    expect(plain.float32).toBeUndefined();
    const perplexity = Number(plain.perplexity_per_token);
    for (const [made, limit] of [
      [int8, 0.01],
      [int4, 0.1],
    ] as const) {
      const float32 = made.float32 as { perplexity_per_token: number; nats_per_character: number };
      expect(float32.perplexity_per_token).toBeCloseTo(perplexity, 4);
      expect(float32.nats_per_character).toBeCloseTo(Number(plain.nats_per_character), 6);
      expect(Number(made.perplexity_per_token)).not.toBe(perplexity);
      const loss = Number(made.perplexity_per_token) / perplexity - 1;
      expect(made.perplexity_loss).toBeCloseTo(loss, 4);
      expect(Math.abs(loss)).toBeLessThan(limit);
      const [lower, upper] = made.perplexity_loss_interval as [number, number];
      expect(lower).toBeLessThan(loss);
      expect(upper).toBeGreaterThan(loss);
    }
    const markdown = await fs.readFile(path.join(folder, 'int4', 'card.md'), 'utf8');
    for (const said of ['Perplexity that int4 costs', 'kept as int4']) expect(markdown).toContain(said);
  });

  test('generate writes with them, the same text for the same seed', async () => {
    const words = ['--prompt', 'The old', '--tokens', '24', '--seed', '3', '--json'];
    const write = async (weights: string): Promise<unknown> =>
      (await inkstone('generate', 'starter', ...words, '--weights', weights)).json.text;
    const text = await write('int4');
    expect(String(text).length).toBeGreaterThan(30);
    expect(await write('int4')).toBe(text);
    const refused = await inkstone('generate', 'starter', ...words, '--weights', 'int3');
    expect(refused.status).toBe(2);
  });

  test('a model keeps its own setting', async () => {
    const home = ['--home', path.join(folder, 'home'), '--json'];
    expect((await inkstone('models', 'show', 'starter', ...home)).json.weights).toBe('float32');
    const set = await inkstone('models', 'set', 'starter', '--weights', 'int8', ...home);
    expect(set.json).toMatchObject({ set: 'starter', weights: 'int8' });
    expect((await inkstone('models', 'show', 'starter', ...home)).json.weights).toBe('int8');
    expect(
      (await inkstone('models', 'set', 'nobody', '--weights', 'int8', ...home)).json.error,
    ).toMatchObject({
      code: 'model_not_found',
    });
    expect((await inkstone('models', 'set', 'starter', ...home)).json.error).toMatchObject({
      code: 'argument_missing',
    });
  });
});
