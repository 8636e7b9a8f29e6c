/** Scores and references. */
export { WittenBell } from './ngram.ts';
