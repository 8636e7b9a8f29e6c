/** Scores and references. */
export * from './masked.ts';
export * from './metrics/index.ts';
export { WittenBell } from './ngram.ts';
export * from './report.ts';
export * from './statistics.ts';
export * from './text.ts';
