import { promises as fs } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Trainable } from '../base/contracts/trainable.ts';
import { makeFolder, makeTemporaryFolder, removeFile, writeFile } from '../base/host.ts';
import { Random } from '../base/rng.ts';
import { type HostTensors, tensor } from '../base/tensor.ts';
import { aboutFile, ImageSet, pixelsFile } from '../data/image/array-file.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { pictureMaker } from '../generate/image/any.ts';
import type { Pictures } from '../generate/image/request.ts';
import { imageConfig } from '../models/image/any.ts';
import { loadImageModel } from '../models/image/load.ts';
import { type ImagePreset, imagePreset } from '../models/image/presets.ts';
import { vaeConfig, vaeSpecs } from '../models/image/vae.ts';
import type { AdversarialConfig } from '../nn/adversarial/config.ts';
import { initialise } from '../nn/parameters.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { astray, learningSpecs } from './image-kinds.ts';
import { trainImages } from './image-run.ts';
import { RunFolder } from './run-folder.ts';
import { train } from './trainer.ts';

let folder: string;
let data: ImageSet;
let backend: Backend;
const SIDE = 16;

beforeAll(async () => {
  folder = await makeTemporaryFolder('image-run');
  backend = await createBackend('cpu', { threads: 1, inline: true });
  const place = `${folder}/data`;
  await makeFolder(place);
  const random = new Random(1, 'pictures');
  // Upright or lying bars.
  const pixels = new Uint8Array(80 * SIDE * SIDE);
  for (let i = 0; i < 80; i++) {
    const at = 2 + random.integer(10);
    for (let k = 0; k < SIDE; k++)
      for (let w = 0; w < 3; w++)
        pixels[i * SIDE * SIDE + (i % 2 === 0 ? k * SIDE + at + w : (at + w) * SIDE + k)] = 230;
  }
  await writeFile(pixelsFile(place), pixels);
  await writeFile(
    aboutFile(place),
    JSON.stringify({
      ...{
        count: 80,
        size: SIDE,
        channels: 1,
        container: 'files',
        classes: ['lying', 'upright'],
        fingerprint: 'bars',
      },
      ...{
        skipped: [],
        alike: [],
        alikeComplete: true,
        names: [],
        labels: Array.from({ length: 80 }, (_, i) => (i + 1) % 2),
      },
    }),
  );
  data = await ImageSet.open(place);
});
afterAll(async () => {
  await data.close();
  await backend.close();
  await removeFile(folder);
});

const small = { size: SIDE, channels: 1, width: 4, widest: 16 } as const;
const alone = {
  batch: 16,
  learningRate: 4e-3,
  optimiser: { name: 'adamw' },
  schedule: { warmup: 5 },
} as const;
const presets: Record<string, ImagePreset> = {
  gan: imagePreset('tiny-gan'),
  stylegan2: {
    ...imagePreset('tiny-gan'),
    model: { architecture: 'stylegan2', ...small, latent: 8, style: 8, mapping: 2 },
    training: {
      ...{ steps: 20, batch: 8, r1: { weight: 1, every: 4 }, pathLength: { weight: 2, every: 4 } },
      augment: { name: 'ada', span: 500 },
      flip: true,
    },
  },
  diffusiongan: {
    ...imagePreset('tiny-gan'),
    training: { steps: 20, batch: 8, augment: { name: 'diffusion', most: 50 } },
  },
  ddpm: {
    ...imagePreset('tiny-gan'),
    model: { architecture: 'ddpm', ...small, widest: 8, steps: 10 },
    training: { steps: 20, ema: 0.9, crop: 0.2, jitter: 0.3, ...alone },
  },
  vae: {
    ...imagePreset('tiny-gan'),
    model: { architecture: 'vae', ...small, latent: 4 },
    training: { steps: 20, ...alone },
    labels: false,
  },
  'latent-ddpm': {
    ...imagePreset('tiny-gan'),
    model: {
      ...{ architecture: 'latent-ddpm', ...small, widest: 8, steps: 10 },
      autoencoder: { architecture: 'vae', ...small, latent: 2, map: 4 },
    },
    training: { steps: 20, ema: 0.9, ...alone },
  },
};
presets.growing = {
  ...(presets.stylegan2 as ImagePreset),
  training: { ...presets.stylegan2?.training, growth: { from: 8, share: 0.5 } } as ImagePreset['training'],
};
/** An autoencoder that learned nothing: enough for bytes. */
const autoencoder = initialise(
  vaeSpecs(vaeConfig.parse({ architecture: 'vae', ...small, latent: 2, map: 4 })),
  3,
);

