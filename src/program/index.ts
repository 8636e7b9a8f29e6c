/** Tensor programs: tracing, ops, gradients, printing, lowering. */

export { evaluate } from './evaluate.ts';
export { checkpoint, grad, gradients, gradientsOf, valueAndGrad } from './gradient.ts';
export { type LowerOptions, lower, lowerToModel } from './lower.ts';
export { operationNames } from './operation.ts';
export { attention } from './ops/attention.ts';
export { constant, fill, iota, isTensor, type Operand, zerosLike } from './ops/constant.ts';
export { type ConvOptions, conv, convTranspose } from './ops/convolution.ts';
export { crossEntropyRows } from './ops/cross-entropy.ts';
export * from './ops/elementwise.ts';
export { gelu, layerNorm, logSoftmax, silu, softmax } from './ops/fused.ts';
export { groupNorm } from './ops/group-norm.ts';
export * from './ops/indexing.ts';
export * from './ops/linear.ts';
export { averagePool, maxPool, type PoolOptions } from './ops/pooling.ts';
export * from './ops/quantised.ts';
export { leakyRelu } from './ops/rectify.ts';
export * from './ops/reduce.ts';
export { resize } from './ops/resize.ts';
export { rmsNorm, skipRmsNorm } from './ops/rms-norm.ts';
export { rotate } from './ops/rotary.ts';
export { type ScanResult, scan } from './ops/scan.ts';
export * from './ops/shape.ts';
export { print } from './print.ts';
export { simplify } from './simplify.ts';
export { bindSizes, programOf, trace } from './trace.ts';
export { flatten, mapTree } from './tree.ts';
export * from './types.ts';
