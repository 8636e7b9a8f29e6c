/** Sampling and decoding. */
export * from './decoder.ts';
export * from './embedder.ts';
export * from './sampler.ts';
