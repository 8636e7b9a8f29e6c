/** Sizes and their steps, what a new size takes over, full-size pictures at every time, exact resume. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { pictureMaker } from '../generate/image/any.ts';
import { imageGenerator } from '../models/image/architectures.ts';
import { type StyleganConfig, styleganConfig } from '../models/image/stylegan.ts';
import { type AdversarialConfig, adversarialConfig } from '../nn/adversarial/config.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { averaged, createGrowing, modelAt, stagesOf, trainingAt, workBefore } from './image-growth.ts';

const model = styleganConfig.parse({
  ...{ architecture: 'stylegan2', size: 16, channels: 1, latent: 6, style: 6, mapping: 2 },
  ...{ width: 4, widest: 8, output: 'tanh' },
});
const training = (growth: unknown, more = {}): AdversarialConfig =>
  adversarialConfig.parse({
    ...{ steps: 8, batch: 4, r1: { weight: 16, every: 2 }, pathLength: { weight: 2, every: 2 } },
    ...{ augment: { name: 'ada', span: 200 }, growth, ...more },
  });
const GROWING = { from: 4, share: 0.75 };

/** A white half on black, left or right. */
function halves(step: number): HostTensors {
  const data = Float32Array.from({ length: 4 * 256 }, (_, i) => {
    const left = i % 16 < 8;
    return (Math.floor(i / 256) + step) % 2 === 0 ? (left ? 1 : -1) : left ? -1 : 1;
  });
  return { real: tensor('f32', [4, 1, 16, 16], data), attempt: tensor('i32', [1], [0]) };
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const centred = (values: readonly number[]): number[] => {
    const mean = values.reduce((x, y) => x + y, 0) / values.length;
    return values.map((value) => value - mean);
  };
  const [x, y] = [centred(a), centred(b)];
  const dot = (u: number[], v: number[]): number =>
    u.reduce((sum, value, i) => sum + value * (v[i] as number), 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

describe('growth', () => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await createBackend('cpu', { threads: 1, inline: true });
  });
  afterAll(() => backend.close());

  it('shares steps among smaller sizes, the rest is the full size’s', () => {
    expect(stagesOf(model, training(GROWING, { steps: 100 }))).toEqual([
      { size: 4, first: 0, steps: 37 },
      { size: 8, first: 37, steps: 37 },
      { size: 16, first: 74, steps: 26 },
    ]);
    expect(stagesOf(model, training({ from: 8, share: 0.5 }))).toEqual([
      { size: 8, first: 0, steps: 4 },
      { size: 16, first: 4, steps: 4 },
    ]);
    expect(
      stagesOf({ ...model, size: 48 }, training({ from: 16, share: 0.5 })).map(({ size }) => size),
    ).toEqual([...[24, 48]]);
    for (const growth of [undefined, { from: 16 }, { from: 20 }, { from: 4, share: 0 }])
      expect(stagesOf(model, training(growth))).toEqual([{ size: 16, first: 0, steps: 8 }]);
  });

  it('is refused for networks that do not add up pictures', () => {
    expect(() => stagesOf({ architecture: 'gan', size: 16 }, training(GROWING))).toThrow(
      expect.objectContaining({ code: 'unsupported_setting' }),
    );
  });

  it('keeps widths, brings R1 to the number of pixels, and lets rates fall as late as without growth', () => {
    expect(modelAt(model, 4)).toEqual({ ...model, size: 4, width: 8 });
    const config = training(GROWING, { steps: 100, decay: 0.13 });
    const [small, , full] = stagesOf(model, config).map((stage) => trainingAt(config, stage, 16));
    expect(small).toMatchObject({ steps: 37, decay: 0, r1: { weight: 1, every: 2 } });
    expect(full).toMatchObject({ steps: 26, decay: 0.5, r1: { weight: 16, every: 2 } });
    expect(small).not.toHaveProperty('growth');
  });

  it('counts the work of a step by its size', () => {
    const stages = stagesOf(model, training(GROWING, { steps: 100 }));
    const [four, sixteen] = [4 ** 0.7, 16 ** 0.7];
    expect(workBefore(stages, 0)).toBe(0);
    expect(workBefore(stages, 10)).toBeCloseTo(10 * four);
    expect(workBefore(stages, 100) - workBefore(stages, 80)).toBeCloseTo(20 * sixteen);
  });

  it('averages squares of pixels', () => {
    const image = tensor('f32', [1, 2, 2, 2], [1, 2, 3, 6, 0, 0, 0, -4]) as HostTensor<'f32'>;
    expect(averaged(image, 2)).toEqual(tensor('f32', [1, 2, 1, 1], [3, -1]));
    expect(averaged(image, 1)).toBe(image);
  });

  it('makes full-size pictures at every size: the small one’s, enlarged', async () => {
    const growing = await createGrowing({ backend, model, config: training(GROWING) });
    for (let step = 0; step < 2; step++)
      expect((await growing.step(halves(step), step)).metrics?.size).toBe(4);
    const full = await growing.parameters();
    await growing.close();
    const picture = async (config: StyleganConfig): Promise<Uint8Array> => {
      const maker = pictureMaker(config, backend, full);
      try {
        return (await maker.make({ seeds: [1] })).pixels;
      } finally {
        await maker.close();
      }
    };
    const large = await picture({ ...model, mixing: 0 });
    const small = await picture({ ...modelAt(model, 4), mixing: 0 });
    expect(new Set(small).size).toBeGreaterThan(4);
    // Enlarging filters blur, so a square's mean is not the small picture's pixel, but goes with it.
    const means = averaged(tensor('f32', [1, 1, 16, 16], Float32Array.from(large)) as HostTensor<'f32'>, 4);
    expect(correlation([...means.data], [...small])).toBeGreaterThan(0.8);
  });

  it('a new size takes over both networks and the strength of augmentation, and adds nothing to the picture', async () => {
    const growing = await createGrowing({ backend, model, config: training(GROWING) });
    for (let step = 0; step < 3; step++) await growing.step(halves(step), step);
    const before = await growing.state();
    // Without a rate the step that grows changes nothing else.
    const still = training(GROWING, { generatorRate: 1e-12, criticRate: 1e-12 });
    const next = await createGrowing({ backend, model, config: still });
    await next.restore(before);
    expect((await next.step(halves(3), 3)).metrics).toMatchObject({ size: 8 });
    const after = await next.state();
    await growing.close();
    await next.close();
    const far = (name: string, from: HostTensors): number =>
      Math.max(
        ...Array.from(after[name]?.data as Float32Array, (value, i) =>
          Math.abs(value - Number(from[name]?.data[i])),
        ),
      );
    const fresh = await (await createGrowing({ backend, model, config: still })).state();
    for (const name of ['generator/generator.size4.same.weight', 'critic/critic.dense.weight']) {
      expect(far(name, before)).toBeLessThan(1e-6);
      expect(far(name, fresh)).toBeGreaterThan(1e-3);
    }
    expect(
      Math.max(...Array.from(after['generator/generator.picture8.weight']?.data as Float32Array)),
    ).toBeLessThan(1e-6);
    expect(Number(before['host/strength']?.data[0])).toBeGreaterThanOrEqual(0);
    expect(Number(after['host/strength']?.data[0])).toBe(Number(before['host/strength']?.data[0]));
  });

  it('keeps a whole generator in its state, whatever its size', async () => {
    const growing = await createGrowing({ backend, model, config: training(GROWING) });
    await growing.step(halves(0), 0);
    const [state, parameters] = [await growing.state(), await growing.parameters()];
    await growing.close();
    for (const { name } of imageGenerator(model).specs) {
      expect(state[`generator/average.${name}`]).toEqual(parameters[name]);
      expect(state).toHaveProperty([`generator/${name}`]);
    }
    expect(new Set(parameters['generator.picture16.weight']?.data as Float32Array)).toEqual(new Set([0]));
  });

  it('goes on from its state as if it had never stopped: before, in and after another size, and back', async () => {
    const config = training({ from: 8, share: 0.5 });
    const one = await createGrowing({ backend, model, config });
    const kept: HostTensors[] = [];
    for (let step = 0; step < 8; step++) {
      kept.push(await one.state());
      await one.step(halves(step), step);
    }
    const end = await one.state();
    await one.close();
    const other = await createGrowing({ backend, model, config });
    // Step 6 is of the full size, step 2 of the one before it: into a pair of another size each time.
    for (const from of [6, 2]) {
      await other.restore(kept[from] as HostTensors);
      for (let step = from; step < 8; step++) await other.step(halves(step), step);
      expect(await other.state()).toEqual(end);
    }
    await expect(other.restore({})).rejects.toMatchObject({ code: 'state_incomplete' });
    await other.close();
  });
});
