/**
 * Which of two authors wrote a passage: a classifier tuned from given weights, and the same network from random ones,
 * each at the learning rate that suits it on two other authors.
 */
import { Random } from '../src/base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../src/base/tensor.ts';
import { type Book, SentenceCorpus } from '../src/data/text/sentences.ts';
import type { WordPieceTokenizer } from '../src/data/tokenizer/wordpiece.ts';
import { type BertConfig, bertParameters } from '../src/models/text/bert.ts';
import { bertAnswers, bertClassificationLoss } from '../src/models/text/bert-programs.ts';
import { startBert } from '../src/models/text/bert-start.ts';
import { initialise } from '../src/nn/parameters.ts';
import { createTrainable } from '../src/nn/trainable.ts';
import { trainingConfig } from '../src/nn/training-config.ts';
import type { Backend } from '../src/runtime/contract.ts';
import { round } from './report.ts';

const TIME = 64;
const BATCH = 20;
const LABELLED = 200;
const TESTED = 1000;
/** A start whose numbers are large needs larger steps than one whose numbers are small. */
const RATES = [1e-4, 3e-4, 1e-3, 3e-3];

interface Setting {
  backend: Backend;
  model: BertConfig;
  tokenizer: WordPieceTokenizer;
  weights: HostTensors;
  /** The first two are told apart; learning rates are chosen on the next two. */
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

/** A classifier trained on one set of passages: its accuracy on another. */
async function tuned(
  { backend, seed, small }: Setting,
  model: BertConfig,
  [start, learningRate]: [HostTensors, number],
  labelled: Passages,
  tested: Passages,
): Promise<number> {
  const config = trainingConfig.parse({
    ...{ seed, steps: small ? 4 : 150, batch: BATCH, context: TIME, learningRate, dropout: 0.1 },
    optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0.01 },
    schedule: { name: 'linear', warmup: small ? 1 : 15, decay: 0.9, floor: 0 },
  });
  const trainable = await createTrainable({
    ...{ name: 'authorship', backend, config, parameters: start },
    ...{ model: bertClassificationLoss(model, BATCH, TIME), evaluate: bertAnswers(model) },
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
}

export interface Authorship {
  pretrained: number;
  random: number;
  /** Which start and rate each took. */
  note: string;
}

/** Accuracies on passages that were not trained on, of the best start and rate of either kind on two other authors. */
export async function authorship(setting: Setting): Promise<Authorship> {
  const { tokenizer, seed, small } = setting;
  const model: BertConfig = { ...setting.model, masked: false, next: false, classes: 2 };
  const pair = (books: readonly Book[]): [Passages, Passages] => {
    const corpus = new SentenceCorpus(books, (sentence) => tokenizer.encode(sentence));
    return [
      passages(corpus, tokenizer, 0, small ? 40 : LABELLED, seed),
      passages(corpus, tokenizer, 1, small ? 40 : TESTED, seed),
    ];
  };
  const [told, others] = [pair(setting.books.slice(0, 2)), pair(setting.books.slice(2, 4))];
  const prepared = startBert(model, seed);
  const known = Object.fromEntries(
    bertParameters(model).map(({ name }) => [name, setting.weights[name] ?? (prepared[name] as HostTensor)]),
  );
  const best = async (starts: Record<string, HostTensors>): Promise<[number, string]> => {
    const tried: { start: HostTensors; name: string; rate: number; value: number }[] = [];
    for (const [name, start] of Object.entries(starts))
      for (const rate of small ? RATES.slice(0, 1) : RATES)
        tried.push({ start, name, rate, value: await tuned(setting, model, [start, rate], ...others) });
    const chosen = tried.reduce((a, b) => (b.value > a.value ? b : a));
    const value = await tuned(setting, model, [chosen.start, chosen.rate], ...told);
    return [value, `${chosen.name} at ${chosen.rate} (${round(100 * chosen.value, 3)} % on the other two)`];
  };
  const [pretrained, ours] = await best({ 'pre-trained': known });
  const [random, theirs] = await best({
    prepared,
    plain: initialise(bertParameters(model), seed),
  });
  return { pretrained, random, note: `${ours}, random: ${theirs}` };
}
