/** From a table to a scored classifier and its answers, as commands. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runMain } from '../testing.ts';

let folder: string;
let base: string;
const at = (name: string): string => path.join(folder, name);

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-classify-'));
  base = at('base');
  const words = (glad: boolean, i: number): string =>
    glad ? (['merry', 'bright'][i % 2] as string) : (['gloomy', 'bitter'][i % 2] as string);
  const rows = Array.from({ length: 80 }, (_, i) => {
    const glad = i % 2 === 0;
    return { body: `a ${words(glad, i >> 1)} day, number ${i % 7}`, mood: glad ? 'glad' : 'sad' };
  });
  await fs.writeFile(
    at('rows.csv'),
    ['body,mood', ...rows.map(({ body, mood }) => `"${body}",${mood}`)].join('\n'),
  );
  await fs.writeFile(
    at('text.txt'),
    rows
      .map(({ body }) => `${body}\n`)
      .join('')
      .repeat(4),
  );
  const made = await runMain([
    ...['train', 'text', '--preset', 'tiny', '--data', at('text.txt'), '--out', base],
    ...['--steps', '5', '--threads', '1', '--json'],
  ]);
  expect(made.status).toBe(0);
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

const FIELDS = ['--text-field', 'body', '--label-field', 'mood', '--threads', '1', '--json'];

describe('train classify and classify', () => {
  test('a run is scored with intervals, answers texts, and scores tables', async () => {
    const { status, json } = await runMain([
      ...['train', 'classify', '--base', base, '--data', at('rows.csv'), '--out', at('moods'), ...FIELDS],
      ...['--steps', '150', '--batch', '8', '--learning-rate', '0.005'],
    ]);
    expect(status).toBe(0);
    expect(json).toMatchObject({
      state: 'succeeded',
      labels: ['glad', 'sad'],
      rows: 72,
      count: 8,
      kept_apart: true,
    });
    expect(json.accuracy).toBe(1);
    expect((json.accuracy_interval as number[])[0]).toBeLessThan(0.8);

    const asked = await runMain([
      ...['classify', at('moods'), '--text', 'a merry day, number 3', '--text', 'a gloomy day, number 3'],
      ...['--threads', '1', '--json'],
    ]);
    const results = asked.json.results as { label: string; probability: number; probabilities: object }[];
    expect(results.map(({ label }) => label)).toEqual(['glad', 'sad']);
    const sum = Object.values(results[0]?.probabilities ?? {}).reduce((a: number, b) => a + b, 0);
    expect(sum).toBeCloseTo(1, 5);

    const scored = await runMain(['classify', at('moods'), '--data', at('rows.csv'), ...FIELDS]);
    expect(scored.json.score).toMatchObject({ accuracy: 1, macro_f1: 1, majority: 0.5, count: 80 });

    const again = await runMain([
      ...['train', 'classify', '--base', base, '--data', at('rows.csv'), '--out', at('moods'), ...FIELDS],
    ]);
    expect(again.error.code).toBe('run_exists');
  });

  test.each([
    [
      'a table that is missing',
      () => ['train', 'classify', '--base', base, '--data', at('none.csv')],
      'table_missing',
    ],
    [
      'a field that is missing',
      () => ['train', 'classify', '--base', base, '--data', at('rows.csv')],
      'field_missing',
    ],
    [
      'a base that is missing',
      () => ['train', 'classify', '--base', at('nothing'), '--data', at('rows.csv')],
      'model_not_found',
    ],
    [
      'its own folder',
      () => ['train', 'classify', '--base', base, '--data', at('rows.csv'), '--out', base],
      'out_invalid',
    ],
    ['no text', () => ['classify', base], 'text_missing'],
    ['a model that is no classifier', () => ['classify', base, '--text', 'a'], 'model_classifies_nothing'],
    ['half a pair', () => ['classify', base, '--text', 'a', '--text', 'b', '--pair', 'c'], 'pairs_differ'],
  ])('%s is refused', async (_, words, code) => {
    const { status, error } = await runMain([...words(), '--json']);
    expect(status).not.toBe(0);
    expect(error.code).toBe(code);
  });
});
