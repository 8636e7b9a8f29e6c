/** The WebGPU backend over SwiftShader, a GPU in software, in a process of its own: slow, but the whole path. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { entry } from '../base/host.ts';

const FOLDER = '/usr/lib/chromium';
const DRIVER = `${FOLDER}/vk_swiftshader_icd.json`;
const reason = existsSync(DRIVER)
  ? ''
  : ` (skipped: there is no ${DRIVER}; Debian's chromium package has it)`;

/** Trains a tiny GPT-2 for three steps on each backend and prints the losses and one parameter. */
const SCRIPT = `
const { createBackend } = await import(${JSON.stringify(entry('runtime/index'))});
const { createTextTrainable } = await import(${JSON.stringify(entry('models/index'))});
const { trainingConfig } = await import(${JSON.stringify(entry('nn/index'))});
const { tensor } = await import(${JSON.stringify(entry('base/tensor'))});
const model = { layers: 1, heads: 2, width: 16, context: 8, vocabulary: 11, bias: true };
const training = trainingConfig.parse({ steps: 3, batch: 2, context: 8, learningRate: 1e-2, optimiser: { name: 'adamw' }, schedule: { name: 'constant', warmup: 0 } });
const answer = {};
for (const name of ['cpu', 'webgpu']) {
  const backend = await createBackend(name, { inline: true });
  const gpt = await createTextTrainable({ backend, model, training, evaluationBatch: 1 });
  const losses = [];
  for (let step = 0; step < 3; step++) {
    const ids = Int32Array.from({ length: 16 }, (_, i) => (i * 3 + step) % 11);
    losses.push((await gpt.step({ tokens: tensor('i32', [2, 8], ids), targets: tensor('i32', [2, 8], ids) }, step)).loss);
  }
  answer[name] = { losses, weights: Array.from((await gpt.parameters())['h.0.mlp.c_fc.weight'].data.slice(0, 8)) };
}
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
`;

/** Three steps of a small conditional convolutional GAN, R1 among them, on each backend: both losses, and one kernel of each network. */
const PICTURES = `
const { createBackend } = await import(${JSON.stringify(entry('runtime/index'))});
const { createAdversarial } = await import(${JSON.stringify(entry('nn/adversarial/trainable'))});
const { adversarialConfig } = await import(${JSON.stringify(entry('nn/adversarial/config'))});
const { adversarialImageConfig, adversarialImageModel } = await import(${JSON.stringify(entry('models/image/architectures'))});
const { tensor } = await import(${JSON.stringify(entry('base/tensor'))});
const model = adversarialImageModel(
  adversarialImageConfig.parse({ architecture: 'gan', size: 8, channels: 1, classes: 2, latent: 4, width: 4, widest: 8 }),
  { name: 'none' },
);
const config = adversarialConfig.parse({ steps: 3, batch: 4, optimiser: { name: 'sgd', momentum: 0 }, generatorRate: 1e-2, criticRate: 1e-2, r1: { weight: 1, every: 2 } });
const answer = {};
for (const name of ['cpu', 'webgpu']) {
  const backend = await createBackend(name, { inline: true });
  const pair = await createAdversarial({ name: 'pair', backend, model, config });
  const losses = [];
  for (let step = 0; step < 3; step++) {
    const real = Float32Array.from({ length: 256 }, (_, i) => Math.sin(i * 0.7 + step));
    const { loss, metrics } = await pair.step({ real: tensor('f32', [4, 1, 8, 8], real), real_labels: tensor('i32', [4], [0, 1, 0, 1]) }, step);
    losses.push(loss, metrics.critic_loss);
  }
  const state = await pair.state();
  const weights = ['generator/generator.size4.weight', 'critic/critic.size4.weight'].flatMap((name) => Array.from(state[name].data.slice(0, 8)));
  answer[name] = { losses, weights };
}
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
`;

