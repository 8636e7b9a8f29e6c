import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder, removeFile, writeFile } from '../../base/host.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { writeSafetensors } from '../../formats/safetensors.ts';
import { pictureMaker } from '../../generate/image/any.ts';
import { NetworkMaker } from '../../generate/image/maker.ts';
import { imageConfig, imageParameters } from '../../models/image/any.ts';
import { lenetConfig, lenetParameters } from '../../models/image/lenet.ts';
import { lenetDistanceProgram } from '../../models/image/perceptual.ts';
import { initialise } from '../../nn/parameters.ts';
import type { Backend } from '../../runtime/contract.ts';
import { createBackend } from '../../runtime/index.ts';
import { lenetFeatures } from './features.ts';
import golden from './golden/perceptual.json' with { type: 'json' };
import { perceptualPathLength } from './path-length.ts';
import { perceptualScores } from './perceptual-scores.ts';
import { asInput } from './resize.ts';

const config = lenetConfig.parse({
  ...{ architecture: 'lenet', size: 16, first: 3, second: 4, features: 6, classes: 3 },
});
const parameters = (): HostTensors =>
  Object.fromEntries(
    lenetParameters(config).map(({ name, shape }) => [
      name,
      tensor('f32', shape, golden.parameters[name as keyof typeof golden.parameters]),
    ]),
  );
const pictures = (values: readonly number[]) => tensor('f32', [3, 1, 16, 16], values);

describe('how different two pictures look', () => {
  it.each(['cpu', 'reference'] as const)('is what PyTorch says (%s)', async (name) => {
    const backend = await createBackend(name, { threads: 1, inline: true });
    const program = await backend.compile(lenetDistanceProgram(config), { constants: parameters() });
    const ask = async (one: readonly number[], other: readonly number[]) => {
      const result = await program.run({ inputs: { one: pictures(one), other: pictures(other) } });
      return [...(result.distance as HostTensor<'f32'>).data];
    };
    const found = await ask(golden.one, golden.other);
    found.forEach((value, i) => expect(value).toBeCloseTo(golden.distance[i] as number, 5));
    expect(await ask(golden.other, golden.one)).toEqual(found);
    expect(await ask(golden.one, golden.one)).toEqual([0, 0, 0]);
    await program.free();
    await backend.close();
  });
});

describe('path length', () => {
  const { matrix, from, to, parts } = golden.path;
  const rows = (all: readonly (readonly number[])[]) => all.map((row) => Float32Array.from(row));
  /** A x: distances are what the reference computes them by, so that all of the rest is compared. */
  const project = (x: Float32Array): number[] =>
    matrix.map((row) => row.reduce((total, weight, i) => total + weight * (x[i] as number), 0));
  const squared = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((total, value, i) => total + (value - (b[i] as number)) ** 2, 0);
  const ways = rows(from).map((a, i) => [a, rows(to)[i] as Float32Array] as const);
  const run = (along: 'sphere' | 'line', epsilon: number) =>
    perceptualPathLength({
      ...{ pairs: parts.length, along, epsilon, parts: (i) => parts[i] as number },
      ends: async (first, last) => ways.slice(first, last),
      distances: async (one, other) =>
        one.map((x, i) => squared(project(x), project(other[i] as Float32Array))),
    });

  it.each(['sphere', 'line'] as const)(
    'of a linear generator is what NumPy says, along a %s',
    async (along) => {
      // Single precision takes a longer step: on a line all steps give the same, on a sphere nearly.
      const found = await run(along, 1e-2);
      expect(found / golden.path[along]).toBeCloseTo(1, along === 'line' ? 4 : 2);
      expect((await run(along, 1e-3)) / golden.path[along]).toBeCloseTo(1, 2);
    },
  );

  it('leaves the hundredth at both ends out', async () => {
    const lengths = Array.from({ length: 101 }, (_, i) => (i === 7 ? 1e9 : i));
    const found = await perceptualPathLength({
      ...{ pairs: 101, along: 'line', epsilon: 1 },
      ends: async (first, last) =>
        Array.from({ length: last - first }, () => [new Float32Array(1), new Float32Array(1)] as const),
      distances: async (one, _, first) => one.map((__, i) => lengths[first + i] as number),
    });
    // 0 and 10⁹ are beyond the ranks at 1 % and 99 %; 7 is not there.
    const kept = lengths.filter((length) => length >= 1 && length <= 100);
    expect(found).toBeCloseTo(kept.reduce((a, b) => a + b, 0) / kept.length, 9);
  });
});

