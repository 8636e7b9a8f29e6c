/** Every text model's configuration, those that write and those that only read (BERT). Knows no files. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { countParameters, type ParameterSpec } from '../../nn/parameters.ts';
import { type TextConfig, textArchitectures, textConfig, textParameters } from './architectures.ts';
import { type BertConfig, bertConfig, bertParameters } from './bert.ts';

export type AnyTextConfig = TextConfig | BertConfig;

export const isBert = (config: AnyTextConfig): config is BertConfig => config.architecture === 'bert';

/** The name in config.json and on the command line. */
export const architectureName = (config: AnyTextConfig): string => config.architecture ?? 'gpt2';

export const anyTextConfig: z.ZodType<AnyTextConfig> = z
  .looseObject({ architecture: z.string().default('gpt2') })
  .transform((given, context): AnyTextConfig => {
    const read = given.architecture === 'bert' ? bertConfig.safeParse(given) : textConfig.safeParse(given);
    if (read.success) return read.data;
    for (const issue of read.error.issues)
      context.addIssue({ code: 'custom', message: issue.message, path: [...issue.path] });
    return z.NEVER;
  });

export const anyTextParameters = (config: AnyTextConfig): ParameterSpec[] =>
  isBert(config) ? bertParameters(config) : textParameters(config);

export const anyTextParameterCount = (config: AnyTextConfig): number =>
  countParameters(anyTextParameters(config));

/** @throws InkstoneError `model_writes_nothing` */
export function requireWriting(config: AnyTextConfig): TextConfig {
  if (!isBert(config)) return config;
  throw new InkstoneError('model_writes_nothing', 'a BERT reads text and writes none', {
    kind: 'unsupported',
    hint: `it gives embeddings, classes and scores; models that write are ${textArchitectures.map(({ name }) => name).join(', ')}`,
  });
}
