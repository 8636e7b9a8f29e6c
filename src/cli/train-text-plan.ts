/**
 * What a text training is to be: flags over the resumed run's own settings over the preset's. Knows flags and run
 * folders; trains nothing.
 */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { read, z } from '../base/schema.ts';
import type { TextConfig } from '../models/text/architectures.ts';
import { loadTextModel } from '../models/text/load.ts';
import { type TextModelSettings, type TextPreset, textPreset, textPresets } from '../models/text/presets.ts';
import { optimiserConfig, scheduleConfig, type TrainingConfig } from '../nn/training-config.ts';
import { findModel } from '../operate/registry.ts';
import { RunFolder } from '../train/run-folder.ts';
import type { TextRunConfig, TextRunOptions } from '../train/text-run.ts';

const whole = z.number().int();
const own = { environment: false } as const;

export const trainTextSchema = z.object({
  preset: z
    .string()
    .optional()
    .describe(
      `${textPresets.map((preset) => preset.id).join(', ')}; default nanogpt-cpu, with --resume the run's own`,
    ),
  data: z
    .string()
    .optional()
    .describe('a text file, a folder, .jsonl, .gz or .tar.gz; with --resume the run knows it'),
  out: z.string().optional().describe('the run folder; default runs-out/PRESET-N with the next free number'),
  steps: whole.min(1).optional().describe('optimiser steps'),
  tokenizer: z
    .enum(['characters', 'words', 'bpe'])
    .optional()
    .describe(
      'tokens of a new model: characters, words (Chinese by a dictionary), or pairs of bytes; default: the preset’s',
    )
    .meta(own),
  vocabulary: whole
    .min(2)
    .max(1_000_000)
    .optional()
    .describe('tokens of --tokenizer words or bpe; default 8192, or the preset’s')
    .meta(own),
  seed: whole.min(0).optional().describe('of the starting values and the order of the data'),
  device: z.enum(['cpu', 'webgpu']).default('cpu').describe('where the arithmetic runs'),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
  resume: z
    .boolean()
    .default(false)
    .describe('go on with the run in --out from its last checkpoint')
    .meta(own),
  force: z.boolean().default(false).describe('replace the run in --out').meta(own),
  batch: whole.min(1).optional().describe('sequences a step').meta(own),
  context: whole
    .min(2)
    .optional()
    .describe('tokens of a window, and the longest the model can see')
    .meta(own),
  layers: whole.min(1).max(200).optional().describe('blocks of the network').meta(own),
  heads: whole.min(1).max(256).optional().describe('attention heads of a block').meta(own),
  width: whole.min(1).max(65536).optional().describe('numbers per token').meta(own),
  dropout: z.number().min(0).lt(1).optional().describe('probability of dropping an element').meta(own),
  learningRate: z.number().gt(0).optional().describe('the highest rate of the schedule').meta(own),
  clip: z.number().min(0).optional().describe('limit of the gradient norm; 0 for none').meta(own),
  optimiser: z
    .enum(optimiserConfig.options.map(({ shape }) => shape.name.value))
    .optional()
    .describe('how steps are made of gradients; another than the preset’s wants a --learning-rate of its own')
    .meta(own),
  weightDecay: z
    .number()
    .min(0)
    .optional()
    .describe('how fast matrices shrink; 0 for not at all; default: the preset’s or the optimiser’s')
    .meta(own),
  schedule: scheduleConfig.shape.name
    .unwrap()
    .optional()
    .describe('how the learning rate goes on after the warm-up')
    .meta(own),
  warmup: whole.min(0).optional().describe('steps from 0 up to the full learning rate').meta(own),
  accumulation: whole
    .min(1)
    .optional()
    .describe('batches whose gradients make one step: --batch times this many sequences')
    .meta(own),
  ema: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe('decay of an average of the parameters, which is then what is scored and kept; 0 for none')
    .meta(own),
  evaluateEvery: whole
    .min(1)
    .optional()
    .describe('steps between evaluations of the validation part')
    .meta(own),
  checkpointEvery: whole.min(1).optional().describe('steps between checkpoints').meta(own),
  sampleEvery: whole.min(0).optional().describe('steps between samples; 0 for none').meta(own),
  patience: whole
    .min(0)
    .optional()
    .describe('evaluations without a better loss before it ends; 0 for never')
    .meta(own),
  validation: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe('the last part of the characters, kept for validation; default 0.1')
    .meta(own),
  field: z.string().min(1).optional().describe('JSON lines: the field with the text').meta(own),
  from: z
    .string()
    .optional()
    .describe('a model to go on from, with its sizes and tokenizer; the preset then says how to train')
    .meta(own),
  base: z.string().optional().describe('another name for --from').meta(own),
});
export type TrainTextSettings = z.output<typeof trainTextSchema>;

/** The model that is gone on from. @throws InkstoneError `flags_conflict` where it has two names that differ */
export function startingModel({
  from,
  base,
}: {
  from?: string | undefined;
  base?: string | undefined;
}): string | undefined {
  if (from !== undefined && base !== undefined && from !== base)
    throw new InkstoneError('flags_conflict', '--from and --base name two models', {
      kind: 'usage',
      hint: 'give one of them: they mean the same',
    });
  return from ?? base;
}

/** The preset by name. @throws InkstoneError `preset_unknown`, with the nearest name */
export function presetOf(id: string): TextPreset {
  const close = nearest(
    id,
    textPresets.map((preset) => preset.id),
  );
  if (close === undefined || close === id) return textPreset(id);
  throw new InkstoneError('preset_unknown', `there is no text preset "${id}"`, {
    kind: 'usage',
    hint: `did you mean ${close}?`,
  });
}

