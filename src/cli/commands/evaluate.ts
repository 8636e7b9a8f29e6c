/** `inkstone evaluate`: a model's score on a text, by the protocol that every training uses. */
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import { exists, makeTemporaryFolder, monotonic, readText, removeFile } from '../../base/host.ts';
import { duration } from '../../base/progress.ts';
import { z } from '../../base/schema.ts';
import { requireWindow } from '../../data/text/batches.ts';
import { type PreparedText, prepareText } from '../../data/text/prepare.ts';
import { scoreText } from '../../evaluate/text.ts';
import { loadTextModel, type TextModel } from '../../models/text/load.ts';
import { findModel } from '../../operate/registry.ts';
import { createBackend } from '../../runtime/index.ts';
import { type CommandContext, command } from '../command.ts';

const own = { environment: false } as const;

const schema = z.object({
  model: z.string().min(1).describe('a run folder, a model folder or a registered name'),
  data: z.string().min(1).describe('a text file, a folder, .jsonl, .gz or .tar.gz'),
  split: z
    .enum(['validation', 'all'])
    .default('validation')
    .describe('the last part of the characters, or all of them')
    .meta(own),
  validation: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe("size of the validation part; default the run's own, else 0.1")
    .meta(own),
  field: z.string().min(1).optional().describe('JSON lines: the field with the text').meta(own),
  device: z.enum(['cpu', 'webgpu']).default('cpu').describe('where the arithmetic runs'),
  threads: z.number().int().min(1).max(1024).optional().describe('compute threads; default: one per core'),
});
type Settings = z.output<typeof schema>;

interface EvaluateResult {
  nats_per_character: number;
  bits_per_character: number;
  perplexity_per_token: number;
  characters: number;
  tokens: number;
  predictions: number;
  documents: number;
  split: string;
  validation: number;
  model: string;
  data_fingerprint: string;
  seconds: number;
}

/** The part of the characters that a run kept for validation. */
async function ownValidation(folder: string): Promise<number | undefined> {
  const file = path.join(folder, 'config.json');
  if (!(await exists(file))) return undefined;
  const config = JSON.parse(await readText(file)) as { data?: { validation?: unknown } };
  return typeof config.data?.validation === 'number' ? config.data.validation : undefined;
}

function explain(thrown: unknown, model: string): unknown {
  if (!InkstoneError.is(thrown) || thrown.code !== 'character_unknown') return thrown;
  return new InkstoneError(
    'vocabulary_differs',
    `the data do not fit the vocabulary of ${model}: ${thrown.message}`,
    {
      kind: 'conflict',
      hint: 'score it on text with the characters it was trained on, or take a model with byte-level tokens',
      cause: thrown,
    },
  );
}

async function score(
  settings: Settings,
  { id, model, validation }: { id: string; model: TextModel; validation: number },
  prepared: PreparedText,
  context: CommandContext,
): Promise<EvaluateResult> {
  const all = settings.split === 'all';
  const { trainTokens, validationTokens, info } = prepared;
  const range = all
    ? { start: 0, length: trainTokens + validationTokens }
    : { start: trainTokens, length: validationTokens };
  requireWindow(range, 1, settings.split);
  const backend = await createBackend(
    settings.device,
    settings.threads === undefined ? {} : { threads: settings.threads },
  );
  const begun = monotonic();
  try {
    const { nats, predictions } = await scoreText({
      backend,
      model: model.config,
      weights: model.weights,
      tokens: prepared.tokens,
      range,
      signal: context.signal,
      progress: (part) => context.progress.show(`evaluating ${Math.round(part * 100)} %`),
    });
    const characters = all ? info.characters : prepared.validationCharacters;
    // Character tokens: the mean over the predictions. Other tokens are weighed by the characters they stand for.
    const each = nats / (prepared.tokenizer.kind === 'characters' ? predictions : characters);
    return {
      nats_per_character: each,
      bits_per_character: each / Math.LN2,
      perplexity_per_token: Math.exp(nats / predictions),
      characters,
      tokens: range.length,
      predictions,
      documents: info.documents,
      split: settings.split,
      validation,
      model: id,
      data_fingerprint: info.fingerprint,
      seconds: Number(((monotonic() - begun) / 1000).toFixed(3)),
    };
  } finally {
    await backend.close();
  }
}

async function run(settings: Settings, context: CommandContext): Promise<EvaluateResult> {
  const { id, folder } = await findModel(settings.model);
  const model = await loadTextModel(folder);
  const validation = settings.validation ?? (await ownValidation(folder)) ?? 0.1;
  const work = await makeTemporaryFolder('inkstone-evaluate');
  try {
    const prepared = await prepareText(settings.data, {
      folder: work,
      tokenizer: { name: 'given', tokenizer: model.tokenizer },
      validation,
      ...(settings.field === undefined ? {} : { field: settings.field }),
      progress: (phase, part) =>
        context.progress.show(`preparing data: ${phase}${part > 0 ? ` ${Math.round(part * 100)} %` : ''}`),
    });
    try {
      return await score(settings, { id, model, validation }, prepared, context);
    } finally {
      await prepared.tokens.close();
    }
  } catch (thrown) {
    throw explain(thrown, id);
  } finally {
    await removeFile(work);
  }
}

export const evaluateCommand = command({
  name: 'evaluate',
  summary: 'score a model on a text',
  description:
    'Every position of the split is predicted once, in windows of the model’s context that do not overlap; nothing is sampled. ' +
    'docs/protocol-text.md has the rules.',
  schema,
  positionals: ['model'],
  examples: ['evaluate runs-out/first --data my.txt', 'evaluate starter --data book.txt --split all --json'],
  run,
  show: (result) =>
    [
      `${result.nats_per_character.toFixed(4)} nats per character (${result.bits_per_character.toFixed(4)} bits)`,
      `perplexity ${result.perplexity_per_token.toFixed(2)} per token`,
      `${result.characters} characters, ${result.tokens} tokens, ${duration(result.seconds)}`,
    ].join('\n'),
});
