/** The score against the definition: every window's logits, position by position, in float64. */
import { promises as fs } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeTemporaryFolder } from '../base/host.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { evaluationWindows } from '../data/text/batches.ts';
import { prepareText } from '../data/text/prepare.ts';
import type { TokenFile } from '../data/text/token-file.ts';
import type { Tokenizer } from '../data/tokenizer/tokenizer.ts';
import { textLogits } from '../models/text/architectures.ts';
import { type Gpt2Config, gpt2Parameters } from '../models/text/gpt2.ts';
import { initialise } from '../nn/parameters.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { countBytes, scoreText } from './text.ts';

const model: Gpt2Config = { layers: 1, heads: 2, width: 8, context: 7, vocabulary: 5, bias: true };
let folder: string;
let backend: Backend;
let reference: Backend;
let tokens: TokenFile;
let tokenizer: Tokenizer;
let ids: number[];
const weights: HostTensors = initialise(gpt2Parameters(model), 3);

beforeAll(async () => {
  folder = await makeTemporaryFolder('inkstone-score');
  await fs.writeFile(
    `${folder}/text.txt`,
    Array.from({ length: 60 }, (_, i) => 'abcde'[(i * i + (i >> 2)) % 5]).join(''),
  );
  ({ tokens, tokenizer } = await prepareText(`${folder}/text.txt`, {
    folder,
    tokenizer: { name: 'characters' },
  }));
  ids = [...(await tokens.read(0, 60))];
  backend = await createBackend('cpu', { threads: 1 });
  reference = await createBackend('reference');
  // Initial weights hardly differ from token to token: larger ones make a mistake visible.
  for (const value of Object.values(weights))
    (value.data as Float32Array).set(Float32Array.from(value.data as Float32Array, (x) => x * 20));
});
afterAll(async () => {
  await tokens.close();
  await backend.close();
  await reference.close();
  await fs.rm(folder, { recursive: true, force: true });
});

/** Nats by the protocol's own words. */
async function byHand(start: number, length: number): Promise<number> {
  const program = await reference.compile(textLogits(model));
  let nats = 0;
  for (let at = 0; at < length - 1; at += model.context) {
    const count = Math.min(model.context, length - 1 - at);
    const window = Int32Array.from(ids.slice(start + at, start + at + count));
    const { logits } = await program.run({
      inputs: { ...weights, tokens: tensor('i32', [1, count], window) },
    });
    for (let i = 0; i < count; i++) {
      const row = Array.from((logits as HostTensor<'f32'>).data.subarray(i * 5, i * 5 + 5));
      const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
      nats += total - (row[ids[start + at + i + 1] as number] as number);
    }
  }
  return nats;
}

describe('scoreText', () => {
  test.each([
    [0, 60],
    [10, 8],
    [3, 9],
    [50, 2],
  ])('from %i, %i tokens', async (start, length) => {
    const seen: number[] = [];
    const score = await scoreText({
      backend,
      model,
      weights,
      tokens,
      range: { start, length },
      progress: (part) => void seen.push(part),
    });
    expect(score.predictions).toBe(length - 1);
    expect(score.nats / score.predictions).toBeCloseTo((await byHand(start, length)) / (length - 1), 4);
    expect(seen.at(-1)).toBe(1);
  });

  /** Each token from as many tokens before it as the model sees: a run of the network for each. */
  async function fullContext(start: number, length: number): Promise<number> {
    const program = await reference.compile(textLogits(model));
    let nats = 0;
    for (let i = 1; i < length; i++) {
      const first = Math.max(0, i - model.context);
      const window = Int32Array.from(ids.slice(start + first, start + i));
      const { logits } = await program.run({
        inputs: { ...weights, tokens: tensor('i32', [1, i - first], window) },
      });
      const row = Array.from((logits as HostTensor<'f32'>).data.subarray(-5));
      nats +=
        Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - (row[ids[start + i] as number] as number);
    }
    return nats;
  }

  test.each([
    [0, 60],
    [10, 8],
    [5, 4],
    [3, 20],
  ])('one token apart, from %i, %i tokens: every token from its whole context', async (start, length) => {
    const score = await scoreText({ backend, model, weights, tokens, range: { start, length }, stride: 1 });
    expect(score.predictions).toBe(length - 1);
    expect(score.blocks.counts.reduce((a, b) => a + b, 0)).toBe(length - 1);
    expect(score.nats / (length - 1)).toBeCloseTo((await fullContext(start, length)) / (length - 1), 4);
  });

  test.each([1, 2, 3, 5, 6, 7])('windows %i apart predict every position once, from enough', (stride) => {
    for (const predictions of [1, 6, 7, 8, 15, 50]) {
      const seen: number[] = [];
      for (const { at, count, skip } of evaluationWindows(predictions, 7, stride))
        for (let i = skip; i < count; i++) {
          seen.push(at + i);
          expect(i >= 7 - stride || at === 0).toBe(true);
        }
      expect(seen).toEqual(Array.from({ length: predictions }, (_, i) => i));
    }
  });

  test.each([0, 8, 1.5])('a stride of %d is refused', async (stride) => {
    const options = { backend, model, weights, tokens, range: { start: 0, length: 60 }, stride };
    await expect(scoreText(options)).rejects.toMatchObject({ code: 'stride_invalid' });
  });

  test('bytes are those of the text', async () => {
    expect(await countBytes(tokens, tokenizer, { start: 4, length: 50 })).toBe(50);
  });

  test('a signal ends it', async () => {
    const options = { backend, model, weights, tokens, range: { start: 0, length: 60 } };
    await expect(scoreText({ ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });
});