/** The run that `--resume` goes on with. @throws InkstoneError `out_missing`, `run_missing` */
export async function resumed(settings: TrainTextSettings): Promise<TextRunConfig | undefined> {
  if (!settings.resume) return undefined;
  if (settings.force)
    throw new InkstoneError('flags_conflict', '--resume and --force cannot stand together', {
      kind: 'usage',
      hint: 'go on with a run, or replace it',
    });
  if (settings.out === undefined)
    throw new InkstoneError('out_missing', '--resume needs --out', {
      kind: 'usage',
      hint: 'name the run folder to go on with',
    });
  const before = await new RunFolder(settings.out).readJson<TextRunConfig>('config.json');
  if (before !== undefined) return before;
  throw new InkstoneError('run_missing', `there is no run in ${settings.out} to resume`, {
    kind: 'missing',
    hint: 'check --out, or leave --resume out to start one',
  });
}

/** A run's options, and the folder of the model that it goes on from. */
export type Plan = Omit<TextRunOptions, 'backend' | 'out'> & { origin?: string };

/** What the run is to be: the preset, or the run's own settings where it is resumed, under the given flags. */
export async function planned(settings: TrainTextSettings, before: TextRunConfig | undefined): Promise<Plan> {
  const preset = presetOf(settings.preset ?? before?.preset ?? 'nanogpt-cpu');
  const data = settings.data ?? (before?.provenance.data as string | undefined);
  if (data === undefined)
    throw new InkstoneError('invalid_input', '--data is required', {
      kind: 'usage',
      hint: 'name a text file, a folder or an archive to learn from',
    });
  const base: TextPreset =
    before === undefined
      ? preset
      : {
          ...preset,
          architecture: before.architecture as TextPreset['architecture'],
          model: before.model,
          training: before.training,
        };
  const {
    steps,
    seed,
    batch,
    learningRate,
    clip,
    dropout,
    evaluateEvery,
    checkpointEvery,
    sampleEvery,
    patience,
    accumulation,
    ema,
  } = settings;
  // A run that was killed before its first checkpoint begins again where it began.
  const begun = before !== undefined && (await new RunFolder(settings.out as string).has('last'));
  const origin =
    before === undefined
      ? startingModel(settings)
      : begun
        ? undefined
        : (before.provenance.from as string | undefined);
  const from = origin === undefined ? undefined : await loadTextModel((await findModel(origin)).folder);
  if (
    from !== undefined &&
    [settings.layers, settings.heads, settings.width].some((size) => size !== undefined)
  ) {
    throw new InkstoneError('flags_conflict', '--layers, --heads and --width cannot stand with --from', {
      kind: 'usage',
      hint: 'the sizes come from the model that is gone on from',
    });
  }
  const tokenizer = chosenTokenizer(settings, base.tokenizer, from !== undefined || before !== undefined);
  const context = settings.context ?? before?.training.context;
  const given = defined({ layers: settings.layers, heads: settings.heads, width: settings.width });
  // Only a new model takes --context as its own; one that exists keeps it and may be shown shorter windows.
  const model =
    from !== undefined
      ? withoutVocabulary(from.config)
      : before !== undefined
        ? { ...withoutVocabulary(before.model), ...given }
        : { ...given, ...defined({ context }) };
  return {
    preset: { ...base, tokenizer },
    data,
    model,
    training: defined({
      steps,
      seed,
      batch,
      learningRate,
      clip,
      dropout,
      evaluateEvery,
      checkpointEvery,
      sampleEvery,
      patience,
      accumulation,
      ema,
      context,
      ...learning(settings, base.training),
    }),
    resume: settings.resume,
    force: settings.force,
    ...defined({
      validation: settings.validation,
      field: settings.field ?? (before?.provenance.field as string | undefined),
    }),
    ...(from === undefined
      ? {}
      : { from: { parameters: from.weights, tokenizer: from.tokenizer }, origin: path.resolve(from.folder) }),
  };
}

/** Optimiser and schedule where a flag changes them: over the preset's, or over an optimiser's own where it is another. */
function learning(
  { optimiser, weightDecay, schedule, warmup }: TrainTextSettings,
  own: TextPreset['training'],
): Partial<Pick<TrainingConfig, 'optimiser' | 'schedule'>> {
  const step = defined({ name: optimiser, weightDecay });
  const course = defined({ name: schedule, warmup });
  const kept = optimiser === undefined || optimiser === own.optimiser.name ? own.optimiser : {};
  return {
    ...(Object.keys(step).length > 0 ? { optimiser: read(optimiserConfig, { ...kept, ...step }) } : {}),
    ...(Object.keys(course).length > 0
      ? { schedule: read(scheduleConfig, { ...own.schedule, ...course }) }
      : {}),
  };
}

/** @throws InkstoneError `flags_conflict` */
function chosenTokenizer(
  { tokenizer, vocabulary }: TrainTextSettings,
  own: TextPreset['tokenizer'],
  given: boolean,
): TextPreset['tokenizer'] {
  if (tokenizer === undefined && vocabulary === undefined) return own;
  const conflict = (what: string, hint: string): never => {
    throw new InkstoneError('flags_conflict', what, { kind: 'usage', hint });
  };
  if (given)
    conflict(
      '--tokenizer and --vocabulary are for new models',
      'a model keeps the tokens that it began with',
    );
  const name = tokenizer ?? own.name;
  if (name !== 'characters')
    return { name, vocabulary: vocabulary ?? ('vocabulary' in own ? own.vocabulary : 8192) };
  if (vocabulary !== undefined)
    conflict(
      '--vocabulary does not go with characters',
      'their number is that of the text; or take --tokenizer bpe',
    );
  return { name };
}

function withoutVocabulary({ vocabulary: _, ...settings }: TextConfig): TextModelSettings {
  return settings;
}

export function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
