/**
 * The files that all participants of a benchmark read: the same initial parameters and the same batches.
 * Knows the standard shapes; measures nothing.
 */
import path from 'node:path';
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { Random } from '../src/base/rng.ts';
import { bytesOf, type HostTensor } from '../src/base/tensor.ts';
import { gpt2Parameters } from '../src/models/text/gpt2.ts';
import { initialise } from '../src/nn/parameters.ts';
import type { ModelShape, OptimiserSettings, TensorList } from './protocol.ts';

export interface Shape {
  model: ModelShape;
  batch: number;
}

/** `tiny` is for tests: seconds, not minutes. */
export const SHAPES = {
  'nanogpt-cpu': {
    model: { layers: 4, heads: 4, width: 128, context: 64, vocabulary: 65, bias: false },
    batch: 12,
  },
  'nanogpt-10m': {
    model: { layers: 6, heads: 6, width: 384, context: 256, vocabulary: 65, bias: false },
    batch: 8,
  },
  tiny: { model: { layers: 2, heads: 2, width: 32, context: 16, vocabulary: 65, bias: false }, batch: 3 },
} satisfies Record<string, Shape>;
export type ShapeName = keyof typeof SHAPES;

/** nanoGPT's, with a constant rate. */
export const OPTIMISER: OptimiserSettings = {
  rate: 1e-3,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  weightDecay: 0.1,
  clip: 1,
};

export const SEED = 1;

/** Where the corpus may be below the data folder. */
const CORPUS = ['tinyshakespeare.txt', path.join('text', 'tinyshakespeare.txt')];

export interface Corpus {
  name: string;
  ids: Int32Array;
}

/**
 * Characters as numbers, in the order of their code points.
 * @param folder the data folder; without one, or without the corpus in it, the text is made up
 * @throws InkstoneError `data_missing` where a named folder has no corpus, `vocabulary_too_large`
 */
export async function corpus(folder: string | undefined, vocabulary: number): Promise<Corpus> {
  for (const name of CORPUS) {
    const file = path.join(folder ?? path.join('..', 'shared', 'data'), name);
    if (!(await host.exists(file))) continue;
    const text = await host.readText(file);
    const known = [...new Set(text)].sort(
      (a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number),
    );
    if (known.length > vocabulary) {
      throw new InkstoneError(
        'vocabulary_too_large',
        `${file} has ${known.length} characters, the model ${vocabulary}`,
        {
          kind: 'data',
        },
      );
    }
    const index = new Map(known.map((character, i) => [character, i]));
    return {
      name: path.basename(file),
      ids: Int32Array.from(text, (character) => index.get(character) as number),
    };
  }
  if (folder !== undefined) {
    throw new InkstoneError('data_missing', `there is no tinyshakespeare.txt in ${folder}`, {
      kind: 'missing',
      hint: 'leave --data out to measure on made-up text',
    });
  }
  return { name: 'made-up text', ids: madeUp(vocabulary, 200_000) };
}

/** A second-order chain over the vocabulary: learnable, and the same every time. */
function madeUp(vocabulary: number, length: number): Int32Array {
  const random = new Random(SEED, 'bench text');
  const ids = new Int32Array(length);
  for (let i = 2; i < length; i++) {
    const likely = ((ids[i - 1] as number) * 31 + (ids[i - 2] as number) * 17 + 7) % vocabulary;
    ids[i] = random.uniform() < 0.7 ? (likely + random.integer(3)) % vocabulary : random.integer(vocabulary);
  }
  return ids;
}

/** Initial parameters as one raw file in `folder`. */
export async function writeParameters(folder: string, model: ModelShape): Promise<TensorList> {
  const specs = gpt2Parameters(model);
  const values = initialise(specs, SEED);
  const file = path.join(folder, `parameters-${model.layers}-${model.width}.f32`);
  const parts = specs.map(({ name }) => bytesOf(values[name] as HostTensor));
  await host.writeFile(file, Buffer.concat(parts));
  return { file, tensors: specs.map(({ name, shape }) => ({ name, shape })) };
}

/** `count` batches of random windows: tokens and the tokens after them. */
export async function writeBatches(
  folder: string,
  { ids }: Corpus,
  { batch, time, count }: { batch: number; time: number; count: number },
): Promise<{ file: string; count: number }> {
  const random = new Random(SEED, 'bench batches');
  const size = batch * time;
  const flat = new Int32Array(count * 2 * size);
  for (let i = 0; i < count; i++) {
    for (let row = 0; row < batch; row++) {
      const start = random.integer(ids.length - time - 1);
      flat.set(ids.subarray(start, start + time), (2 * i * batch + row) * time);
      flat.set(ids.subarray(start + 1, start + time + 1), ((2 * i + 1) * batch + row) * time);
    }
  }
  const file = path.join(folder, `batches-${batch}-${time}.i32`);
  await host.writeFile(file, new Uint8Array(flat.buffer));
  return { file, count };
}
