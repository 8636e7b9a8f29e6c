/**
 * A classifier from any text model and a table of labelled texts: masked or autoregressive pre-training goes on as
 * classification. Batches are alike in length, filled up to the longest row. Resumes as every training does.
 */
import { createHash } from 'node:crypto';
import { InkstoneError } from '../base/errors.ts';
import { exists, now, readBytes, removeFile } from '../base/host.ts';
import { Random } from '../base/rng.ts';
import { read } from '../base/schema.ts';
import { type HostTensors, tensor } from '../base/tensor.ts';
import {
  bucketFor,
  bucketsOf,
  type EncodedText,
  encodedBatch,
  encodePair,
  type LabelledFields,
  type LabelledText,
  labelledOf,
  labelsOf,
  rowsAlike,
} from '../data/text/labelled.ts';
import { readTable } from '../data/text/table.ts';
import { requireKnown } from '../data/tokenizer/unknown.ts';
import { WordPieceTokenizer } from '../data/tokenizer/wordpiece.ts';
import { type AnyTextConfig, architectureName, isBert } from '../models/text/any.ts';
import {
  type ClassifierConfig,
  classifierEvaluate,
  classifierLoss,
  classifierParameters,
  classifyingBert,
} from '../models/text/classifier.ts';
import type { TextModel } from '../models/text/load.ts';
import { countParameters, initialise } from '../nn/parameters.ts';
import { createTrainable } from '../nn/trainable.ts';
import { type TrainingConfig, trainingConfig } from '../nn/training-config.ts';
import type { Backend } from '../runtime/contract.ts';
import { goesOn } from './resume.ts';
import { RunFolder } from './run-folder.ts';
import { type TrainOutcome, type TrainProgress, train } from './trainer.ts';

/** What a classifier is made from; without weights it starts at random, for comparison. */
export type ClassifierBase = Pick<TextModel<AnyTextConfig>, 'config' | 'tokenizer'> & {
  weights?: HostTensors;
};

export interface ClassifyOptions {
  base: ClassifierBase;
  data: string;
  /** Another table to judge by; default: a tenth of the rows, drawn by the seed, where there are ten. */
  validation?: string;
  fields?: Partial<LabelledFields>;
  out: string;
  backend: Backend;
  /** Passes over the data; default 3. Not with `steps`. */
  epochs?: number;
  training?: Partial<TrainingConfig>;
  resume?: boolean;
  force?: boolean;
  signal?: AbortSignal;
  report?(progress: TrainProgress): void;
  provenance?: Record<string, unknown>;
}

export interface ClassifyResult extends TrainOutcome {
  out: string;
  labels: string[];
  parameters: number;
  /** Rows that were learned from. */
  rows: number;
  /** Rows that it was judged by: kept apart, unless there were too few to keep any. */
  judged: LabelledText[];
  kept: boolean;
  unit: 'nats per row';
}

interface Prepared {
  learning: LabelledText[];
  judged: LabelledText[];
  kept: boolean;
  labels: string[];
  fingerprint: string;
}

const BATCH = 16;

async function prepare(options: ClassifyOptions, seed: number): Promise<Prepared> {
  const { data, validation, fields } = options;
  const names: LabelledFields = { text: 'text', label: 'label', ...fields };
  const rows = labelledOf(await readTable(data), names, data);
  const labels = labelsOf(rows);
  requireKnown(
    rows.map(({ text }) => text),
    options.base.tokenizer,
    data,
  );
  const hash = createHash('sha256').update(await readBytes(data));
  if (validation !== undefined) {
    const judged = labelledOf(await readTable(validation), names, validation);
    const strange = judged.find(({ label }) => !labels.includes(label));
    if (strange !== undefined)
      throw new InkstoneError(
        'label_unknown',
        `${validation} has the label "${strange.label}", ${data} has not`,
        {
          kind: 'data',
          hint: `the labels are ${labels.join(', ')}`,
        },
      );
    const fingerprint = hash.update(await readBytes(validation)).digest('hex');
    return { learning: rows, judged, kept: true, labels, fingerprint };
  }
  const fingerprint = hash.digest('hex');
  const kept = rows.length >= 10 ? Math.ceil(rows.length / 10) : 0;
  const random = new Random(seed, 'kept rows');
  const order = rows.map((row) => ({ row, draw: random.uniform() })).sort((a, b) => a.draw - b.draw);
  const parts = order.map(({ row }) => row);
  return {
    learning: parts.slice(kept),
    // Too few to keep some apart: it is then judged by what was learned.
    judged: kept === 0 ? rows : parts.slice(0, kept),
    kept: kept > 0,
    labels,
    fingerprint,
  };
}

function settingsOf({ base, training = {}, epochs }: ClassifyOptions, rows: number): TrainingConfig {
  const batch = training.batch ?? Math.min(BATCH, rows);
  const steps = training.steps ?? Math.max(1, Math.ceil(((epochs ?? 3) * rows) / batch));
  return read(trainingConfig, {
    learningRate: 3e-4,
    dropout: 0.1,
    optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0.01 },
    schedule: { name: 'linear', warmup: Math.min(100, Math.floor(steps / 10)), decay: 0.9, floor: 0 },
    evaluateEvery: Math.max(1, Math.ceil(steps / 5)),
    checkpointEvery: Math.max(1, Math.ceil(steps / 5)),
    sampleEvery: 0,
    ...training,
    ...{ batch, steps, context: Math.min(training.context ?? base.config.context, base.config.context) },
  });
}

