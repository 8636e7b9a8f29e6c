/** Trains the classifier that judges made pictures' classes on real ones, and asks it. */
import { Permutation } from '../../base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { type JudgeConfig, judgeEvaluate, judgeLoss, judgeProgram } from '../../models/image/judge.ts';
import { createTrainable } from '../../nn/trainable.ts';
import { trainingConfig } from '../../nn/training-config.ts';
import type { Backend } from '../../runtime/contract.ts';
import type { PictureBytes } from './features.ts';

export interface LabelledPictures {
  count: number;
  channels: number;
  size: number;
  classes: number;
  labels: ArrayLike<number>;
  read(places: ArrayLike<number>): Promise<Uint8Array>;
}

export interface ClassJudge {
  /** The likeliest class of each picture. */
  classify(pictures: PictureBytes): Promise<Int32Array>;
  close(): Promise<void>;
}

const BATCH = 64;
const SEED = 17;

const floats = (bytes: Uint8Array): Float32Array<ArrayBuffer> =>
  Float32Array.from(bytes, (value) => value / 127.5 - 1);

/** @param steps default: twenty passes, at most a thousand steps, which are enough for digits */
export async function trainJudge(
  backend: Backend,
  data: LabelledPictures,
  options: { steps?: number; progress?(step: number, steps: number): void } = {},
): Promise<ClassJudge> {
  const { count, channels, size, classes } = data;
  const { steps = Math.min(1000, Math.max(60, Math.ceil((20 * count) / BATCH))) } = options;
  const model: JudgeConfig = { channels, size, classes };
  const config = trainingConfig.parse({
    seed: SEED,
    steps,
    batch: BATCH,
    context: 1,
    learningRate: 1e-2,
    optimiser: { name: 'adamw', weightDecay: 0.01 },
    schedule: { name: 'linear', warmup: 20, decay: 0.7, floor: 0 },
  });
  const trainable = await createTrainable({
    name: 'judge',
    backend,
    model: judgeLoss(model, BATCH),
    evaluate: judgeEvaluate(model, BATCH),
    config,
  });
  let parameters: HostTensors;
  try {
    for (let step = 0; step < steps; step++) {
      const places = Array.from({ length: BATCH }, (_, i) => {
        const at = step * BATCH + i;
        return new Permutation(count, SEED, 'judge', Math.floor(at / count)).at(at % count);
      });
      await trainable.step(
        {
          images: tensor('f32', [BATCH, channels, size, size], floats(await data.read(places))),
          labels: tensor(
            'i32',
            [BATCH],
            places.map((place) => data.labels[place] as number),
          ),
        },
        step,
      );
      options.progress?.(step + 1, steps);
    }
    parameters = await trainable.parameters();
  } finally {
    await trainable.close();
  }
  const network = await backend.compile(judgeProgram(model), { constants: parameters });
  return {
    async classify(pictures) {
      const result = new Int32Array(pictures.count);
      const stride = channels * size * size;
      for (let at = 0; at < pictures.count; at += 500) {
        const rows = Math.min(500, pictures.count - at);
        const images = floats(pictures.pixels.subarray(at * stride, (at + rows) * stride));
        const { logits } = await network.run({
          inputs: { images: tensor('f32', [rows, channels, size, size], images) },
        });
        const values = (logits as HostTensor<'f32'>).data;
        for (let row = 0; row < rows; row++) {
          const own = values.subarray(row * classes, (row + 1) * classes);
          result[at + row] = own.indexOf(Math.max(...own));
        }
      }
      return result;
    },
    close: () => network.free(),
  };
}
