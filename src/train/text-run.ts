/**
 * A text training from a preset and a path to a finished run folder: prepares data, makes or resumes the
 * model, runs the trainer, writes the result. Everything that can be refused is refused before the first step.
 */
import { InkstoneError } from '../base/errors.ts';
import { exists, freeSpace, memoryUse, now, readText, removeFile } from '../base/host.ts';
import { read } from '../base/schema.ts';
import type { HostTensors } from '../base/tensor.ts';
import { evaluationBatches, requireWindow, trainBatch } from '../data/text/batches.ts';
import { type PreparedText, prepareText } from '../data/text/prepare.ts';
import { readTokenizer } from '../data/tokenizer/read.ts';
import type { Tokenizer } from '../data/tokenizer/tokenizer.ts';
import { type TextConfig, textConfig, textParameterCount } from '../models/text/architectures.ts';
import type { TextModelSettings, TextPreset } from '../models/text/presets.ts';
import { createTextTrainable } from '../models/text/trainable.ts';
import { type TrainingConfig, trainingConfig } from '../nn/training-config.ts';
import type { Backend } from '../runtime/contract.ts';
import { differing } from './resume.ts';
import { RunFolder } from './run-folder.ts';
import { type TrainOutcome, type TrainProgress, train } from './trainer.ts';

export interface TextRunOptions {
  preset: TextPreset;
  data: string;
  out: string;
  backend: Backend;
  /** Replaces the preset's settings. */
  training?: Partial<TrainingConfig>;
  /** Replaces the preset's model settings. */
  model?: Partial<TextModelSettings>;
  /** Part of the characters that is kept for validation; default 0.1. */
  validation?: number;
  /** JSON lines: the field with the text. */
  field?: string;
  resume?: boolean;
  /** Overwrites a run that is there. */
  force?: boolean;
  /** Starting values and their tokenizer, from another run. */
  from?: { parameters: HostTensors; tokenizer: Tokenizer };
  /** A tokenizer that is there already, in place of the preset's, and a folder of tokens that runs share. */
  shared?: { tokenizer?: Tokenizer; folder: string };
  /** Pauses at this step; see trainer.ts. */
  until?: number;
  signal?: AbortSignal;
  report?(progress: TrainProgress): void;
  /** Says what is being prepared. */
  prepare?(phase: string, part: number): void;
  /** Makes a sample from the parameters as they are. */
  sample?(parameters: HostTensors, model: TextConfig, tokenizer: Tokenizer): Promise<string>;
  /** Written into config.json: code version and command. */
  provenance?: Record<string, unknown>;
}

/** config.json of a run folder: enough to repeat the run. */
export interface TextRunConfig {
  family: 'text';
  architecture: string;
  preset: string;
  model: TextConfig;
  training: TrainingConfig;
  tokenizer: { file: 'tokenizer.json'; kind: string };
  data: {
    fingerprint: string;
    characters: number;
    documents: number;
    validation: number;
    trainTokens: number;
    validationTokens: number;
    validationCharacters: number;
  };
  parameters: number;
  created: number;
  provenance: Record<string, unknown>;
}

export interface TextRunResult extends TrainOutcome {
  /** Mean nats per character of the validation split. */
  unit: 'nats per character';
  parameters: number;
  /** The most bytes that this process was ever resident with, ONNX Runtime among them. */
  peakMemory: number;
  out: string;
  model: TextConfig;
}

/** Tokens of an evaluation batch: enough to fill the cores, little enough not to need more memory than training. */
const EVALUATION_TOKENS = 2048;
const evaluationRows = (context: number): number => Math.max(1, Math.floor(EVALUATION_TOKENS / context));

export async function trainText(options: TextRunOptions): Promise<TextRunResult> {
  const folder = new RunFolder(options.out);
  const context = options.model?.context ?? options.preset.model.context;
  const training = read(trainingConfig, {
    ...options.preset.training,
    context,
    ...definedOnly(options.training ?? {}),
  });
  const made = !(await exists(folder.path));
  await folder.open();
  const unlock = await folder.lock();
  try {
    // Read under the lock: nobody ends or begins a run here in between.
    const before = await folder.readJson<TextRunConfig>('config.json');
    if (before !== undefined && options.resume === true) requireSame(before, options, training);
    else if (before !== undefined && options.force !== true) {
      throw new InkstoneError('run_exists', `${options.out} holds a run already`, {
        kind: 'conflict',
        hint: 'go on with it (--resume), replace it (--force), or choose another --out',
      });
    }
    const prepared = await prepare(options, folder, before);
    try {
      return await checkAndRun(options, folder, prepared, training, before);
    } finally {
      await prepared.tokens.close();
    }
  } catch (thrown) {
    // Refused before there was a run: nothing is left behind.
    if (made && !(await folder.exists())) await removeFile(folder.path);
    throw thrown;
  } finally {
    await unlock();
  }
}