/** @throws InkstoneError `table_*`, `field_missing`, `labels_too_few`, `vocabulary_differs`, `run_exists`, `config_differs` */
export async function trainClassifier(options: ClassifyOptions): Promise<ClassifyResult> {
  const { base, backend, data } = options;
  if (isBert(base.config) && !(base.tokenizer instanceof WordPieceTokenizer))
    throw new InkstoneError('tokenizer_unsupported', 'a BERT needs a WordPiece tokenizer', {
      kind: 'unsupported',
      hint: 'put the tokenizer.json that it was trained with into its folder',
    });
  const prepared = await prepare(options, options.training?.seed ?? 1);
  const training = settingsOf(options, prepared.learning.length);
  const { labels, fingerprint } = prepared;
  const config: ClassifierConfig = {
    model: isBert(base.config) ? classifyingBert(base.config, labels.length) : base.config,
    classes: labels.length,
  };
  const parameters = countParameters(classifierParameters(config));
  const folder = new RunFolder(options.out);
  const made = !(await exists(folder.path));
  await folder.open();
  const unlock = await folder.lock();
  try {
    const resume = await goesOn(folder, options, { data, fingerprint, training, model: config.model });
    if (!resume) {
      await folder.clear();
      await folder.writeJson('tokenizer.json', JSON.parse(base.tokenizer.toJson()));
      await folder.writeJson('config.json', {
        ...{ family: 'text', architecture: architectureName(config.model), preset: 'classify' },
        ...{ task: 'classify', labels, model: config.model, training },
        tokenizer: { file: 'tokenizer.json', kind: base.tokenizer.kind },
        data: { fingerprint, rows: prepared.learning.length, judged: prepared.judged.length },
        parameters,
        created: Math.floor(now() / 1000),
        provenance: options.provenance ?? {},
      });
    }
    const trainable = await createTrainable({
      ...{ name: 'classifier', backend, config: training },
      model: classifierLoss(config, training.batch),
      evaluate: classifierEvaluate(config),
      parameters: startOf(config, base, training.seed),
    });
    try {
      const outcome = await run(options, { folder, trainable, training, prepared, resume });
      const { judged, kept, learning } = prepared;
      const facts = {
        out: options.out,
        labels,
        parameters,
        rows: learning.length,
        unit: 'nats per row' as const,
      };
      await folder.writeJson('result.json', { ...outcome, ...facts, judged: judged.length, kept });
      return { ...outcome, ...facts, judged, kept };
    } finally {
      await trainable.close();
    }
  } catch (thrown) {
    if (made && !(await folder.exists())) await removeFile(folder.path);
    throw thrown;
  } finally {
    await unlock();
  }
}

/** The base's weights where they fit, and new ones for the rest: a head for other classes begins anew. */
function startOf(config: ClassifierConfig, { weights = {} }: ClassifierBase, seed: number): HostTensors {
  const fresh = initialise(classifierParameters(config), seed);
  return Object.fromEntries(
    Object.entries(fresh).map(([name, value]) => {
      const own = weights[name];
      const fits = own !== undefined && own.shape.join() === value.shape.join();
      if (own !== undefined && !fits && !name.startsWith('classifier.'))
        throw new InkstoneError(
          'parameters_differ',
          `the base's "${name}" is [${own.shape}], the classifier's is [${value.shape}]`,
          { kind: 'conflict', hint: 'config.json and the weights of the base must belong together' },
        );
      return [name, fits ? own : value];
    }),
  );
}

interface RunCall {
  folder: RunFolder;
  trainable: Awaited<ReturnType<typeof createTrainable>>;
  training: TrainingConfig;
  prepared: Prepared;
  resume: boolean;
}

function run(
  options: ClassifyOptions,
  { folder, trainable, training, prepared, resume }: RunCall,
): Promise<TrainOutcome> {
  const { tokenizer } = options.base;
  const encode = (rows: readonly LabelledText[]): EncodedText[] =>
    rows.map((row) => encodePair(row, tokenizer, training.context));
  const [learning, judging] = [encode(prepared.learning), encode(prepared.judged)];
  const lengths = learning.map(({ tokens }) => tokens.length);
  const buckets = bucketsOf(training.context);
  const batchOf = (
    texts: readonly EncodedText[],
    rows: readonly LabelledText[],
    picks: readonly number[],
  ): HostTensors => {
    const own = picks.map((pick) => texts[pick] as EncodedText);
    const time = bucketFor(
      own.map(({ tokens }) => tokens.length),
      buckets,
    );
    const classes = picks.map((pick) => prepared.labels.indexOf((rows[pick] as LabelledText).label));
    return { ...encodedBatch(own, time), labels: tensor('i32', [picks.length], Int32Array.from(classes)) };
  };
  return train({
    ...{ folder, trainable, config: training, resume },
    tokensPerStep: (training.batch * lengths.reduce((a, b) => a + b, 0)) / lengths.length,
    batch: async (step) =>
      batchOf(learning, prepared.learning, rowsAlike(lengths, training.batch, training.seed, step)),
    evaluate: async () => {
      let [total, count] = [0, 0];
      for (let first = 0; first < judging.length; first += training.batch) {
        options.signal?.throwIfAborted();
        const size = Math.min(training.batch, judging.length - first);
        const picks = Array.from({ length: size }, (_, b) => first + b);
        const weights = tensor('f32', [size], new Float32Array(size).fill(1));
        const part = await trainable.evaluate({ ...batchOf(judging, prepared.judged, picks), weights });
        total += part.total;
        count += part.count;
      }
      return total / count;
    },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.report === undefined ? {} : { report: options.report }),
  });
}
