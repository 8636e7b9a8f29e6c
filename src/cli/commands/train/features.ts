/** `inkstone train features`: from labelled pictures to the network that scores of such pictures are computed on. */
import path from 'node:path';
import { readBytes } from '../../../base/host.ts';
import { bar, count, duration } from '../../../base/progress.ts';
import { z } from '../../../base/schema.ts';
import type { HostTensors } from '../../../base/tensor.ts';
import { codeVersion } from '../../../base/version.ts';
import { aboutFile, type ImageSet } from '../../../data/image/array-file.ts';
import { prepareImages } from '../../../data/image/prepare.ts';
import { readSafetensors } from '../../../formats/safetensors.ts';
import { createBackend } from '../../../runtime/index.ts';
import { type FeaturesResult, trainFeatures } from '../../../train/features-run.ts';
import { command } from '../../command.ts';
import { commandLine } from '../../command-line.ts';
import { freeRunFolder } from '../../free-folder.ts';
import { preparedLines } from '../../image-duplicates.ts';
import { featuresFile } from '../../image-features.ts';
import { defined } from '../../train-text-plan.ts';
import { traced } from '../../training-span.ts';

const own = { environment: false } as const;
const whole = z.number().int();

const schema = z.object({
  data: z
    .string()
    .min(1)
    .describe(
      'pictures with classes: a folder with one folder a class or a labels.csv, an archive, IDX files',
    )
    .meta(own),
  out: z
    .string()
    .optional()
    .describe('the run folder; default runs-out/features-N with the next free number')
    .meta(own),
  size: whole
    .min(16)
    .max(128)
    .default(28)
    .describe('pixels a side: those of the model whose pictures will be scored')
    .meta(own),
  colour: z.boolean().default(false).describe('three channels instead of grey').meta(own),
  from: z
    .string()
    .optional()
    .describe(
      'another such network to start from (a run or a file): what fits is taken, other classes begin anew',
    )
    .meta(own),
  steps: whole.min(1).optional().describe('default: twenty passes, at most 2,000').meta(own),
  batch: whole.min(1).optional().describe('pictures a step; default 64').meta(own),
  learningRate: z.number().gt(0).optional().describe('default 1e-3').meta(own),
  seed: whole
    .min(0)
    .default(1)
    .describe('of the weights, the order, and the tenth that is kept apart')
    .meta(own),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
  resume: z.boolean().default(false).describe('go on with the run in --out').meta(own),
  force: z.boolean().default(false).describe('replace the run in --out').meta(own),
});

interface TrainFeaturesResult {
  state: string;
  steps: number;
  seconds: number;
  val_loss: number;
  unit: 'nats per picture';
  /** Of the pictures that were kept apart. */
  accuracy?: number;
  /** What scores on it are called: `fid_NAME`. */
  features?: string;
  file?: string;
  parameters: number;
  classes: readonly string[];
  pictures: number;
  kept_apart: number;
  out: string;
}

async function weightsOf(from: string): Promise<HostTensors> {
  return readSafetensors(await readBytes(await featuresFile(from))).tensors;
}

const told = (result: FeaturesResult): TrainFeaturesResult => ({
  ...{ state: result.state, steps: result.steps, seconds: Number(result.seconds.toFixed(3)) },
  ...{ val_loss: result.validationLoss, unit: 'nats per picture' as const },
  ...defined({ accuracy: result.accuracy, features: result.features, file: result.file }),
  ...{ parameters: result.parameters, classes: result.classes, pictures: result.pictures },
  ...{ kept_apart: result.kept, out: result.out },
});

export const trainFeaturesCommand = command({
  name: 'train features',
  summary: 'train the network that scores of your own pictures are computed on',
  description:
    'A LeNet-like classifier learns the classes of your pictures; a tenth is kept apart and judged. What it sees before its last ' +
    'layer are features: FID, KID, precision and recall on them say more than on plain pixels. A score is named after the network, ' +
    'and is to be compared only with scores on the same one.',
  schema,
  examples: [
    'train features --data flowers/ --size 32 --colour',
    'train image --preset mnist-gan --data flowers/ --size 32 --colour --features runs-out/features-1',
    'evaluate runs-out/mnist-gan-1 --data flowers/ --features runs-out/features-1',
  ],
  async run(settings, { progress, signal, json, span }): Promise<TrainFeaturesResult> {
    const { data } = settings;
    const out = settings.out ?? (await freeRunFolder('features'));
    const from = settings.from === undefined ? undefined : await weightsOf(settings.from);
    const backend = await createBackend('cpu', {
      ...defined({ threads: settings.threads }),
      choices: path.join(out, 'convolutions.json'),
    });
    let set: ImageSet | undefined;
    try {
      const place = path.join(out, 'data');
      set = await prepareImages(data, {
        ...{ folder: place, size: settings.size, channels: settings.colour ? 3 : 1, fit: 'contain' },
        progress: (done) => progress.show(`preparing pictures: ${done}`),
      });
      for (const line of preparedLines(set, aboutFile(place))) progress.note(line);
      if (!json) progress.note(`a feature network of ${set.info.classes.length} classes in ${out}`);
      const result = await trainFeatures({
        ...{ data: set, name: data, out, backend, from, signal },
        ...{ resume: settings.resume, force: settings.force },
        training: defined({
          ...{ seed: settings.seed, steps: settings.steps, batch: settings.batch },
          learningRate: settings.learningRate,
        }),
        report: traced(span, ({ step, steps, loss, remaining }) =>
          progress.show(
            `${bar(step / steps)} step ${step}/${steps}  loss ${loss.toFixed(3)}  ${duration(remaining)} left`,
          ),
        ),
        provenance: {
          ...{ version: await codeVersion(), command: commandLine(), data: path.resolve(data) },
          ...defined({ from: settings.from }),
        },
      });
      return told(result);
    } finally {
      await set?.close();
      await backend.close();
    }
  },
  show: (result) =>
    [
      `${result.state === 'succeeded' ? 'done' : 'stopped'}: ${result.steps} steps in ${duration(result.seconds)}, ${count(result.parameters)} parameters, ${result.classes.length} classes`,
      ...(result.accuracy === undefined
        ? [`go on with: inkstone train features --data … --resume --out ${result.out}`]
        : [
            `tells the class of ${(100 * result.accuracy).toFixed(1)} % of ${count(result.kept_apart)} pictures that were kept apart`,
            `scores on it are called fid_${result.features}; use it with --features ${result.out}`,
          ]),
    ].join('\n'),
});
