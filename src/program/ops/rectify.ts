/** The leaky rectifier (Maas et al. 2013) as one op: its gradient needs the result alone, so that it can be done within a convolution. */
import { define, type ReferenceValue, shapeError } from '../operation.ts';
import type { Tensor, TensorType } from '../types.ts';
import { maximum, mul, sign, stopGradient } from './elementwise.ts';

const leakyCall = define<{ slope: number }>({
  name: 'leakyRelu',
  infer: ([x]) => {
    if (!(x as TensorType).dtype.startsWith('f'))
      shapeError('leakyRelu', 'needs a floating type', [x as TensorType], 'cast it first');
    return [x as TensorType];
  },
  // The sign of what comes out is that of what went in; at zero the slope counts, as in PyTorch.
  vjp: ({ outputs: [y], cotangents: [g], attributes: { slope } }) => [
    mul(g as Tensor, stopGradient(maximum(sign(y as Tensor), slope))),
  ],
  onnx: ({ emit, inputs, attributes: { slope } }) => emit('LeakyRelu', inputs, { alpha: { float: slope } }),
  reference: ({ inputs: [x], attributes: { slope } }) => [
    (x as ReferenceValue).data.map((value) => (value < 0 ? value * slope : value)),
  ],
});

/** x above zero, x·slope below. @param slope above 0, at most 1 */
export const leakyRelu = (x: Tensor, slope = 0.2): Tensor => leakyCall([x], { slope })[0] as Tensor;
