/** Scores of texts against references. */
export * from './answers.ts';
export * from './bleu.ts';
export * from './chrf.ts';
export * from './classes.ts';
export * from './edit.ts';
export * from './rouge.ts';
export { BLEU_TOKENIZERS, type BleuTokenizer } from './tokenize.ts';
