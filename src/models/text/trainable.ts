/** A text model in training: the family's loss and evaluation behind the trainable contract. */
import type { HostTensors } from '../../base/tensor.ts';
import { createTrainable, type ProfiledTrainable } from '../../nn/trainable.ts';
import type { TrainingConfig } from '../../nn/training-config.ts';
import type { Backend } from '../../runtime/contract.ts';
import type { Gpt2Config } from './gpt2.ts';
import { gpt2Evaluate, gpt2Loss } from './gpt2-programs.ts';

export interface TextTrainableOptions {
  backend: Backend;
  model: Gpt2Config;
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
    name: 'gpt2',
    backend,
    model: gpt2Loss(model, training.batch, training.context),
    evaluate: gpt2Evaluate(model, options.evaluationBatch, training.context),
    config: training,
    ...(options.parameters === undefined ? {} : { parameters: options.parameters }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
  });
}