const often = { steps: 12, evaluateEvery: 6, checkpointEvery: 3, sampleEvery: 0, evaluationSamples: 50 };
const brightness = (pictures: Pictures): Promise<number> =>
  Promise.resolve(pictures.pixels.reduce((a, b) => a + b, 0) / pictures.pixels.length);

const run = (preset: ImagePreset, out: string, more: Partial<Parameters<typeof trainImages>[0]> = {}) =>
  trainImages({
    ...{ preset, data, out, backend, training: often },
    judge: { name: 'brightness', score: brightness },
    ...(preset.model.architecture === 'latent-ddpm' ? { from: autoencoder } : {}),
    ...more,
  });

const lastOf = async (out: string) =>
  readSafetensors(await fs.readFile(`${out}/checkpoints/last.safetensors`));

describe.each(Object.keys(presets))('%s', (name) => {
  const preset = presets[name] as ImagePreset;

  it('ends with the same bytes whether it was stopped in between or not', async () => {
    const whole = await run(preset, `${folder}/${name}-whole`);
    expect(whole).toMatchObject({ state: 'succeeded', steps: 12, score: 'brightness' });
    expect(whole.validationLoss).toBeGreaterThan(0);
    const out = `${folder}/${name}-parts`;
    const stop = new AbortController();
    const part = await run(preset, out, {
      signal: stop.signal,
      report: ({ step, phase }) => {
        if (step === 6 && phase === 'saving') stop.abort();
      },
    });
    expect(part).toMatchObject({ state: 'stopped', early: 'signal' });
    const rest = await run(preset, out, { resume: true });
    expect(rest.bestValidationLoss).toBe(whole.bestValidationLoss);
    expect(await lastOf(out)).toEqual(await lastOf(`${folder}/${name}-whole`));
  });
});

/** What does not learn, and something that does. */
const FROZEN: Record<string, [string[], string]> = {
  gan: [['critic.picture', 'generator.start'], 'generator.picture.weight'],
  stylegan2: [['critic.size16', 'generator.mapping'], 'critic.score.weight'],
  diffusiongan: [['critic.picture', 'critic.times'], 'critic.score.weight'],
  ddpm: [['down16', 'labels'], 'last.weight'],
  vae: [['encoder'], 'decoder.picture.weight'],
  'latent-ddpm': [['down4'], 'last.weight'],
};

