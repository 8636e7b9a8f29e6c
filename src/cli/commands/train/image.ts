/**
 * `inkstone train image`: from pictures and a preset to a run folder, scored. The training itself is in train/, the scores
 * in evaluate/; this file hands the one to the other.
 */
import path from 'node:path';
import { InkstoneError } from '../../../base/errors.ts';
import { bar, count, duration } from '../../../base/progress.ts';
import { codeVersion } from '../../../base/version.ts';
import { aboutFile, type ImageSet } from '../../../data/image/array-file.ts';
import { prepareImages } from '../../../data/image/prepare.ts';
import type { FeatureNetwork } from '../../../evaluate/image/features.ts';
import { type ImageScores, trainingJudge } from '../../../evaluate/image/score-run.ts';
import { encodeSheet } from '../../../generate/image/encode.ts';
import { createBackend } from '../../../runtime/index.ts';
import { trainImages } from '../../../train/image-run.ts';
import { RunFolder } from '../../../train/run-folder.ts';
import type { TrainProgress } from '../../../train/trainer.ts';
import { type CommandContext, command } from '../../command.ts';
import { commandLine } from '../../command-line.ts';
import { scoreFolder } from '../../evaluate-image.ts';
import { type DuplicateReport, duplicateLines, duplicatesOf, preparedLines } from '../../image-duplicates.ts';
import { featureNetwork } from '../../image-features.ts';
import {
  type NeighbourFiles,
  neighbourCount,
  neighbourLines,
  writeNeighbours,
} from '../../image-neighbours.ts';
import { plannedImages, type TrainImageSettings, trainImageSchema } from '../../train-image-plan.ts';
import { defined } from '../../train-text-plan.ts';
import { traced } from '../../training-span.ts';

type TrainImageResult = Partial<ImageScores> &
  Partial<NeighbourFiles> &
  Partial<DuplicateReport> & {
    state: string;
    parameters: number;
    steps: number;
    seconds: number;
    pictures_per_second: number;
    best_step: number;
    out: string;
    preset: string;
    seed: number;
  };

function line(
  { step, steps, loss, validationLoss, tokensPerSecond, remaining, phase }: TrainProgress,
  score: string,
): string {
  const parts = [`${bar(step / steps)} step ${step}/${steps}`];
  if (Number.isFinite(loss)) parts.push(`loss ${loss.toFixed(3)}`);
  if (validationLoss !== undefined) parts.push(`${score} ${validationLoss.toFixed(2)}`);
  parts.push(`${count(tokensPerSecond)} pictures/s`);
  parts.push(phase === 'training' ? `${duration(remaining)} left` : phase);
  return parts.join('  ');
}

async function run(settings: TrainImageSettings, context: CommandContext): Promise<TrainImageResult> {
  const planned = await plannedImages(settings);
  const { preset, data, out, folder } = planned;
  const backend = await createBackend(settings.device, {
    ...defined({ threads: settings.threads }),
    choices: path.join(out, 'convolutions.json'),
  });
  const note = (what: string): void => context.progress.show(what);
  let set: ImageSet | undefined;
  let network: FeatureNetwork | undefined;
  try {
    set = await prepareImages(data, {
      folder: path.join(out, 'data'),
      size: preset.model.size,
      channels: preset.model.channels as 1 | 3,
      fit: 'contain',
      progress: (done) => note(`preparing pictures: ${done}`),
    });
    const { classes } = set.info;
    for (const line of preparedLines(set, aboutFile(path.join(out, 'data')))) context.progress.note(line);
    for (const line of duplicateLines(await duplicatesOf(set, undefined))) context.progress.note(line);
    if (settings.labels === true && classes.length === 0)
      throw new InkstoneError('labels_missing', 'these pictures have no classes', {
        kind: 'data',
        hint: 'give each class a folder of its own or list every picture in labels.csv, or leave --labels out',
      });
    network = await featureNetwork(settings.features, data, set.info, backend);
    const score = `fid_${network.name}`;
    const result = await trainImages({
      preset,
      data: set,
      out,
      backend,
      from: planned.from,
      judge: { name: score, score: await trainingJudge(network, set) },
      sheet: encodeSheet,
      resume: settings.resume,
      force: settings.force,
      signal: context.signal,
      report: traced(context.span, (progress) =>
        context.progress.show(line(progress, score), {
          final: progress.step === progress.steps && progress.phase === 'saving',
        }),
      ),
      note: (text) => context.progress.note(text),
      provenance: {
        version: await codeVersion(),
        command: commandLine(),
        data: path.resolve(data),
        ...(folder === undefined ? {} : { from: path.resolve(folder) }),
      },
    });
    const scores =
      result.state === 'succeeded'
        ? await scoreFolder(
            { data, work: path.join(out, 'data'), folder: out, set, network, backend },
            { samples: settings.samples, note },
          )
        : {};
    const { test_near_duplicates } = scores as Partial<DuplicateReport>;
    for (const line of duplicateLines(defined({ test_near_duplicates }))) context.progress.note(line);
    const rows = neighbourCount(settings.neighbours, set);
    const neighbours =
      result.state === 'succeeded' && rows > 0
        ? await writeNeighbours(
            { folder: out, out: path.join(out, 'samples'), set, network, backend },
            { rows, note },
          )
        : {};
    const summary = {
      ...scores,
      ...neighbours,
      state: result.state,
      parameters: result.parameters,
      steps: result.steps,
      seconds: Number(result.seconds.toFixed(3)),
      pictures_per_second: Math.round(result.tokensPerSecond),
      best_step: result.bestStep,
      out,
      preset: preset.id,
      seed: preset.training.seed ?? 1,
    };
    await new RunFolder(out).writeJson('result.json', { ...result, ...summary });
    return summary;
  } finally {
    await network?.close();
    await set?.close();
    await backend.close();
  }
}

export const trainImageCommand = command({
  name: 'train image',
  summary: 'train a generator of pictures on your own pictures',
  description:
    'Two networks train against each other; the average generator is kept, judged while training (best checkpoint by Fréchet distance) and scored at ' +
    'the end with the floor of real pictures beside it. The run folder holds everything to go on after a kill, to serve the model and to repeat the run.',
  schema: trainImageSchema,
  examples: [
    'train image --preset mnist-cgan --data mnist/',
    'train image --preset icons-stylegan2 --data icons.tar.gz',
    'train image --preset mnist-cgan --data flowers/ --size 32 --colour --loss hinge --flip',
    'train image --from starter-digits --data my-digits.zip --augment ada',
    'train image --resume --out runs-out/mnist-cgan-1',
    'generate runs-out/mnist-cgan-1 --count 16 --label 7 --out sevens/',
  ],
  run,
  show(result) {
    const scores = Object.entries(result)
      .filter(
        ([name, value]) =>
          typeof value === 'number' && (name.endsWith(`_${result.features}`) || name.endsWith('_accuracy')),
      )
      .map(([name, value]) => `${name} ${(value as number).toFixed(4)}`);
    return [
      `${result.state === 'succeeded' ? 'done' : 'stopped'}: ${result.steps} steps in ${duration(result.seconds)}, ${count(result.parameters)} parameters, ${count(result.pictures_per_second)} pictures/s`,
      ...(scores.length > 0 ? [`${result.samples} samples: ${scores.join(', ')}`] : []),
      ...neighbourLines(result),
      `the model is in ${result.out}; its sheets in ${result.out}/samples`,
    ].join('\n');
  },
});
