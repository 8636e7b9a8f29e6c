import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder, removeFile } from '../../base/host.ts';
import { writtenSet } from '../../data/image/tests/array-writer.ts';
import { pixelFeatures } from './features.ts';
import { realFeatures } from './score-run.ts';

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
