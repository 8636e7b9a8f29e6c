/** Architectures and their presets, by family. */
export * from './text/gpt2.ts';
export * from './text/gpt2-programs.ts';
export * from './text/hugging-face.ts';
export * from './text/load.ts';
export * from './text/presets.ts';
export { createTextTrainable, type TextTrainableOptions } from './text/trainable.ts';
