/** A text model in training: the family's loss and evaluation behind the trainable contract. */
import type { HostTensors } from '../../base/tensor.ts';
import { createTrainable, type ProfiledTrainable } from '../../nn/trainable.ts';
import type { TrainingConfig } from '../../nn/training-config.ts';
import type { Backend } from '../../runtime/contract.ts';
import { architectureOf, type TextConfig, textEvaluate, textLoss } from './architectures.ts';

export interface TextTrainableOptions {
  backend: Backend;
  model: TextConfig;
  training: TrainingConfig;
  /** Rows of an evaluation batch. */
  evaluationBatch: number;
  /** Starting values; default: initialised from the seed. */
  parameters?: HostTensors;
  profile?: boolean;
}

/** Batches are `tokens` and `targets` i32 `[batch, context]`; for evaluation `weights` f32 beside them. */
export function createTextTrainable(options: TextTrainableOptions): Promise<ProfiledTrainable> {
  const { backend, model, training } = options;
  return createTrainable({
    name: architectureOf(model).name,
    backend,
    model: textLoss(model, training.batch, training.context),
    evaluate: textEvaluate(model, options.evaluationBatch, training.context),
    config: training,
    ...(options.parameters === undefined ? {} : { parameters: options.parameters }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
  });
}
