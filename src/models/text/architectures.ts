/** The autoregressive text architectures there are, and their programs by configuration. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { countParameters, type ParameterSpec } from '../../nn/parameters.ts';
import type { LossProgram } from '../../nn/train-step.ts';
import type { Program } from '../../program/types.ts';
import type { TextArchitecture, TextSizes } from './architecture.ts';
import {
  decoderChunk,
  decoderEvaluate,
  decoderLogits,
  decoderLoss,
  decoderPackedEvaluate,
  decoderPackedLoss,
  decoderPrefill,
  decoderScores,
  decoderStep,
} from './decoder-programs.ts';
import { type Gpt2Config, gpt2 } from './gpt2.ts';
import { type Gpt3Config, gpt3 } from './gpt3.ts';
import { type Joins, joinedSpecs } from './joins.ts';
import { type LlamaConfig, llama } from './llama.ts';
import { type PanguConfig, pangu } from './pangu.ts';

/** `architecture` says which; left out it is GPT-2. */
export type TextConfig = Gpt2Config | Gpt3Config | PanguConfig | LlamaConfig;
export type TextArchitectureName = NonNullable<TextConfig['architecture']>;

export const textArchitectures: readonly TextArchitecture[] = [
  gpt2,
  gpt3,
  pangu,
  llama,
] as unknown as readonly TextArchitecture[];

/** @throws InkstoneError `architecture_unknown` */
export function architectureOf(config: { architecture?: string | undefined }): TextArchitecture {
  const name = config.architecture ?? 'gpt2';
  const found = textArchitectures.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new InkstoneError('architecture_unknown', `there is no text architecture "${name}"`, {
    kind: 'usage',
    hint: `there are ${textArchitectures.map((one) => one.name).join(', ')}`,
  });
}

/** Any configuration, checked by its own architecture's rules. */
export const textConfig = z
  .looseObject({ architecture: z.string().default('gpt2') })
  .transform((given, context): TextConfig => {
    const architecture = textArchitectures.find((one) => one.name === given.architecture);
    if (architecture === undefined) {
      context.addIssue({ code: 'custom', message: `there is no text architecture "${given.architecture}"` });
      return z.NEVER;
    }
    const read = architecture.config.safeParse(given);
    if (read.success) return read.data as TextConfig;
    for (const issue of read.error.issues)
      context.addIssue({ code: 'custom', message: issue.message, path: [...issue.path] });
    return z.NEVER;
  });

export const textParameters = (config: TextConfig): ParameterSpec[] =>
  architectureOf(config).parameters(config as TextSizes);
export const textParameterCount = (config: TextConfig): number => countParameters(textParameters(config));
export const textLoss = (config: TextConfig, batch: number, time: number): LossProgram =>
  decoderLoss(architectureOf(config), config, batch, time);
export const textEvaluate = (config: TextConfig, batch: number, time: number): Program =>
  decoderEvaluate(architectureOf(config), config, batch, time);
export const textPackedLoss = (config: TextConfig, batch: number, time: number): LossProgram =>
  decoderPackedLoss(architectureOf(config), config, batch, time);
export const textPackedEvaluate = (config: TextConfig, batch: number, time: number): Program =>
  decoderPackedEvaluate(architectureOf(config), config, batch, time);
export const textScores = (config: TextConfig): Program => decoderScores(architectureOf(config), config);
export const textLogits = (config: TextConfig): Program => decoderLogits(architectureOf(config), config);

/** What generate/ needs of a model, without the backend that runs it and without weights. */
export interface Decoding {
  context: number;
  vocabulary: number;
  layers: number;
  heads: number;
  headDim: number;
  prefill: Program;
  chunk: Program;
  step: Program;
}

/** @param options `joins` where the weights come joined, see joins.ts */
export function decodingOf(config: TextConfig, { joins = {} }: { joins?: Joins } = {}): Decoding {
  const own = architectureOf(config);
  const architecture: TextArchitecture = {
    ...own,
    parameters: (sizes) => joinedSpecs(own.parameters(sizes), joins),
  };
  const { heads, dim } = architecture.cache(config);
  return {
    context: config.context,
    vocabulary: config.vocabulary,
    layers: config.layers,
    heads,
    headDim: dim,
    prefill: decoderPrefill(architecture, config),
    chunk: decoderChunk(architecture, config),
    step: decoderStep(architecture, config),
  };
}
