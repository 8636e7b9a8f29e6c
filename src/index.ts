/** Inkstone's public face: what a program needs to train, run, export and serve a model. Layers have subpaths of their own. */
export { InkstoneError } from './base/errors.ts';
export { type HostTensor, type HostTensors, tensor } from './base/tensor.ts';
export * as data from './data/index.ts';
export * as formats from './formats/index.ts';
export * as generate from './generate/index.ts';
export * as models from './models/index.ts';
export * as nn from './nn/index.ts';
export * as operate from './operate/index.ts';
export * as program from './program/index.ts';
export * as prompt from './prompt/index.ts';
export { createBackend } from './runtime/index.ts';
export * as serve from './serve/index.ts';
export * as train from './train/index.ts';
