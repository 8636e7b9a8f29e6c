/**
 * `inkstone train text`: from a text and a preset to a run folder. Turns flags into a run's options, shows its
 * progress and writes its card; the training itself is in train/.
 */
import path from 'node:path';
import { InkstoneError } from '../../../base/errors.ts';
import { commandArguments, exists, writeFile } from '../../../base/host.ts';
import { nearest } from '../../../base/nearest.ts';
import { bar, count, duration } from '../../../base/progress.ts';
import { z } from '../../../base/schema.ts';
import { codeVersion } from '../../../base/version.ts';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer.ts';
import { modelCard } from '../../../evaluate/model-card.ts';
import { createDecoder } from '../../../generate/index.ts';
import type { Gpt2Config } from '../../../models/text/gpt2.ts';
import { decodingOf, loadTextModel } from '../../../models/text/load.ts';
import { type TextPreset, textPreset, textPresets } from '../../../models/text/presets.ts';
import { findModel } from '../../../operate/registry.ts';
import { type Backend, createBackend } from '../../../runtime/index.ts';
import { RunFolder } from '../../../train/run-folder.ts';
import {
  type TextRunConfig,
  type TextRunOptions,
  type TextRunResult,
  trainText,
} from '../../../train/text-run.ts';
import type { TrainProgress } from '../../../train/trainer.ts';
import { type CommandContext, command } from '../../command.ts';

const whole = z.number().int();
const own = { environment: false } as const;

const schema = z.object({
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
});
type Settings = z.output<typeof schema>;

interface TrainTextResult {
  val_loss: number;
  best_val_loss: number;
  best_step: number;
  unit: string;
  parameters: number;
  tokens_per_second: number;
  seconds: number;
  steps: number;
  state: string;
  early?: string;
  out: string;
  preset: string;
  seed: number;
}

