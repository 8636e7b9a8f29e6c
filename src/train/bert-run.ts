/**
 * A BERT from books to a finished run folder: masked tokens and next sentence, judged on fixed pairs. Resumes as every
 * training does.
 */
import { exists, now, removeFile } from '../base/host.ts';
import type { HostTensors } from '../base/tensor.ts';
import { type PretrainingPairs, pretrainingPairs, pretrainingShape } from '../data/text/pretraining.ts';
import type { SentenceCorpus } from '../data/text/sentences.ts';
import type { WordPieceTokenizer } from '../data/tokenizer/wordpiece.ts';
import { type BertConfig, bertParameterCount } from '../models/text/bert.ts';
import { bertPretrainingEvaluate, bertPretrainingLoss } from '../models/text/bert-programs.ts';
import { startBert } from '../models/text/bert-start.ts';
import { createTrainable } from '../nn/trainable.ts';
import type { TrainingConfig } from '../nn/training-config.ts';
import type { Backend } from '../runtime/contract.ts';
import { goesOn } from './resume.ts';
import { RunFolder } from './run-folder.ts';
import { type TrainOutcome, type TrainProgress, train } from './trainer.ts';

export interface BertRunOptions {
  out: string;
  backend: Backend;
  model: BertConfig;
  tokenizer: WordPieceTokenizer;
  /** Books to learn from, and books to judge by. */
  train: SentenceCorpus;
  validation: SentenceCorpus;
  training: TrainingConfig;
  /** What the books were made from, for messages, and its fingerprint. */
  data: string;
  fingerprint: string;
  preset?: string;
  /** Starting values, of another run. */
  from?: HostTensors;
  /** Goes on with the run in `out`, where there is one. */
  resume?: boolean;
  /** Overwrites a run that is there. */
  force?: boolean;
  signal?: AbortSignal;
  report?(progress: TrainProgress): void;
  provenance?: Record<string, unknown>;
}

export interface BertRunResult extends TrainOutcome {
  parameters: number;
  /** Of the last step. */
  weights: HostTensors;
  out: string;
  unit: 'nats per masked token';
}

/** Pairs of each kind that every evaluation looks at. */
const JUDGED = 128;

/**
 * `val_loss` is nats per masked token on the judging books. Books without negatives of a kind are learned without it.
 * @throws InkstoneError `data_too_small`, `run_exists`, `data_differs`, `config_differs`
 */
export async function trainBert(options: BertRunOptions): Promise<BertRunResult> {
  const { model, training, tokenizer, data, fingerprint } = options;
  const learning = pretrainingPairs(options.train, tokenizer, 'any');
  const judging = pretrainingPairs(options.validation, tokenizer, false);
  const parameters = bertParameterCount(model);
  const folder = new RunFolder(options.out);
  const made = !(await exists(folder.path));
  await folder.open();
  const unlock = await folder.lock();
  try {
    const resume = await goesOn(folder, options, { data, fingerprint, training, model });
    if (!resume) {
      await folder.clear();
      await folder.writeJson('tokenizer.json', JSON.parse(tokenizer.toJson()));
      await folder.writeJson('config.json', {
        ...{
          family: 'text',
          architecture: 'bert',
          preset: options.preset ?? 'bert',
          model,
          training,
          parameters,
        },
        tokenizer: { file: 'tokenizer.json', kind: tokenizer.kind },
        data: { fingerprint, books: options.train.names, judging: options.validation.names },
        created: Math.floor(now() / 1000),
        provenance: options.provenance ?? {},
      });
    }
    const { outcome, weights } = await run(options, { folder, learning, judging, resume });
    const facts = { parameters, out: options.out, unit: 'nats per masked token' as const };
    await folder.writeJson('result.json', { ...outcome, ...facts });
    return { ...outcome, ...facts, weights };
  } catch (thrown) {
    if (made && !(await folder.exists())) await removeFile(folder.path);
    throw thrown;
  } finally {
    await unlock();
  }
}

interface RunCall {
  folder: RunFolder;
  learning: PretrainingPairs;
  judging: PretrainingPairs;
  resume: boolean;
}

async function run(
  options: BertRunOptions,
  { folder, learning, judging, resume }: RunCall,
): Promise<{ outcome: TrainOutcome; weights: HostTensors }> {
  const { backend, model, training, from } = options;
  const shape = pretrainingShape(training.batch, training.context);
  const trainable = await createTrainable({
    name: 'bert',
    backend,
    model: bertPretrainingLoss(model, shape),
    evaluate: bertPretrainingEvaluate(model, shape),
    config: training,
    parameters: from ?? startBert(model, training.seed),
  });
  try {
    const outcome = await train({
      folder,
      trainable,
      config: training,
      resume,
      tokensPerStep: training.batch * training.context,
      batch: async (step) => learning.training(shape, training.seed, step),
      evaluate: async () => {
        let [total, count] = [0, 0];
        for (const kind of ['follows', ...judging.negatives] as const) {
          for (let number = 0; number * training.batch < JUDGED; number++) {
            options.signal?.throwIfAborted();
            const part = await trainable.evaluate(judging.judging(shape, 1, number, kind));
            total += part.total;
            count += part.count;
          }
        }
        return total / count;
      },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.report === undefined ? {} : { report: options.report }),
    });
    return { outcome, weights: await trainable.parameters() };
  } finally {
    await trainable.close();
  }
}
