/**
 * `inkstone train image`: from pictures and a preset to a run folder, scored. The training itself is in train/, the scores
 * in evaluate/; this file hands the one to the other.
 */
import path from 'node:path';
import { InkstoneError } from '../../../base/errors.ts';
import { bar, count, duration } from '../../../base/progress.ts';
import { z } from '../../../base/schema.ts';
import type { HostTensors } from '../../../base/tensor.ts';
import { codeVersion } from '../../../base/version.ts';
import type { ImageSet } from '../../../data/image/array-file.ts';
import { prepareImages } from '../../../data/image/prepare.ts';
import type { FeatureNetwork } from '../../../evaluate/image/features.ts';
import { type ImageScores, trainingJudge } from '../../../evaluate/image/score-run.ts';
import { encodeSheet } from '../../../generate/image/encode.ts';
import { loadImageModel, loadPair } from '../../../models/image/load.ts';
import { imagePreset, imagePresets } from '../../../models/image/presets.ts';
import type { ImageTrainingInput } from '../../../models/image/training.ts';
import { findModel } from '../../../operate/registry.ts';
import { createBackend } from '../../../runtime/index.ts';
import { isAlone } from '../../../train/image-kinds.ts';
import { type ImageRunConfig, trainImages } from '../../../train/image-run.ts';
import { augmentNamed, type ImagePlan, planOf, tuningPlan } from '../../../train/image-tuning.ts';
import { RunFolder } from '../../../train/run-folder.ts';
import type { TrainProgress } from '../../../train/trainer.ts';
import { type CommandContext, command } from '../../command.ts';
import { commandLine } from '../../command-line.ts';
import { scoreFolder } from '../../evaluate-image.ts';
import { freeRunFolder } from '../../free-folder.ts';
import { featureNetwork } from '../../image-features.ts';
import {
  type NeighbourFiles,
  neighbourCount,
  neighbourLines,
  writeNeighbours,
} from '../../image-neighbours.ts';
import { defined } from '../../train-text-plan.ts';
import { traced } from '../../training-span.ts';

const whole = z.number().int();
const own = { environment: false } as const;

const schema = z.object({
  preset: z
    .string()
    .optional()
    .describe(
      `${imagePresets.map((preset) => preset.id).join(', ')}; default mnist-cgan; with --from that model's own, gentler; with --resume the run's own`,
    ),
  data: z
    .string()
    .optional()
    .describe(
      'a folder of pictures (one subfolder a class), a .zip, a .tar.gz or IDX files; with --resume the run knows it',
    ),
  out: z.string().optional().describe('the run folder; default runs-out/PRESET-N with the next free number'),
  steps: whole.min(1).optional().describe('steps: one of the generator, and the critic’s'),
  seed: whole.min(0).optional().describe('of the starting values, the order of the pictures and all noise'),
  device: z.enum(['cpu', 'webgpu']).default('cpu').describe('where the arithmetic runs'),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
  resume: z
    .boolean()
    .default(false)
    .describe('go on with the run in --out from its last checkpoint')
    .meta(own),
  force: z.boolean().default(false).describe('replace the run in --out').meta(own),
  batch: whole.min(2).optional().describe('pictures a step').meta(own),
  learningRate: z
    .number()
    .positive()
    .optional()
    .describe('the greatest rate, of both networks where there are two')
    .meta(own),
  augment: z
    .enum(['none', 'ada', 'diffusion'])
    .optional()
    .describe('GANs: what is done to all pictures that the critic sees; ada for few pictures')
    .meta(own),
  from: z
    .string()
    .optional()
    .describe(
      'a model to start from; without --preset its own shape is kept, and few pictures and steps are planned for',
    )
    .meta(own),
  freeze: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'layers that do not learn, by the beginning of their names (critic.size28); may be given several times',
    )
    .meta(own),
  features: z
    .string()
    .optional()
    .describe(
      'the feature network of the scores: a LeNet as safetensors, any network as ONNX (Inception), or pixels; default: what stands beside the data',
    )
    .meta(own),
  samples: whole
    .min(50)
    .max(50_000)
    .default(10_000)
    .describe('pictures that the final scores are of')
    .meta(own),
  neighbours: whole
    .min(0)
    .max(64)
    .optional()
    .describe(
      'samples that are shown beside their nearest training pictures at the end; default 16 where there are fewer than 10,000 pictures, else 0',
    )
    .meta(own),
  evaluateEvery: whole.min(1).optional().describe('steps between scores while training').meta(own),
  checkpointEvery: whole.min(1).optional().describe('steps between checkpoints').meta(own),
  sampleEvery: whole.min(0).optional().describe('steps between sample sheets; 0 for none').meta(own),
});
type Settings = z.output<typeof schema>;

