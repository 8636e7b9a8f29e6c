/**
 * Scores a text model on tokens by the protocol (docs/protocol-text.md): windows that do not overlap, every
 * position predicted once. Knows no files' formats and no training.
 */
import type { HostTensors } from '../base/tensor.ts';
import { evaluationBatches, type Range } from '../data/text/batches.ts';
import type { TokenFile } from '../data/text/token-file.ts';
import { type TextConfig, textEvaluate } from '../models/text/architectures.ts';
import type { Backend } from '../runtime/contract.ts';

export interface TextScore {
  /** Sum over all predictions, nats. */
  nats: number;
  /** Predictions: one for each token but the first. */
  predictions: number;
}

export interface TextScoreOptions {
  backend: Backend;
  model: TextConfig;
  weights: HostTensors;
  tokens: TokenFile;
  range: Range;
  /** Tokens of a window; default: the model's context. */
  context?: number;
  signal?: AbortSignal;
  /** The part that is done, 0 to 1. */
  progress?(part: number): void;
}

/** Tokens that one run of the program scores: enough to keep the cores busy, few enough for any memory. */
const TOKENS_PER_RUN = 4096;

/** @throws DOMException `AbortError` when the signal ends it */
export async function scoreText(options: TextScoreOptions): Promise<TextScore> {
  const { backend, model, weights, tokens, range } = options;
  const context = options.context ?? model.context;
  const batch = Math.max(1, Math.floor(TOKENS_PER_RUN / context));
  const program = await backend.compile(textEvaluate(model, batch, context), { constants: weights });
  const windows = Math.ceil((range.length - 1) / context);
  let nats = 0;
  let done = 0;
  try {
    for await (const inputs of evaluationBatches(tokens, range, { batch, context })) {
      options.signal?.throwIfAborted();
      const { total } = await program.run({ inputs });
      nats += Number(total?.data[0]);
      done += batch;
      options.progress?.(Math.min(1, done / windows));
    }
  } finally {
    await program.free();
  }
  return { nats, predictions: range.length - 1 };
}
