/** Image models that are ready to train, by name: sizes, and how they learn. */
import type { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import type { imageConfig } from './any.ts';
import type { ImageTrainingInput } from './training.ts';

type AnyModel = z.input<typeof imageConfig>;
/** Of diffusion in latents, the autoencoder comes from the run that it is trained from. */
type PresetModel =
  | Exclude<AnyModel, { architecture: 'latent-ddpm' }>
  | (Omit<Extract<AnyModel, { architecture: 'latent-ddpm' }>, 'autoencoder'> &
      Partial<Pick<Extract<AnyModel, { architecture: 'latent-ddpm' }>, 'autoencoder'>>);

export interface ImagePreset {
  id: string;
  title: string;
  description: string;
  /** But for the number of classes, which comes from the data. */
  model: PresetModel;
  /** Whether labels are used where the data have them. */
  labels: boolean;
  training: ImageTrainingInput;
}

const MNIST = { size: 28, channels: 1, latent: 64, width: 16, widest: 96 } as const;

/** The same for every architecture that is compared on MNIST. */
const EQUAL = {
  steps: 6000,
  batch: 32,
  generatorRate: 2e-3,
  criticRate: 2e-3,
  averageHalfLife: 10_000,
  evaluateEvery: 2000,
  checkpointEvery: 500,
  sampleEvery: 1000,
} as const;

/** One network, one loss: evaluations make pictures, which takes a denoiser long. */
const ALONE = {
  evaluateEvery: 2000,
  checkpointEvery: 500,
  sampleEvery: 2000,
  evaluationSamples: 500,
} as const;

export const imagePresets: readonly ImagePreset[] = [
  {
    id: 'mnist-cgan',
    title: 'Digits on demand',
    description:
      'A conditional GAN over MNIST with R1 and an averaged generator; a quarter of an hour on two cores.',
    model: { architecture: 'gan', ...MNIST },
    labels: true,
    training: { ...EQUAL, steps: 9000, r1: { weight: 1, every: 16 } },
  },
  {
    id: 'mnist-gan',
    title: 'Digits, plain GAN',
    description: 'A GAN without labels and without any penalty, as Goodfellow et al. had it, convolutional.',
    model: { architecture: 'gan', ...MNIST },
    labels: false,
    training: { ...EQUAL },
  },
  {
    id: 'mnist-diffusiongan',
    title: 'Digits, Diffusion-GAN',
    description: 'The same GAN with the noise of a random number of diffusion steps on what its critic sees.',
    model: { architecture: 'gan', ...MNIST },
    labels: false,
    training: {
      ...EQUAL,
      // As strong as the picture at the end of a short way, and there soon: docs/protocol-image.md says how this was chosen.
      augment: { name: 'diffusion', sigma: 1, least: 5, most: 100, target: 0.2, span: 20_000 },
    },
  },
  {
    id: 'mnist-stylegan1',
    title: 'Digits, StyleGAN',
    description: 'StyleGAN with AdaIN, noise, style mixing and R1.',
    model: { architecture: 'stylegan1', ...MNIST, output: 'tanh' },
    labels: false,
    training: { ...EQUAL, r1: { weight: 1, every: 16 } },
  },
  {
    id: 'mnist-stylegan2',
    title: 'Digits, StyleGAN 2',
    description: 'StyleGAN 2 with weight demodulation, R1, path length and style mixing.',
    model: { architecture: 'stylegan2', ...MNIST, output: 'tanh' },
    labels: false,
    training: { ...EQUAL, r1: { weight: 1, every: 16 }, pathLength: { weight: 2, every: 4 } },
  },
  {
    id: 'mnist-vae',
    title: 'Digits, autoencoder',
    description: 'A variational autoencoder with sixteen latent numbers.',
    model: { architecture: 'vae', ...MNIST, latent: 16 },
    labels: false,
    training: {
      steps: 6000,
      batch: 32,
      learningRate: 2e-3,
      optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0 },
      schedule: { name: 'linear', warmup: 100, decay: 0.5, floor: 0 },
      ...ALONE,
    },
  },
  {
    id: 'mnist-ddpm',
    title: 'Digits, denoising diffusion',
    description:
      'A U-Net that removes noise, with labels and guidance without a classifier; 50 steps a picture.',
    model: { architecture: 'ddpm', size: 28, channels: 1, width: 24, widest: 64 },
    labels: true,
    training: {
      steps: 6000,
      batch: 32,
      learningRate: 2e-3,
      optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0 },
      schedule: { name: 'linear', warmup: 200, decay: 0.5, floor: 0 },
      ema: 0.998,
      ...ALONE,
    },
  },
  {
    id: 'mnist-vae-map',
    title: 'Digits, autoencoder for diffusion',
    description: 'A variational autoencoder whose latent is a map of 7 × 7 with four channels.',
    model: { architecture: 'vae', ...MNIST, latent: 4, map: 7 },
    labels: false,
    training: {
      steps: 4000,
      batch: 32,
      learningRate: 2e-3,
      optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0 },
      schedule: { name: 'linear', warmup: 100, decay: 0.5, floor: 0 },
      ...ALONE,
    },
  },
  {
    id: 'mnist-latent-ddpm',
    title: 'Digits, diffusion in latents',
    description:
      'A denoiser of the latents of an autoencoder (--from its run, preset mnist-vae-map), with v-prediction, labels and guidance without a classifier.',
    model: { architecture: 'latent-ddpm', size: 28, channels: 1, width: 64, widest: 64, blocks: 2 },
    labels: true,
    training: {
      steps: 8000,
      batch: 32,
      learningRate: 2e-3,
      optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0 },
      schedule: { name: 'linear', warmup: 200, decay: 0.5, floor: 0 },
      ema: 0.998,
      ...ALONE,
    },
  },
  {
    id: 'icons-stylegan2',
    title: 'Icons',
    description:
      'StyleGAN 2 that grows from 16 × 16 to 64 × 64, with adaptive augmentation, for a few thousand drawings.',
    model: {
      architecture: 'stylegan2',
      size: 64,
      channels: 1,
      latent: 64,
      style: 64,
      width: 16,
      widest: 128,
      output: 'tanh',
    },
    labels: false,
    training: {
      steps: 12_000,
      batch: 16,
      r1: { weight: 4, every: 16 },
      pathLength: { weight: 2, every: 8 },
      augment: { name: 'ada', span: 100_000 },
      growth: { from: 16, share: 0.5 },
      averageHalfLife: 10_000,
      evaluateEvery: 1000,
      checkpointEvery: 250,
      sampleEvery: 500,
    },
  },
  {
    id: 'tiny-gan',
    title: 'Tiny',
    description: 'Seconds to train: to try the commands, and for tests.',
    model: { architecture: 'gan', size: 16, channels: 1, latent: 8, width: 4, widest: 16 },
    labels: true,
    training: {
      steps: 60,
      batch: 8,
      r1: { weight: 1, every: 8 },
      averageHalfLife: 100,
      evaluateEvery: 30,
      checkpointEvery: 20,
      sampleEvery: 30,
      evaluationSamples: 50,
    },
  },
];

/** @throws InkstoneError `preset_unknown`, with the names there are */
export function imagePreset(id: string): ImagePreset {
  const found = imagePresets.find((preset) => preset.id === id);
  if (found !== undefined) return found;
  const names = imagePresets.map((preset) => preset.id);
  throw new InkstoneError('preset_unknown', `there is no image preset "${id}"`, {
    kind: 'usage',
    hint: `the presets are ${names.join(', ')}`,
    details: { presets: names },
  });
}
