/**
 * `inkstone train text`: from a text and a preset to a run folder. Runs what train-text-plan.ts made of the flags,
 * shows its progress and writes its card; the training itself is in train/.
 */
import path from 'node:path';
import { InkstoneError } from '../../../base/errors.ts';
import { writeFile } from '../../../base/host.ts';
import { bar, count, duration } from '../../../base/progress.ts';
import { codeVersion } from '../../../base/version.ts';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer.ts';
import { modelCard } from '../../../evaluate/model-card.ts';
import { createDecoder } from '../../../generate/index.ts';
import { decodingOf, type TextConfig } from '../../../models/text/architectures.ts';
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
import { commandLine } from '../../command-line.ts';
import { freeRunFolder } from '../../free-folder.ts';
import {
  defined,
  planned,
  resumed,
  startingModel,
  type TrainTextSettings,
  trainTextSchema,
} from '../../train-text-plan.ts';
import { traced } from '../../training-span.ts';

interface TrainTextResult {
  val_loss: number;
  best_val_loss: number;
  best_step: number;
  unit: string;
  parameters: number;
  tokens_per_second: number;
  /** Bytes that the process was resident with at most. */
  peak_memory: number;
  seconds: number;
  steps: number;
  state: string;
  early?: string;
  out: string;
  preset: string;
  seed: number;
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
  model: TextConfig;
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
function explain(thrown: unknown, settings: TrainTextSettings): unknown {
  const from = startingModel(settings);
  if (!InkstoneError.is(thrown) || thrown.code !== 'character_unknown' || from === undefined) return thrown;
  return new InkstoneError(
    'vocabulary_differs',
    `the data do not fit the vocabulary of ${from}: ${thrown.message}`,
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

async function run(settings: TrainTextSettings, context: CommandContext): Promise<TrainTextResult> {
  const before = await resumed(settings);
  const plan = await planned(settings, before);
  const preset = plan.preset.id;
  const out = settings.out ?? (await freeRunFolder(preset));
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
      report: traced(context.span, (progress) =>
        context.progress.show(line(progress), {
          final: progress.step === progress.steps && progress.phase === 'saving',
        }),
      ),
      prepare: (phase, part) => {
        context.signal.throwIfAborted();
        context.progress.show(`preparing data: ${phase}${part > 0 ? ` ${Math.round(part * 100)} %` : ''}`);
      },
      sample: (weights, model, tokenizer) => sampleText(backend, { weights, model, tokenizer }, seed),
      provenance: {
        version: await codeVersion(),
        command: commandLine(),
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
      peak_memory: result.peakMemory,
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
  schema: trainTextSchema,
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
      Number.isNaN(result.val_loss)
        ? 'not evaluated yet'
        : `validation loss ${result.val_loss.toFixed(4)} ${result.unit}${best}`,
      result.steps === 0
        ? ''
        : `the model is in ${result.out}; try: inkstone generate ${result.out} --prompt "The"`,
    ].join('\n');
  },
});
