/** Which of two authors wrote a passage: a classifier tuned from given weights, and the same from random ones. */
import { Random } from '../src/base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../src/base/tensor.ts';
import { type Book, SentenceCorpus } from '../src/data/text/sentences.ts';
import type { WordPieceTokenizer } from '../src/data/tokenizer/wordpiece.ts';
import { type BertConfig, bertParameters } from '../src/models/text/bert.ts';
import { bertAnswers, bertClassificationLoss } from '../src/models/text/bert-programs.ts';
import { startBert } from '../src/models/text/bert-start.ts';
import { createTrainable } from '../src/nn/trainable.ts';
import { trainingConfig } from '../src/nn/training-config.ts';
import type { Backend } from '../src/runtime/contract.ts';

const TIME = 64;
const BATCH = 20;
const LABELLED = 200;
const TESTED = 1000;

interface Setting {
  backend: Backend;
  model: BertConfig;
  tokenizer: WordPieceTokenizer;
  weights: HostTensors;
  /** The first two are told apart. */
  books: readonly Book[];
  seed: number;
  small: boolean;
}

interface Passages {
  tokens: Int32Array[];
  labels: number[];
}

/** Passages of the first or the second half of each book, as many of each author. */
function passages(
  corpus: SentenceCorpus,
  tokenizer: WordPieceTokenizer,
  half: 0 | 1,
  count: number,
  seed: number,
): Passages {
  const random = new Random(seed, 'authorship', half);
  const made: Passages = { tokens: [], labels: [] };
  for (let i = 0; i < count; i++) {
    const label = i % 2;
    const [begin, end] = [corpus.books[label] as number, corpus.books[label + 1] as number];
    const middle = (begin + end) >> 1;
    const start =
      half === 0 ? begin + random.integer(middle - begin - 40) : middle + random.integer(end - middle - 40);
    const ids = corpus.between(start, start + 40).subarray(0, TIME - 2);
    made.tokens.push(Int32Array.from([tokenizer.special('[CLS]'), ...ids, tokenizer.special('[SEP]')]));
    made.labels.push(label);
  }
  return made;
}

function batchOf({ tokens, labels }: Passages, rows: readonly number[]): HostTensors {
  const flat = new Int32Array(rows.length * TIME);
  rows.forEach((row, b) => {
    flat.set(tokens[row] as Int32Array, b * TIME);
  });
  return {
    tokens: tensor('i32', [rows.length, TIME], flat),
    segments: tensor('i32', [rows.length, TIME], new Int32Array(rows.length * TIME)),
    length: tensor(
      'i32',
      [rows.length],
      Int32Array.from(rows, (row) => (tokens[row] as Int32Array).length),
    ),
    labels: tensor(
      'i32',
      [rows.length],
      Int32Array.from(rows, (row) => labels[row] as number),
    ),
  };
}

/** Accuracies on passages that were not trained on. */
export async function authorship(setting: Setting): Promise<{ pretrained: number; random: number }> {
  const { backend, tokenizer, seed, small } = setting;
  const model: BertConfig = { ...setting.model, masked: false, next: false, classes: 2 };
  const corpus = new SentenceCorpus(setting.books.slice(0, 2), (sentence) => tokenizer.encode(sentence));
  const labelled = passages(corpus, tokenizer, 0, small ? 40 : LABELLED, seed);
  const tested = passages(corpus, tokenizer, 1, small ? 40 : TESTED, seed);
  const specs = bertParameters(model);
  const run = async (start: HostTensors): Promise<number> => {
    const config = trainingConfig.parse({
      ...{ seed, steps: small ? 4 : 150, batch: BATCH, context: TIME, learningRate: 3e-4, dropout: 0.1 },
      optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0.01 },
      schedule: { name: 'linear', warmup: small ? 1 : 15, decay: 0.9, floor: 0 },
    });
    const loss = bertClassificationLoss(model, BATCH, TIME);
    const trainable = await createTrainable({
      ...{
        name: 'authorship',
        backend,
        model: loss,
        evaluate: bertAnswers(model),
        config,
        parameters: start,
      },
    });
    for (let step = 0; step < config.steps; step++) {
      const random = new Random(seed, 'authorship rows', step);
      const rows = Array.from({ length: BATCH }, () => random.integer(labelled.labels.length));
      await trainable.step(batchOf(labelled, rows), step);
    }
    const answers = await backend.compile(bertAnswers(model), { constants: await trainable.parameters() });
    await trainable.close();
    let right = 0;
    for (let first = 0; first < tested.labels.length; first += BATCH) {
      const rows = Array.from({ length: BATCH }, (_, i) => first + i);
      const { labels, ...inputs } = batchOf(tested, rows);
      const { classes } = await answers.run({ inputs, fetch: ['classes'] });
      const scores = (classes as HostTensor<'f32'>).data;
      rows.forEach((_, b) => {
        const said = (scores[2 * b + 1] as number) > (scores[2 * b] as number) ? 1 : 0;
        if (said === (labels as HostTensor<'i32'>).data[b]) right += 1;
      });
    }
    await answers.free();
    return right / tested.labels.length;
  };
  const random = startBert(model, seed);
  const known = Object.fromEntries(
    specs.map(({ name }) => [name, setting.weights[name] ?? (random[name] as HostTensor)]),
  );
  return { pretrained: await run(known), random: await run(random) };
}
