/** `inkstone train bert`: pre-trains a BERT on books (masked tokens and next sentence), and scores it on unseen text. */
import path from 'node:path';
import { InkstoneError } from '../../../base/errors.ts';
import { bar, count, duration } from '../../../base/progress.ts';
import { z } from '../../../base/schema.ts';
import { codeVersion } from '../../../base/version.ts';
import { pretrainingPairs, pretrainingShape } from '../../../data/text/pretraining.ts';
import { WordPieceTokenizer } from '../../../data/tokenizer/wordpiece.ts';
import { proportion, scoreMasked } from '../../../evaluate/index.ts';
import { isBert } from '../../../models/text/any.ts';
import type { BertConfig } from '../../../models/text/bert.ts';
import { bertPreset, bertPresetConfig, bertPresets } from '../../../models/text/bert-presets.ts';
import { loadAnyTextModel, type TextModel } from '../../../models/text/load.ts';
import { type TrainingConfig, trainingConfig } from '../../../nn/training-config.ts';
import { findModel } from '../../../operate/registry.ts';
import { type Backend, createBackend } from '../../../runtime/index.ts';
import { type BertData, prepareBert } from '../../../train/bert-data.ts';
import { type BertRunResult, trainBert } from '../../../train/bert-run.ts';
import { RunFolder } from '../../../train/run-folder.ts';
import { type CommandContext, command } from '../../command.ts';
import { commandLine } from '../../command-line.ts';
import { freeRunFolder } from '../../free-folder.ts';
import { defined } from '../../train-text-plan.ts';
import { traced } from '../../training-span.ts';

const own = { environment: false } as const;
const whole = z.number().int();

const schema = z.object({
  preset: z
    .string()
    .optional()
    .describe(
      `${bertPresets.map(({ id }) => id).join(', ')}; default bert-novels, with --resume the run's own`,
    )
    .meta(own),
  data: z
    .string()
    .optional()
    .describe('a folder or an archive of long texts, one file each; with --resume the run knows it'),
  out: z
    .string()
    .optional()
    .describe('the run folder; default runs-out/PRESET-N with the next free number')
    .meta(own),
  base: z
    .string()
    .optional()
    .describe('a BERT to go on from, with its sizes and vocabulary; the preset then says how to train')
    .meta(own),
  vocabulary: whole.min(64).max(200_000).optional().describe('WordPiece pieces to learn').meta(own),
  field: z.string().min(1).optional().describe('JSON lines: the field with the text').meta(own),
  steps: whole.min(1).optional().describe('optimiser steps').meta(own),
  batch: whole.min(1).optional().describe('pairs of passages a step').meta(own),
  context: whole.min(16).optional().describe('tokens of a pair, and the longest the model can see').meta(own),
  layers: whole.min(1).max(200).optional().describe('blocks of the network').meta(own),
  heads: whole.min(1).max(256).optional().describe('attention heads of a block').meta(own),
  width: whole.min(1).max(65536).optional().describe('numbers per token').meta(own),
  learningRate: z.number().gt(0).optional().describe('the highest rate of the schedule').meta(own),
  evaluateEvery: whole.min(1).optional().describe('steps between evaluations').meta(own),
  checkpointEvery: whole.min(1).optional().describe('steps between checkpoints').meta(own),
  seed: whole.min(0).optional().describe('of the starting values, the pairs and the masks').meta(own),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
  resume: z.boolean().default(false).describe('go on with the run in --out').meta(own),
  force: z.boolean().default(false).describe('replace the run in --out').meta(own),
});
type TrainBertSettings = z.output<typeof schema>;

interface BertRunFile {
  preset: string;
  model: BertConfig;
  training: TrainingConfig;
  provenance: { data?: string; field?: string; base?: string };
}

interface NextSentence {
  accuracy: number;
  lower: number;
  upper: number;
}

interface TrainBertResult {
  val_loss: number;
  best_val_loss: number;
  best_step: number;
  unit: string;
  /** Of the best checkpoint, on the judging books; a kind of negatives that the books cannot give is absent. */
  next_sentence?: { other_book?: NextSentence; same_book?: NextSentence };
  parameters: number;
  tokens_per_second: number;
  seconds: number;
  steps: number;
  state: string;
  out: string;
  preset: string;
}

