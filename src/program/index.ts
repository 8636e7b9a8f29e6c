/** Tensor programs: tracing, ops, gradients, printing, lowering. */
export * from './types.ts';
export { trace, bindSizes, programOf } from './trace.ts';
export { checkpoint, grad, gradients, valueAndGrad } from './gradient.ts';
export { simplify } from './simplify.ts';
export { print } from './print.ts';
export { lower, lowerToModel, type LowerOptions } from './lower.ts';
export { evaluate } from './evaluate.ts';
export { flatten, mapTree } from './tree.ts';
export { operationNames } from './operation.ts';
export { constant, fill, iota, isTensor, zerosLike, type Operand } from './ops/constant.ts';
export * from './ops/elementwise.ts';
export * from './ops/shape.ts';
export * from './ops/reduce.ts';
export * from './ops/linear.ts';
export * from './ops/indexing.ts';
export { gelu, layerNorm, logSoftmax, softmax } from './ops/fused.ts';
export { attention } from './ops/attention.ts';