describe('of whole models', () => {
  let backend: Backend;
  let folder = '';
  let file = '';
  beforeAll(async () => {
    backend = await createBackend('cpu', { threads: 1, inline: true });
    folder = await makeTemporaryFolder('perceptual');
    file = `${folder}/lenet.safetensors`;
    const full = lenetParameters(lenetConfig.parse({ architecture: 'lenet' }));
    await writeFile(file, writeSafetensors(initialise(full, 5)));
  });
  afterAll(async () => {
    await backend.close();
    await removeFile(folder);
  });

  const makerOf = (raw: object): NetworkMaker => {
    const model = imageConfig.parse({ size: 28, channels: 1, width: 4, widest: 8, latent: 6, ...raw });
    const maker = pictureMaker(model, backend, initialise(imageParameters(model), 3));
    if (maker instanceof NetworkMaker) return maker;
    throw new Error('not a network');
  };

  it('given styles make the pictures that their latents make', async () => {
    const maker = makerOf({ architecture: 'stylegan2', style: 5 });
    const seeds = Array.from({ length: 17 }, (_, i) => i);
    const styles = await maker.stylesOf({ seeds });
    expect(await maker.values({ seeds, styles })).toEqual(await maker.values({ seeds }));
    const one = await maker.values({ seeds: [3], styles: [styles[5] as Float32Array] });
    expect(one).not.toEqual(await maker.values({ seeds: [3] }));
    await maker.close();
    const plain = makerOf({ architecture: 'gan' });
    await expect(plain.values({ seeds: [1], styles })).rejects.toMatchObject({ code: 'styles_missing' });
    await plain.close();
  });

  it('a StyleGAN has a length in z and in w, the same each time', async () => {
    const network = await lenetFeatures(file, backend);
    const maker = makerOf({ architecture: 'stylegan2', style: 5 });
    const made = await maker.make({ seeds: Array.from({ length: 40 }, (_, i) => i) });
    const reference = {
      ...{ labels: new Int32Array(40), info: { size: 28, channels: 1, container: 'files' as const } },
      read: async (places: ArrayLike<number>) =>
        Uint8Array.from({ length: places.length * 784 }, (_, i) => made.pixels[i % 784] as number),
    };
    const options = { network, maker, made, reference, classes: 0, pairs: 24 };
    const scores = await perceptualScores(options);
    expect(scores?.diversity).toBeGreaterThan(0);
    // The same picture over and over has no variety.
    expect(scores?.diversity_floor).toBe(0);
    expect(scores?.path_length_z).toBeGreaterThan(0);
    expect(scores?.path_length_w).toBeGreaterThan(0);
    expect(await perceptualScores(options)).toEqual(scores);
    await maker.close();
    await network.close();
  });
});

it('bytes are brought to a network’s size as PyTorch does it', () => {
  const picture = {
    ...{ count: 1, channels: 3, size: 5 },
    pixels: Uint8Array.from(golden.resize.picture),
  };
  const wanted = { height: 9, width: 7, channels: 3, range: [0, 255], channelsLast: false } as const;
  const found = asInput(picture, 0, 1, wanted);
  golden.resize.resized.forEach((value, i) => expect(found[i]).toBeCloseTo(value, 3));
  const last = asInput(picture, 0, 1, { ...wanted, channelsLast: true, range: [-1, 1] });
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < 63; i++)
      expect(last[i * 3 + c]).toBeCloseTo((found[c * 63 + i] as number) / 127.5 - 1, 5);
  // Grey three times over, and colour to grey.
  const grey = asInput({ ...picture, channels: 1, pixels: picture.pixels.subarray(0, 25) }, 0, 1, wanted);
  expect([...grey.subarray(63, 126)]).toEqual([...found.subarray(0, 63)]);
  const one = asInput(picture, 0, 1, { ...wanted, channels: 1 });
  expect(one[11]).toBeCloseTo(
    ((found[11] as number) + (found[74] as number) + (found[137] as number)) / 3,
    3,
  );
});
