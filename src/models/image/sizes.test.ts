/** Every architecture at every size it promises, from 16 to 128: pictures of that size, and a critic that can judge them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { pictureMaker } from '../../generate/image/any.ts';
import { QuickRandom } from '../../nn/adversarial/draw.ts';
import { initialise, parameterTypes } from '../../nn/parameters.ts';
import { trace } from '../../program/index.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import { imageConfig, imageParameters } from './any.ts';
import { adversarialImageConfig, adversarialImageModel } from './architectures.ts';
import { ladder } from './sizes.ts';

let cpu: Backend;
beforeAll(async () => {
  cpu = await createBackend('cpu', { threads: 1, inline: true });
});
afterAll(() => cpu.close());

const SIZES = [16, 28, 32, 64, 128];
const narrow = { channels: 3, latent: 4, width: 2, widest: 4 };

describe.each(SIZES)('pictures of %i × %i', (size) => {
  it.each(['gan', 'stylegan1', 'stylegan2', 'vae', 'ddpm'])('%s', async (architecture) => {
    const config = imageConfig.parse({ ...{ architecture, size }, ...narrow, steps: 10 });
    const parameters = initialise(imageParameters(config), 1);
    const maker = pictureMaker(config, cpu, parameters);
    const made = await maker.make({ seeds: [1, 2] });
    await maker.close();
    expect([made.count, made.channels, made.size]).toEqual([2, 3, size]);
    expect(made.pixels.length).toBe(2 * 3 * size * size);
    // Another seed, another picture; and not one flat colour.
    const half = made.pixels.length / 2;
    expect(made.pixels.subarray(0, half)).not.toEqual(made.pixels.subarray(half));
    expect(new Set(made.pixels.subarray(0, half)).size).toBeGreaterThan(5);
    const pair = adversarialImageConfig.safeParse(config);
    if (!pair.success) return;
    const { critic, shape } = adversarialImageModel(pair.data, { name: 'none' });
    const program = trace(
      'score',
      { ...parameterTypes(critic.specs), images: { dtype: 'f32', shape: [4, ...shape] } },
      (x) => ({ scores: critic.score(x, x.images as never, {}) }),
    );
    const run = await cpu.compile(program);
    const images = tensor('f32', [4, ...shape], new QuickRandom(1, 'pictures').normals(4 * 3 * size * size));
    const inputs: HostTensors = { ...initialise(critic.specs, 1), images };
    const { scores } = await run.run({ inputs });
    await run.free();
    const found = [...(scores as HostTensor<'f32'>).data];
    expect(found.every((score) => Number.isFinite(score))).toBe(true);
    expect(new Set(found).size).toBe(4);
  });
});

it('sizes grow by doubling, from the smallest that divides them', () => {
  expect(ladder(16)).toEqual([4, 8, 16]);
  expect(ladder(28)).toEqual([7, 14, 28]);
  expect(ladder(128)).toEqual([4, 8, 16, 32, 64, 128]);
  expect(() => ladder(17)).toThrow(expect.objectContaining({ code: 'image_size' }));
});