/** A step each of StyleGAN 2 (R1 and path length among them), a denoising U-Net and an autoencoder, on each backend. */
const KINDS = `
const { createBackend } = await import(${JSON.stringify(entry('runtime/index'))});
const { imageKind, readImageTraining } = await import(${JSON.stringify(entry('train/image-kinds'))});
const { imageConfig } = await import(${JSON.stringify(entry('models/image/any'))});
const { tensor } = await import(${JSON.stringify(entry('base/tensor'))});
const small = { size: 8, channels: 1, width: 4, widest: 8 };
const sgd = { name: 'sgd', momentum: 0 };
const alone = { steps: 2, batch: 4, learningRate: 1e-2, optimiser: sgd, schedule: { name: 'constant', warmup: 0 } };
const kinds = [
  [{ architecture: 'stylegan2', ...small, latent: 4, style: 6, mapping: 2 }, { steps: 2, batch: 4, optimiser: sgd, generatorRate: 1e-2, criticRate: 1e-2, r1: { weight: 1, every: 1 }, pathLength: { weight: 2, every: 1 } }],
  [{ architecture: 'ddpm', ...small, steps: 10 }, alone],
  [{ architecture: 'vae', ...small, latent: 4 }, alone],
];
const answer = {};
for (const name of ['cpu', 'webgpu']) {
  const [losses, weights] = [[], []];
  for (const [config, training] of kinds) {
    const backend = await createBackend(name, { inline: true });
    const model = imageConfig.parse(config);
    const kind = await imageKind(backend, model, readImageTraining(model.architecture, training), undefined);
    const real = tensor('f32', [4, 1, 8, 8], Float32Array.from({ length: 256 }, (_, i) => Math.sin(i * 0.7)));
    losses.push((await kind.trainable.step(kind.batch(real, undefined, 0, 0), 0)).loss);
    for (const part of Object.values(await kind.trainable.parameters())) weights.push(part.data[0]);
    await kind.trainable.close();
    await backend.close();
  }
  answer[name] = { losses, weights };
}
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
`;

type Run = { losses: number[]; weights: number[] };

interface Trained {
  status: number;
  loss: number;
  said: string;
}

/** `inkstone train text --device webgpu` as somebody types it; `driver` is a Vulkan driver's description. */
async function trainOnGpu(driver: string): Promise<Trained> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'inkstone-webgpu-'));
  const text = path.join(folder, 'text.txt');
  writeFileSync(text, 'the quick brown fox jumps over the lazy dog. '.repeat(80));
  const command = ['train', 'text', '--preset', 'tiny', '--data', text, '--out', path.join(folder, 'run')];
  const rest = ['--steps', '2', '--seed', '1', '--device', 'webgpu', '--json'];
  try {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [path.resolve('bin/inkstone.mjs'), ...command, ...rest],
      { env: { ...process.env, VK_DRIVER_FILES: driver, LD_LIBRARY_PATH: FOLDER } },
    );
    return { status: 0, loss: JSON.parse(stdout.trim().split('\n').at(-1) as string).val_loss, said: stderr };
  } catch (failed) {
    const { code, stdout, stderr } = failed as { code: number; stdout: string; stderr: string };
    return { status: code, loss: Number.NaN, said: stdout + stderr };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function onBoth(script: string): Promise<{ cpu: Run; webgpu: Run }> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, VK_DRIVER_FILES: DRIVER, LD_LIBRARY_PATH: FOLDER },
  });
  return JSON.parse(stdout) as { cpu: Run; webgpu: Run };
}

describe.skipIf(reason !== '')(`WebGPU${reason}`, () => {
  it('trains as the CPU does, parameters staying on the GPU', { timeout: 120_000 }, async () => {
    const { cpu, webgpu } = await onBoth(SCRIPT);
    webgpu.losses.forEach((loss, i) => expect(Math.abs(loss - (cpu.losses[i] as number))).toBeLessThan(1e-3));
    webgpu.weights.forEach((w, i) => expect(Math.abs(w - (cpu.weights[i] as number))).toBeLessThan(1e-3));
    expect(webgpu.losses[2]).toBeLessThan(webgpu.losses[0] as number);
  });

  it.each([
    { what: 'a convolutional pair with R1', script: PICTURES, losses: 6 },
    { what: 'StyleGAN 2 with R1 and path length, a U-Net, an autoencoder', script: KINDS, losses: 3 },
  ])('trains pictures as the CPU does: $what', { timeout: 240_000 }, async ({ script, losses }) => {
    const { cpu, webgpu } = await onBoth(script);
    for (const part of ['losses', 'weights'] as const) {
      expect(webgpu[part].length).toBe(cpu[part].length);
      cpu[part].forEach((value, i) =>
        expect(Math.abs(value - (webgpu[part][i] as number)), `${part} ${i}`).toBeLessThan(1e-3),
      );
    }
    expect(new Set(webgpu.losses).size).toBe(losses);
  });

  it('trains from the command line to the end, and lets go of the GPU', { timeout: 240_000 }, async () => {
    const { status, loss, said } = await trainOnGpu(DRIVER);
    expect(said).toContain('step 2/2');
    expect(status, said).toBe(0);
    expect(loss).toBeGreaterThan(1);
    expect(loss).toBeLessThan(4);
  });

  it('says what to do where there is no graphics processor', { timeout: 60_000 }, async () => {
    const { status, said } = await trainOnGpu('/nowhere.json');
    expect(status).toBe(9);
    expect(said).toContain('leave the device out');
  });
});
