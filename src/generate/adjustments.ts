/**
 * Changes to the model's scores that a request asks for: bias for single tokens, and penalties for tokens that were
 * there already. Knows ids and numbers, no text.
 */
import { InkstoneError } from '../base/errors.ts';
import type { LogitsProcessor } from './sampler.ts';

export interface Adjustments {
  /** Divides what is likely, multiplies what is unlikely, for tokens of prompt and answer (CTRL, Keskar et al. 2019); 1 changes nothing. */
  repetitionPenalty?: number | undefined;
  /** Taken once from tokens of the answer so far. */
  presencePenalty?: number | undefined;
  /** Taken from tokens of the answer so far, for each time they came. */
  frequencyPenalty?: number | undefined;
  /** Added to the scores of single tokens, by id. */
  logitBias?: Readonly<Record<string, number>> | undefined;
}

/** @throws InkstoneError `sampling_invalid`, `token_invalid` */
export function checkAdjustments(given: Adjustments, vocabulary: number): void {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, logitBias = {} } = given;
  const fail = (what: string, hint: string): never => {
    throw new InkstoneError('sampling_invalid', what, { kind: 'usage', hint });
  };
  if (!(repetitionPenalty > 0) || !Number.isFinite(repetitionPenalty))
    fail(`the repetition penalty is ${repetitionPenalty}`, 'give a number above 0; 1 changes nothing');
  if (!Number.isFinite(presencePenalty)) fail(`the presence penalty is ${presencePenalty}`, 'give a number');
  if (!Number.isFinite(frequencyPenalty))
    fail(`the frequency penalty is ${frequencyPenalty}`, 'give a number');
  for (const [token, bias] of Object.entries(logitBias)) {
    const id = Number(token);
    if (!/^\d+$/.test(token) || id >= vocabulary)
      throw new InkstoneError('token_invalid', `the bias is for ${token}, which is no token of this model`, {
        kind: 'usage',
        hint: `ids go from 0 to ${vocabulary - 1}`,
        details: { param: 'logit_bias' },
      });
    if (!Number.isFinite(bias)) fail(`the bias of token ${token} is ${bias}`, 'give a number');
  }
}

/**
 * One request's changes, in vLLM's order: bias, repetition, frequency, presence. Nothing where nothing is asked for.
 * @param promptTokens of the sequences that it will see
 */
export function adjusting(given: Adjustments, promptTokens: number): LogitsProcessor | undefined {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, logitBias = {} } = given;
  const biases = Object.entries(logitBias)
    .map(([token, bias]) => [Number(token), bias] as const)
    .filter(([, bias]) => bias !== 0);
  const counts = presencePenalty !== 0 || frequencyPenalty !== 0;
  if (biases.length === 0 && repetitionPenalty === 1 && !counts) return undefined;
  return (logits, tokens) => {
    for (const [id, bias] of biases) logits[id] = (logits[id] as number) + bias;
    if (repetitionPenalty !== 1)
      for (const id of new Set(tokens)) {
        const value = logits[id] as number;
        logits[id] = value > 0 ? value / repetitionPenalty : value * repetitionPenalty;
      }
    if (!counts) return;
    const times = new Map<number, number>();
    for (let i = promptTokens; i < tokens.length; i++) {
      const id = tokens[i] as number;
      times.set(id, (times.get(id) ?? 0) + 1);
    }
    for (const [id, count] of times)
      logits[id] = (logits[id] as number) - frequencyPenalty * count - presencePenalty;
  };
}
