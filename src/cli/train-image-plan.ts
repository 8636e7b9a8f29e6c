/**
 * What a training of pictures is to be: flags over the resumed run's own settings over the preset's, or the model's that is
 * gone on from. Knows flags and folders; trains nothing.
 */
import { InkstoneError } from '../base/errors.ts';
import { z } from '../base/schema.ts';
import type { HostTensors } from '../base/tensor.ts';
import { loadImageModel, loadPair } from '../models/image/load.ts';
import { imagePreset, imagePresets } from '../models/image/presets.ts';
import type { ImageTrainingInput } from '../models/image/training.ts';
import { findModel } from '../operate/registry.ts';
import { imageChoices, withChoices } from '../train/image-choices.ts';
import { isAlone } from '../train/image-kinds.ts';
import type { ImageRunConfig } from '../train/image-run.ts';
import { augmentNamed, type ImagePlan, planOf, tuningPlan } from '../train/image-tuning.ts';
import { RunFolder } from '../train/run-folder.ts';
import { freeRunFolder } from './free-folder.ts';
import { defined } from './train-text-plan.ts';

const whole = z.number().int();
const own = { environment: false } as const;
const choices = Object.fromEntries(
  Object.entries(imageChoices.shape).map(([name, field]) => [name, field.meta({ ...field.meta(), ...own })]),
) as typeof imageChoices.shape;

export const trainImageSchema = z.object({
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
      'a folder of pictures (one subfolder a class, or labels.csv or metadata.jsonl with file and label for every picture: one that is not listed, and no labels are used), a .zip, a .tar.gz or IDX files; with --resume the run knows it',
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
  ...choices,
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
      'the feature network of the scores: a run of `train features`, a LeNet as safetensors, any network as ONNX (Inception), or pixels; default: what stands beside the data',
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
export type TrainImageSettings = z.output<typeof trainImageSchema>;

/** All that a run is started with. */
export interface TrainImagePlan {
  preset: ImagePlan;
  data: string;
  out: string;
  /** What the networks start from, and the folder it is from. */
  from: HostTensors | undefined;
  folder: string | undefined;
}

interface Base {
  preset: ImagePlan;
  data: string;
  out: string;
  /** The folder of --from, or of what a run began from that has no checkpoint yet. */
  base: string | undefined;
  before: ImageRunConfig | undefined;
}

/** @throws InkstoneError `data_missing`, `run_missing`, `preset_unknown`, `autoencoder_missing` and what `withChoices` refuses */
export async function plannedImages(settings: TrainImageSettings): Promise<TrainImagePlan> {
  const based = settings.resume ? await resumed(settings) : await begun(settings);
  const { preset, ...start } = await startOf(based);
  const { steps, seed, batch, evaluateEvery, checkpointEvery, sampleEvery, freeze } = settings;
  const training = {
    ...preset.training,
    ...based.before?.training,
    ...defined({ steps, seed, batch, evaluateEvery, checkpointEvery, sampleEvery }),
    ...(freeze.length > 0 ? { frozen: freeze } : {}),
    ...methodOf(settings, preset.model.architecture),
  } as ImageTrainingInput;
  const { data, out } = based;
  return { ...start, preset: withChoices({ ...preset, training }, settings), data, out };
}

async function begun({ from, preset: named, data, out }: TrainImageSettings): Promise<Base> {
  const base = from === undefined ? undefined : (await findModel(from)).folder;
  const preset =
    base !== undefined && named === undefined ? await tuningPlan(base) : imagePreset(named ?? 'mnist-cgan');
  if (data === undefined)
    throw new InkstoneError('data_missing', 'there is nothing to learn from', {
      kind: 'usage',
      hint: 'give pictures with --data FOLDER',
    });
  return { preset, base, data, out: out ?? (await freeRunFolder(preset.id)), before: undefined };
}

async function resumed({ out, preset, data, from }: TrainImageSettings): Promise<Base> {
  if (out === undefined)
    throw new InkstoneError('run_missing', 'which run is to go on?', {
      kind: 'usage',
      hint: 'name its folder with --out',
    });
  const folder = new RunFolder(out);
  const before = await folder.readJson<ImageRunConfig>('config.json');
  if (before === undefined || before.family !== 'image')
    throw new InkstoneError('run_missing', `${out} holds no image run`, {
      kind: 'missing',
      hint: 'start one without --resume',
    });
  const began = (await folder.has('last')) ? undefined : (before.provenance.from as string | undefined);
  return {
    base: from === undefined ? began : (await findModel(from)).folder,
    preset: preset === undefined ? planOf(before) : imagePreset(preset),
    data: data ?? String(before.provenance.data),
    out,
    before,
  };
}

/**
 * What the networks start from. Diffusion in latents takes its autoencoder from there, settings and all; where it goes on,
 * from the run that it began with.
 * @throws InkstoneError `autoencoder_missing`
 */
async function startOf({
  preset,
  base,
  before,
}: Base): Promise<Pick<TrainImagePlan, 'preset' | 'from' | 'folder'>> {
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
  const { size, channels } = autoencoder;
  const model = { ...preset.model, size, channels, autoencoder };
  return { preset: { ...preset, model }, from: found?.weights, folder };
}

/** @throws InkstoneError `unsupported_setting` */
function methodOf({ learningRate, augment }: TrainImageSettings, architecture: string): object {
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