/** Pairs of each kind that the finished run is scored on. */
const JUDGED = 256;

interface Plan {
  preset: string;
  data: string;
  field?: string;
  out: string;
  origin?: TextModel<BertConfig>;
  model(vocabulary: number): BertConfig;
  vocabulary: number | WordPieceTokenizer;
  training: TrainingConfig;
}

async function baseOf(name: string): Promise<TextModel<BertConfig>> {
  const model = await loadAnyTextModel((await findModel(name)).folder);
  if (
    isBert(model.config) &&
    model.tokenizer instanceof WordPieceTokenizer &&
    model.config.masked &&
    model.config.next
  )
    return model as TextModel<BertConfig>;
  throw new InkstoneError(
    'base_differs',
    `${name} is no BERT with heads for masked tokens and next sentence`,
    {
      kind: 'conflict',
      hint: 'give the run of another `inkstone train bert`, or leave --base out',
    },
  );
}

async function planned(settings: TrainBertSettings): Promise<Plan> {
  const before =
    settings.resume && settings.out !== undefined
      ? await new RunFolder(settings.out).readJson<BertRunFile>('config.json')
      : undefined;
  if (settings.resume && before === undefined)
    throw new InkstoneError('run_missing', `there is no run in ${settings.out ?? '(no --out)'} to resume`, {
      kind: 'missing',
      hint: 'check --out, or leave --resume out to start one',
    });
  const preset = bertPreset(settings.preset ?? before?.preset ?? 'bert-novels');
  const data = settings.data ?? before?.provenance.data;
  if (data === undefined)
    throw new InkstoneError('invalid_input', '--data is required', {
      kind: 'usage',
      hint: 'name a folder or an archive of long texts to learn from',
    });
  const baseName = settings.base ?? before?.provenance.base;
  const origin = baseName === undefined ? undefined : await baseOf(baseName);
  const { layers, heads, width, context } = settings;
  if (origin !== undefined && [layers, heads, width, settings.vocabulary].some((size) => size !== undefined))
    throw new InkstoneError(
      'flags_conflict',
      '--layers, --heads, --width and --vocabulary cannot stand with --base',
      {
        kind: 'usage',
        hint: 'sizes and vocabulary come from the model that is gone on from',
      },
    );
  const { steps, batch, learningRate, evaluateEvery, checkpointEvery, seed } = settings;
  const flags = defined({ steps, batch, context, learningRate, evaluateEvery, checkpointEvery, seed });
  const training = trainingConfig.parse({ ...preset.training, ...before?.training, ...flags });
  const sizes = defined({
    layers,
    heads,
    width,
    context,
    ...(width === undefined ? {} : { hidden: 4 * width }),
  });
  const { field = before?.provenance.field } = settings;
  return {
    preset: preset.id,
    data,
    out: settings.out ?? (await freeRunFolder(preset.id)),
    ...defined({ field, origin }),
    model: (vocabulary) =>
      origin?.config ??
      (before === undefined
        ? bertPresetConfig({ model: { ...preset.model, ...sizes } }, vocabulary)
        : { ...before.model, ...sizes }),
    vocabulary:
      (origin?.tokenizer as WordPieceTokenizer | undefined) ??
      settings.vocabulary ??
      before?.model.vocabulary ??
      preset.vocabulary,
    training,
  };
}

/** On pairs of the judging books that no evaluation of the training looked at. */
async function scoreNext(
  backend: Backend,
  data: BertData,
  result: BertRunResult,
  training: TrainingConfig,
  context: CommandContext,
): Promise<TrainBertResult['next_sentence']> {
  const pairs = pretrainingPairs(data.validation, data.tokenizer, false);
  if (pairs.negatives.length === 0) return undefined;
  const model = (await loadAnyTextModel(result.out)) as TextModel<BertConfig>;
  const { right } = await scoreMasked({
    ...{ backend, model: model.config, weights: model.weights, pairs, judged: JUDGED, seed: 7 },
    ...{ shape: pretrainingShape(16, training.context), kinds: ['follows', ...pairs.negatives] },
    signal: context.signal,
    progress: (part) => context.progress.show(`scoring ${Math.round(100 * part)} %`),
  });
  const of = (kind: 'other book' | 'same book'): NextSentence => {
    const { value, lower, upper } = proportion(right.follows + right[kind], 2 * JUDGED);
    return { accuracy: value, lower, upper };
  };
  return Object.fromEntries(pairs.negatives.map((kind) => [kind.replace(' ', '_'), of(kind)]));
}

