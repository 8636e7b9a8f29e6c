/** Classifiers from any base: they learn, resume to the same bytes, and refuse what does not fit. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CharacterTokenizer } from '../data/tokenizer/characters.ts';
import { trainWordPiece, WordPieceCounter } from '../data/tokenizer/wordpiece.ts';
import { anyTextConfig } from '../models/text/any.ts';
import { loadClassifier } from '../models/text/load-classifier.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { type ClassifierBase, type ClassifyOptions, trainClassifier } from './classify-run.ts';

let folder: string;
let backend: Backend;
let bert: ClassifierBase;
let writer: ClassifierBase;

const moods = {
  glad: ['happy', 'merry', 'bright', 'joyful'],
  sad: ['gloomy', 'weary', 'bitter', 'tearful'],
} as const;
const rows = Array.from({ length: 90 }, (_, i) => {
  const label = i % 2 === 0 ? 'glad' : 'sad';
  const word = moods[label][(i >> 1) % 4] as string;
  const rest = ['on the hill', 'by the sea and far from home', 'today'][i % 3] as string;
  return { text: `a ${word} child ${rest}`, other: `it was ${word}`, label };
});

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-classify-'));
  await fs.writeFile(path.join(folder, 'rows.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  await fs.writeFile(
    path.join(folder, 'rows.csv'),
    ['text,label', ...rows.map(({ text, label }) => `"${text}",${label}`)].join('\n'),
  );
  backend = await createBackend('cpu', { threads: 1 });
  const counter = new WordPieceCounter();
  for (const { text, other } of rows) counter.add(`${text} ${other}`);
  const pieces = trainWordPiece(counter.counts, 120);
  const sizes = { layers: 1, heads: 2, width: 16, context: 32 };
  bert = {
    config: anyTextConfig.parse({
      architecture: 'bert',
      ...sizes,
      hidden: 32,
      vocabulary: pieces.vocabularySize,
    }),
    tokenizer: pieces,
  };
  const characters = new CharacterTokenizer([...new Set(['\n', ...rows.flatMap(({ text }) => [...text])])]);
  writer = {
    config: anyTextConfig.parse({
      architecture: 'gpt2',
      ...sizes,
      context: 48,
      bias: true,
      vocabulary: characters.vocabularySize,
    }),
    tokenizer: characters,
  };
});
afterAll(async () => {
  await backend.close();
  await fs.rm(folder, { recursive: true, force: true });
});

const run = (out: string, options: Partial<ClassifyOptions> = {}): ReturnType<typeof trainClassifier> =>
  trainClassifier({
    base: bert,
    data: path.join(folder, 'rows.jsonl'),
    out: path.join(folder, out),
    backend,
    ...options,
    training: {
      steps: 60,
      batch: 8,
      learningRate: 1e-2,
      evaluateEvery: 15,
      checkpointEvery: 10,
      ...options.training,
    },
  });

describe('a classifier', () => {
  test('learns from a BERT, keeps labels and a tenth of the rows, and is read back', async () => {
    const result = await run('bert');
    expect(result).toMatchObject({ state: 'succeeded', labels: ['glad', 'sad'], rows: 81, kept: true });
    expect(result.judged.length).toBe(9);
    expect(result.bestValidationLoss).toBeLessThan(0.2);
    const model = await loadClassifier(path.join(folder, 'bert'));
    expect(model.labels).toEqual(['glad', 'sad']);
    expect(model.config.classes).toBe(2);
  });

  test('learns from a model that writes, from a CSV', async () => {
    const result = await run('writer', {
      base: writer,
      data: path.join(folder, 'rows.csv'),
      training: { steps: 120 },
    });
    expect(result.bestValidationLoss).toBeLessThan(0.5);
    expect((await loadClassifier(path.join(folder, 'writer'))).labels).toEqual(['glad', 'sad']);
  });

  test('of pairs learns from two fields', async () => {
    const pairs = Array.from({ length: 60 }, (_, i) => ({
      q: rows[i]?.text,
      a: rows[i % 2 === 0 ? i : i + 1]?.other,
      fits: rows[i]?.label === rows[i % 2 === 0 ? i : i + 1]?.label,
    }));
    const data = path.join(folder, 'pairs.jsonl');
    await fs.writeFile(data, pairs.map((row) => JSON.stringify(row)).join('\n'));
    const result = await run('pairs', { data, fields: { text: 'q', pair: 'a', label: 'fits' } });
    expect(result.labels).toEqual(['false', 'true']);
    expect(result.judged[0]?.pair).toMatch(/^it was/);
  });

  test('stopped and resumed ends with the bytes of one that was never stopped', async () => {
    await run('whole', { training: { dropout: 0.1 } });
    const controller = new AbortController();
    const stopped = await run('parts', {
      training: { dropout: 0.1 },
      signal: controller.signal,
      report: ({ step }) => {
        if (step >= 20) controller.abort();
      },
    });
    expect(stopped.state).toBe('stopped');
    const resumed = await run('parts', { training: { dropout: 0.1 }, resume: true });
    expect(resumed.state).toBe('succeeded');
    for (const name of ['last', 'best']) {
      const [a, b] = await Promise.all(
        ['whole', 'parts'].map((out) =>
          fs.readFile(path.join(folder, out, 'checkpoints', `${name}.safetensors`)),
        ),
      );
      expect(a?.equals(b as Buffer)).toBe(true);
    }
    await expect(run('parts', { training: { learningRate: 1e-3 }, resume: true })).rejects.toMatchObject({
      code: 'config_differs',
    });
    await expect(
      run('parts', { data: path.join(folder, 'rows.csv'), training: { dropout: 0.1 }, resume: true }),
    ).rejects.toMatchObject({ code: 'data_differs' });
    await expect(run('parts')).rejects.toMatchObject({ code: 'run_exists' });
  });

  test('goes on from another classifier: the same classes keep their head, others begin anew', async () => {
    const { weights, config, tokenizer } = await loadClassifier(path.join(folder, 'bert'));
    const base = { config: config.model, tokenizer, weights };
    const same = await run('again', { base, training: { steps: 1, learningRate: 1e-6 } });
    expect(same.bestValidationLoss).toBeLessThan(0.25);
    const data = path.join(folder, 'three.jsonl');
    const three = rows.map(({ text }, i) => JSON.stringify({ text, label: `class ${i % 3}` }));
    await fs.writeFile(data, three.join('\n'));
    const other = await run('three', { base, data, training: { steps: 1, learningRate: 1e-6 } });
    expect(other.labels.length).toBe(3);
    expect(other.bestValidationLoss).toBeGreaterThan(0.6);
  });

  test('is refused where texts are of another language, or the other table has strange labels', async () => {
    const chinese = path.join(folder, 'chinese.jsonl');
    const lines = rows.map((_, i) => JSON.stringify({ text: '床前明月光疑是地上霜', label: `${i % 2}` }));
    await fs.writeFile(chinese, lines.join('\n'));
    await expect(run('chinese', { data: chinese })).rejects.toMatchObject({ code: 'vocabulary_differs' });
    await expect(run('chinese', { base: writer, data: chinese })).rejects.toMatchObject({
      code: 'vocabulary_differs',
    });
    const strange = path.join(folder, 'strange.jsonl');
    await fs.writeFile(strange, JSON.stringify({ text: 'a happy child', label: 'cross' }));
    await expect(run('strange', { validation: strange })).rejects.toMatchObject({ code: 'label_unknown' });
    await expect(fs.access(path.join(folder, 'strange'))).rejects.toThrow();
  });
});
