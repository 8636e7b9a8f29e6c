/** How a training runs, as data: one schema for presets, flags and run folders. Knows no family. */
import { z } from 'zod';

const whole = z.number().int();

export const optimiserConfig = z.discriminatedUnion('name', [
  z.object({
    name: z.literal('adamw'),
    beta1: z.number().min(0).lt(1).default(0.9),
    beta2: z.number().min(0).lt(1).default(0.99),
    epsilon: z.number().positive().default(1e-8),
    weightDecay: z.number().min(0).default(0.1),
  }),
  z.object({
    name: z.literal('sgd'),
    momentum: z.number().min(0).lt(1).default(0.9),
    nesterov: z.boolean().default(false),
    weightDecay: z.number().min(0).default(0),
  }),
  z.object({
    name: z.literal('muon'),
    momentum: z.number().min(0).lt(1).default(0.95),
    weightDecay: z.number().min(0).default(0.1),
    /** Embeddings and vectors learn with AdamW at this fraction of the learning rate. */
    adamRate: z.number().positive().default(0.1),
    beta1: z.number().min(0).lt(1).default(0.9),
    beta2: z.number().min(0).lt(1).default(0.95),
    epsilon: z.number().positive().default(1e-8),
  }),
]);
export type OptimiserConfig = z.infer<typeof optimiserConfig>;

export const scheduleConfig = z.object({
  /** `cosine` falls to the floor along half a wave; `linear` stays high, then falls in a straight line over the last `decay` part. */
  name: z.enum(['constant', 'cosine', 'linear']).default('cosine'),
  /** Steps from 0 up to the full rate. */
  warmup: whole.min(0).default(100),
  /** The last part of the run over which `linear` falls, as a fraction. */
  decay: z.number().min(0).max(1).default(0.4),
  /** The final rate as a fraction of the full one. */
  floor: z.number().min(0).max(1).default(0.1),
});
export type ScheduleConfig = z.infer<typeof scheduleConfig>;

export const trainingConfig = z.object({
  seed: whole.min(0).default(1),
  steps: whole.min(1),
  /** Sequences a step. */
  batch: whole.min(1),
  /** Tokens in a training window; at most the model's context. */
  context: whole.min(1),
  /** Batches whose gradients are added before one optimiser step. */
  accumulation: whole.min(1).default(1),
  learningRate: z.number().positive(),
  optimiser: optimiserConfig,
  schedule: scheduleConfig,
  /** Limit of the global gradient norm; 0 for none. */
  clip: z.number().min(0).default(1),
  /** Decay of the parameter average; 0 for none. */
  ema: z.number().min(0).lt(1).default(0),
  /** Probability of dropping an element of the embedding and of each block's output. */
  dropout: z.number().min(0).lt(1).default(0),
  evaluateEvery: whole.min(1).default(250),
  checkpointEvery: whole.min(1).default(250),
  /** Evaluations without a better validation loss before the run ends early; 0 for never. */
  patience: whole.min(0).default(0),
  /** 0 for never. */
  sampleEvery: whole.min(0).default(250),
});
export type TrainingConfig = z.infer<typeof trainingConfig>;

/** The rate at a step (from 0): a function of the step alone, so a resumed run has the same. */
export function learningRateAt(
  step: number,
  config: Pick<TrainingConfig, 'steps' | 'learningRate' | 'schedule'>,
): number {
  const { name, warmup, decay, floor } = config.schedule;
  if (step < warmup) return (config.learningRate * (step + 1)) / (warmup + 1);
  if (name === 'constant') return config.learningRate;
  if (name === 'cosine') {
    const part = Math.min(1, (step - warmup) / Math.max(1, config.steps - warmup));
    return config.learningRate * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * part)));
  }
  const left = (config.steps - step) / Math.max(1, decay * config.steps);
  return config.learningRate * (floor + (1 - floor) * Math.min(1, Math.max(0, left)));
}
