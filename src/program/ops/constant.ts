/** Values that come from nowhere: inputs, constants, counting. Numbers stand for scalar constants. */
import type { DType, HostTensor } from '../../base/tensor.ts';
import { hostOf, numbersOf } from '../host-value.ts';
import { define, makeNode } from '../operation.ts';
import { canonicalShape } from '../size.ts';
import type { Shape, Size, Tensor, TensorType } from '../types.ts';

/** A tensor, or a number that takes its neighbour's dtype. */
export type Operand = Tensor | number;

export function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'node' in value && 'index' in value;
}

const constantCall = define<{ value: HostTensor }>({
  name: 'constant',
  infer: (_, { value }) => [{ dtype: value.dtype, shape: value.shape }],
  vjp: null,
  onnx: () => '',
  reference: ({ attributes: { value } }) => [numbersOf(value)],
});

/** A constant: a number, or a host tensor. */
export function constant(value: HostTensor | number, dtype: DType = 'f32'): Tensor {
  const host = typeof value === 'number' ? hostOf(dtype, [], [value]) : value;
  return constantCall([], { value: host })[0] as Tensor;
}

export function constantLike(value: number, like: TensorType): Tensor {
  return constant(value, like.dtype);
}

export function operand(value: Operand, dtype: DType = 'f32'): Tensor {
  return typeof value === 'number' ? constant(value, dtype) : value;
}

export function operands(a: Operand, b: Operand): readonly Tensor[] {
  const dtype = isTensor(a) ? a.dtype : isTensor(b) ? b.dtype : 'f32';
  return [operand(a, dtype), operand(b, dtype)];
}

/** An input of a program. @throws InkstoneError `size_invalid` */
export function input(name: string, type: TensorType): Tensor {
  return makeNode('input', [], { name }, [{ dtype: type.dtype, shape: canonicalShape(type.shape) }])
    .outputs[0] as Tensor;
}

define<{ name: string }>({
  name: 'input',
  infer: () => [],
  vjp: null,
  onnx: () => '',
  reference: () => [],
});

const iotaCall = define<{ size: Size; dtype: DType }>({
  name: 'iota',
  infer: (_, { size, dtype }) => [{ dtype, shape: [size] }],
  vjp: null,
  onnx: ({ emit, size, scalar, attributes, integers }) => {
    const limit = emit('Squeeze', [size(attributes.size), integers([0])]);
    const range = emit('Range', [scalar(0, 'i64'), limit, scalar(1, 'i64')]);
    return attributes.dtype === 'i64'
      ? range
      : emit('Cast', [range], {
          to: { f32: 1, u8: 2, i32: 6, i64: 7, bool: 9, f16: 10, f64: 11 }[attributes.dtype],
        });
  },
  reference: ({ outputs: [y] }) => [
    Float64Array.from({ length: (y as { shape: readonly number[] }).shape[0] as number }, (_, i) => i),
  ],
});

/** 0, 1, … size−1. */
export function iota(size: Size, dtype: DType = 'i32'): Tensor {
  return iotaCall([], { size: canonicalShape([size])[0] as Size, dtype })[0] as Tensor;
}

const fillCall = define<{ value: number; shape: Shape; dtype: DType }>({
  name: 'fill',
  infer: (_, { shape, dtype }) => [{ dtype, shape }],
  vjp: null,
  onnx: ({ emit, scalar, shape, attributes }) =>
    emit('Expand', [scalar(attributes.value, attributes.dtype), shape(attributes.shape)]),
  reference: ({ attributes, outputs: [y] }) => {
    const size = (y as { shape: readonly number[] }).shape.reduce((a, b) => a * b, 1);
    return [new Float64Array(size).fill(attributes.value)];
  },
});

/** A tensor of one value. */
export function fill(value: number, shape: Shape, dtype: DType = 'f32'): Tensor {
  return fillCall([], { value, shape: canonicalShape(shape), dtype })[0] as Tensor;
}

export const zerosLike = (like: TensorType): Tensor => fill(0, like.shape, like.dtype);
