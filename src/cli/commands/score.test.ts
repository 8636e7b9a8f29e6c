/** `inkstone score` and `inkstone logits` as people call them. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runMain } from '../testing.ts';

let folder: string;
const file = (name: string): string => path.join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-score-'));
  const hypotheses = ['The dog bit the man.', 'It was not unexpected.', 'The man bit him first.'];
  const first = ['The dog bit the man.', 'It was not unexpected.', 'The man bit him first.'];
  const second = ['The dog had bit the man.', 'No one was surprised.', 'The man had bitten the dog.'];
  await writeFile(
    file('p.txt'),
    "The dog bit the man.\nIt wasn't surprising.\nThe man had just bitten him.\n",
  );
  await writeFile(file('same.txt'), `${hypotheses.join('\r\n')}\r\n`);
  await writeFile(file('a.txt'), `The dog bit the man.\nIt was not unexpected.\nThe man bit him first.`);
  await writeFile(file('b.txt'), `${second.join('\n')}\n`);
  await writeFile(file('short.txt'), `${first[0]}\n`);
  await writeFile(file('empty.txt'), '');
});

describe('score', () => {
  test('sacreBLEU’s own example', async () => {
    const { json } = await runMain([
      ...[
        'score',
        '--predictions',
        file('p.txt'),
        '--references',
        file('a.txt'),
        '--references',
        file('b.txt'),
      ],
      ...['--metric', 'bleu,rouge,wer', '--tokenize', '13a', '--json'],
    ]);
    expect(json.bleu).toBeCloseTo(48.530827, 5);
    expect(Object.keys(json)).toEqual(['bleu', 'rouge1', 'rouge2', 'rougeL', 'rougeLsum', 'wer']);
    expect(Object.keys(json.rouge1 as object)).toEqual(['p', 'r', 'f']);
  });
  test('what is the same is perfect, whatever its line ends', async () => {
    const { json } = await runMain([
      ...['score', '--predictions', file('same.txt'), '--references', file('a.txt'), '--json'],
      ...['--metric', 'bleu,chrf,chrf++', '--metric', 'mer,wil,cer,exact-match,f1,distinct'],
    ]);
    expect(json).toMatchObject({ mer: 0, wil: 0, cer: 0, exact_match: 1, f1: 1 });
    for (const key of ['bleu', 'chrf', 'chrf++']) expect(json[key]).toBeCloseTo(100, 9);
  });
  test.each([
    ['a metric that is not there', ['--metric', 'blue'], 'metric_unknown', 'bleu'],
    ['a tokenizer that is not there', ['--tokenize', '13b'], 'invalid_input', '13a'],
  ])('%s is named', async (_, words, code, said) => {
    const { error } = await runMain([
      ...['score', '--predictions', file('p.txt'), '--references', file('a.txt'), '--json', ...words],
    ]);
    expect(error.code).toBe(code);
    expect(JSON.stringify(error)).toContain(said);
  });
  test.each([
    ['other numbers of lines', 'short.txt', 'segments_differ'],
    ['an empty file', 'empty.txt', 'segments_missing'],
    ['no file', 'none.txt', 'file_missing'],
  ])('%s gives one clear error', async (_, name, code) => {
    const { error } = await runMain([
      'score',
      '--predictions',
      file('p.txt'),
      '--references',
      file(name),
      '--json',
    ]);
    expect(error.code).toBe(code);
  });
});

describe('logits', () => {
  const golden = fileURLToPath(new URL('../../models/text/golden/', import.meta.url));
  test('of the last position', async () => {
    const { json } = await runMain([
      'logits',
      path.join(golden, 'llama'),
      '--ids',
      '3,1,4,1,5,9,2,6',
      '--json',
    ]);
    expect(json.logits).toHaveLength(23);
  });
  test.each([
    ['bert-classes', '1,2', 'head_missing'],
    ['llama', '1,99', 'token_invalid'],
    ['gpt2', Array(17).fill('1').join(), 'prompt_too_long'],
    ['gpt2', '1,x', 'invalid_input'],
    ['nowhere', '1', 'model_not_found'],
  ])('%s with %s is refused', async (name, ids, code) => {
    const { error } = await runMain(['logits', path.join(golden, name), '--ids', ids, '--json']);
    expect(error.code).toBe(code);
  });
});
