/**
 * `inkstone bench bert`: a BERT pre-trained on novels, judged on books that it has not seen, beside a unigram and a
 * bigram; and a classifier fine-tuned from it beside the same network from random weights. The protocol is in
 * docs/protocol-text.md.
 */
import path from 'node:path';
import * as host from '../src/base/host.ts';
import { pretrainingPairs, pretrainingShape } from '../src/data/text/pretraining.ts';
import { type Book, readBooks, SentenceCorpus } from '../src/data/text/sentences.ts';
import {
  trainWordPiece,
  WordPieceCounter,
  type WordPieceTokenizer,
} from '../src/data/tokenizer/wordpiece.ts';
import { proportion, scoreMasked } from '../src/evaluate/index.ts';
import { type BertConfig, bertConfig } from '../src/models/text/bert.ts';
import { trainingConfig } from '../src/nn/training-config.ts';
import { createBackend } from '../src/runtime/index.ts';
import { trainBert } from '../src/train/bert-run.ts';
import { authorship } from './bert-authorship.ts';
import { bigramLoss } from './bert-references.ts';
import { dataFile } from './data.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';
import type { QualityOptions } from './text-quality.ts';

const VOCABULARY = 4096;
const TIME = 128;
/** Pairs of each kind. */
const JUDGED = 1000;
const ROWS = 20;

export function bertModel(vocabulary: number, small: boolean): BertConfig {
  return bertConfig.parse({
    architecture: 'bert',
    ...(small
      ? { layers: 2, heads: 2, width: 32, hidden: 64 }
      : { layers: 4, heads: 4, width: 192, hidden: 768 }),
    context: TIME,
    vocabulary,
    mimetic: true,
  });
}

export async function splitBooks(file: string): Promise<{ learning: Book[]; unseen: Book[] }> {
  const { books } = await readBooks(file);
  return {
    learning: books.filter((_, i) => i % 8 !== 7),
    unseen: books.filter((_, i) => i % 8 === 7),
  };
}

const caseOf = (
  name: string,
  unit: string,
  better: 'higher' | 'lower',
  ours: number,
  peer: { name: string; value: number } | undefined,
  note?: string,
): BenchCase => ({
  case: name,
  unit,
  better,
  ours: round(ours, 5),
  peer: peer === undefined ? null : round(peer.value, 5),
  peer_name: peer?.name ?? null,
  peer_version: null,
  ratio: peer === undefined ? null : round(ours / peer.value, 4),
  ...(note === undefined ? {} : { note }),
});

function tokenizerOf(books: readonly Book[]): WordPieceTokenizer {
  const counter = new WordPieceCounter();
  for (const { text } of books) counter.add(text);
  return trainWordPiece(counter.counts, VOCABULARY);
}

/** @throws InkstoneError `data_missing` */
export async function benchBert(
  options: QualityOptions & { seeds?: readonly number[]; steps?: number },
): Promise<BenchResult> {
  const started = host.monotonic();
  const small = options.effort < 1;
  options.show('reading the novels');
  const { learning, unseen } = await splitBooks(await dataFile(options.data, 'novels.tar.gz'));
  const tokenizer = tokenizerOf(learning);
  const encode = (sentence: string): number[] => tokenizer.encode(sentence);
  const [known, judging] = [new SentenceCorpus(learning, encode), new SentenceCorpus(unseen, encode)];
  const model = bertModel(tokenizer.vocabularySize, small);
  const shape = pretrainingShape(ROWS, TIME);
  const pairs = pretrainingPairs(judging, tokenizer);
  const judged = small ? 40 : JUDGED;
  options.show('the unigram and the bigram');
  const references = bigramLoss(known, pairs, shape, judged, tokenizer.vocabularySize);
  const cases: BenchCase[] = [];
  const backend = await createBackend('cpu', { threads: options.threads });
  const folder = await host.makeTemporaryFolder('inkstone-bert');
  try {
    for (const seed of options.seeds ?? (small ? [1] : [1, 2, 3])) {
      const steps = options.steps ?? (small ? 6 : 2400);
      const training = trainingConfig.parse({
        ...{ seed, steps, batch: 32, context: TIME, learningRate: 0.02, clip: 1 },
        optimiser: { name: 'muon', weightDecay: 0.05, adamRate: 0.1 },
        schedule: { name: 'linear', warmup: Math.min(100, steps >> 1), decay: 0.6, floor: 0 },
        ...{ evaluateEvery: steps, checkpointEvery: 300 },
      });
      const result = await trainBert({
        ...{ backend, model, tokenizer, training, train: known, validation: judging },
        out: path.join(folder, `seed-${seed}`),
        report: ({ step, loss, remaining }) =>
          options.show(
            `seed ${seed}: step ${step}/${steps}, loss ${loss.toFixed(3)}, ${Math.round(remaining)} s left`,
          ),
      });
      const { masked, right } = await scoreMasked({
        ...{ backend, model, weights: result.weights, pairs, shape, judged, seed: 7 },
      });
      const name = `seed ${seed}`;
      const note = `${result.parameters} parameters, ${steps} steps, ${Math.round(result.seconds)} s`;
      cases.push(
        caseOf(
          `${name}, masked tokens, unigram`,
          'nats/token',
          'lower',
          masked,
          { name: 'unigram', value: references.unigram },
          note,
        ),
        caseOf(`${name}, masked tokens, bigram`, 'nats/token', 'lower', masked, {
          name: 'Witten–Bell bigram',
          value: references.bigram,
        }),
      );
      for (const kind of ['other book', 'same book'] as const) {
        const { value, lower, upper } = proportion(right.follows + right[kind], 2 * judged);
        const interval = `95 % from ${(100 * lower).toFixed(1)} to ${(100 * upper).toFixed(1)}`;
        cases.push(
          caseOf(
            `${name}, next sentence, negatives of ${kind === 'other book' ? 'other books' : 'the same book'}`,
            '%',
            'higher',
            100 * value,
            { name: 'chance', value: 50 },
            interval,
          ),
        );
      }
      options.show(`seed ${seed}: fine-tuning`);
      const tuned = await authorship({
        ...{ backend, model, tokenizer, weights: result.weights, books: unseen, seed, small },
      });
      cases.push(
        caseOf(`${name}, authorship from 200 examples`, '%', 'higher', 100 * tuned.pretrained, {
          name: 'the same network from random weights',
          value: 100 * tuned.random,
        }),
      );
      options.note(
        cases
          .slice(-5)
          .map((one) => `${one.case}: ${one.ours} ${one.unit}, ${one.peer_name} ${one.peer}`)
          .join('; '),
      );
    }
  } finally {
    await backend.close();
    await host.removeFile(folder);
  }
  return {
    bench: 'bert',
    commit: await commit(),
    machine: { ...host.machine(), threads: options.threads, runtime: 'onnxruntime-node' },
    seconds: round((host.monotonic() - started) / 1000),
    cases,
  };
}
