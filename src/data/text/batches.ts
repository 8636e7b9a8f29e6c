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

/** What one window of an evaluation predicts: `count` ids after `at`, of which the first `skip` were predicted before. */
export interface EvaluationWindow {
  at: number;
  count: number;
  skip: number;
}

/**
 * The windows over `predictions` ids, `stride` apart: every id but the first is predicted once, in the first window
 * that holds it, so behind `context − stride` others at least (but for the first window's).
 */
export function* evaluationWindows(
  predictions: number,
  context: number,
  stride: number = context,
): Generator<EvaluationWindow> {
  for (let at = 0, done = 0; done < predictions; at += stride) {
    const count = Math.min(context, predictions - at);
    yield { at, count, skip: done - at };
    done = at + count;
  }
}

/**
 * The whole range in windows: window w reads ids from w·stride and predicts those one ahead. `weights` is 0 where the
 * last windows are filled up, and where an earlier window has predicted already; `windows` says what each row is.
 * @param options `stride` up to `context`, its default: windows that do not overlap
 */
export async function* evaluationBatches(
  file: TokenFile,
  range: Range,
  options: { batch: number; context: number; stride?: number },
): AsyncGenerator<HostTensors, void> {
  for await (const { inputs } of evaluationRows(file, range, options)) yield inputs;
}

/** `evaluationBatches` with the windows that its rows are. */
export async function* evaluationRows(
  file: TokenFile,
  range: Range,
  options: { batch: number; context: number; stride?: number },
): AsyncGenerator<{ inputs: HostTensors; windows: readonly EvaluationWindow[] }, void> {
  const { batch, context } = options;
  let windows: EvaluationWindow[] = [];
  const fill = async (): Promise<HostTensors> => {
    const tokens = new Int32Array(batch * context);
    const targets = new Int32Array(batch * context);
    const weights = new Float32Array(batch * context);
    for (const [row, { at, count, skip }] of windows.entries()) {
      const ids = await file.read(range.start + at, count + 1);
      tokens.set(ids.subarray(0, count), row * context);
      targets.set(ids.subarray(1, count + 1), row * context);
      weights.fill(1, row * context + skip, row * context + count);
    }
    const shape = [batch, context];
    return {
      tokens: tensor('i32', shape, tokens),
      targets: tensor('i32', shape, targets),
      weights: tensor('f32', shape, weights),
    };
  };
  for (const window of evaluationWindows(range.length - 1, context, options.stride)) {
    windows.push(window);
    if (windows.length < batch) continue;
    yield { inputs: await fill(), windows };
    windows = [];
  }
  if (windows.length > 0) yield { inputs: await fill(), windows };
}
