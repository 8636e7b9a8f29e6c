/**
 * Scores a BERT as it was pre-trained: masked tokens of fixed pairs of passages, and whether the second passage
 * follows. Knows no files and no training.
 */
import { InkstoneError } from '../base/errors.ts';
import type { HostTensor, HostTensors } from '../base/tensor.ts';
import type { PairKind, PretrainingPairs, PretrainingShape } from '../data/text/pretraining.ts';
import type { BertConfig } from '../models/text/bert.ts';
import { bertPretrainingEvaluate } from '../models/text/bert-programs.ts';
import type { Backend } from '../runtime/contract.ts';

export interface MaskedScore {
  /** Nats per masked token, over all kinds of pairs. */
  masked: number;
  /** Masked tokens. */
  predictions: number;
  /** Right answers of each kind; undefined for a model without the head. */
  right: Record<PairKind, number>;
  /** Nats and masked tokens, batch by batch. */
  blocks: { nats: number[]; counts: number[] };
}

export interface MaskedScoreOptions {
  backend: Backend;
  model: BertConfig;
  weights: HostTensors;
  pairs: PretrainingPairs;
  shape: PretrainingShape;
  /** Pairs of each kind, a multiple of the batch. */
  judged: number;
  seed: number;
  /** Default: all of them. */
  kinds?: readonly PairKind[];
  signal?: AbortSignal;
  progress?(part: number): void;
}

export const PAIR_KINDS = ['follows', 'other book', 'same book'] as const satisfies readonly PairKind[];

/** @throws InkstoneError `head_missing`; DOMException `AbortError` when the signal ends it */
export async function scoreMasked(options: MaskedScoreOptions): Promise<MaskedScore> {
  const { backend, model, weights, pairs, shape, judged, seed, kinds = PAIR_KINDS } = options;
  if (!model.masked)
    throw new InkstoneError('head_missing', 'this BERT has no head that names tokens', {
      kind: 'unsupported',
      hint: 'take a checkpoint of BertForMaskedLM or BertForPreTraining',
    });
  const program = await backend.compile(bertPretrainingEvaluate(model, shape), { constants: weights });
  const right: Record<PairKind, number> = { follows: 0, 'other book': 0, 'same book': 0 };
  const blocks: MaskedScore['blocks'] = { nats: [], counts: [] };
  const batches = Math.ceil(judged / shape.batch);
  try {
    for (const kind of kinds) {
      for (let number = 0; number < batches; number++) {
        options.signal?.throwIfAborted();
        const inputs = pairs.judging(shape, seed, number, kind);
        const result = await program.run({ inputs });
        const asked = (inputs.weights as HostTensor<'f32'>).data;
        blocks.nats.push(Number(result.total?.data[0]));
        blocks.counts.push(asked.reduce((sum, weight) => sum + weight, 0));
        if (model.next) right[kind] += Number(result.next_right?.data[0]);
        options.progress?.(blocks.nats.length / (kinds.length * batches));
      }
    }
  } finally {
    await program.free();
  }
  const predictions = blocks.counts.reduce((a, b) => a + b, 0);
  return { masked: blocks.nats.reduce((a, b) => a + b, 0) / predictions, predictions, right, blocks };
}
