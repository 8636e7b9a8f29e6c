/** Our own side's work on pictures: whole training steps, and making pictures, as `inkstone train image` and `generate` do it. */
import * as host from '../src/base/host.ts';
import { type HostTensor, type HostTensors, sizeOf, tensor, viewOf } from '../src/base/tensor.ts';
import { pictureMaker } from '../src/generate/image/any.ts';
import type { MakeByDenoising } from '../src/generate/image/diffusion.ts';
import { imageConfig } from '../src/models/image/any.ts';
import { type Backend, createBackend } from '../src/runtime/index.ts';
import { imageKind, readImageTraining } from '../src/train/image-kinds.ts';
import { pictureLabels, SEED } from './image-material.ts';
import { type Prepared, readTensors, timed, type WorkOf } from './ours-parts.ts';
import type { PictureSettings, StepInputs } from './protocol.ts';

/** All steps' tensors of these names. */
async function readSteps(
  { file, count, tensors }: StepInputs,
  names: readonly string[],
): Promise<HostTensors[]> {
  const bytes = await host.readBytes(file);
  let at = 0;
  return Array.from({ length: count }, () => {
    const step: Record<string, HostTensor> = {};
    for (const { name, dtype, shape } of tensors) {
      const size = sizeOf(shape) * 4;
      if (names.includes(name)) {
        const part = viewOf(dtype as 'f32', bytes.subarray(at, at + size)).slice();
        step[name] = tensor(dtype as 'f32', shape, part);
      }
      at += size;
    }
    return step;
  });
}

const STEPS = 1_000_000;

function trainingOf(settings: PictureSettings, batch: number): Parameters<typeof readImageTraining>[1] {
  const optimiser = { name: 'adamw' as const, ...settings.optimiser, weightDecay: 0 };
  const common = { seed: SEED, steps: STEPS, batch, optimiser };
  if ('criticRate' in settings) {
    const { r1, pathLength, generatorRate, criticRate, averageHalfLife } = settings;
    return {
      ...{ ...common, generatorRate, criticRate, averageHalfLife },
      r1: { weight: r1, every: 1 },
      pathLength: { weight: pathLength, every: 1 },
    };
  }
  const { learningRate, clip, ema } = settings;
  return { ...common, learningRate, clip, ema, schedule: { name: 'constant', warmup: 0 } };
}

export async function trainingPictures(backend: Backend, work: WorkOf<'train-image'>): Promise<Prepared> {
  const model = imageConfig.parse(work.model);
  const training = readImageTraining(model.architecture, trainingOf(work.settings, work.batch));
  const kind = await imageKind(backend, model, training, await readTensors(work.parameters));
  const steps = await readSteps(work.inputs, ['images', 'real', 'real_labels', 'labels']);
  // A denoiser's labels are as they were drawn, some left out: the draw leaves out the same ones again.
  let step = 0;
  return {
    run: (count) =>
      timed(count, async () => {
        const given = steps[step % steps.length] as HostTensors;
        const labels = (given.real_labels ?? given.labels) as HostTensor | undefined;
        const batch = kind.batch((given.images ?? given.real) as HostTensor, labels, step, 0);
        const { loss, metrics } = await kind.trainable.step(batch, step);
        step += 1;
        return metrics?.critic_loss === undefined ? [loss] : [metrics.critic_loss, loss];
      }),
    free: () => kind.trainable.close(),
  };
}

export async function makingPictures(threads: number, work: WorkOf<'generate-image'>): Promise<Prepared> {
  const backend = await createBackend('cpu', { threads, inline: true });
  const model = imageConfig.parse(work.model);
  const maker = pictureMaker(model, backend, await readTensors(work.parameters));
  const request: MakeByDenoising = {
    seeds: Array.from({ length: work.batch }, (_, seed) => seed),
    labels: [...pictureLabels(model, work.batch)],
    ...(work.sampling === undefined ? {} : { steps: work.sampling.steps, guidance: work.sampling.guidance }),
  };
  let first: number[] = [];
  return {
    run: async (count) => {
      const answer = await timed(count, async () => {
        const { pixels } = await maker.make(request);
        first = [...pixels.subarray(0, pixels.length / work.batch)];
        return undefined;
      });
      return { ...answer, tokens: first };
    },
    free: async () => {
      await maker.close();
      await backend.close();
    },
  };
}