describe.each(Object.keys(FROZEN))('layers of a %s that are frozen', (name) => {
  const preset = presets[name] as ImagePreset;
  const [frozen, learning] = FROZEN[name] as [string[], string];
  // A pair's stand behind their network's name.
  const own = (tensors: HostTensors): HostTensors =>
    Object.fromEntries(
      Object.entries(tensors).map(([key, value]) => [key.replace(/^(critic|generator)\//, ''), value]),
    );
  const isFrozen = (key: string): boolean => frozen.some((start) => key.startsWith(start));

  it('stay bit for bit what they were, in what is saved and what is served; the others change', async () => {
    const model = imageConfig.parse({ ...preset.model, classes: preset.labels ? 2 : 0 });
    const specs = learningSpecs(model, preset.training as Partial<AdversarialConfig>).flat();
    const from: HostTensors = {
      ...initialise(specs, 4),
      ...(name === 'latent-ddpm' ? autoencoder : {}),
    };
    const out = `${folder}/${name}-frozen`;
    const training = { ...often, frozen } as never;
    const stop = new AbortController();
    await run(preset, out, {
      ...{ from, training, signal: stop.signal },
      report: ({ step, phase }) => {
        if (step === 6 && phase === 'saving') stop.abort();
      },
    });
    // A resumed run has them from its own checkpoint.
    await run(preset, out, { training, resume: true });
    const after = own((await lastOf(out)).tensors);
    const { weights } = await loadImageModel(out);
    const still = Object.keys(from).filter(isFrozen);
    expect(frozen.filter((start) => !still.some((key) => key.startsWith(start)))).toEqual([]);
    for (const key of still) {
      expect([key, after[key]]).toEqual([key, from[key]]);
      if (weights[key] !== undefined) expect([key, weights[key]]).toEqual([key, from[key]]);
    }
    expect(after[learning]).not.toEqual(from[learning]);
    const moving = Object.keys(from).filter(
      (key) => !isFrozen(key) && !(name === 'latent-ddpm' && key in autoencoder),
    );
    const same = moving.filter((key) => JSON.stringify(after[key]?.data) === JSON.stringify(from[key]?.data));
    expect(same).toEqual([]);
    // Nothing is kept of what would move them.
    expect(
      Object.keys(after).filter((key) => /^moment/.test(key) && isFrozen(key.replace(/^[a-z0-9]+\./, ''))),
    ).toEqual([]);
  });

  it('are refused where there are none of the name, and where nothing would be left', async () => {
    const out = `${folder}/${name}-refused`;
    const refusal = (words: string[]) => run(preset, out, { training: { ...often, frozen: words } as never });
    await expect(refusal(['nothing'])).rejects.toMatchObject({ code: 'layer_unknown' });
    await expect(refusal([''])).rejects.toMatchObject({ code: 'nothing_learns' });
  });
});

/** A trainable whose only number is the counter's, but for its steps. */
const holding = (counter: { value: number }): Omit<Trainable, 'step'> => {
  const kept = async (): Promise<HostTensors> => ({ value: tensor('f32', [1], [counter.value]) });
  return {
    state: kept,
    restore: async (state) => {
      counter.value = Number(state.value?.data[0]);
    },
    parameters: kept,
    evaluate: () => Promise.reject(new Error('not asked')),
    close: async () => undefined,
  };
};

describe('what goes wrong', () => {
  it('other settings and other data are not gone on with', async () => {
    const out = `${folder}/gan-parts`;
    await expect(
      run(presets.gan as ImagePreset, out, { resume: true, training: { ...often, batch: 4 } }),
    ).rejects.toMatchObject({ code: 'settings_differ' });
    await expect(run(presets.gan as ImagePreset, out)).rejects.toMatchObject({ code: 'run_exists' });
  });

  it('a run that goes astray goes back, takes another course and says so', async () => {
    const out = new RunFolder(`${folder}/astray`);
    await out.open();
    const seen: string[] = [];
    const counter = { value: 0 };
    const trainable: Trainable = {
      ...holding(counter),
      // The first two courses lead astray at step 7.
      step: async (batch, step) => {
        const attempt = Number(batch.attempt?.data[0]);
        seen.push(`${step}/${attempt}`);
        counter.value += 1;
        return { loss: 1, metrics: { spread: step === 7 && attempt < 2 ? 0 : 1 } };
      },
    };
    const outcome = await train({
      ...{ folder: out, trainable, resume: false, tokensPerStep: 1, rollbacks: 2 },
      config: { steps: 10, evaluateEvery: 10, checkpointEvery: 5, sampleEvery: 0, patience: 0 },
      batch: async (_, attempt) => ({ attempt: tensor('i32', [1], [attempt]) }),
      evaluate: async () => counter.value,
      astray: ({ metrics }) => (metrics?.spread === 0 ? 'it collapsed' : undefined),
    });
    expect(outcome).toMatchObject({ state: 'succeeded', steps: 10, validationLoss: 10 });
    expect(seen.join(' ')).toBe('0/0 1/0 2/0 3/0 4/0 5/0 6/0 7/0 5/1 6/1 7/1 5/2 6/2 7/2 8/2 9/2');
    const lines = (await fs.readFile(out.file('metrics.jsonl'), 'utf8')).trim().split('\n');
    const back = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'rollback');
    expect(back.at(-1)).toMatchObject({ step: 5, from: 8, rollbacks: 2, why: 'it collapsed' });
  });

  it('weights that are not finite at a checkpoint are neither judged nor kept: the run goes back, and counts time once', async () => {
    const out = new RunFolder(`${folder}/spoiled`);
    await out.open();
    const counter = { value: 0 };
    const judged: number[] = [];
    const trainable: Trainable = {
      ...holding(counter),
      // A finite loss, of the weights before the step that spoils them.
      step: async (batch, step) => {
        counter.value += step === 5 && Number(batch.attempt?.data[0]) === 0 ? Number.NaN : 1;
        await new Promise((resolve) => setTimeout(resolve, 20));
        return { loss: 1, metrics: {} };
      },
    };
    const begun = performance.now();
    const outcome = await train({
      ...{ folder: out, trainable, resume: false, tokensPerStep: 1, rollbacks: 1 },
      config: { steps: 9, evaluateEvery: 3, checkpointEvery: 3, sampleEvery: 0, patience: 0 },
      batch: async (_, attempt) => ({ attempt: tensor('i32', [1], [attempt]) }),
      evaluate: async () => {
        judged.push(counter.value);
        return 10 - counter.value;
      },
    });
    expect(judged).toEqual([3, 6, 9]);
    expect(outcome).toMatchObject({ state: 'succeeded', bestStep: 9 });
    expect(outcome.seconds).toBeLessThanOrEqual((performance.now() - begun) / 1000);
    const lines = (await fs.readFile(out.file('metrics.jsonl'), 'utf8')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line)).find(({ type }) => type === 'rollback')).toMatchObject({
      ...{ step: 3, from: 6, why: '"value" holds values that are not finite after step 6' },
    });
  });

  it('what is gone on from does not begin small again', async () => {
    const preset = presets.growing as ImagePreset;
    const model = imageConfig.parse({ ...preset.model, classes: 2 });
    const from = initialise(learningSpecs(model, preset.training as Partial<AdversarialConfig>).flat(), 8);
    const out = `${folder}/not-grown`;
    await run(preset, out, { training: { ...often, steps: 2, evaluateEvery: 2 }, from });
    const config = JSON.parse(await fs.readFile(`${out}/config.json`, 'utf8'));
    expect(config.training).not.toHaveProperty('growth');
    await run(preset, `${folder}/grown`, { training: { ...often, steps: 2, evaluateEvery: 2 } });
    const grown = JSON.parse(await fs.readFile(`${folder}/grown/config.json`, 'utf8'));
    expect(grown.training.growth).toEqual({ from: 8, share: 0.5 });
  });

  it('a run from another model that is killed before its first checkpoint goes on from that model', async () => {
    const preset = presets.gan as ImagePreset;
    const model = imageConfig.parse({ ...preset.model, classes: 2 });
    const from = initialise(learningSpecs(model, preset.training as Partial<AdversarialConfig>).flat(), 8);
    const training = { ...often, steps: 4, checkpointEvery: 4, evaluateEvery: 4 };
    const whole = `${folder}/killed-whole`;
    await run(preset, whole, { training, from });
    const out = `${folder}/killed`;
    // At the second step there are no pictures: as after a kill, nothing is saved any more.
    const failing: ImageSet = Object.create(data);
    let reads = 0;
    failing.read = (places) => (reads++ === 1 ? Promise.reject(new Error('killed')) : data.read(places));
    await expect(run(preset, out, { training, from, data: failing })).rejects.toThrow('killed');
    expect((await new RunFolder(out).readCheckpoint('last'))?.step).toBe(0);
    await run(preset, out, { training, resume: true });
    expect(await lastOf(out)).toEqual(await lastOf(whole));
  });

  it('a pair whose rates are absurd goes back to what it began from, says so, and fails in the end', async () => {
    const preset = presets.gan as ImagePreset;
    const model = imageConfig.parse({ ...preset.model, classes: 2 });
    const from = initialise(learningSpecs(model, preset.training as Partial<AdversarialConfig>).flat(), 8);
    const out = `${folder}/absurd`;
    const said: string[] = [];
    const training = { ...often, generatorRate: 1e6, criticRate: 1e6, rollbacks: 2 };
    const failed = run(preset, out, { training, from, note: (text) => said.push(text) });
    await expect(failed).rejects.toMatchObject({
      code: 'loss_not_finite',
      hint: expect.stringMatching(
        /^start again with a lower rate \(--learning-rate\); the last good .* step 0/,
      ),
    });
    expect(said).toEqual([
      expect.stringMatching(/^step \d+: .*; back to step 0 on another course \(1 of 2\)$/),
      expect.stringMatching(/^step \d+: .*; back to step 0 on another course \(2 of 2\)$/),
    ]);
    const lines = (await fs.readFile(`${out}/metrics.jsonl`, 'utf8')).trim().split('\n');
    const types = lines.map((line) => JSON.parse(line).type).filter((type) => type !== 'train');
    expect(types).toEqual(['rollback', 'rollback', 'state']);
  });

  it('astray is what has collapsed or exploded, but not at the start', () => {
    const metrics = { spread: 0.3, real_score: 2, fake_score: -2 };
    expect(astray({ loss: 1, metrics }, 500, 1000)).toBeUndefined();
    expect(astray({ loss: 1, metrics: { ...metrics, spread: 0.001 } }, 10, 1000)).toBeUndefined();
    expect(astray({ loss: 1, metrics: { ...metrics, spread: 0.001 } }, 500, 1000)).toMatch('collapsed');
    expect(astray({ loss: 1, metrics: { ...metrics, fake_score: Number.NaN } }, 10, 1000)).toMatch(
      'exploded',
    );
  });
});

