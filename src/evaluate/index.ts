/** Scores and references. */
export * from './metrics/index.ts';
export { WittenBell } from './ngram.ts';
