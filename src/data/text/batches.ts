/**
 * Windows of tokens for training and evaluation. A training batch is a pure function of seed and step, so a
 * resumed run sees what the first one would have seen.
 */
import { InkstoneError } from '../../base/errors.ts';
import { Random } from '../../base/rng.ts';
import { type HostTensors, tensor } from '../../base/tensor.ts';
import type { TokenFile } from './token-file.ts';

export interface Range {
  /** First id. */
  start: number;
  /** Number of ids. */
  length: number;
}

/** @throws InkstoneError `context_too_long` */
export function requireWindow(range: Range, context: number, name: string): void {
  if (range.length >= context + 1) return;
  throw new InkstoneError(
    'context_too_long',
    `the ${name} part has ${range.length} tokens, but a window takes ${context + 1}`,
    {
      kind: 'data',
      hint: `give more text, or a context of at most ${Math.max(1, range.length - 1)} (--context)`,
      details: { tokens: range.length, context },
    },
  );
}

/** `tokens` and `targets` i32 `[batch, context]`: windows at random places, targets one ahead. */
export async function trainBatch(
  file: TokenFile,
  range: Range,
  options: { batch: number; context: number; seed: number; step: number },
): Promise<HostTensors> {
  const { batch, context, seed, step } = options;
  const random = new Random(seed, 'batch', step);
  const tokens = new Int32Array(batch * context);
  const targets = new Int32Array(batch * context);
  for (let row = 0; row < batch; row++) {
    const window = await file.read(range.start + random.integer(range.length - context), context + 1);
    tokens.set(window.subarray(0, context), row * context);
    targets.set(window.subarray(1), row * context);
  }
  return {
    tokens: tensor('i32', [batch, context], tokens),
    targets: tensor('i32', [batch, context], targets),
  };
}

/**
 * The whole range in windows that do not overlap: window w predicts ids w·context + 1 … w·context + context
 * from those before them in the window, so every id but the first is predicted once. `weights` is 0 where the
 * last windows are filled up.
 */
export async function* evaluationBatches(
  file: TokenFile,
  range: Range,
  options: { batch: number; context: number },
): AsyncGenerator<HostTensors> {
  const { batch, context } = options;
  const predictions = range.length - 1;
  const windows = Math.ceil(predictions / context);
  for (let first = 0; first < windows; first += batch) {
    const tokens = new Int32Array(batch * context);
    const targets = new Int32Array(batch * context);
    const weights = new Float32Array(batch * context);
    for (let row = 0; row < Math.min(batch, windows - first); row++) {
      const at = (first + row) * context;
      const count = Math.min(context, predictions - at);
      const window = await file.read(range.start + at, count + 1);
      tokens.set(window.subarray(0, count), row * context);
      targets.set(window.subarray(1, count + 1), row * context);
      weights.fill(1, row * context, row * context + count);
    }
    const shape = [batch, context];
    yield {
      tokens: tensor('i32', shape, tokens),
      targets: tensor('i32', shape, targets),
      weights: tensor('f32', shape, weights),
    };
  }
}
