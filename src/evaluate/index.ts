/** Scores and references. */
export * from './compare-prompts.ts';
export * from './image/features.ts';
export * from './image/frechet.ts';
export * from './image/scores.ts';
export * from './language-model.ts';
export * from './masked.ts';
export * from './metrics/index.ts';
export { WittenBell } from './ngram.ts';
export * from './report.ts';
export * from './statistics.ts';
export * from './task-file.ts';
export * from './tasks.ts';
export * from './text.ts';
export * from './votes.ts';
