/** `inkstone train bert` as a command: a run that is killed and resumed, scored, exported, tuned; what is refused. */
import { type ChildProcess, spawn } from 'node:child_process';
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageFolder } from '../../../base/host.ts';
import { runMain } from '../../testing.ts';

let folder: string;
const at = (name: string): string => path.join(folder, name);
const flags = ['--preset', 'bert-tiny', '--vocabulary', '120', '--steps', '80', '--evaluate-every', '40'];
const rest = ['--checkpoint-every', '7', '--threads', '1', '--json'];

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-bert-'));
  await fs.mkdir(at('books'));
  const who = ['a cat', 'the dog', 'one bird', 'my aunt'];
  for (const [b, name] of ['one', 'two', 'three'].entries())
    await fs.writeFile(
      at(`books/${name}.txt`),
      Array.from({ length: 2600 }, (_, i) => `${who[(i * 3 + b) % 4]} ran ${(i * 7) % 13} miles. `).join(''),
    );
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

function start(out: string, ...extra: string[]): ChildProcess {
  const command = path.join(packageFolder, 'bin', 'inkstone.mjs');
  const words = ['train', 'bert', '--data', at('books'), '--out', out, ...flags, ...rest, ...extra];
  return spawn(process.execPath, [command, ...words], { stdio: ['ignore', 'ignore', 'ignore'] });
}

const ended = (child: ChildProcess): Promise<number | string | null> =>
  new Promise((resolve) => {
    child.on('close', (code, signal) => resolve(signal ?? code));
  });

const bytes = (out: string, name: string): Promise<Buffer> =>
  fs.readFile(path.join(out, 'checkpoints', `${name}.safetensors`));

test('kill -9 and --resume: the same bytes; scored, evaluated, exported, gone on from, tuned', {
  timeout: 300_000,
}, async () => {
  const [whole, killed] = [at('whole'), at('killed')];
  const made = await runMain(['train', 'bert', '--data', at('books'), '--out', whole, ...flags, ...rest]);
  expect(made.status).toBe(0);
  expect(made.json).toMatchObject({ state: 'succeeded', unit: 'nats per masked token', preset: 'bert-tiny' });
  const next = made.json.next_sentence as Record<string, { accuracy: number; lower: number }>;
  // The last tenth of these books is too short for two places that are far apart.
  expect(Object.keys(next)).toEqual(['other_book']);
  expect(next.other_book?.accuracy).toBeGreaterThan(next.other_book?.lower ?? 1);

  const child = start(killed);
  const gone = ended(child);
  // After its first checkpoint.
  const checkpoint = path.join(killed, 'checkpoints', 'last.safetensors');
  while (child.exitCode === null && !(await fs.stat(checkpoint).catch(() => undefined)))
    await new Promise((resolve) => setTimeout(resolve, 2));
  child.kill('SIGKILL');
  expect(await gone).toBe('SIGKILL');
  expect(await ended(start(killed, '--resume'))).toBe(0);
  for (const name of ['last', 'best'])
    expect((await bytes(killed, name)).equals(await bytes(whole, name))).toBe(true);

  const scored = await runMain([
    ...[
      'evaluate',
      whole,
      '--data',
      at('books'),
      '--pairs',
      '32',
      '--out',
      at('card'),
      '--threads',
      '1',
      '--json',
    ],
  ]);
  expect(scored.status).toBe(0);
  expect(scored.json.nats_per_masked_token).toBeLessThan(5);
  const exported = await runMain(['export', whole, '--format', 'safetensors', '--out', at('hf'), '--json']);
  expect(exported.status).toBe(0);
  expect(JSON.parse(await fs.readFile(at('hf/config.json'), 'utf8')).architectures).toEqual([
    'BertForPreTraining',
  ]);
  const further = await runMain([
    ...['train', 'bert', '--base', whole, '--data', at('books'), '--preset', 'bert-tiny', '--steps', '3'],
    ...['--learning-rate', '0.000001', '--out', at('further'), '--threads', '1', '--json'],
  ]);
  expect(Math.abs((further.json.val_loss as number) - (made.json.best_val_loss as number))).toBeLessThan(0.1);
  await fs.writeFile(
    at('rows.csv'),
    [
      'text,label',
      ...Array.from({ length: 40 }, (_, i) => `${i % 2 ? 'a cat' : 'the dog'} ran,${i % 2}`),
    ].join('\n'),
  );
  const tuned = await runMain([
    ...['train', 'classify', '--base', whole, '--data', at('rows.csv'), '--out', at('tuned')],
    ...['--steps', '40', '--learning-rate', '0.003', '--threads', '1', '--json'],
  ]);
  expect(tuned.json.accuracy).toBe(1);
  // As Hugging Face's classifier, with its labels; what it says there is what it says here.
  const written = await runMain([
    'export',
    at('tuned'),
    '--format',
    'safetensors',
    '--out',
    at('tuned-hf'),
    '--json',
  ]);
  expect(written.status).toBe(0);
  const config = JSON.parse(await fs.readFile(at('tuned-hf/config.json'), 'utf8'));
  expect(config).toMatchObject({
    architectures: ['BertForSequenceClassification'],
    id2label: { 0: '0', 1: '1' },
  });
  const ask = async (model: string): Promise<unknown> =>
    (await runMain(['classify', model, '--text', 'a cat', '--threads', '1', '--json'])).json.results;
  expect(await ask(at('tuned-hf'))).toEqual(await ask(at('tuned')));
  const graph = await runMain([
    'export',
    at('tuned'),
    '--format',
    'onnx',
    '--out',
    at('tuned.onnx'),
    '--json',
  ]);
  expect(graph.status).toBe(0);
  expect(
    (await runMain(['export', at('tuned'), '--format', 'gguf', '--out', at('t.gguf'), '--json'])).error.code,
  ).toBe('format_unsupported');
});

test.each([
  ['no data', () => ['--preset', 'bert-tiny'], 'invalid_input'],
  ['a preset that is not there', () => ['--preset', 'bert-huge', '--data', at('books')], 'preset_unknown'],
  ['nothing to resume', () => ['--resume'], 'run_missing'],
  ['one short book', () => ['--preset', 'bert-tiny', '--data', at('short.txt')], 'data_too_small'],
])('%s is refused', async (_, words, code) => {
  await fs.writeFile(at('short.txt'), 'One sentence. Another one, and a third. '.repeat(40));
  const { status, error } = await runMain(['train', 'bert', ...words(), '--out', at('refused'), '--json']);
  expect(status).not.toBe(0);
  expect(error.code).toBe(code);
});

test('a base that is no BERT is refused, and a BERT for other letters', async () => {
  await fs.writeFile(at('poem.txt'), '床前明月光。疑是地上霜！'.repeat(4000));
  const text = await runMain([
    ...['train', 'text', '--preset', 'tiny', '--data', at('short.txt'), '--out', at('writer')],
    ...['--steps', '1', '--threads', '1', '--json'],
  ]);
  expect(text.status).toBe(0);
  const based = (base: string, data: string) =>
    runMain([
      'train',
      'bert',
      '--preset',
      'bert-tiny',
      '--base',
      base,
      '--data',
      data,
      '--out',
      at('x'),
      '--json',
    ]);
  expect((await based(at('writer'), at('books'))).error.code).toBe('base_differs');
  expect((await based(at('whole'), at('poem.txt'))).error.code).toBe('vocabulary_differs');
});
