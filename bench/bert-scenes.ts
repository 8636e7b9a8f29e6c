/**
 * Whether two passages are of one scene: a classifier tuned from given weights, and the same network from random ones,
 * each at the learning rate that suits it on other passages.
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

const TIME = 128;
/** Tokens of a passage: two of them, `[CLS]` and two `[SEP]` fill a row. */
const PASSAGE = (TIME - 4) / 2;
const BATCH = 12;
const LABELLED = 200;
const TESTED = 996;
/** Of what a learning rate is chosen by. */
const JUDGED = 396;
/** A start whose numbers are large needs larger steps than one whose numbers are small. */
const RATES = [2e-4, 6e-4, 2e-3];
/** Sentences from the beginning of a passage to that of another of the same scene. */
const NEAR = { least: 6, most: 25 } as const;

interface Setting {
  backend: Backend;
  model: BertConfig;
  tokenizer: WordPieceTokenizer;
  weights: HostTensors;
  books: readonly Book[];
  seed: number;
  small: boolean;
}

interface Pairs {
  first: Int32Array[];
  second: Int32Array[];
  /** 1: of one scene. */
  labels: number[];
}

/** Pairs from one quarter of each book, half of them of one scene, the others of two books. */
function pairsOf(corpus: SentenceCorpus, quarter: number, count: number, seed: number): Pairs {
  const random = new Random(seed, 'scenes', quarter);
  const { books } = corpus;
  const place = (book: number): number => {
    const [begin, end] = [books[book] as number, books[book + 1] as number];
    const size = (end - begin) / 4;
    const from = begin + Math.floor(quarter * size);
    return from + random.integer(Math.max(1, Math.floor(size) - NEAR.least - NEAR.most));
  };
  // No longer than up to where another may begin: they share no sentence.
  const passage = (start: number): Int32Array => corpus.between(start, start + NEAR.least).slice(0, PASSAGE);
  const made: Pairs = { first: [], second: [], labels: [] };
  for (let i = 0; i < count; i++) {
    const one = i % 2;
    const book = random.integer(books.length - 1);
    const other = (book + 1 + random.integer(books.length - 2)) % (books.length - 1);
    const start = place(book);
    const near = NEAR.least + random.integer(NEAR.most - NEAR.least + 1);
    const second = one === 1 ? start + near : place(other);
    made.first.push(passage(start));
    made.second.push(passage(second));
    made.labels.push(one);
  }
  return made;
}

function batchOf(tokenizer: WordPieceTokenizer, pairs: Pairs, rows: readonly number[]): HostTensors {
  const tokens = new Int32Array(rows.length * TIME);
  const segments = new Int32Array(rows.length * TIME);
  const lengths = new Int32Array(rows.length);
  const [begin, end] = [tokenizer.special('[CLS]'), tokenizer.special('[SEP]')];
  rows.forEach((row, b) => {
    const [one, two] = [pairs.first[row] as Int32Array, pairs.second[row] as Int32Array];
    const ids = [begin, ...one, end, ...two, end];
    tokens.set(ids, b * TIME);
    segments.fill(1, b * TIME + one.length + 2, b * TIME + ids.length);
    lengths[b] = ids.length;
  });
  return {
    tokens: tensor('i32', [rows.length, TIME], tokens),
    segments: tensor('i32', [rows.length, TIME], segments),
    length: tensor('i32', [rows.length], lengths),
    labels: tensor(
      'i32',
      [rows.length],
      Int32Array.from(rows, (row) => pairs.labels[row] as number),
    ),
  };
}

/** A classifier trained on some pairs: its accuracy on others. */
async function tuned(
  { backend, tokenizer, seed, small }: Setting,
  model: BertConfig,
  [start, learningRate]: [HostTensors, number],
  labelled: Pairs,
  tested: Pairs,
): Promise<number> {
  const config = trainingConfig.parse({
    ...{ seed, steps: small ? 4 : 120, batch: BATCH, context: TIME, learningRate, dropout: 0.1 },
    optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0.01 },
    schedule: { name: 'linear', warmup: small ? 1 : 15, decay: 0.9, floor: 0 },
  });
  const trainable = await createTrainable({
    ...{ name: 'scenes', backend, config, parameters: start },
    ...{ model: bertClassificationLoss(model, BATCH, TIME), evaluate: bertAnswers(model) },
  });
  for (let step = 0; step < config.steps; step++) {
    const random = new Random(seed, 'scene rows', step);
    const rows = Array.from({ length: BATCH }, () => random.integer(labelled.labels.length));
    await trainable.step(batchOf(tokenizer, labelled, rows), step);
  }
  const answers = await backend.compile(bertAnswers(model), { constants: await trainable.parameters() });
  await trainable.close();
  let right = 0;
  for (let first = 0; first < tested.labels.length; first += BATCH) {
    const rows = Array.from({ length: BATCH }, (_, i) => first + i);
    const { labels, ...inputs } = batchOf(tokenizer, tested, rows);
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

export interface SceneAccuracy {
  pretrained: number;
  random: number;
  /** Which start and rate each took. */
  note: string;
}

/** Accuracies on pairs that were not trained on, with the start and the rate that were best elsewhere in the books. */
export async function sameScene(setting: Setting): Promise<SceneAccuracy> {
  const { tokenizer, seed, small } = setting;
  const model: BertConfig = { ...setting.model, masked: false, next: false, classes: 2 };
  const corpus = new SentenceCorpus(setting.books, (sentence) => tokenizer.encode(sentence));
  const pairs = (quarter: number, count: number): Pairs => pairsOf(corpus, quarter, small ? 36 : count, seed);
  const others = [pairs(0, LABELLED), pairs(1, JUDGED)] as const;
  const told = [pairs(2, LABELLED), pairs(3, TESTED)] as const;
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
    return [value, `${chosen.name} at ${chosen.rate} (${round(100 * chosen.value, 3)} % elsewhere)`];
  };
  const [pretrained, ours] = await best({ 'pre-trained': known });
  const [random, theirs] = await best({
    prepared,
    plain: initialise(bertParameters(model), seed),
  });
  return { pretrained, random, note: `${ours}, random: ${theirs}` };
}
