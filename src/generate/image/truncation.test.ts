/** Truncation trades variety for typical pictures, whatever the architecture; where nobody asks, nothing of it is done. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { imageConfig, imageParameters } from '../../models/image/any.ts';
import { loadImageModel } from '../../models/image/load.ts';
import { QuickRandom } from '../../nn/adversarial/draw.ts';
import { initialise } from '../../nn/parameters.ts';
import type { Backend } from '../../runtime/contract.ts';
import { createBackend } from '../../runtime/index.ts';
import { pictureMaker } from './any.ts';
import type { PictureMaker, Pictures } from './request.ts';

let cpu: Backend;
beforeAll(async () => {
  cpu = await createBackend('cpu', { threads: 1, inline: true });
});
afterAll(() => cpu.close());

const small = { size: 16, channels: 1, width: 4, widest: 8, latent: 6 };
const seeds = Array.from({ length: 16 }, (_, i) => i);

/** Biases as training leaves them: not zero, as they begin. */
function withBiases(parameters: HostTensors): HostTensors {
  const random = new QuickRandom(3, 'biases');
  const some = ([name, value]: [string, HostTensor]): [string, HostTensor] => [
    name,
    name.endsWith('.bias')
      ? tensor(
          'f32',
          value.shape,
          random.normals(value.data.length).map((v) => v / 2),
        )
      : value,
  ];
  return Object.fromEntries(Object.entries(parameters).map(some));
}

/** Mean deviation of a pixel over the seeds. */
function spreadOf({ count, pixels }: Pictures): number {
  const places = pixels.length / count;
  let total = 0;
  for (let place = 0; place < places; place++) {
    const values = Array.from({ length: count }, (_, i) => pixels[i * places + place] as number);
    const mean = values.reduce((a, b) => a + b, 0) / count;
    total += Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / count);
  }
  return total / places;
}

async function checkFalls(maker: PictureMaker, labels?: readonly number[]): Promise<void> {
  const make = (truncation?: number) =>
    maker.make({
      seeds,
      ...(labels === undefined ? {} : { labels }),
      ...(truncation === undefined ? {} : { truncation }),
    });
  const plain = await make();
  expect((await make(1)).pixels).toEqual(plain.pixels);
  const typical = await make(0.5);
  expect(typical.pixels).not.toEqual(plain.pixels);
  const spreads = [plain, typical, await make(0.25), await make(0)].map(spreadOf);
  for (let i = 1; i < spreads.length; i++)
    expect(spreads[i] as number, spreads.join(' ')).toBeLessThan(0.95 * (spreads[i - 1] as number));
  // A seed is a picture, whatever it is made together with.
  const place = typical.pixels.length / typical.count;
  const alone = await maker.make({
    seeds: [3],
    truncation: 0.5,
    ...(labels === undefined ? {} : { labels: [labels[3] as number] }),
  });
  const together = typical.pixels.subarray(3 * place, 4 * place);
  const apart = alone.pixels.map((value, i) => Math.abs(value - (together[i] as number)));
  expect(Math.max(...apart)).toBeLessThanOrEqual(1);
}

describe('with truncation nearer to 0 pictures are less various', () => {
  it.each([
    { architecture: 'gan' },
    { architecture: 'gan', classes: 3 },
    { architecture: 'stylegan1', style: 5 },
    { architecture: 'stylegan2', style: 5, classes: 3 },
    { architecture: 'vae' },
  ])('%j', async (raw) => {
    const config = imageConfig.parse({ ...small, ...raw });
    const maker = pictureMaker(config, cpu, withBiases(initialise(imageParameters(config), 3)));
    await checkFalls(maker, raw.classes === undefined ? undefined : seeds.map(() => 1));
    await maker.close();
  });

  it('of the digits that ship, too; a class keeps its own typical picture', async () => {
    const { config, weights } = await loadImageModel('models/starter-digits');
    const maker = pictureMaker(config, cpu, weights);
    await checkFalls(
      maker,
      seeds.map(() => 7),
    );
    const sevens = await maker.make({ seeds: [0], labels: [7], truncation: 0 });
    const ones = await maker.make({ seeds: [0], labels: [1], truncation: 0 });
    expect(sevens.pixels).not.toEqual(ones.pixels);
    await maker.close();
  });
});
