/** Parameters, losses, optimisers and what trains them. */

export * from './attention.ts';
export * from './lora.ts';
export * from './loss.ts';
export * from './optimiser.ts';
export * from './parameters.ts';
export * from './quantise.ts';
export * from './train-step.ts';
export * from './trainable.ts';
export * from './training-config.ts';
