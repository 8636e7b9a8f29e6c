/**
 * A BERT from books to a finished run folder: masked tokens and next sentence, judged on fixed pairs. Resumes as every
 * training does.
 */
import { now } from '../base/host.ts';
import type { HostTensors } from '../base/tensor.ts';
import { type PairKind, pretrainingPairs, pretrainingShape } from '../data/text/pretraining.ts';
import type { SentenceCorpus } from '../data/text/sentences.ts';
import type { WordPieceTokenizer } from '../data/tokenizer/wordpiece.ts';
import { type BertConfig, bertParameterCount } from '../models/text/bert.ts';
import { bertPretrainingEvaluate, bertPretrainingLoss } from '../models/text/bert-programs.ts';
import { createTrainable } from '../nn/trainable.ts';
import type { TrainingConfig } from '../nn/training-config.ts';
import type { Backend } from '../runtime/contract.ts';
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
  resume?: boolean;
  signal?: AbortSignal;
  report?(progress: TrainProgress): void;
  provenance?: Record<string, unknown>;
}

export interface BertRunResult extends TrainOutcome {
  parameters: number;
  /** Of the last step. */
  weights: HostTensors;
}

/** Pairs of each kind that every evaluation looks at. */
const JUDGED = 128;

/** The loss that `val_loss` gives is nats per masked token on the judging books. */
export async function trainBert(options: BertRunOptions): Promise<BertRunResult> {
  const { backend, model, training, tokenizer } = options;
  const folder = new RunFolder(options.out);
  await folder.open();
  const unlock = await folder.lock();
  const shape = pretrainingShape(training.batch, training.context);
  const trainable = await createTrainable({
    name: 'bert',
    backend,
    model: bertPretrainingLoss(model, shape),
    evaluate: bertPretrainingEvaluate(model, shape),
    config: training,
  });
  try {
    const parameters = bertParameterCount(model);
    if (options.resume !== true) {
      await folder.clear();
      await folder.writeJson('tokenizer.json', JSON.parse(tokenizer.toJson()));
      await folder.writeJson('config.json', {
        ...{ family: 'text', architecture: 'bert', preset: 'bert', model, training, parameters },
        tokenizer: { file: 'tokenizer.json', kind: tokenizer.kind },
        data: { books: options.train.names, judging: options.validation.names },
        created: Math.floor(now() / 1000),
        provenance: options.provenance ?? {},
      });
    }
    const learning = pretrainingPairs(options.train, tokenizer);
    const judging = pretrainingPairs(options.validation, tokenizer);
    const outcome = await train({
      folder,
      trainable,
      config: training,
      resume: options.resume ?? false,
      tokensPerStep: training.batch * training.context,
      batch: async (step) => learning.training(shape, training.seed, step),
      evaluate: async () => {
        let [total, count] = [0, 0];
        for (const kind of ['follows', 'other book', 'same book'] as const satisfies PairKind[]) {
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
    return { ...outcome, parameters, weights: await trainable.parameters() };
  } finally {
    await trainable.close();
    await unlock();
  }
}