type TrainImageResult = Partial<ImageScores> &
  Partial<NeighbourFiles> & {
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

interface Plan {
  preset: ImagePlan;
  /** The folder of --from. */
  base: string | undefined;
  /** Whether the preset is the base's own. */
  tunes: boolean;
  data: string;
  out: string;
  before: ImageRunConfig | undefined;
}

async function plan(settings: Settings): Promise<Plan> {
  const base = settings.from === undefined ? undefined : (await findModel(settings.from)).folder;
  if (!settings.resume) {
    const tunes = base !== undefined && settings.preset === undefined;
    const preset = tunes ? await tuningPlan(base) : imagePreset(settings.preset ?? 'mnist-cgan');
    if (settings.data === undefined)
      throw new InkstoneError('data_missing', 'there is nothing to learn from', {
        kind: 'usage',
        hint: 'give pictures with --data FOLDER',
      });
    return {
      ...{ preset, base, tunes, data: settings.data },
      out: settings.out ?? (await freeRunFolder(preset.id)),
      before: undefined,
    };
  }
  if (settings.out === undefined)
    throw new InkstoneError('run_missing', 'which run is to go on?', {
      kind: 'usage',
      hint: 'name its folder with --out',
    });
  const before = await new RunFolder(settings.out).readJson<ImageRunConfig>('config.json');
  if (before === undefined || before.family !== 'image')
    throw new InkstoneError('run_missing', `${settings.out} holds no image run`, {
      kind: 'missing',
      hint: 'start one without --resume',
    });
  return {
    ...{ base, tunes: false },
    preset: settings.preset === undefined ? planOf(before) : imagePreset(settings.preset),
    data: settings.data ?? String(before.provenance.data),
    out: settings.out,
    before,
  };
}

interface Start {
  preset: ImagePlan;
  from: HostTensors | undefined;
  folder: string | undefined;
}

/**
 * What the networks start from. Diffusion in latents takes its autoencoder from there, settings and all; where it goes on,
 * from the run that it began with.
 * @throws InkstoneError `autoencoder_missing`
 */
async function startOf({ preset, base, before }: Plan): Promise<Start> {
  const kept = before?.provenance.from;
  const folder = base ?? (typeof kept === 'string' ? kept : undefined);
  if (preset.model.architecture !== 'latent-ddpm')
    return { preset, folder, from: base === undefined ? undefined : await loadPair(base) };
  const found = folder === undefined ? undefined : await loadImageModel(folder);
  const config = found?.config;
  const autoencoder =
    config?.architecture === 'latent-ddpm'
      ? config.autoencoder
      : config?.architecture === 'vae' && config.map > 0
        ? config
        : undefined;
  if (autoencoder === undefined)
    throw new InkstoneError(
      'autoencoder_missing',
      'diffusion in latents needs an autoencoder with a latent map',
      {
        kind: 'usage',
        hint: 'train one (--preset mnist-vae-map) and name its run with --from',
      },
    );
  return { preset: { ...preset, model: { ...preset.model, autoencoder } }, from: found?.weights, folder };
}

/** @throws InkstoneError `unsupported_setting` */
function methodOf({ learningRate, augment }: Settings, architecture: string): object {
  const alone = isAlone(architecture);
  if (alone && augment !== undefined)
    throw new InkstoneError(
      'unsupported_setting',
      `a ${architecture} model has no critic that is shown pictures`,
      {
        kind: 'unsupported',
        hint: 'leave --augment out; it is for GANs and StyleGANs',
      },
    );
  const rates = alone ? ['learningRate'] : ['generatorRate', 'criticRate'];
  return {
    ...(learningRate === undefined ? {} : Object.fromEntries(rates.map((name) => [name, learningRate]))),
    ...(augment === undefined ? {} : { augment: augmentNamed(augment) }),
  };
}

async function run(settings: Settings, context: CommandContext): Promise<TrainImageResult> {
  const planned = await plan(settings);
  const { preset, data, out, before } = planned;
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
    const { skipped, alike } = set.info;
    if (skipped.length > 0)
      context.progress.note(
        `${skipped.length} files were passed over, first ${skipped[0]?.name}: ${skipped[0]?.problem}`,
      );
    if (alike.length > 0) context.progress.note(`${alike.length} pictures look like an earlier one`);
    network = await featureNetwork(settings.features, data, set.info.size, backend);
    const score = `fid_${network.name}`;
    const start = await startOf(planned);
    const kept = before?.training;
    const result = await trainImages({
      preset: start.preset,
      data: set,
      out,
      backend,
      training: {
        ...kept,
        ...defined({
          steps: settings.steps,
          seed: settings.seed,
          batch: settings.batch,
          evaluateEvery: settings.evaluateEvery,
          checkpointEvery: settings.checkpointEvery,
          sampleEvery: settings.sampleEvery,
        }),
        ...(settings.freeze.length > 0 ? { frozen: settings.freeze } : {}),
        ...methodOf(settings, preset.model.architecture),
      } as Partial<ImageTrainingInput>,
      from: start.from,
      overlap: planned.tunes,
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
      provenance: {
        version: await codeVersion(),
        command: commandLine(),
        data: path.resolve(data),
        ...(start.folder === undefined ? {} : { from: path.resolve(start.folder) }),
      },
    });
    const scores =
      result.state === 'succeeded'
        ? await scoreFolder(
            { data, work: path.join(out, 'data'), folder: out, set, network, backend },
            { samples: settings.samples, note },
          )
        : {};
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
      seed: settings.seed ?? before?.training.seed ?? 1,
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
  schema,
  examples: [
    'train image --preset mnist-cgan --data mnist/',
    'train image --preset icons-stylegan2 --data icons.tar.gz',
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
