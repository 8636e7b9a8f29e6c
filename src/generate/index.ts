/** Sampling, decoding, and texts that must fit a schema. */
export * from './adjustments.ts';
export * from './beam-search.ts';
export * from './constraint/index.ts';
export * from './decoder.ts';
export * from './embedder.ts';
export * from './logits-decoder.ts';
export { grouped } from './prompt-groups.ts';
export * from './sampler.ts';