describe('diffusion in latents', () => {
  const preset = presets['latent-ddpm'] as ImagePreset;

  it('keeps its autoencoder as it was, and makes pictures without the run it came from', async () => {
    const out = `${folder}/latent-alone`;
    await run(preset, out);
    const { weights, config } = await loadImageModel(out);
    for (const [name, value] of Object.entries(autoencoder)) expect(weights[name]).toEqual(value);
    const maker = pictureMaker(config, backend, weights);
    const request = { seeds: [1, 2], labels: [0, 1], steps: 3 };
    const made = await maker.make(request);
    expect([made.size, made.pixels.length]).toEqual([SIDE, 2 * SIDE * SIDE]);
    const from = new Float32Array(2 * SIDE * SIDE).fill(0.5);
    const near = await maker.make({ ...request, from, strength: 0.1 } as never);
    expect(near.pixels).not.toEqual(made.pixels);
    const keep = new Float32Array(SIDE * SIDE);
    await expect(maker.make({ ...request, from, keep } as never)).rejects.toMatchObject({
      code: 'unsupported_setting',
    });
    await maker.close();
  });

  it('does not begin without an autoencoder, or with one of another shape', async () => {
    const out = `${folder}/latent-none`;
    await expect(run(preset, out, { from: {} })).rejects.toMatchObject({ code: 'autoencoder_missing' });
    const model = { ...preset.model, autoencoder: { architecture: 'vae', ...small, latent: 2, map: 5 } };
    await expect(run({ ...preset, model } as ImagePreset, out)).rejects.toMatchObject({ code: 'image_size' });
  });
});

