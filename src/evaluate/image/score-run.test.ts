import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder, removeFile } from '../../base/host.ts';
import { Random } from '../../base/rng.ts';
import { writtenSet } from '../../data/image/tests/array-writer.ts';
import { createBackend } from '../../runtime/index.ts';
import { type FeatureNetwork, pixelFeatures } from './features.ts';
import { HELD_OUT } from './floor.ts';
import type { Features } from './frechet.ts';
import { realFeatures, scoreImages } from './score-run.ts';
import { inceptionScore } from './scores.ts';

let folder = '';
beforeAll(async () => {
  folder = await makeTemporaryFolder('score-run');
});
afterAll(() => removeFile(folder));

describe('real pictures', () => {
  const size = 8;
  const count = 12_000;
  // The brightness says which third a picture is of: classes that stand one after another.
  const pixels = Uint8Array.from({ length: count * size * size }, (_, i) =>
    Math.floor(i / ((count / 3) * size * size)),
  );

  const thirds = async (container: 'idx' | 'files'): Promise<number[]> => {
    const set = await writtenSet(`${folder}/${container}`, pixels, { size, container });
    const network = {
      ...pixelFeatures(),
      extract: ({ count: rows, pixels: given }: { count: number; pixels: Uint8Array }) =>
        Promise.resolve({
          features: {
            ...{ count: rows, width: 1 },
            data: Float32Array.from({ length: rows }, (_, i) => given[i * size * size] as number),
          },
        }),
    };
    const { data } = await realFeatures(network, set);
    await set.close();
    return [0, 1, 2].map((third) => data.filter((value) => value === third).length);
  };

  it('of a large folder are of all its classes, not of the first alone', async () => {
    expect(await thirds('files')).toEqual([3334, 3333, 3333]);
  });

  it('of IDX files are the first 10,000', async () => {
    expect(await thirds('idx')).toEqual([4000, 4000, 2000]);
  });
});

it('scores stand beside what real pictures get, with their numbers', async () => {
  const size = 16;
  const random = new Random(6, 'scores');
  const noise = (count: number, least: number): Uint8Array<ArrayBuffer> =>
    Uint8Array.from({ length: count * size * size }, () => least + random.integer(20));
  const plain = pixelFeatures();
  const network: FeatureNetwork = {
    ...plain,
    async extract(pictures) {
      const { features } = await plain.extract(pictures);
      return { features, classes: { ...features, data: features.data.map((value) => 8 * value) } };
    },
  };
  const backend = await createBackend('cpu', { threads: 1, inline: true });
  const reference = await writtenSet(`${folder}/test`, noise(40, 0), { size, container: 'idx' });
  const beside = await writtenSet(`${folder}/training`, noise(30, 0), { size, container: 'idx' });
  const maker = {
    make: async ({ seeds }: { seeds: readonly number[] }) => ({
      ...{ count: seeds.length, channels: 1, size },
      pixels: noise(seeds.length, 55),
    }),
    close: async () => undefined,
  };
  const scores = await scoreImages({
    ...{ backend, network, maker, reference, beside },
    ...{ classes: 0, samples: 50 },
  });
  expect(scores).toMatchObject({ floor: HELD_OUT, floor_samples: 30, is_floor_samples: 40 });
  // Real noise against real noise is nearer than noise that is too bright.
  expect(scores.fid_floor_pixels).toBeLessThan((scores.fid_pixels as number) / 2);
  expect(Math.abs(scores.kid_floor_pixels as number)).toBeLessThan((scores.kid_pixels as number) / 2);
  const logits = (
    await network.extract({ count: 40, channels: 1, size, pixels: await reference.readRange(0, 40) })
  ).classes as Features;
  expect(scores.is_floor_pixels).toBe(inceptionScore(logits).mean);
  const names = Object.keys(scores);
  for (const score of ['fid', 'precision', 'recall', 'is'])
    expect(names).toEqual(expect.arrayContaining([`${score}_pixels`, `${score}_floor_pixels`]));
  await reference.close();
  await beside.close();
  await backend.close();
});
