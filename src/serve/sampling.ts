/** How to draw an answer: from the wire's parameters to settings, for each of the answers that a request wants. */
import { randomInt } from 'node:crypto';
import type { SamplingSettings } from '../base/contracts/generator.ts';
import { InkstoneError } from '../base/errors.ts';
import type { Choice, GenerationServices } from './generation.ts';
import type { ChatBody, CompletionBody } from './schemas.ts';
import { constraintOf } from './structured.ts';
import { CALL_CLOSE } from './tool-parser.ts';
import { callConstraint, type Tooling } from './tools.ts';
import { refuseUnsupported } from './unsupported.ts';

export const seedOf = (given: number | null | undefined): number =>
  given === null || given === undefined ? randomInt(2 ** 31) : Math.abs(given) % 2 ** 52;

export function samplingOf(
  body: CompletionBody | ChatBody,
  maxTokens: number | null | undefined,
  logprobs: number | undefined,
  services: GenerationServices,
): SamplingSettings {
  refuseUnsupported(body);
  const stop = body.stop ?? [];
  const constraint = constraintOf(body);
  const n = body.n ?? 1;
  const width = body.best_of ?? n;
  if (width < n)
    throw new InkstoneError('parameter_invalid', `'best_of' is ${width}, and ${n} answers are asked for`, {
      kind: 'usage',
      hint: "'best_of' is at least 'n'",
      details: { param: 'best_of' },
    });
  return {
    maxTokens: maxTokens ?? services.defaultMaxTokens,
    temperature: body.temperature ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    topP: body.top_p ?? 1,
    seed: seedOf(body.seed),
    stop: typeof stop === 'string' ? [stop] : stop,
    ...(logprobs === undefined ? {} : { logprobs }),
    minP: body.min_p ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    logitBias: body.logit_bias ?? {},
    ...(constraint === undefined ? {} : { constraint }),
    ...(body.use_beam_search === true
      ? { beams: { width, lengthPenalty: body.length_penalty ?? 1, count: n } }
      : {}),
  };
}

/**
 * Each further answer has the next seed: `n` answers differ, and repeat. A beam search gives all answers to a prompt.
 */
export function choicesOf(prompts: readonly string[], sampling: SamplingSettings, n: number): Choice[] {
  if (sampling.beams !== undefined) return prompts.map((prompt, p) => ({ index: p * n, prompt, sampling }));
  return prompts.flatMap((prompt, p) =>
    Array.from({ length: n }, (_, i) => ({
      index: p * n + i,
      prompt,
      sampling: { ...sampling, seed: sampling.seed + i },
    })),
  );
}

/** With what a prompt and its tools ask for besides. @throws InkstoneError from `callConstraint` */
export function inConversation(
  settings: SamplingSettings,
  prompt: { stop: readonly string[] },
  tooling: Tooling | undefined,
): SamplingSettings {
  const constraint =
    tooling === undefined ? settings.constraint : callConstraint(tooling, settings.constraint);
  // A document ends by itself, and may hold such words.
  if (constraint !== undefined && (constraint.type !== 'tool_calls' || constraint.text !== undefined))
    return { ...settings, constraint };
  const single = tooling?.parallel === false ? [CALL_CLOSE] : [];
  return {
    ...settings,
    ...(constraint === undefined ? {} : { constraint }),
    stop: [...settings.stop, ...prompt.stop, ...single],
  };
}
