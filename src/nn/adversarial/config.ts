/** How two networks train against each other, as data. Knows no architecture. */
import { z } from 'zod';
import { optimiserConfig } from '../training-config.ts';
import { ADVERSARIAL_LOSSES } from './losses.ts';

const whole = z.number().int();

export const augmentConfig = z.discriminatedUnion('name', [
  z.object({ name: z.literal('none') }),
  z.object({
    /** Adaptive discriminator augmentation (Karras et al. 2020): the set is widened as far as the critic overfits. */
    name: z.literal('ada'),
    /** The sign of the critic's scores on real pictures that is aimed at, on average. */
    target: z.number().min(-1).max(1).default(0.6),
    /** Pictures over which the probability can go from 0 to 1. */
    span: whole.min(1).default(500_000),
    /** Groups of transforms: by whole pixels, of any angle and scale, of colours. */
    kinds: z.array(z.enum(['blit', 'geometry', 'colour'])).default(['blit', 'geometry', 'colour']),
    /** A probability that stays as it is; adaptive where it is left out. */
    fixed: z.number().min(0).max(1).optional(),
  }),
  z.object({
    /** Diffusion-GAN (Wang et al. 2022): noise of a random number of diffusion steps on what the critic sees. */
    name: z.literal('diffusion'),
    target: z.number().min(-1).max(1).default(0.6),
    /** Fewest and most diffusion steps. */
    least: whole.min(1).default(10),
    most: whole.min(1).max(1000).default(1000),
    /** Deviation of the noise at full strength. */
    sigma: z.number().positive().default(0.05),
    /** Pictures over which the number of steps can go from least to most. */
    span: whole.min(1).default(100_000),
  }),
]);
export type AugmentConfig = z.infer<typeof augmentConfig>;

export const adversarialConfig = z.object({
  seed: whole.min(0).default(1),
  /** One step: the critic learns `criticSteps` times, the generator once. */
  steps: whole.min(1),
  /** Pictures a step. */
  batch: whole.min(2),
  loss: z.enum(ADVERSARIAL_LOSSES).default('non-saturating'),
  criticSteps: whole.min(1).default(1),
  generatorRate: z.number().positive().default(2e-3),
  criticRate: z.number().positive().default(2e-3),
  /** The part of the run, at its end, over which both rates fall to zero. */
  decay: z.number().min(0).max(1).default(0.3),
  optimiser: optimiserConfig.default({
    name: 'adamw',
    beta1: 0,
    beta2: 0.99,
    epsilon: 1e-8,
    weightDecay: 0,
  }),
  /** R1 on real pictures: weight γ, every so many steps (lazily, Karras et al. 2020b, section 3.1); weight 0 for none. */
  r1: z
    .object({ weight: z.number().min(0), every: whole.min(1).default(16) })
    .default({ weight: 0, every: 16 }),
  /** WGAN-GP's weight of (‖∇‖ − 1)². */
  slope: z.number().min(0).default(10),
  /** Path length (Karras et al. 2020b, section 3.2); weight 0 for none. */
  pathLength: z
    .object({
      weight: z.number().min(0),
      every: whole.min(1).default(4),
      decay: z.number().min(0).max(1).default(0.01),
    })
    .default({ weight: 0, every: 4, decay: 0.01 }),
  /** Pictures after which an old generator counts half in the average. */
  averageHalfLife: z.number().positive().default(10_000),
  augment: augmentConfig.default({ name: 'none' }),
  /** StyleGAN 2: smaller pictures first, of at least so many pixels a side, doubling; together they have this share of the steps. */
  growth: z.object({ from: whole.min(3), share: z.number().min(0).max(0.95).default(0.5) }).optional(),
  /** Mirror pictures at random. */
  flip: z.boolean().default(false),
  /** Show a random square of each picture: the largest part of a side that is cut away. */
  crop: z.number().min(0).max(0.5).optional(),
  /** Change contrast, brightness and saturation at random: by how much at most. */
  jitter: z.number().min(0).max(1).optional(),
  /** Parameters whose names begin so do not learn (fine-tuning). */
  frozen: z.array(z.string()).default([]),
  evaluateEvery: whole.min(1).default(1000),
  checkpointEvery: whole.min(1).default(500),
  /** Pictures that an evaluation while training makes. */
  evaluationSamples: whole.min(50).default(2000),
  sampleEvery: whole.min(0).default(500),
  /** Times that a diverged run goes back to its last good state. */
  rollbacks: whole.min(0).default(3),
});
export type AdversarialConfig = z.infer<typeof adversarialConfig>;
