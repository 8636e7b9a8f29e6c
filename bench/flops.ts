/** What the work of a benchmark amounts to in operations and bytes, by formula. Measures nothing. */
import type { ModelShape } from './protocol.ts';

/** A product of m×k by k×n: one multiplication and one addition for each of m·k·n. */
export function productFlops([m, k, n]: readonly [number, number, number]): number {
  return 2 * m * k * n;
}

/**
 * Floating-point operations of one GPT training step, counted as in PaLM (Chowdhery et al. 2022, appendix B):
 * matrix products only, attention not halved for the causal mask, and a backward pass of twice the forward
 * pass. Per token the forward pass takes 2·(12·L·C² + V·C) in the weights (per layer C·3C + C·C + 2·C·4C, and
 * the head) and 4·L·T·C in attention (queries times keys, weights times values). Elementwise work, norms,
 * softmax, the embedding and the optimiser are left out, so a share of peak made with this is a lower bound.
 */
export function trainingStepFlops(
  { layers, width, vocabulary }: ModelShape,
  batch: number,
  time: number,
): number {
  const weights = 2 * (12 * layers * width ** 2 + vocabulary * width);
  const attention = 4 * layers * time * width;
  return 3 * batch * time * (weights + attention);
}

/**
 * Bytes that one decoding step has to read at least: every weight once, and for each sequence the keys and
 * values of `length` positions. Weights: 12·L·C² + 2·L·C + C in the blocks and norms, V·C in the tied head.
 */
export function decodingStepBytes(
  { layers, width, vocabulary }: ModelShape,
  batch: number,
  length: number,
): number {
  const weights = 12 * layers * width ** 2 + (2 * layers + 1) * width + vocabulary * width;
  const cache = 2 * layers * batch * length * width;
  return 4 * (weights + cache);
}
