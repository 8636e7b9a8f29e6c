import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { trainWordPiece, WordPieceCounter } from '../../data/tokenizer/wordpiece.ts';
import { writeSafetensors } from '../../formats/safetensors.ts';
import { bertConfig, bertParameters } from '../../models/text/bert.ts';
import { initialise } from '../../nn/parameters.ts';
import { runMain } from '../testing.ts';

let folder: string;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-bert-'));
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

test('a BERT is asked for masked tokens and for the next sentence', async () => {
  const bert = path.join(folder, 'bert');
  const sentence = (i: number): string =>
    `The ${['cat', 'dog', 'bird'][i % 3]} ${['sat', 'ran', 'slept'][(i >> 2) % 3]} number ${i % 7}. `;
  const books = path.join(folder, 'books');
  await fs.mkdir(books);
  for (const [name, count] of [
    ['a.txt', 2200],
    ['b.txt', 300],
  ] as const)
    await fs.writeFile(path.join(books, name), Array.from({ length: count }, (_, i) => sentence(i)).join(''));
  const counter = new WordPieceCounter();
  counter.add(Array.from({ length: 60 }, (_, i) => sentence(i)).join(''));
  const tokenizer = trainWordPiece(counter.counts, 80);
  const config = bertConfig.parse({
    ...{ architecture: 'bert', layers: 1, heads: 2, width: 16, hidden: 32, context: 32 },
    vocabulary: tokenizer.vocabularySize,
  });
  await fs.mkdir(bert);
  const { architecture, ...sizes } = config;
  await fs.writeFile(
    path.join(bert, 'config.json'),
    JSON.stringify({ family: 'text', architecture, model: sizes, created: 1 }),
  );
  await fs.writeFile(path.join(bert, 'tokenizer.json'), tokenizer.toJson());
  await fs.writeFile(
    path.join(bert, 'model.safetensors'),
    writeSafetensors(initialise(bertParameters(config), 3)),
  );
  const out = path.join(folder, 'bert-card');
  const { json, status } = await runMain([
    'evaluate',
    bert,
    '--data',
    books,
    '--pairs',
    '32',
    '--out',
    out,
    '--json',
  ]);
  expect(status).toBe(0);
  // Untrained, it knows nothing: a token of the vocabulary, a coin.
  expect(json.nats_per_masked_token).toBeCloseTo(Math.log(config.vocabulary), 0);
  const next = json.next_sentence as Record<
    string,
    { accuracy: number; lower: number; upper: number; count: number }
  >;
  for (const { accuracy, lower, upper, count } of Object.values(next)) {
    expect(count).toBe(64);
    expect(accuracy).toBeGreaterThan(0.2);
    expect(lower).toBeLessThan(accuracy);
    expect(upper).toBeGreaterThan(accuracy);
  }
  expect(await fs.readFile(path.join(out, 'card.md'), 'utf8')).toContain(
    'Next sentence, negatives of the same book',
  );
  const one = await runMain([
    'evaluate',
    bert,
    '--data',
    path.join(books, 'b.txt'),
    '--pairs',
    '32',
    '--out',
    out,
    '--json',
  ]);
  expect(one.json.next_sentence).toBeUndefined();
  expect(one.json.masked_tokens).toBeGreaterThan(50);
});
