/** Architectures and their presets, by family. */
export * from './text/any.ts';
export * from './text/architecture.ts';
export * from './text/architectures.ts';
export * from './text/bert.ts';
export * from './text/bert-programs.ts';
export * from './text/embedding-programs.ts';
export * from './text/gguf.ts';
export * from './text/gpt2.ts';
export * from './text/gpt3.ts';
export * from './text/inspect-programs.ts';
export * from './text/llama.ts';
export * from './text/load.ts';
export * from './text/pangu.ts';
export * from './text/pooling.ts';
export * from './text/presets.ts';
export { createTextTrainable, type TextTrainableOptions } from './text/trainable.ts';
