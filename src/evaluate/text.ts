/**
 * Scores a text model on tokens by the protocol (docs/protocol-text.md): windows of the model's context, every position
 * predicted once; windows may overlap, so that every position has much before it. Knows no files' formats and no training.
 */
import { InkstoneError } from '../base/errors.ts';
import type { HostTensor, HostTensors } from '../base/tensor.ts';
import { evaluationRows, evaluationWindows, type Range } from '../data/text/batches.ts';
import type { TokenFile } from '../data/text/token-file.ts';
import type { Tokenizer } from '../data/tokenizer/tokenizer.ts';
import { type TextConfig, textParameters, textScores } from '../models/text/architectures.ts';
import { type WeightFormat, withWeights } from '../nn/quantise.ts';
import type { Backend } from '../runtime/contract.ts';

export interface TextScore {
  /** Sum over all predictions, nats. */
  nats: number;
  /** Predictions: one for each token but the first. */
  predictions: number;
  /** Neighbouring predictions together, in order: nats and how many, for an interval. */
  blocks: { nats: number[]; counts: number[] };
}

export interface TextScoreOptions {
  backend: Backend;
  model: TextConfig;
  weights: HostTensors;
  /** How the weights are kept while it is scored; default `float32`. */
  format?: WeightFormat;
  tokens: TokenFile;
  range: Range;
  /** Tokens of a window; default: the model's context. */
  context?: number;
  /** Tokens from one window to the next; default: the context, so that none overlap. */
  stride?: number;
  signal?: AbortSignal;
  /** The part that is done, 0 to 1. */
  progress?(part: number): void;
}

/** Tokens that one run of the program scores: enough to keep the cores busy, few enough for any memory. */
const TOKENS_PER_RUN = 4096;
/** Parts that a score is cut into for its interval, where it is long enough. */
const BLOCKS = 100;

/** @throws InkstoneError `stride_invalid`; DOMException `AbortError` when the signal ends it */
export async function scoreText(options: TextScoreOptions): Promise<TextScore> {
  const { backend, model, weights, tokens, range } = options;
  const context = options.context ?? model.context;
  const stride = options.stride ?? context;
  if (!Number.isInteger(stride) || stride < 1 || stride > context)
    throw new InkstoneError('stride_invalid', `a stride of ${stride} does not fit windows of ${context}`, {
      kind: 'usage',
      hint: `windows are 1 to ${context} tokens apart`,
    });
  const batch = Math.max(1, Math.floor(TOKENS_PER_RUN / context));
  const predictions = range.length - 1;
  const size = Math.max(1, Math.min(context, Math.ceil(predictions / BLOCKS)));
  const blocks: TextScore['blocks'] = { nats: [], counts: [] };
  let windows = 0;
  for (const _ of evaluationWindows(predictions, context, stride)) windows++;
  const { programs, parameters } = withWeights(
    { scores: textScores(model) },
    weights,
    textParameters(model),
    options.format ?? 'float32',
  );
  const program = await backend.compile(programs.scores, { constants: parameters });
  let done = 0;
  try {
    for await (const { inputs, windows: rows } of evaluationRows(tokens, range, { batch, context, stride })) {
      options.signal?.throwIfAborted();
      const { tokens: ids, targets } = inputs as { tokens: HostTensor; targets: HostTensor };
      const { nats } = await program.run({ inputs: { tokens: ids, targets } });
      const each = (nats as HostTensor<'f32'>).data;
      for (const [row, { at, count, skip }] of rows.entries()) {
        for (let i = skip; i < count; i++) {
          const block = Math.floor((at + i) / size);
          blocks.nats[block] = (blocks.nats[block] ?? 0) + (each[row * context + i] as number);
          blocks.counts[block] = (blocks.counts[block] ?? 0) + 1;
        }
      }
      done += rows.length;
      options.progress?.(done / windows);
    }
  } finally {
    await program.free();
  }
  return { nats: blocks.nats.reduce((a, b) => a + b, 0), predictions, blocks };
}

/** UTF-8 bytes that tokens of a range stand for; the end of a text stands for none. */
export async function countBytes(tokens: TokenFile, tokenizer: Tokenizer, range: Range): Promise<number> {
  const sizes = new Map<number, number>();
  let bytes = 0;
  for (let at = 0; at < range.length; at += 65_536) {
    const ids = await tokens.read(range.start + at, Math.min(65_536, range.length - at));
    for (const id of ids) {
      let size = sizes.get(id);
      if (size === undefined) {
        size = tokenizer.bytes(id).length;
        sizes.set(id, size);
      }
      bytes += size;
    }
  }
  return bytes;
}
