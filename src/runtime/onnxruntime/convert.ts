/** Host tensors to ONNX Runtime's and back, over the same memory. */
import * as ort from 'onnxruntime-node';
import type { ArrayOf, DType, HostTensor } from '../../base/tensor.ts';

const TYPE = {
  f32: 'float32',
  f64: 'float64',
  f16: 'float16',
  i32: 'int32',
  i64: 'int64',
  u8: 'uint8',
  bool: 'bool',
} as const;

export function toOrt(tensor: HostTensor): ort.Tensor {
  return new ort.Tensor(
    TYPE[tensor.dtype] as 'float32',
    tensor.data as Float32Array,
    tensor.shape as number[],
  );
}

/** The tensor's memory. Half floats come back as bits, whatever array type the platform has for them. */
export function fromOrt<D extends DType>(value: ort.Tensor, dtype: D): ArrayOf[D] {
  const data = value.data as unknown as ArrayOf[D];
  if (dtype !== 'f16' || data instanceof Uint16Array) return data;
  const view = data as unknown as ArrayBufferView;
  return new Uint16Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength / 2) as ArrayOf[D];
}
