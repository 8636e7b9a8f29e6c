/** Going on from a model of pictures: gentler settings, other classes, layers that can be kept. */
import { promises as fs } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFolder, makeTemporaryFolder, removeFile } from '../base/host.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { imageConfig } from '../models/image/any.ts';
import { imagePreset } from '../models/image/presets.ts';
import { initialise, type ParameterSpec } from '../nn/parameters.ts';
import { learningSpecs } from './image-kinds.ts';
import { overlapping, overlapTold, tuningPlan, tuningTraits } from './image-tuning.ts';

const onlyOf = (network: string, values: HostTensors): HostTensors =>
  Object.fromEntries(Object.entries(values).filter(([name]) => name.startsWith(network)));

let folder: string;
beforeAll(async () => {
  folder = await makeTemporaryFolder('image-tuning');
});
afterAll(() => removeFile(folder));

async function model(name: string, about: object): Promise<string> {
  await makeFolder(`${folder}/${name}`);
  await fs.writeFile(`${folder}/${name}/config.json`, JSON.stringify({ family: 'image', ...about }));
  return `${folder}/${name}`;
}
const small = { size: 16, channels: 1, width: 4, widest: 16 } as const;
const gan = imageConfig.parse({ architecture: 'gan', ...small, latent: 8, classes: 3 });
const ddpm = imageConfig.parse({ architecture: 'ddpm', ...small, steps: 20 });

describe('the plan', () => {
  it('of a run keeps its shape and its settings, gentler, with augmentation', async () => {
    const training = { ...imagePreset('tiny-gan').training, loss: 'hinge', frozen: ['critic'] };
    const plan = await tuningPlan(await model('gan', { preset: 'mine', model: gan, training }));
    expect(plan).toMatchObject({ id: 'mine', model: gan, labels: true });
    expect(plan.training).toMatchObject({
      ...{ loss: 'hinge', steps: 500, batch: 8, generatorRate: 5e-4, criticRate: 2e-3, frozen: [] },
      augment: { name: 'ada' },
    });
  });

  it('of a Diffusion-GAN leaves its noise, of a denoiser shortens its average', async () => {
    const noised = { ...imagePreset('mnist-diffusiongan').training };
    const plan = await tuningPlan(await model('noised', { model: gan, training: noised }));
    expect([plan.id, plan.training]).toEqual([
      'gan',
      expect.objectContaining({ augment: expect.objectContaining({ name: 'diffusion' }) }),
    ]);
    // What has grown does not begin small again.
    const { model: config, training } = imagePreset('icons-stylegan2');
    const grown = await tuningPlan(await model('grown', { model: imageConfig.parse(config), training }));
    expect(imagePreset('icons-stylegan2').training).toHaveProperty('growth');
    expect(grown.training).toMatchObject({ growth: undefined, r1: { weight: 4 } });
    // A model that ships may not say how it was trained.
    const alone = await tuningPlan(await model('ddpm', { model: ddpm }));
    expect(alone.training).toMatchObject({ ema: 0.99, learningRate: 5e-4, steps: 500 });
    expect(alone.labels).toBe(false);
  });

  it('is refused for what is no model of pictures', async () => {
    await expect(tuningPlan(`${folder}/nowhere`)).rejects.toMatchObject({ code: 'model_missing' });
    const text = await model('text', { family: 'text' });
    await expect(tuningPlan(text)).rejects.toMatchObject({ code: 'model_invalid' });
  });
});

