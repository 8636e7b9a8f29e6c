/**
 * Pictures to features, by a network whose name every score carries. Knows the networks that scores here are computed on:
 * a LeNet from a file, and, where there is none, plain pixels.
 */
import { InkstoneError } from '../../base/errors.ts';
import { readBytes } from '../../base/host.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { readSafetensors } from '../../formats/safetensors.ts';
import { type LenetConfig, lenetConfig, lenetParameters, lenetProgram } from '../../models/image/lenet.ts';
import { lenetDistanceProgram } from '../../models/image/perceptual.ts';
import type { Backend, Executable } from '../../runtime/contract.ts';
import type { Features } from './frechet.ts';

/** `[count, channels, size, size]`, 0 … 255. */
export interface PictureBytes {
  count: number;
  channels: number;
  size: number;
  pixels: Uint8Array;
}

/** `[count, channels, size, size]`, 0 … 1: finer than bytes, for changes that bytes would not show. */
export interface PictureValues extends Omit<PictureBytes, 'pixels'> {
  values: Float32Array;
}

export interface FeatureNetwork {
  /** What stands in a score's name: `lenet` in `fid_lenet`. */
  readonly name: string;
  extract(pictures: PictureBytes): Promise<{ features: Features; classes?: Features }>;
  /**
   * How different each two pictures look; only where the network's layers are known. `[count, channels, size, size]` of 0 … 1.
   * Squared, as the paper's is: half a change is a quarter of the distance.
   */
  distance?(one: PictureValues, other: PictureValues): Promise<Float64Array>;
  close(): Promise<void>;
}

const BATCH = 500;

/** What a file of such a network was made for; the fixed one for digits says nothing, and is what is meant then. */
function lenetOf(tensors: HostTensors, metadata: Readonly<Record<string, string>>): LenetConfig {
  const said = { architecture: 'lenet' as const };
  if (metadata.size === undefined) return lenetConfig.parse(said);
  const [first, channels] = tensors['conv1.weight']?.shape ?? [];
  const [second] = tensors['conv2.weight']?.shape ?? [];
  const [features] = tensors['fc1.weight']?.shape ?? [];
  const [classes] = tensors['fc2.weight']?.shape ?? [];
  const size = Number(metadata.size);
  const found = lenetConfig.safeParse({ ...said, size, channels, classes, first, second, features });
  return found.success ? found.data : lenetConfig.parse(said);
}

/**
 * The fixed LeNet, or one that was trained on pictures of one's own and carries a name.
 * @throws InkstoneError `features_invalid` where the file is no such network
 */
export async function lenetFeatures(file: string, backend: Backend): Promise<FeatureNetwork> {
  const { tensors, metadata } = readSafetensors(await readBytes(file));
  const config = lenetOf(tensors, metadata);
  for (const { name, shape } of lenetParameters(config))
    if (tensors[name]?.shape.join() !== shape.join())
      throw new InkstoneError('features_invalid', `${file} is no LeNet: "${name}" should be [${shape}]`, {
        kind: 'data',
        hint: 'give the file of the feature network (--features)',
      });
  const network = await backend.compile(lenetProgram(config), { constants: tensors });
  let distances: Promise<Executable> | undefined;
  const check = ({ channels, size }: Pick<PictureBytes, 'channels' | 'size'>): void => {
    if (channels !== config.channels || size !== config.size)
      throw new InkstoneError(
        'features_differ',
        `the feature network sees pictures of [${config.channels}, ${config.size}, ${config.size}], these are [${channels}, ${size}, ${size}]`,
        {
          kind: 'conflict',
          hint: 'train one for them (inkstone train features), or score them on pixels (--features pixels)',
        },
      );
  };
  return {
    name: metadata.name ?? 'lenet',
    async distance(one, other) {
      check(one);
      check(other);
      distances ??= backend.compile(lenetDistanceProgram(config), { constants: tensors });
      const { count, channels, size } = one;
      const stride = channels * size * size;
      const all = new Float64Array(count);
      for (let at = 0; at < count; at += BATCH) {
        const rows = Math.min(BATCH, count - at);
        const part = ({ values }: PictureValues): HostTensor =>
          tensor('f32', [rows, channels, size, size], values.subarray(at * stride, (at + rows) * stride));
        const result = await (await distances).run({ inputs: { one: part(one), other: part(other) } });
        all.set((result.distance as HostTensor<'f32'>).data, at);
      }
      return all;
    },
    async extract({ count, channels, size, pixels }) {
      check({ channels, size });
      const features = new Float32Array(count * config.features);
      const classes = new Float32Array(count * config.classes);
      const stride = channels * size * size;
      for (let at = 0; at < count; at += BATCH) {
        const rows = Math.min(BATCH, count - at);
        const images = new Float32Array(rows * stride);
        for (let i = 0; i < images.length; i++) images[i] = (pixels[at * stride + i] as number) / 255;
        const result = await network.run({
          inputs: { images: tensor('f32', [rows, channels, size, size], images) },
        });
        features.set((result.features as HostTensor<'f32'>).data, at * config.features);
        classes.set((result.logits as HostTensor<'f32'>).data, at * config.classes);
      }
      return {
        features: { count, width: config.features, data: features },
        classes: { count, width: config.classes, data: classes },
      };
    },
    async close() {
      await (await distances)?.free();
      await network.free();
    },
  };
}

/** Side of the picture that plain pixels are compared at. */
const SIDE = 16;

/** Means over a grid of 16 × 16, for pictures that no network was made for: coarse, and named so. */
export function pixelFeatures(): FeatureNetwork {
  return {
    name: 'pixels',
    extract: ({ count, channels, size, pixels }) => {
      const width = channels * SIDE * SIDE;
      const data = new Float32Array(count * width);
      for (let row = 0; row < count; row++)
        for (let c = 0; c < channels; c++)
          for (let y = 0; y < size; y++)
            for (let x = 0; x < size; x++) {
              const cell = Math.floor((y * SIDE) / size) * SIDE + Math.floor((x * SIDE) / size);
              const at = row * width + c * SIDE * SIDE + cell;
              const value = pixels[((row * channels + c) * size + y) * size + x] as number;
              data[at] = (data[at] as number) + (value / 255) * (SIDE / size) ** 2;
            }
      return Promise.resolve({ features: { count, width, data } });
    },
    close: () => Promise.resolve(),
  };
}
