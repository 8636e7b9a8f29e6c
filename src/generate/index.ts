/** Sampling, decoding, and texts that must fit a schema. */
export * from './adjustments.ts';
export * from './constraint/index.ts';
export * from './decoder.ts';
export * from './embedder.ts';
export * from './logits-decoder.ts';
export * from './sampler.ts';
