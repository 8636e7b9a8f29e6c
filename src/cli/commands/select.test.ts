/** `inkstone select` as people call it: the best by validation, a test text once. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { textPreset } from '../../models/text/presets.ts';
import { createBackend } from '../../runtime/index.ts';
import { trainText } from '../../train/text-run.ts';
import { runMain } from '../testing.ts';

let folder: string;
const at = (name: string): string => path.join(folder, name);
const text = (from: number, count: number): string =>
  Array.from(
    { length: count },
    (_, i) => `The ${['cat', 'dog', 'cow'][(from + i) % 3]} number ${from + i} sat.\n`,
  ).join('');
const select = (...words: string[]): ReturnType<typeof runMain> =>
  runMain(['select', ...words, '--out', at('out'), '--threads', '1', '--json']);

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-select-'));
  await fs.writeFile(at('data.txt'), text(0, 300));
  await fs.writeFile(at('test.txt'), text(500, 60));
  await fs.writeFile(at('other.txt'), text(900, 300));
  const backend = await createBackend('cpu', { threads: 1 });
  for (const [name, data, steps] of [
    ['short', 'data.txt', 5],
    ['long', 'data.txt', 40],
    ['else', 'other.txt', 5],
  ] as const)
    await trainText({
      preset: textPreset('tiny'),
      ...{ data: at(data), out: at(name), backend },
      training: { steps, learningRate: 0.01, sampleEvery: 0 },
    });
  await backend.close();
  await fs.cp(at('short'), at('unjudged'), { recursive: true });
  await fs.rm(at('unjudged/checkpoints/best.safetensors'));
}, 120_000);
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

test('the lowest validation loss is chosen and scored once', async () => {
  const { json, status } = await select(at('short'), at('long'), '--test', at('test.txt'));
  expect(status).toBe(0);
  const {
    chosen,
    candidates,
    test: score,
  } = json as {
    chosen: { folder: string; loss: number; step: number };
    candidates: { folder: string; loss: number }[];
    test: { nats_per_character: number; characters: number; split: string; card: string };
  };
  expect(chosen).toMatchObject({ folder: at('long'), step: 40 });
  expect(candidates.map((one) => one.folder)).toEqual([at('long'), at('short')]);
  const result = JSON.parse(await fs.readFile(at('long/result.json'), 'utf8'));
  expect(chosen.loss).toBe(result.bestValidationLoss);
  expect(score).toMatchObject({ split: 'all', characters: text(500, 60).length });
  expect(await fs.readFile(score.card, 'utf8')).toContain('# long, evaluated');
  const again = await select(at('short'), at('long'), '--test', at('test.txt'));
  expect(again.error.code).toBe('test_used');
  expect((await select(at('long'), '--test', at('test.txt'), '--force')).status).toBe(0);
  // Without a test nothing is scored.
  expect((await select(at('short'))).json).not.toHaveProperty('test');
});

test.each([
  ['runs on other text', ['short', 'else'], [], 'runs_differ', 5],
  ['no run', ['short', 'nothing'], [], 'run_missing', 4],
  ['a run that was not judged', ['short', 'unjudged'], [], 'run_unjudged', 5],
  ['a test that was learned from', ['short'], ['--test', 'data.txt'], 'test_seen', 5],
])('%s is refused', async (_, runs, words, code, status) => {
  const given = words.map((word) => (word.endsWith('.txt') ? at(word) : word));
  const result = await select(...runs.map(at), ...given);
  expect(result.error.code).toBe(code);
  expect(result.status).toBe(status);
});
