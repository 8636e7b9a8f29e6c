import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { adversarialConfig } from '../../nn/adversarial/config.ts';
import type { AdversarialModel, GeneratorNetwork } from '../../nn/adversarial/contract.ts';
import { QuickRandom } from '../../nn/adversarial/draw.ts';
import { ADVERSARIAL_LOSSES } from '../../nn/adversarial/losses.ts';
import { adversarialPrograms } from '../../nn/adversarial/programs.ts';
import { createAdversarial } from '../../nn/adversarial/trainable.ts';
import { countParameters, initialise, parameterTypes } from '../../nn/parameters.ts';
import { evaluate, toReference } from '../../program/evaluate.ts';
import { ancestors } from '../../program/gradient.ts';
import { type Program, trace } from '../../program/index.ts';
import type { ReferenceValue } from '../../program/operation.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import { adversarialImageConfig, imageGenerator } from './architectures.ts';
import { augmentation } from './augment.ts';
import { diffusionNoise, signalAndNoise } from './diffusion-noise.ts';
import { ganConfig, ganCritic, ganGenerator } from './gan.ts';
import { minibatchDeviation } from './layers.ts';
import { styleganConfig, styleganGenerator } from './stylegan.ts';
import { styleganCritic } from './stylegan-critic.ts';

let cpu: Backend;
beforeAll(async () => {
  cpu = await createBackend('cpu', { threads: 1, inline: true });
});
afterAll(async () => {
  await cpu.close();
});

const SMALL = { size: 8, channels: 1, latent: 4, width: 4, widest: 8 };
const SHAPE = [1, 8, 8] as const;

function gan(classes: number, conditioning: 'concatenation' | 'projection' = 'projection'): AdversarialModel {
  const config = ganConfig.parse({ architecture: 'gan', ...SMALL, classes, conditioning });
  return { generator: ganGenerator(config), critic: ganCritic(config), shape: SHAPE, classes };
}

function stylegan(architecture: 'stylegan1' | 'stylegan2', classes = 0): AdversarialModel {
  const config = styleganConfig.parse({ architecture, ...SMALL, classes, style: 6, mapping: 2 });
  return { generator: styleganGenerator(config), critic: styleganCritic(config), shape: SHAPE, classes };
}

/** Bright squares in the upper left (label 0) or the lower right (label 1). */
function squares(batch: number, step: number): HostTensors {
  const random = new QuickRandom(3, 'squares', step);
  const data = new Float32Array(batch * 64).fill(-1);
  const labels = new Int32Array(batch);
  for (let row = 0; row < batch; row++) {
    const label = row % 2;
    labels[row] = label;
    const level = 0.5 + 0.5 * random.uniform();
    for (let y = 0; y < 4; y++)
      for (let x = 0; x < 4; x++) data[row * 64 + (y + 4 * label) * 8 + x + 4 * label] = level;
  }
  return { real: tensor('f32', [batch, ...SHAPE], data), real_labels: tensor('i32', [batch], labels) };
}

async function picturesOf(
  generator: GeneratorNetwork,
  parameters: HostTensors,
  labels: readonly number[],
): Promise<Float32Array> {
  const batch = labels.length;
  const program = trace('make', { ...parameterTypes(generator.specs), ...generator.inputs(batch) }, (x) => ({
    images: generator.images(x),
  }));
  const run = await cpu.compile(program);
  const wanted = new Set(program.inputs.map((input) => input.name));
  const inputs: HostTensors = {
    ...parameters,
    ...generator.draw(new QuickRandom(5, 'judge'), batch),
    labels: tensor('i32', [batch], labels),
  };
  const result = await run.run({
    inputs: Object.fromEntries(Object.entries(inputs).filter(([name]) => wanted.has(name))),
  });
  await run.free();
  return (result.images as HostTensor<'f32'>).data;
}

