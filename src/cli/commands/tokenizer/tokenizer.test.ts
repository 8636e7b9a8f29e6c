/** Vocabularies from the command line: learned, looked at, and chosen for a training. */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runMain } from '../../testing.ts';

const inkstone = (...words: string[]) => runMain([...words, '--json']);
const poem =
  '春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。床前明月光，疑是地上霜。举头望明月，低头思故乡。\n';
let folder: string;
let data: string;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-tokenizer-'));
  data = path.join(folder, 'poems.txt');
  await fs.writeFile(data, poem.repeat(30));
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

test.each([
  ['bpe', 300],
  ['words', 60],
  ['wordpiece', 80],
  ['characters', 2],
])('a vocabulary of %s is learned, written and read', async (kind, vocabulary) => {
  const out = path.join(folder, `${kind}.json`);
  const made = await inkstone(
    'tokenizer',
    'train',
    data,
    '--kind',
    kind,
    '--vocabulary',
    String(vocabulary),
    '--out',
    out,
  );
  expect(made.status).toBe(0);
  expect(made.json).toMatchObject({ out, kind, bytes: Buffer.byteLength(poem) * 30 });
  if (kind !== 'characters') expect(Number(made.json.vocabulary)).toBeLessThanOrEqual(vocabulary);
  const seen = await inkstone('tokenizer', 'encode', out, '举头望明月');
  expect(seen.json).toMatchObject({ kind, vocabulary: made.json.vocabulary });
  expect(String(seen.json.decoded).replaceAll(' ', '')).toBe('举头望明月');
  expect((seen.json.ids as number[]).length).toBe((seen.json.tokens as string[]).length);
});

test('what cannot be learned or read is told', async () => {
  const at = (...words: string[]) => inkstone('tokenizer', ...words);
  expect((await at('train', path.join(folder, 'none'))).error).toMatchObject({ code: 'data_missing' });
  expect((await at('train', data, '--kind', 'bpe', '--vocabulary', '9')).error).toMatchObject({
    code: 'vocabulary_small',
  });
  const bad = path.join(folder, 'bad.json');
  await fs.writeFile(bad, '{');
  expect((await at('encode', bad, 'x')).error).toMatchObject({ code: 'tokenizer_invalid' });
  expect((await at('encode', 'no-such-model', 'x')).error).toMatchObject({ code: 'model_not_found' });
});

test.each([
  ['characters', undefined, 'characters'],
  ['words', '60', 'words'],
  ['bpe', '300', 'bpe'],
])('a training takes tokens of %s', async (tokenizer, vocabulary, kind) => {
  const out = path.join(folder, `run-${tokenizer}`);
  const sizes = [
    '--steps',
    '3',
    '--layers',
    '1',
    '--heads',
    '2',
    '--width',
    '16',
    '--context',
    '16',
    '--batch',
    '2',
  ];
  const more = vocabulary === undefined ? [] : ['--vocabulary', vocabulary];
  const run = ['train', 'text', '--data', data, '--out', out, '--tokenizer', tokenizer, ...more, ...sizes];
  expect((await inkstone(...run)).status).toBe(0);
  const config = JSON.parse(await fs.readFile(path.join(out, 'config.json'), 'utf8'));
  expect(config.tokenizer.kind).toBe(kind);
  const written = await inkstone('generate', out, '--prompt', '明月', '--tokens', '5', '--seed', '1');
  expect(written.json.tokens).toBe(5);
  // A run keeps its tokens.
  const again = await inkstone('train', 'text', '--resume', '--out', out, '--tokenizer', 'bpe');
  expect(again.error).toMatchObject({ code: 'flags_conflict' });
});

test('characters take no size', async () => {
  const refused = await inkstone(
    'train',
    'text',
    '--data',
    data,
    '--tokenizer',
    'characters',
    '--vocabulary',
    '99',
  );
  expect(refused.error).toMatchObject({ code: 'flags_conflict' });
});