/** The preset by name. @throws InkstoneError `preset_unknown`, with the nearest name */
function presetOf(id: string): TextPreset {
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

/** `runs-out/PRESET-N`, with the first number that no run has. */
async function freeFolder(preset: string): Promise<string> {
  for (let n = 1; ; n++) {
    const folder = path.join('runs-out', `${preset}-${n}`);
    if (!(await exists(path.join(folder, 'config.json'))) && !(await exists(path.join(folder, 'lock'))))
      return folder;
  }
}

/** The run that `--resume` goes on with. @throws InkstoneError `out_missing`, `run_missing` */
async function resumed(settings: Settings): Promise<TextRunConfig | undefined> {
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
type Plan = Omit<TextRunOptions, 'backend' | 'out'> & { origin?: string };

/** What the run is to be: the preset, or the run's own settings where it is resumed, under the given flags. */
async function planned(settings: Settings, before: TextRunConfig | undefined): Promise<Plan> {
  const preset = presetOf(settings.preset ?? before?.preset ?? 'nanogpt-cpu');
  const data = settings.data ?? (before?.provenance.data as string | undefined);
  if (data === undefined)
    throw new InkstoneError('invalid_input', '--data is required', {
      kind: 'usage',
      hint: 'name a text file, a folder or an archive to learn from',
    });
  const base: TextPreset =
    before === undefined ? preset : { ...preset, model: before.model, training: before.training };
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
  } = settings;
  // A run that was killed before its first checkpoint begins again where it began.
  const begun = before !== undefined && (await new RunFolder(settings.out as string).has('last'));
  const origin =
    before === undefined ? settings.from : begun ? undefined : (before.provenance.from as string | undefined);
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
    preset: base,
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
      context,
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

function withoutVocabulary({
  layers,
  heads,
  width,
  context,
  bias,
}: Gpt2Config): Omit<Gpt2Config, 'vocabulary'> {
  return { layers, heads, width, context, bias };
}

function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}

/** About 200 characters from the parameters as they are; the same seed gives the same text. */
async function sampleText(backend: Backend, parameters: TextRunSample, seed: number): Promise<string> {
  const { weights, model, tokenizer } = parameters;
  const end = tokenizer.endOfText;
  const decoder = await createDecoder(
    { backend, ...decodingOf(model), parameters: weights, ...(end === undefined ? {} : { endOfText: end }) },
    { maxBatch: 1 },
  );
  try {
    const first = end ?? tokenizer.encode('\n', { unknown: 'skip' })[0] ?? 0;
    const maxTokens = tokenizer.kind === 'characters' ? 200 : 60;
    const { tokens } = await decoder.submit({
      tokens: [first],
      maxTokens,
      temperature: 0.8,
      topK: 0,
      topP: 1,
      seed,
    });
    return tokenizer.decode(tokens);
  } finally {
    await decoder.close();
  }
}

interface TextRunSample {
  weights: Parameters<NonNullable<TextRunOptions['sample']>>[0];
  model: Gpt2Config;
  tokenizer: Tokenizer;
}

function line({
  step,
  steps,
  loss,
  validationLoss,
  tokensPerSecond,
  remaining,
  phase,
}: TrainProgress): string {
  const parts = [`${bar(step / steps)} step ${step}/${steps}`];
  if (Number.isFinite(loss)) parts.push(`loss ${loss.toFixed(3)}`);
  if (validationLoss !== undefined) parts.push(`val loss ${validationLoss.toFixed(4)}`);
  parts.push(`${count(tokensPerSecond)} tokens/s`);
  parts.push(phase === 'training' ? `${duration(remaining)} left` : phase);
  return parts.join('  ');
}

/** A model's vocabulary is fixed: data with other characters cannot be learned by it. */
function explain(thrown: unknown, settings: Settings): unknown {
  if (!InkstoneError.is(thrown) || thrown.code !== 'character_unknown' || settings.from === undefined)
    return thrown;
  return new InkstoneError(
    'vocabulary_differs',
    `the data do not fit the vocabulary of ${settings.from}: ${thrown.message}`,
    {
      kind: 'conflict',
      hint: 'leave --from out to start anew with the characters of this text, or go on from a model with byte-level tokens',
      cause: thrown,
    },
  );
}

async function writeCard(result: TextRunResult, preset: string): Promise<void> {
  const folder = new RunFolder(result.out);
  const config = (await folder.readJson<TextRunConfig>('config.json')) as TextRunConfig;
  await writeFile(
    folder.file('card.md'),
    modelCard({ config, result, preset, sample: await folder.lastSample() }),
  );
}

async function run(settings: Settings, context: CommandContext): Promise<TrainTextResult> {
  const before = await resumed(settings);
  const plan = await planned(settings, before);
  const preset = plan.preset.id;
  const out = settings.out ?? (await freeFolder(preset));
  const backend = await createBackend(settings.device, defined({ threads: settings.threads }));
  const seed = plan.training?.seed ?? before?.training.seed ?? plan.preset.training.seed ?? 1;
  try {
    if (!context.json)
      context.progress.note(`${before === undefined ? 'training' : 'resuming'} ${preset} in ${out}`);
    const result = await trainText({
      ...plan,
      out,
      backend,
      signal: context.signal,
      report: (progress) =>
        context.progress.show(line(progress), {
          final: progress.step === progress.steps && progress.phase === 'saving',
        }),
      prepare: (phase, part) =>
        context.progress.show(`preparing data: ${phase}${part > 0 ? ` ${Math.round(part * 100)} %` : ''}`),
      sample: (weights, model, tokenizer) => sampleText(backend, { weights, model, tokenizer }, seed),
      provenance: {
        version: await codeVersion(),
        command: ['inkstone', ...commandArguments()].join(' '),
        data: path.resolve(plan.data),
        ...defined({ field: plan.field, from: plan.origin }),
      },
    }).catch((thrown: unknown) => {
      throw explain(thrown, settings);
    });
    if (result.state === 'succeeded') await writeCard(result, preset);
    else
      context.progress.note(
        `stopped at step ${result.steps}; go on with: inkstone train text --resume --out ${out}`,
      );
    return {
      val_loss: result.validationLoss,
      best_val_loss: result.bestValidationLoss,
      best_step: result.bestStep,
      unit: result.unit,
      parameters: result.parameters,
      tokens_per_second: Math.round(result.tokensPerSecond),
      seconds: Number(result.seconds.toFixed(3)),
      steps: result.steps,
      state: result.state,
      ...(result.early === undefined ? {} : { early: result.early }),
      out,
      preset,
      seed,
    };
  } finally {
    await backend.close();
  }
}

export const trainTextCommand = command({
  name: 'train text',
  summary: 'train a text model on your own text',
  description:
    'The last tenth of the characters is kept for validation; the whole of it is scored at every evaluation. The run folder holds everything that ' +
    'is needed to go on after a kill, to serve the model and to repeat the run. Ctrl-C ends after the current step and keeps a checkpoint.',
  schema,
  examples: [
    'train text --preset nanogpt-cpu --data my.txt',
    'train text --preset tiny --data texts/ --out runs-out/first --steps 100',
    'train text --resume --out runs-out/first',
    'generate runs-out/first --prompt "Once"',
  ],
  run,
  show(result) {
    const best =
      result.best_step === result.steps
        ? ''
        : ` (best ${result.best_val_loss.toFixed(4)} at step ${result.best_step})`;
    return [
      `${result.state === 'succeeded' ? 'done' : 'stopped'}: ${result.steps} steps in ${duration(result.seconds)}, ${count(result.parameters)} parameters, ${count(result.tokens_per_second)} tokens/s`,
      `validation loss ${result.val_loss.toFixed(4)} ${result.unit}${best}`,
      `the model is in ${result.out}; try: inkstone generate ${result.out} --prompt "The"`,
    ].join('\n');
  },
});
