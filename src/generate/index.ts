/** Sampling and decoding. */
export * from './decoder.ts';
export * from './sampler.ts';