describe('networks', () => {
  it('have the parameters that their layers add up to', () => {
    // start (4 + 2) × 8·4·4 + bias; 4: 8→8, 8: 8→4, picture 4→1, each 3 × 3 with bias.
    const dense = 6 * 128 + 128;
    const convolutions = 8 * 8 * 9 + 8 + 8 * 4 * 9 + 4 + 4 * 9 + 1;
    expect(countParameters(gan(2).generator.specs)).toBe(dense + convolutions);
    const two = stylegan('stylegan2').generator.specs;
    // mapping 4→6→6; constant 8·16; convolutions 8→8, 8→4, 4→4 with style, noise; two pictures with style.
    const mapping = 4 * 6 + 6 + 6 * 6 + 6;
    const layer = (from: number, to: number): number => 9 * from * to + to + 6 * from + from + 1;
    const picture = (from: number): number => from + 1 + 6 * from + from;
    expect(countParameters(two)).toBe(
      mapping + 8 * 16 + layer(8, 8) + layer(8, 4) + layer(4, 4) + picture(8) + picture(4),
    );
  });

  it('style modulation keeps the variance of features, whatever the style', async () => {
    const { generator } = stylegan('stylegan2');
    const parameters = initialise(generator.specs, 1);
    const loud: HostTensors = { ...parameters };
    for (const [name, value] of Object.entries(parameters))
      if (name.endsWith('same.style.bias'))
        loud[name] = tensor(
          'f32',
          value.shape,
          [...value.data].map(() => 50),
        );
    const quiet = await picturesOf(generator, parameters, [0, 0, 0, 0]);
    const changed = await picturesOf(generator, loud, [0, 0, 0, 0]);
    const deviation = (x: Float32Array): number => Math.sqrt(x.reduce((t, v) => t + v * v, 0) / x.length);
    expect(deviation(changed) / deviation(quiet)).toBeGreaterThan(0.3);
    expect(deviation(changed) / deviation(quiet)).toBeLessThan(3);
  });

  it.each(['stylegan1', 'stylegan2'] as const)('may end in tanh: %s', async (architecture) => {
    const plain = styleganConfig.parse({ architecture, ...SMALL, style: 6, mapping: 2 });
    const parameters = initialise(styleganGenerator(plain).specs, 1);
    const [made, bounded] = await Promise.all(
      [plain, { ...plain, output: 'tanh' as const }].map((config) =>
        picturesOf(styleganGenerator(config), parameters, [0, 0]),
      ),
    );
    expect(Math.max(...(made as Float32Array).map(Math.abs))).toBeGreaterThan(0.2);
    bounded?.forEach((value, i) => expect(value).toBeCloseTo(Math.tanh(made?.[i] as number), 5));
  });
});

