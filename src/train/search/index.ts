/** Hyper-parameter search. */
export * from './halving.ts';
export * from './space.ts';
export * from './text-search.ts';