describe('learns', { timeout: 300_000 }, () => {
  it('a denoiser: pictures that are bars, lying or upright as they were asked for', async () => {
    const out = `${folder}/ddpm-long`;
    let last: Pictures | undefined;
    const score = (pictures: Pictures): Promise<number> => {
      last = pictures;
      return Promise.resolve(1);
    };
    const fine = { ...presets.ddpm, model: { ...presets.ddpm?.model, steps: 50 } } as ImagePreset;
    await run(fine, out, {
      training: { ...often, steps: 300, evaluateEvery: 300, learningRate: 1e-2 } as never,
      judge: { name: 'one', score },
    });
    // Along a lying bar rows are even; across it they are not.
    const { pixels, count } = last as Pictures;
    let right = 0;
    for (let i = 0; i < count; i++) {
      let along = 0;
      let across = 0;
      for (let y = 0; y < SIDE - 1; y++)
        for (let x = 0; x < SIDE - 1; x++) {
          const at = i * SIDE * SIDE + y * SIDE + x;
          along += Math.abs((pixels[at] as number) - (pixels[at + 1] as number));
          across += Math.abs((pixels[at] as number) - (pixels[at + SIDE] as number));
        }
      if (along < across === (i % 2 === 0)) right++;
    }
    expect(right / count).toBeGreaterThan(0.8);
  });
});