describe('values for other classes', () => {
  const spec = (shape: number[]): ParameterSpec[] => [
    { name: 'w', shape, initialiser: { name: 'ones' }, role: 'matrix' },
  ];
  const given = { w: tensor('f32', [2, 3], [10, 11, 12, 20, 21, 22]) };
  const over = (shape: number[]) => [
    ...(overlapping(spec(shape), given, 1).values.w as HostTensor<'f32'>).data,
  ];

  it.each([
    [
      [2, 3],
      [10, 11, 12, 20, 21, 22],
    ],
    [
      [1, 3],
      [10, 11, 12],
    ],
    [
      [3, 3],
      [10, 11, 12, 20, 21, 22, 1, 1, 1],
    ],
    [
      [2, 2],
      [10, 11, 20, 21],
    ],
    [
      [3, 4],
      [10, 11, 12, 1, 20, 21, 22, 1, 1, 1, 1, 1],
    ],
  ])('in %j are as far as both reach', (shape, values) => {
    expect(over(shape)).toEqual(values);
    expect([...given.w.data]).toEqual([10, 11, 12, 20, 21, 22]);
  });

  it('are refused where nothing is of the same kind', () => {
    expect(() => over([6])).toThrow(expect.objectContaining({ code: 'parameters_differ' }));
  });

  it.each([0, 2, 5])('of a GAN with three classes make one with %i', (classes) => {
    const from = initialise(learningSpecs(gan, {}).flat(), 4);
    const specs = learningSpecs({ ...gan, classes } as typeof gan, {}).flat();
    const { values: made, fresh } = overlapping(specs, from, 9);
    expect(fresh).toEqual([]);
    for (const { name, shape } of specs) expect([name, made[name]?.shape]).toEqual([name, shape]);
    expect(made['critic.last.weight']).toEqual(from['critic.last.weight']);
    const [start, before] = [made, from].map(
      (all) => (all['generator.start.weight'] as HostTensor<'f32'>).data,
    );
    const latents = 8 * (made['generator.start.weight']?.shape[1] as number);
    expect(start?.slice(0, latents)).toEqual(before?.slice(0, latents));
  });
});

describe('values for another size', () => {
  it('are taken as far as they fit, and it is told which layers are not', () => {
    const specs = (model: object) => learningSpecs({ ...gan, ...model } as typeof gan, {}).flat();
    const from = initialise(specs({}), 4);
    const made = overlapping(specs({ size: 32 }), from, 9);
    expect(made.fresh).toEqual(['generator.size32', 'critic.size16']);
    // Where the layers are as wide as before, they are the other model's.
    expect(made.values['generator.size4.weight']).toEqual(from['generator.size4.weight']);
    expect(made.partly).toContain('generator.size16');
    expect(overlapTold(made)).toMatch(
      /^begins anew: generator\.size32, critic\.size16; taken in part: generator\.size8, /,
    );
    const alone = overlapping(specs({}), onlyOf('generator', from), 9);
    expect(overlapTold(alone)).toBe('begins anew: critic');
    expect(overlapTold(overlapping(specs({}), from, 9))).toBeUndefined();
  });
});

describe('what can be chosen', () => {
  it('of a run is every layer, and the critic’s half that is nearest to the picture', () => {
    const { layers, early, augments } = tuningTraits({ config: gan, source: 'run' });
    expect(early).toEqual(['critic.picture', 'critic.size8']);
    expect(layers).toContain('critic.size4');
    for (const layer of early) expect(layers).toContain(layer);
    expect(augments).toBe(true);
    const names = learningSpecs(gan, {})
      .flat()
      .map(({ name }) => name);
    for (const name of names) expect(layers.some((layer) => name.startsWith(layer))).toBe(true);
    for (const layer of layers) expect(names.some((name) => name.startsWith(layer))).toBe(true);
  });

  it('of a model that ships is the generator alone, and of a denoiser no augmentation', () => {
    const shipped = tuningTraits({ config: gan, source: 'model' });
    expect(shipped.early).toEqual([]);
    expect(shipped.layers.filter((layer) => layer.startsWith('critic.'))).toEqual([]);
    const alone = tuningTraits({ config: ddpm, source: 'run' });
    expect([alone.augments, alone.early]).toEqual([false, []]);
    expect(alone.layers).toContain('last');
  });
});
