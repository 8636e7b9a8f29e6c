/** How image models train, as data: pairs of networks, or one network with one loss. */
import { z } from 'zod';
import type { adversarialConfig } from '../../nn/adversarial/config.ts';
import { trainingConfig } from '../../nn/training-config.ts';

export const oneLossImageTraining = trainingConfig.omit({ context: true, patience: true }).extend({
  /** Mirror pictures at random. */
  flip: z.boolean().default(false),
  /** Show a random square of each picture: the largest part of a side that is cut away. */
  crop: z.number().min(0).max(0.5).optional(),
  /** Change contrast, brightness and saturation at random: by how much at most. */
  jitter: z.number().min(0).max(1).optional(),
  /** Parameters whose names begin so do not learn (fine-tuning); runs of old have none. */
  frozen: z.array(z.string()).optional(),
  /** Pictures that an evaluation while training makes. */
  evaluationSamples: z.number().int().min(50).default(500),
});
export type OneLossImageTraining = z.infer<typeof oneLossImageTraining>;

export type ImageTrainingInput = z.input<typeof adversarialConfig> | z.input<typeof oneLossImageTraining>;
export type ImageTraining = z.infer<typeof adversarialConfig> | OneLossImageTraining;
