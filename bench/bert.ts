/**
 * `inkstone bench bert`: a BERT pre-trained on novels, judged on books that it has not seen, beside a unigram and a
 * bigram; and a classifier fine-tuned from it beside the same network from random weights. The protocol is in
 * docs/protocol-text.md.
 */
import type { z } from 'zod';
import * as host from '../src/base/host.ts';
import {
  type PretrainingPairs,
  type PretrainingShape,
  pretrainingPairs,
  pretrainingShape,
} from '../src/data/text/pretraining.ts';
import { type Book, readBooks } from '../src/data/text/sentences.ts';
import { proportion, scoreMasked } from '../src/evaluate/index.ts';
import type { BertConfig } from '../src/models/text/bert.ts';
import { bertPreset, bertPresetConfig } from '../src/models/text/bert-presets.ts';
import { trainingConfig } from '../src/nn/training-config.ts';
import { type Backend, createBackend } from '../src/runtime/index.ts';
import { type BertData, prepareBert, splitBooks } from '../src/train/bert-data.ts';
import { trainBert } from '../src/train/bert-run.ts';
import { bigramLoss } from './bert-references.ts';
import { sameScene } from './bert-scenes.ts';
import { dataFile } from './data.ts';
import { KeptWork } from './kept.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';
import type { QualityOptions } from './text-quality.ts';

/** Pairs of each kind. */
const JUDGED = 1000;
const ROWS = 20;

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

/** @throws InkstoneError `data_missing` */
export async function benchBert(
  options: QualityOptions & { seeds?: readonly number[]; steps?: number },
): Promise<BenchResult> {
  const started = host.monotonic();
  const small = options.effort < 1;
  const preset = bertPreset(small ? 'bert-tiny' : 'bert-novels');
  options.show('reading the novels');
  const file = await dataFile(options.data, 'novels.tar.gz');
  const data = await prepareBert({ data: file, tokenizer: bertPreset('bert-novels').vocabulary });
  const { tokenizer, train: known, validation: judging } = data;
  const unseen = splitBooks((await readBooks(file)).books).judging;
  const model = bertPresetConfig(preset, tokenizer.vocabularySize);
  const steps = options.steps ?? (small ? 6 : preset.training.steps);
  const settings = {
    ...{ model, training: { ...preset.training, steps }, small },
    // Not the commit: an hour of work outlives changes of what it does not touch. Each note says which one made it.
    ...{ threads: options.threads, data: data.fingerprint },
  };
  const kept = new KeptWork('bert', settings);
  const shape = pretrainingShape(ROWS, model.context);
  const pairs = pretrainingPairs(judging, tokenizer);
  const judged = small ? 40 : JUDGED;
  options.show('the unigram and the bigram');
  const references = bigramLoss(known, pairs, shape, judged, tokenizer.vocabularySize);
  const cases: BenchCase[] = [];
  const backend = await createBackend('cpu', { threads: options.threads });
  try {
    for (const seed of options.seeds ?? (small ? [1] : [1, 2, 3])) {
      const one = (): Promise<BenchCase[]> =>
        benchSeed(options, {
          seed,
          settings,
          backend,
          data,
          unseen,
          model,
          shape,
          pairs,
          judged,
          references,
          kept,
        });
      const made = await kept.result(`seed-${seed}`, one);
      cases.push(...made);
      options.note(
        made.map((one) => `${one.case}: ${one.ours} ${one.unit}, ${one.peer_name} ${one.peer}`).join('; '),
      );
    }
    // Calls with some of the seeds each may share the work: who has them all clears it.
    if (options.seeds === undefined) await kept.finish();
  } finally {
    await backend.close();
  }
  return {
    bench: 'bert',
    commit: await commit(),
    machine: { ...host.machine(), threads: options.threads, runtime: 'onnxruntime-node' },
    seconds: round((host.monotonic() - started) / 1000),
    cases,
  };
}

interface SeedCall {
  seed: number;
  settings: { training: z.input<typeof trainingConfig>; small: boolean };
  backend: Backend;
  data: BertData;
  unseen: readonly Book[];
  model: BertConfig;
  shape: PretrainingShape;
  pairs: PretrainingPairs;
  judged: number;
  references: { unigram: number; bigram: number };
  kept: KeptWork;
}

/** One training, its scores, and what a classifier tuned from it gains. */
async function benchSeed(options: QualityOptions, call: SeedCall): Promise<BenchCase[]> {
  const { seed, settings, backend, data, model, shape, pairs, judged, references, kept } = call;
  const { steps } = settings.training;
  const training = trainingConfig.parse({ ...settings.training, seed });
  const result = await trainBert({
    ...{ ...data, data: 'novels.tar.gz', backend, model, training, resume: true },
    out: kept.run(`seed-${seed}`),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    report: ({ step, loss, remaining }) =>
      options.show(
        `seed ${seed}: step ${step}/${steps}, loss ${loss.toFixed(3)}, ${Math.round(remaining)} s left`,
      ),
  });
  options.signal?.throwIfAborted();
  const { masked, right } = await scoreMasked({
    ...{ backend, model, weights: result.weights, pairs, shape, judged, seed: 7 },
  });
  const name = `seed ${seed}`;
  const note = `${result.parameters} parameters, ${steps} steps, ${Math.round(result.seconds)} s, at ${await commit()}`;
  const cases = [
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
  ];
  for (const kind of ['other book', 'same book'] as const) {
    const { value, lower, upper } = proportion(right.follows + right[kind], 2 * judged);
    cases.push(
      caseOf(
        `${name}, next sentence, negatives of ${kind === 'other book' ? 'other books' : 'the same book'}`,
        '%',
        'higher',
        100 * value,
        { name: 'chance', value: 50 },
        `95 % from ${(100 * lower).toFixed(1)} to ${(100 * upper).toFixed(1)}`,
      ),
    );
  }
  options.show(`seed ${seed}: fine-tuning`);
  const tuned = await sameScene({
    ...{ backend, model, tokenizer: data.tokenizer, weights: result.weights, books: call.unseen, seed },
    small: settings.small,
  });
  cases.push(
    caseOf(
      `${name}, one scene or two books, from 200 examples`,
      '%',
      'higher',
      100 * tuned.pretrained,
      { name: 'the same network from random weights', value: 100 * tuned.random },
      tuned.note,
    ),
  );
  return cases;
}