async function run(settings: TrainBertSettings, context: CommandContext): Promise<TrainBertResult> {
  const { progress, signal, json } = context;
  const plan = await planned(settings);
  const { data, out, preset, origin, training } = plan;
  const prepared = await prepareBert({
    ...{ data, tokenizer: plan.vocabulary, prepare: (phase) => progress.show(phase) },
    ...defined({ field: plan.field }),
  });
  const model = plan.model(prepared.tokenizer.vocabularySize);
  if (training.context > model.context)
    throw new InkstoneError(
      'context_too_long',
      `pairs of ${training.context} tokens do not fit the model's context of ${model.context}`,
      { kind: 'usage', hint: `set --context to at most ${model.context}` },
    );
  const backend = await createBackend('cpu', defined({ threads: settings.threads }));
  try {
    if (!json) progress.note(`${settings.resume ? 'resuming' : 'training'} ${preset} in ${out}`);
    const result = await trainBert({
      ...{ ...prepared, data, out, preset, model, training, backend, signal },
      ...{ resume: settings.resume, force: settings.force },
      ...(origin === undefined ? {} : { from: origin.weights }),
      report: traced(context.span, ({ step, steps, loss, remaining, tokensPerSecond }) =>
        progress.show(
          `${bar(step / steps)} step ${step}/${steps}  loss ${loss.toFixed(3)}  ${count(tokensPerSecond)} tokens/s  ${duration(remaining)} left`,
        ),
      ),
      provenance: {
        version: await codeVersion(),
        command: commandLine(),
        data: path.resolve(data),
        ...defined({
          field: plan.field,
          base: origin === undefined ? undefined : path.resolve(origin.folder),
        }),
      },
    });
    const next =
      result.state === 'succeeded'
        ? await scoreNext(backend, prepared, result, training, context)
        : undefined;
    return {
      val_loss: result.validationLoss,
      best_val_loss: result.bestValidationLoss,
      best_step: result.bestStep,
      unit: result.unit,
      ...defined({ next_sentence: next }),
      parameters: result.parameters,
      tokens_per_second: Math.round(result.tokensPerSecond),
      seconds: Number(result.seconds.toFixed(3)),
      steps: result.steps,
      state: result.state,
      ...{ out, preset },
    };
  } finally {
    await backend.close();
  }
}

const percent = ({ accuracy, lower, upper }: NextSentence): string =>
  `${(100 * accuracy).toFixed(1)} % (95 % from ${(100 * lower).toFixed(1)} to ${(100 * upper).toFixed(1)})`;

export const trainBertCommand = command({
  name: 'train bert',
  summary: 'pre-train a BERT on your own books: masked tokens and next sentence',
  description:
    'Every eighth book is kept for judging; of fewer than eight books, the last tenth of each. 15 % of the tokens are asked for; half of the pairs of passages ' +
    'follow each other, the others are of another book or of another place of the same one. A killed run goes on with --resume and ends with the same bytes.',
  schema,
  examples: [
    'train bert --preset bert-novels --data novels.tar.gz',
    'train bert --preset bert-tiny --data books/ --steps 100 --json',
    'train bert --resume --out runs-out/bert-novels-1',
    'train bert --base runs-out/bert-novels-1 --data letters/ --steps 500',
  ],
  run,
  show: (result) =>
    [
      `${result.state === 'succeeded' ? 'done' : 'stopped'}: ${result.steps} steps in ${duration(result.seconds)}, ${count(result.parameters)} parameters, ${count(result.tokens_per_second)} tokens/s`,
      ...(Number.isNaN(result.val_loss)
        ? []
        : [`validation loss ${result.val_loss.toFixed(4)} ${result.unit}`]),
      ...Object.entries(result.next_sentence ?? {}).map(
        ([kind, score]) => `next sentence, negatives of ${kind.replace('_', ' ')}: ${percent(score)}`,
      ),
      result.state === 'succeeded'
        ? `the model is in ${result.out}; try: inkstone train classify --base ${result.out} --data table.csv`
        : `go on with: inkstone train bert --resume --out ${result.out}`,
    ].join('\n'),
});
