/** `inkstone/base`: errors, host tensors, chance, settings, logging and the contracts between the layers. */
export type * from './contracts/dataset.ts';
export type * from './contracts/generator.ts';
export type * from './contracts/guard.ts';
export type * from './contracts/queue.ts';
export type * from './contracts/replica.ts';
export type * from './contracts/store.ts';
export type * from './contracts/trainable.ts';
export { type ErrorKind, type ErrorOptions, InkstoneError } from './errors.ts';
export { createLogger, type Level, type Logger, type LoggerOptions } from './log.ts';
export { createProgress, type Progress, type ProgressOptions } from './progress.ts';
export { Permutation, Random } from './rng.ts';
export { type Field, fields, jsonSchema, read, type Settings, z } from './schema.ts';
export * from './tensor.ts';
export { codeVersion, packageVersion } from './version.ts';
