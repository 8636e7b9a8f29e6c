/** Spans: places in the text, the best of all spans, and a small BERT that learns to find answers. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { encodedBatch } from '../../data/text/labelled.ts';
import {
  answerTokens,
  bestSpans,
  type EncodedQuestion,
  encodeQuestion,
  spanText,
} from '../../data/text/spans.ts';
import { trainWordPiece, WordPieceCounter } from '../../data/tokenizer/wordpiece.ts';
import { createTrainable } from '../../nn/trainable.ts';
import { trainingConfig } from '../../nn/training-config.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import { bertConfig } from './bert.ts';
import { bertAnswers, bertSpanLoss } from './bert-programs.ts';
import { startBert } from './bert-start.ts';

let backend: Backend;
beforeAll(async () => {
  backend = await createBackend('cpu', { threads: 1, inline: true });
});
afterAll(() => backend.close());

const counter = new WordPieceCounter();
const towns = ['paris', 'rome', 'oslo', 'cairo', 'new york', 'rio'];
for (const word of [...towns, 'where does live lives anna ? in . é 诗 “ ”', 'a-b']) counter.add(word);
const pieces = trainWordPiece(counter.counts, 160);

describe('places', () => {
  const passage = '  Anna lives\u0301 in “New York”, 诗a-b.';
  const row = encodeQuestion('Where?', passage, pieces, 64);

  test('the tokens are those of the whole text, and each place is its word as written', () => {
    expect([...row.tokens.subarray(row.first, row.after)]).toEqual(pieces.encode(passage));
    for (const [start, end] of row.places) expect(passage.slice(start, end)).toMatch(/^\S+$/);
  });

  test('an answer becomes tokens and the same text again; one that was cut away is told', () => {
    const start = passage.indexOf('New York');
    const found = answerTokens(row, start, 'New York'.length);
    expect(spanText(passage, row, { ...(found as { start: number; end: number }), score: 0 })).toBe(
      'New York',
    );
    const short = encodeQuestion('Where?', passage, pieces, 12);
    expect(answerTokens(short, start, 'New York'.length)).toBeUndefined();
    expect(() => encodeQuestion('Where? '.repeat(9), passage, pieces, 12)).toThrow(/leave no room/);
  });
});

test('the best spans are those of a full search, within the passage and its length', () => {
  const random = new Random(4, 'spans');
  for (let round = 0; round < 50; round++) {
    const [starts, ends] = [0, 1].map(() => Array.from({ length: 20 }, () => random.normal())) as [
      number[],
      number[],
    ];
    const all = [];
    for (let start = 5; start < 18; start++)
      for (let end = start; end < 18 && end < start + 4; end++)
        all.push({ start, end, score: (starts[start] as number) + (ends[end] as number) });
    all.sort((a, b) => b.score - a.score);
    expect(bestSpans(starts, ends, { first: 5, after: 18 }, { longest: 4, count: 3 })).toEqual(
      all.slice(0, 3),
    );
  }
});

test('a small BERT learns to find what is asked for', async () => {
  const [batch, time] = [16, 56];
  const model = bertConfig.parse({
    ...{ architecture: 'bert', layers: 2, heads: 4, width: 48, hidden: 96, context: time },
    ...{
      vocabulary: pieces.vocabularySize,
      pooler: false,
      masked: false,
      next: false,
      span: true,
      matching: 2,
    },
  });
  const training = trainingConfig.parse({
    ...{ seed: 1, steps: 900, batch, context: time, learningRate: 5e-3 },
    optimiser: { name: 'adamw', weightDecay: 0 },
    schedule: { name: 'linear', warmup: 20, decay: 0.5, floor: 0 },
  });
  const trainable = await createTrainable({
    ...{ name: 'span', backend, config: training, model: bertSpanLoss(model, batch, time) },
    evaluate: bertAnswers(model),
    parameters: startBert(model, training.seed),
  });
  /** Six towns in a row; one is asked for. */
  const example = (
    random: Random,
  ): { row: EncodedQuestion; passage: string; answer: string; start: number } => {
    const order = towns.map((town) => ({ town, draw: random.uniform() })).sort((a, b) => a.draw - b.draw);
    const passage = order.map(({ town }) => town).join(', ');
    const answer = towns[random.integer(6)] as string;
    const row = encodeQuestion(`where does ${answer} live?`, passage, pieces, time);
    return { row, passage, answer, start: passage.indexOf(answer) };
  };
  const batchOf = (random: Random) => {
    const all = Array.from({ length: batch }, () => example(random));
    const spans = all.map(({ row, answer, start }) => answerTokens(row, start, answer.length));
    const ends = (name: 'start' | 'end'): HostTensor =>
      tensor(
        'i32',
        [batch],
        Int32Array.from(spans, (span) => (span as { start: number; end: number })[name]),
      );
    const inputs = encodedBatch(
      all.map(({ row }) => row),
      time,
    );
    return { all, inputs, whole: { ...inputs, starts: ends('start'), ends: ends('end') } as HostTensors };
  };
  for (let step = 0; step < training.steps; step++)
    await trainable.step(batchOf(new Random(1, 'examples', step)).whole, step);
  const answers = await backend.compile(bertAnswers(model), { constants: await trainable.parameters() });
  let right = 0;
  for (let part = 0; part < 4; part++) {
    const { all, inputs } = batchOf(new Random(2, 'unseen', part));
    const { span } = await answers.run({ inputs, fetch: ['span'] });
    const { data } = span as HostTensor<'f32'>;
    all.forEach(({ row, passage, answer }, b) => {
      const scores = (end: number): number[] =>
        Array.from({ length: time }, (_, t) => data[(b * time + t) * 2 + end] as number);
      const [best] = bestSpans(scores(0), scores(1), row, { longest: 6 });
      if (best !== undefined && spanText(passage, row, best) === answer) right++;
    });
  }
  // One of six by chance, were it to find towns alone.
  expect(right / (4 * batch)).toBeGreaterThan(0.85);
  await answers.free();
  await trainable.close();
});