async function checkAndRun(
  options: TextRunOptions,
  folder: RunFolder,
  prepared: PreparedText,
  training: TrainingConfig,
  before: TextRunConfig | undefined,
): Promise<TextRunResult> {
  const model = checkedModel(options, training, prepared);
  const config = configOf(options, model, training, prepared, before);
  const resumed = before !== undefined && options.resume === true;
  if (resumed && JSON.stringify(before.data) !== JSON.stringify(config.data)) throw dataDiffer(options.data);
  await requireSpace(folder, config.parameters, training);
  if (!resumed) {
    // What an earlier run left must not be resumed as if it were this one's; config.json comes last.
    await folder.clear();
    await folder.writeJson('tokenizer.json', JSON.parse(prepared.tokenizer.toJson()));
    await folder.writeJson('config.json', config);
  }
  const outcome = await runTrainer(options, folder, config, prepared);
  const result: TextRunResult = {
    ...outcome,
    unit: 'nats per character',
    parameters: config.parameters,
    peakMemory: memoryUse().peak,
    out: options.out,
    model,
  };
  await folder.writeJson('result.json', result);
  return result;
}

function definedOnly<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

async function prepare(
  options: TextRunOptions,
  folder: RunFolder,
  before: TextRunConfig | undefined,
): Promise<PreparedText> {
  const resumed = before !== undefined && options.resume === true;
  const given = resumed
    ? readTokenizer(await readText(folder.file('tokenizer.json')))
    : (options.from?.tokenizer ?? options.shared?.tokenizer);
  const prepared = await prepareText(options.data, {
    folder: options.shared?.folder ?? folder.file('data'),
    tokenizer: given === undefined ? options.preset.tokenizer : { name: 'given', tokenizer: given },
    validation: options.validation ?? before?.data.validation ?? 0.1,
    ...(options.field === undefined ? {} : { field: options.field }),
    ...(options.prepare === undefined ? {} : { progress: options.prepare }),
  }).catch((thrown: unknown) => {
    // Characters that the run has not seen cannot be the data it was started with.
    const unknown = resumed && InkstoneError.is(thrown) && thrown.code === 'character_unknown';
    throw unknown ? dataDiffer(options.data, thrown) : thrown;
  });
  if (resumed && prepared.info.fingerprint !== before.data.fingerprint) {
    await prepared.tokens.close();
    throw dataDiffer(options.data);
  }
  return prepared;
}

function dataDiffer(data: string, cause?: InkstoneError): InkstoneError {
  const why = cause === undefined ? '' : `; ${cause.message}`;
  return new InkstoneError('data_differs', `${data} is not the data this run was started with${why}`, {
    kind: 'conflict',
    hint: 'give the same data, or start a new run',
    cause,
  });
}

function checkedModel(options: TextRunOptions, training: TrainingConfig, prepared: PreparedText): TextConfig {
  const model = read(textConfig, {
    architecture: options.preset.architecture,
    ...options.preset.model,
    ...definedOnly(options.model ?? {}),
    vocabulary: Math.max(2, prepared.tokenizer.vocabularySize),
  });
  if (training.context > model.context) {
    throw new InkstoneError(
      'context_too_long',
      `windows of ${training.context} tokens do not fit the model's context of ${model.context}`,
      { kind: 'usage', hint: `a window has at most ${model.context} tokens` },
    );
  }
  requireWindow({ start: 0, length: prepared.trainTokens }, training.context, 'training');
  requireWindow({ start: prepared.trainTokens, length: prepared.validationTokens }, 1, 'validation');
  return model;
}

