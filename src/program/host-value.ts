/** Host tensors to plain numbers and back: the one place that knows how half floats are held. Knows no op. */
import { type DType, type HostTensor, tensor } from '../base/tensor.ts';
import { floatsToHalves, fromHalf } from '../formats/float16.ts';

/** The values as float64. */
export function numbersOf(value: HostTensor): Float64Array {
  const convert = value.dtype === 'f16' ? fromHalf : Number;
  return Float64Array.from(value.data as ArrayLike<number>, convert);
}

/** A host tensor of these values, rounded to the dtype. */
export function hostOf(dtype: DType, shape: readonly number[], values: readonly number[]): HostTensor {
  return tensor(dtype, shape, dtype === 'f16' ? floatsToHalves(values) : values);
}
