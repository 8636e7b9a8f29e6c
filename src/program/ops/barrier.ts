/** A value that may not be computed before another is there: keeps rematerialised work late. */
import { define, type ReferenceValue } from '../operation.ts';
import { mayBeEmpty } from '../size.ts';
import type { Tensor, TensorType } from '../types.ts';

const barrierCall = define<Record<string, never>>({
  name: 'barrier',
  infer: ([x]) => [x as TensorType],
  vjp: ({ cotangents: [g] }) => [g, undefined],
  onnx: ({ emit, inputs, integers, shape, types }) => {
    // The target shape is made to depend on one element of the second input; ONNX Runtime cannot fold that,
    // and Reshape itself moves nothing.
    const [x, after] = types as readonly [TensorType, TensorType];
    if (after.shape.includes(0) || x.shape.includes(0)) return inputs[0] as string;
    const first = emit('Slice', [
      emit('Reshape', [inputs[1] as string, integers([-1])]),
      integers([0]),
      integers([1]),
    ]);
    const bit = emit('Cast', [emit('IsNaN', [first])], { to: 7 });
    // Of a tensor that turns out empty there is no first element, but a sum.
    const one = mayBeEmpty(after.shape) ? emit('ReduceSum', [bit, integers([0])], { keepdims: 1 }) : bit;
    const target = emit('Add', [shape(x.shape), emit('Mul', [one, integers([0])])]);
    return emit('Reshape', [inputs[0] as string, target], { allowzero: mayBeEmpty(x.shape) ? 1 : undefined });
  },
  reference: ({ inputs: [x] }) => [(x as ReferenceValue).data],
});

/** `x`, but only once the floating tensor `after` exists. */
export function barrier(x: Tensor, after: Tensor): Tensor {
  return x.shape.length === 0 ? x : (barrierCall([x, after], {})[0] as Tensor);
}