function configOf(
  options: TextRunOptions,
  model: TextConfig,
  training: TrainingConfig,
  prepared: PreparedText,
  before: TextRunConfig | undefined,
): TextRunConfig {
  const { info } = prepared;
  return {
    family: 'text',
    architecture: model.architecture ?? 'gpt2',
    preset: options.preset.id,
    model,
    training,
    tokenizer: { file: 'tokenizer.json', kind: prepared.tokenizer.kind },
    data: {
      fingerprint: info.fingerprint,
      characters: info.characters,
      documents: info.documents,
      validation: options.validation ?? before?.data.validation ?? 0.1,
      trainTokens: prepared.trainTokens,
      validationTokens: prepared.validationTokens,
      validationCharacters: prepared.validationCharacters,
    },
    parameters: textParameterCount(model),
    created: Math.floor(now() / 1000),
    provenance: options.provenance ?? {},
  };
}

/** A resumed run keeps all its settings, or it could not end with the same bytes. @throws InkstoneError `config_differs` */
function requireSame(before: TextRunConfig, options: TextRunOptions, training: TrainingConfig): void {
  const { vocabulary } = before.model;
  const model = read(textConfig, {
    architecture: options.preset.architecture,
    ...options.preset.model,
    ...definedOnly(options.model ?? {}),
    vocabulary,
  });
  const fields = new Set([
    ...differing(before.model, model),
    ...differing(before.training, training),
    ...differing({ validation: before.data.validation }, definedOnly({ validation: options.validation })),
  ]);
  if (fields.size === 0) return;
  throw new InkstoneError(
    'config_differs',
    `the run was started with other settings (${[...fields].join(', ')})`,
    {
      kind: 'conflict',
      hint: 'resume with the settings it was started with, or start a new run with --out',
      details: { fields: [...fields] },
    },
  );
}

async function requireSpace(folder: RunFolder, parameters: number, training: TrainingConfig): Promise<void> {
  // Parameters in `best`; parameters, moments and averages in `last`; while one is replaced it stands there twice.
  const moments = training.optimiser.name === 'sgd' ? 1 : 2;
  const extra = (training.ema > 0 ? 1 : 0) + (training.accumulation > 1 ? 1 : 0);
  const needed = parameters * 4 * (2 + moments + extra) * 2 + 2 ** 22;
  const free = await freeSpace(folder.path);
  if (free >= needed) return;
  throw new InkstoneError(
    'disk_full',
    `the checkpoints of this run take ${Math.ceil(needed / 2 ** 20)} MiB, the disk has ${Math.floor(free / 2 ** 20)}`,
    { kind: 'resource', hint: 'free some space or choose another --out' },
  );
}

async function runTrainer(
  options: TextRunOptions,
  folder: RunFolder,
  config: TextRunConfig,
  prepared: PreparedText,
): Promise<TrainOutcome> {
  const { training, model, data } = config;
  const trainRange = { start: 0, length: data.trainTokens };
  const validationRange = { start: data.trainTokens, length: data.validationTokens };
  const trainable = await createTextTrainable({
    backend: options.backend,
    model,
    training,
    evaluationBatch: evaluationRows(training.context),
    ...(options.from === undefined ? {} : { parameters: options.from.parameters }),
  });
  const { sample } = options;
  try {
    return await train({
      folder,
      trainable,
      config: training,
      resume: options.resume ?? false,
      until: options.until,
      tokensPerStep: training.batch * training.accumulation * training.context,
      batch: (step) =>
        trainBatch(prepared.tokens, trainRange, {
          batch: training.batch * training.accumulation,
          context: training.context,
          seed: training.seed,
          step,
        }),
      evaluate: async () => {
        let total = 0;
        let predicted = 0;
        for await (const batch of evaluationBatches(prepared.tokens, validationRange, {
          batch: evaluationRows(training.context),
          context: training.context,
        })) {
          options.signal?.throwIfAborted();
          const part = await trainable.evaluate(batch);
          total += part.total;
          predicted += part.count;
        }
        // Characters have one token each; other tokens are weighed by the characters they stand for.
        return prepared.tokenizer.kind === 'characters'
          ? total / predicted
          : total / data.validationCharacters;
      },
      ...(sample === undefined
        ? {}
        : { sample: async () => sample(await trainable.parameters(), model, prepared.tokenizer) }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.report === undefined ? {} : { report: options.report }),
    });
  } finally {
    await trainable.close();
  }
}
