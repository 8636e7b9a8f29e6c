/** Vectors of sequences beside transformers' own, in batches of mixed lengths; batches that waste little. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { textEmbedding } from '../models/text/embedding-programs.ts';
import { describeTextModel, loadWeights } from '../models/text/load.ts';
import type { Pooling } from '../models/text/pooling.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { batchesOf, SequenceEmbedder } from './embedder.ts';

const here = path.dirname(fileURLToPath(import.meta.url));
const golden = JSON.parse(await readFile(path.join(here, 'golden', 'embeddings.json'), 'utf8')) as {
  sequences: number[][];
  cases: { model: string; pooling: Pooling; embeddings: number[][] }[];
};
const folderOf = (name: string): string => path.join(here, '..', 'models', 'text', 'golden', name);
let backend: Backend;
beforeAll(async () => {
  backend = await createBackend('cpu', { threads: 1, inline: true });
});
afterAll(() => backend.close());

async function open(name: string, pooling: Pooling): Promise<SequenceEmbedder> {
  const info = await describeTextModel(folderOf(name));
  const { context, width } = info.config;
  const program = textEmbedding(info.config, pooling);
  return SequenceEmbedder.open({ backend, context, width, program, parameters: await loadWeights(info) });
}

describe('vectors', () => {
  test.each(golden.cases)('of $model by $pooling are those of transformers', async (one) => {
    const embedder = await open(one.model, one.pooling);
    const found = await embedder.embed(golden.sequences);
    for (const [i, expected] of one.embeddings.entries()) {
      const vector = found[i] as Float32Array;
      expect(vector).toHaveLength(expected.length);
      for (const [j, value] of expected.entries())
        expect(Math.abs((vector[j] as number) - value), `${i},${j}`).toBeLessThan(1e-5);
    }
    await embedder.close();
  });

  test('do not depend on who else is in the batch', async () => {
    const embedder = await open('bert', 'mean');
    const many = Array.from({ length: 300 }, (_, i) => golden.sequences[i % 4] as number[]);
    const together = await embedder.embed(many);
    const [alone] = await embedder.embed([golden.sequences[1] as number[]]);
    for (let row = 1; row < 300; row += 4)
      (together[row] as Float32Array).forEach((x, j) => {
        expect(x).toBeCloseTo((alone as Float32Array)[j] as number, 5);
      });
    await embedder.close();
  });

  test('are no longer made once nobody waits for them', async () => {
    const embedder = await open('bert', 'mean');
    const nobody = AbortSignal.abort();
    await expect(embedder.embed(golden.sequences, nobody)).rejects.toMatchObject({ code: 'cancelled' });
    await embedder.close();
  });

  test('by a pooler need one', async () => {
    const { config } = await describeTextModel(folderOf('gpt2'));
    expect(() => textEmbedding(config, 'pooler')).toThrow(
      expect.objectContaining({ code: 'pooling_unsupported' }),
    );
  });
});

describe('batches', () => {
  const of = (lengths: number[], context = 4096) =>
    batchesOf(
      lengths.map((length) => new Array<number>(length).fill(0)),
      context,
    );
  test('hold every row once, like lengths together, within the bound', () => {
    const lengths = Array.from({ length: 500 }, (_, i) => 1 + ((i * 37) % 200));
    const batches = of(lengths);
    expect(batches.flatMap(({ rows }) => rows).sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
    for (const { rows, time } of batches) expect(rows.length * time).toBeLessThanOrEqual(2048);
    const padded = batches.reduce((sum, { rows, time }) => sum + rows.length * time, 0);
    expect(padded / lengths.reduce((sum, n) => sum + n, 0)).toBeLessThan(1.2);
  });
  test('of one row may be longer than the bound, and never longer than the context', () => {
    expect(of([3000, 1])).toEqual([
      { rows: [0], time: 3008 },
      { rows: [1], time: 16 },
    ]);
    expect(of([10], 10)).toEqual([{ rows: [0], time: 10 }]);
  });
});