describe('training programs', () => {
  const settings = (loss: (typeof ADVERSARIAL_LOSSES)[number], second = false) =>
    adversarialConfig.parse({
      steps: 4,
      batch: 2,
      loss,
      optimiser: { name: 'sgd', momentum: 0 },
      r1: { weight: 2, every: 2 },
      // No decay: the running mean is held constant by the gradient, and would not be by a difference.
      pathLength: { weight: second ? 2 : 0, every: 2, decay: 0 },
    });

  /** With plain descent the update is the gradient: compared with finite differences in float64. */
  function checkGradients(
    model: AdversarialModel,
    loss: (typeof ADVERSARIAL_LOSSES)[number],
    second = false,
  ): void {
    const config = settings(loss, second);
    const programs = adversarialPrograms('pair', model, config);
    const random = new QuickRandom(11, 'check');
    for (const side of ['critic', 'generator'] as const) {
      const program = programs[`${side}Penalised`] ?? programs[side];
      const labels = tensor('i32', [2], [0, 1]);
      const values: HostTensors = {
        ...initialise(model.generator.specs, 2),
        ...initialise(model.critic.specs, 2),
        ...model.generator.draw(random, 2),
        ...Object.fromEntries(
          Object.entries(model.generator.draw(random, 1)).map(([name, value]) => [`length.${name}`, value]),
        ),
        // Noise: where many pixels are alike, many rectifiers bend at once.
        real: tensor('f32', [2, ...SHAPE], random.normals(128)),
        real_labels: labels,
        ...model.perturbation?.draw(random, side === 'critic' ? 4 : 2, 0.5),
        labels,
        'length.labels': tensor('i32', [1], [1]),
        'length.directions': tensor('f32', [1, ...SHAPE], random.normals(64)),
        between: tensor('f32', [2, 1, 1, 1], [0.3, 0.8]),
        learning_rate: tensor('f32', [], [1]),
        correction1: tensor('f32', [], [1]),
        correction2: tensor('f32', [], [1]),
        average_share: tensor('f32', [], [0.5]),
        path_mean: tensor('f32', [], [0.1]),
      };
      for (const { name, shape } of model.generator.specs)
        values[`average.${name}`] = tensor('f32', shape, [...(values[name] as HostTensor<'f32'>).data]);
      const given = program.inputs.map(({ name }) => toReference(values[name] as HostTensor));
      const loss = program.outputs.find((output) => output.name === 'loss') as Program['outputs'][number];
      const lossOnly = { ...program, nodes: ancestors([loss.tensor]), outputs: [loss] };
      const results = evaluate(program, given);
      for (const { name } of model[side].specs) {
        const place = program.inputs.findIndex((input) => input.name === name);
        const before = (given[place] as ReferenceValue).data;
        const at = Math.floor(random.uniform() * before.length);
        const lossAt = (by: number): number => {
          const data = Float64Array.from(before);
          data[at] = (data[at] as number) + by;
          const moved = given.map((value, i) => (i === place ? { ...value, data } : value));
          return evaluate(lossOnly, moved)[0]?.data[0] as number;
        };
        const nudge = 1e-6;
        const slope = (lossAt(nudge) - lossAt(-nudge)) / (2 * nudge);
        const after = results[program.outputs.findIndex((output) => output.name === `next/${name}`)];
        const found = (before[at] as number) - (after?.data[at] as number);
        expect(Math.abs(found - slope), `${side} ${name}[${at}] ${found} ${slope}`).toBeLessThan(
          1e-5 * (1 + Math.abs(slope)),
        );
      }
    }
  }

  it.each(ADVERSARIAL_LOSSES)('have the gradients of their losses and of R1: %s', (loss) => {
    checkGradients(gan(2), loss);
  });

  it.each(['stylegan1', 'stylegan2'] as const)('and of the path length: %s', (architecture) => {
    checkGradients(stylegan(architecture, 2), 'non-saturating', true);
  });

  const noise = diffusionNoise({ least: 10, most: 100, sigma: 0.05, shape: SHAPE });
  const games = ADVERSARIAL_LOSSES.flatMap((loss) => [['gan', loss] as const, ['stylegan2', loss] as const]);

  it.each(games)('and through the noise of Diffusion-GAN: %s, %s', (architecture, loss) => {
    const config = adversarialImageConfig.parse({ architecture, ...SMALL, classes: 2, style: 6, mapping: 2 });
    const critic =
      config.architecture === 'gan'
        ? ganCritic(config, { times: 100 })
        : styleganCritic(config, { times: 100 });
    const generator = imageGenerator(config);
    checkGradients({ generator, critic, perturbation: noise, shape: SHAPE, classes: 2 }, loss);
  });

  it.each(['non-saturating', 'wgan-gp'] as const)('and through augmentation: %s', (loss) => {
    const moves = augmentation({ shape: SHAPE, kinds: ['blit', 'geometry', 'colour'] });
    checkGradients({ ...gan(0), perturbation: moves }, loss);
  });
});

describe('training', () => {
  const config = adversarialConfig.parse({
    steps: 250,
    batch: 16,
    generatorRate: 4e-3,
    criticRate: 4e-3,
    r1: { weight: 0.5, every: 8 },
    averageHalfLife: 200,
    seed: 4,
  });

  it.each(['concatenation', 'projection'] as const)(
    'learns which label makes what: %s',
    async (conditioning) => {
      const model = gan(2, conditioning);
      const trainable = await createAdversarial({ name: 'squares', backend: cpu, model, config });
      for (let step = 0; step < config.steps; step++) await trainable.step(squares(config.batch, step), step);
      const data = await picturesOf(model.generator, await trainable.parameters(), [0, 1, 0, 1, 0, 1, 0, 1]);
      await trainable.close();
      const inside = (row: number, from: number): number => {
        let total = 0;
        for (let y = 0; y < 4; y++)
          for (let x = 0; x < 4; x++) total += (data[row * 64 + (from + y) * 8 + from + x] as number) / 16;
        return total;
      };
      for (let row = 0; row < 8; row++) {
        const label = row % 2;
        expect(inside(row, 4 * label)).toBeGreaterThan(0.3);
        expect(inside(row, 4 - 4 * label)).toBeLessThan(-0.5);
      }
    },
  );

  it('goes on from its state as if it had never stopped', async () => {
    const brief = {
      ...config,
      augment: { name: 'ada' as const, kinds: ['blit' as const], target: 0.6, span: 200 },
    };
    const model: AdversarialModel = {
      ...stylegan('stylegan2', 2),
      perturbation: augmentation({ shape: SHAPE, kinds: ['blit'] }),
    };
    const one = await createAdversarial({ name: 'one', backend: cpu, model, config: brief });
    for (let step = 0; step < 6; step++) await one.step(squares(16, step), step);
    const kept = await one.state();
    for (let step = 6; step < 12; step++) await one.step(squares(16, step), step);
    const other = await createAdversarial({
      name: 'other',
      backend: cpu,
      model,
      config: { ...brief, seed: 4 },
    });
    await other.restore(kept);
    for (let step = 6; step < 12; step++) await other.step(squares(16, step), step);
    expect(await other.state()).toEqual(await one.state());
    await one.close();
    await other.close();
  });
});

