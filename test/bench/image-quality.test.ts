/** The comparison of architectures on made-up digits: parts are kept and shared, a stopped one goes on, the interval is of the seeds. */
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { benchImageQuality, type ImageQualityOptions } from '../../bench/image-quality.ts';
import { show } from '../../bench/report.ts';
import * as host from '../../src/base/host.ts';
import { Random } from '../../src/base/rng.ts';

const before = process.env.INKSTONE_HOME;
let folder = '';
let said: string[] = [];

const idx = (shape: readonly number[], values: Uint8Array): Uint8Array => {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.writeUInt32BE(0x800 + shape.length);
  shape.forEach((size, i) => head.writeUInt32BE(size, 4 + 4 * i));
  return gzipSync(Buffer.concat([head, values]));
};

beforeAll(async () => {
  folder = await host.makeTemporaryFolder('inkstone-bench-quality');
  process.env.INKSTONE_HOME = path.join(folder, 'home');
  const data = path.join(folder, 'data', 'image');
  await host.makeFolder(data);
  for (const [name, count] of [
    ['train', 80],
    ['t10k', 60],
  ] as const) {
    const random = new Random(1, name);
    const pixels = Uint8Array.from({ length: count * 784 }, (_, i) =>
      i % 28 > Math.floor(i / 784) % 10 ? 20 + random.integer(200) : 0,
    );
    const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
    await host.writeFile(path.join(data, `${name}-images-idx3-ubyte.gz`), idx([count, 28, 28], pixels));
    await host.writeFile(path.join(data, `${name}-labels-idx1-ubyte.gz`), idx([count], labels));
  }
});
afterAll(async () => {
  if (before === undefined) delete process.env.INKSTONE_HOME;
  else process.env.INKSTONE_HOME = before;
  await host.removeFile(folder);
});

const bench = (more: Partial<ImageQualityOptions>) => {
  said = [];
  return benchImageQuality({
    ...{ data: path.join(folder, 'data'), threads: 1, effort: 0.1, note: () => undefined },
    show: (text) => said.push(text),
    ...more,
  });
};
const trained = () => said.filter((text) => /: step \d/.test(text));

// Real trainings: on a machine that is busy with other work they take their time.
describe('bench image-quality', { timeout: 300_000 }, () => {
  it('compares the GANs over seeds, with an interval of their differences', async () => {
    const only = ['mnist-gan', 'mnist-diffusiongan'];
    const result = await bench({ only, seeds: [1, 2] });
    expect(result.cases.map((one) => one.case)).toEqual([
      ...['mnist-gan, seed 1', 'mnist-gan, seed 2'],
      ...['mnist-diffusiongan, seed 1', 'mnist-diffusiongan, seed 2'],
      'mnist-diffusiongan against mnist-gan, the best of three states, mean of 2 seeds',
      'mnist-diffusiongan against mnist-gan, at the end, mean of 2 seeds',
    ]);
    const [g1, g2, d1, d2, both] = result.cases.map((one) => one.ours) as [
      ...[number, number, number, number, number],
    ];
    expect(both).toBeCloseTo((d1 + d2) / 2, 1);
    const { peer, note, unit } = result.cases[4] ?? {};
    expect(peer).toBeCloseTo((g1 + g2) / 2, 1);
    expect(unit).toBe('fid_pixels');
    const difference = Number(/less mnist-diffusiongan: (-?[\d.]+), 95 % from/.exec(note ?? '')?.[1]);
    expect(Math.abs(difference - (g1 + g2 - d1 - d2) / 2)).toBeLessThan(1e-3 * (g1 + g2));
    expect(note).toContain('1 degrees of freedom');
    // The state at the end is the best one, or another with a score of its own.
    const rows = result.table as { preset: string; fid: number; fid_at_end: number; best_step: number }[];
    for (const { fid, fid_at_end, best_step } of rows)
      if (best_step === 6) expect(fid_at_end).toBe(fid);
      else expect(fid_at_end).not.toBe(fid);
    const ends = rows.filter(({ preset }) => preset === 'mnist-gan').map(({ fid_at_end }) => fid_at_end);
    expect(result.cases[5]?.peer).toBeCloseTo(((ends[0] as number) + (ends[1] as number)) / 2, 0);
    expect(show(result)).toMatch(/^preset +seed +fid +kid +precision +recall/m);

    // Another call takes what is kept, with other presets beside it; other steps begin anew.
    const again = await bench({ only, seeds: [2] });
    expect(again.table).toEqual([result.table?.[1], result.table?.[3]]);
    expect(trained()).toEqual([]);
    await bench({ only: ['mnist-gan'], seeds: [2], steps: 3 });
    expect(trained().at(-1)).toContain('step 3/3');
  });

  it('scores a model with labels by class, too, in parts; a stopped training goes on', async () => {
    const stop = new AbortController();
    const only = ['mnist-cgan'];
    const stopped = bench({
      only,
      signal: stop.signal,
      show: (text) => {
        if (/step 1\//.test(text)) stop.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    const { table, data } = await bench({ only });
    expect(data).toContain('6 steps of 8 pictures, 60 samples');
    expect(trained().some((text) => text.includes('step 1/'))).toBe(false);
    expect(trained().at(-1)).toContain('step 6/6');
    expect(table).toEqual([
      expect.objectContaining({ preset: 'mnist-cgan', seed: 1, class_accuracy: expect.any(Number) }),
    ]);
    expect(said).toContain('mnist-cgan, seed 1: making pictures: 0/60');
  });

  it('learns from the first pictures only, where so many are asked for', async () => {
    const { data, table } = await bench({ only: ['mnist-gan'], pictures: 64, steps: 2 });
    expect(data).toMatch(/^MNIST \(64 pictures, SHA-256 [0-9a-f]+, the first 64\), 2 steps/);
    expect(trained().at(-1)).toContain('step 2/2');
    // Another number of pictures is another training.
    const whole = await bench({ only: ['mnist-gan'], steps: 2 });
    expect(whole.data).toContain('80 pictures');
    expect(trained().at(-1)).toContain('step 2/2');
    expect(whole.table?.[0]?.fid).not.toBe(table?.[0]?.fid);
    expect(whole.cases[0]).toMatchObject({ peer: expect.any(Number), ratio: expect.any(Number) });
    // A floor of fewer pictures than the samples is told, and is no measure.
    const few = await bench({ only: ['mnist-gan'], pictures: 40, steps: 2 });
    expect(few.cases[0]).toMatchObject({ peer: null, ratio: null });
    expect(few.cases[0]?.note).toMatch(/^40 training pictures against the test pictures: \d/);
  });

  it('refuses a folder without digits', async () => {
    await expect(bench({ data: path.join(folder, 'home') })).rejects.toMatchObject({ code: 'data_missing' });
  });
});
