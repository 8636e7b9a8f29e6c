/** The benchmarks of pictures on tiny networks: the promised form, what the peer is given is what we draw, and a side that computes something else is caught. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { benchGenerateImage, comparePictures } from '../../bench/generate-image.ts';
import {
  PICTURE_CASES,
  type PictureCaseName,
  writePictureParameters,
  writeTrainingSteps,
} from '../../bench/image-material.ts';
import { startNode } from '../../bench/peers.ts';
import { benchTrainImage, comparePictureLosses } from '../../bench/train-image.ts';
import * as host from '../../src/base/host.ts';

const quiet = {
  ...{ threads: 2, install: false, installPython: false, peers: [], effort: 0.1 },
  ...{ show: () => undefined, note: () => undefined },
};
const networks: PictureCaseName[] = ['tiny-gan', 'tiny-ddpm'];

let folder = '';
beforeAll(async () => {
  folder = await host.makeTemporaryFolder('inkstone-bench-pictures');
});
afterAll(() => host.removeFile(folder));

describe('benchmarks of pictures', () => {
  it('train-image without peers gives the promised form and claims nothing', async () => {
    const result = await benchTrainImage({ ...quiet, networks });
    expect(result).toMatchObject({ bench: 'train-image', machine: { threads: 2 } });
    expect(result.cases.map((one) => one.case)).toEqual(networks);
    for (const one of result.cases) {
      expect(one).toMatchObject({ unit: 'ms/step', better: 'lower', peer: null, ratio: null });
      expect(one.ours).toBeGreaterThan(0);
    }
  });

  it('generate-image without peers gives pictures a second at both batches', async () => {
    const result = await benchGenerateImage({ ...quiet, networks: ['tiny-stylegan2'] });
    expect(result.cases.map((one) => [one.case, one.unit])).toEqual([
      ['tiny-stylegan2, batch 1', 'images/s'],
      ['tiny-stylegan2, batch 16', 'images/s'],
    ]);
  });

  it('gives two losses a step of a pair, the same every time', async () => {
    const one = PICTURE_CASES['tiny-stylegan2'];
    const work = {
      ...{ work: 'train-image' as const, model: one.model as Record<string, unknown>, batch: one.batch },
      parameters: await writePictureParameters(folder, 'pair', one.model),
      inputs: await writeTrainingSteps(folder, 'pair', one, 2),
      settings: one.settings,
    };
    expect(work.inputs.tensors.map(({ name }) => name)).toContain('length/directions');
    const ours = startNode('ours', host.entry('bench/ours-entry'), { threads: 1 });
    const found: (readonly number[])[] = [];
    for (const name of ['a', 'b']) {
      await ours.ask({ do: 'prepare', name, ...work });
      const { losses = [], seconds } = await ours.ask({ do: 'run', name, count: 2 });
      expect([losses.length, seconds.length]).toEqual([4, 2]);
      found.push(losses);
    }
    await ours.end();
    expect(found[0]).toEqual(found[1]);
    expect(found[0]?.every((loss) => Number.isFinite(loss) && loss !== 0)).toBe(true);
  });

  it('catches losses and pictures that differ', () => {
    const same = [1.5, 0.5, 1.25];
    expect(comparePictureLosses('n', 'p', same, same).largest_difference).toBe(0);
    const differ = { code: 'losses_differ' };
    for (const [ours, theirs] of [
      [same, [1.501, 0.5, 1.25]],
      [same, [1.5, 0.51, 1.25]],
      [same, [1.5, Number.NaN, 1.25]],
      [[], []],
    ] as const)
      expect(() => comparePictureLosses('n', 'p', ours, theirs)).toThrow(expect.objectContaining(differ));
    expect(() => comparePictures('n', 'p', [1, 200], [2, 200])).not.toThrow();
    for (const theirs of [[1, 190], [1]])
      expect(() => comparePictures('n', 'p', [1, 200], theirs)).toThrow(
        expect.objectContaining({ code: 'pictures_differ' }),
      );
  });
});