describe('the deviation in a batch', () => {
  // [rows of both batches, batches, group]: every row of a batch has the batch's value, so its groups have no deviation.
  it.each([
    [16, 2, 4],
    [20, 2, 4],
    [14, 2, 4],
    [10, 1, 4],
    [6, 2, 4],
  ])('of %i rows in %i batches, groups of %i, mixes no two batches', async (rows, batches, group) => {
    const program = trace('deviation', { x: { dtype: 'f32', shape: [rows, 1, 1, 1] } }, ({ x }) => ({
      y: minibatchDeviation(x as never, group, batches),
    }));
    const run = await cpu.compile(program);
    const of = async (values: number[]): Promise<number[]> => {
      const { y } = await run.run({ inputs: { x: tensor('f32', [rows, 1, 1, 1], values) } });
      return Array.from({ length: rows }, (_, i) => Number(y?.data[2 * i + 1]));
    };
    const each = rows / batches;
    const apart = await of(Array.from({ length: rows }, (_, i) => Math.floor(i / each)));
    for (const value of apart) expect(value).toBeLessThan(1e-3);
    // And it tells neighbours that differ from those that do not.
    const mixed = await of(Array.from({ length: rows }, (_, i) => i % 2));
    for (const value of mixed) expect(value).toBeGreaterThan(0.4);
  });
});

describe('what the critic sees', () => {
  it('is the picture itself where the strength is 0', async () => {
    const moves = augmentation({ shape: SHAPE, kinds: ['blit', 'geometry', 'colour'] });
    const program = trace(
      'see',
      { images: { dtype: 'f32', shape: [2, ...SHAPE] }, ...moves.inputs(2) },
      (x) => ({ seen: moves.apply(x, x.images as never).images }),
    );
    const run = await cpu.compile(program);
    const images = squares(2, 1).real as HostTensor;
    const { seen } = await run.run({ inputs: { images, ...moves.draw(new QuickRandom(1, 'see'), 2, 0) } });
    for (let i = 0; i < 128; i++) expect(seen?.data[i]).toBeCloseTo(Number(images.data[i]), 5);
  });

  it('is mirrored, turned and moved without loss by whole pixels', async () => {
    const moves = augmentation({ shape: SHAPE, kinds: ['blit'] });
    const program = trace(
      'see',
      { images: { dtype: 'f32', shape: [2, ...SHAPE] }, ...moves.inputs(2) },
      (x) => ({ seen: moves.apply(x, x.images as never).images }),
    );
    const run = await cpu.compile(program);
    const images = squares(2, 1).real as HostTensor<'f32'>;
    const levels = new Set([...images.data].map((v) => v.toFixed(4)));
    let moved = 0;
    for (let round = 0; round < 20; round++) {
      const { seen } = await run.run({
        inputs: { images, ...moves.draw(new QuickRandom(round, 'see'), 2, 1) },
      });
      for (const value of (seen as HostTensor<'f32'>).data) expect(levels.has(value.toFixed(4))).toBe(true);
      if (
        [...(seen as HostTensor<'f32'>).data].some((v, i) => Math.abs(v - (images.data[i] as number)) > 0.1)
      )
        moved++;
    }
    expect(moved).toBeGreaterThan(15);
  });

  it('has the noise of its number of steps (linear β from 1e-4 to 2e-2)', () => {
    const { signal, noise } = signalAndNoise(1000);
    // Ho et al. 2020: ᾱ at the last of 1000 steps.
    expect((signal[1000] as number) ** 2).toBeCloseTo(4.0358e-5, 8);
    expect((signal[500] as number) ** 2 + (noise[500] as number) ** 2).toBeCloseTo(1, 12);
  });
});
