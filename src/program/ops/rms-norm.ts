/** Root-mean-square norm (Zhang and Sennrich 2019): a composite that ONNX Runtime has a faster form of. */
import { define, shapeError } from '../operation.ts';
import type { Tensor, TensorType } from '../types.ts';
import { add, div, mul, sqrt, sub } from './elementwise.ts';
import { byComposite } from './fused.ts';
import { matmul } from './linear.ts';
import { mean } from './reduce.ts';
import { reshape, transpose } from './shape.ts';

type Attributes = { epsilon: number };

/** [x, scale] → normalised and 1/rms (for the gradient). */
const inPrimitives = ([x, scale]: readonly Tensor[], { epsilon }: Attributes): readonly Tensor[] => {
  const inverse = div(1, sqrt(add(mean(mul(x as Tensor, x as Tensor), { axes: [-1], keep: true }), epsilon)));
  return [mul(mul(x as Tensor, inverse), scale as Tensor), inverse];
};

const rmsNormCall = define<Attributes>({
  name: 'rmsNorm',
  infer: (types) => {
    const [x, scale] = types as readonly [TensorType, TensorType];
    if (scale.shape.length !== 1 || scale.shape[0] !== x.shape.at(-1))
      shapeError('rmsNorm', 'the scale must be as long as the last axis', types);
    if (x.shape.at(-1) === 0) shapeError('rmsNorm', 'nothing to normalise: the last axis is 0', types);
    if (scale.dtype !== x.dtype) shapeError('rmsNorm', 'needs one dtype', types);
    return [x, { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] }];
  },
  vjp: ({ inputs, outputs, cotangents, needed }) => {
    const [x, scale] = inputs as readonly [Tensor, Tensor];
    const inverse = outputs[1] as Tensor;
    const [g, gInverse] = cotangents;
    const size = x.shape.at(-1) as number;
    const cube = mul(inverse, mul(inverse, inverse));
    // d inverse = −inverse³·x/C
    const through = gInverse === undefined ? undefined : mul(x, div(mul(gInverse, cube), -size));
    if (g === undefined) return [through, undefined];
    // y = x·inverse·scale with h = g·scale: dx = h·inverse − x·inverse³·mean(h·x).
    const rows = (t: Tensor): Tensor => reshape(t, [-1, t.shape.at(-1) as number]);
    const [flow, flat, inverses] = [rows(g), rows(x), rows(inverse)] as const;
    const flowX = mul(flow, flat);
    const meanHX = div(matmul(flowX, reshape(scale, [size, 1])), size);
    const dx = sub(mul(mul(flow, scale), inverses), mul(flat, mul(rows(cube), meanHX)));
    const own = reshape(dx, x.shape);
    return [
      through === undefined ? own : add(own, through),
      needed[1] === true ? reshape(matmul(transpose(inverses), flowX), [size]) : undefined,
    ];
  },
  onnx: ({ emit, emitMany, inputs, integers, scalar, portable, types, attributes: { epsilon } }) => {
    const [x, scale] = inputs as readonly [string, string];
    if (!portable) {
      // Its second output is 1/rms.
      return emitMany('SimplifiedLayerNormalization', [x, scale], 2, {
        axis: -1,
        epsilon: { float: epsilon },
      });
    }
    const { dtype } = types[0] as TensorType;
    const squares = emit('ReduceMean', [emit('Mul', [x, x]), integers([-1])], { keepdims: 1 });
    const inverse = emit('Reciprocal', [emit('Sqrt', [emit('Add', [squares, scalar(epsilon, dtype)])])]);
    return [emit('Mul', [emit('Mul', [x, inverse]), scale]), inverse];
  },
  reference: byComposite(inPrimitives),
  composite: inPrimitives,
});

/** x / √(mean(x²) + ε) · scale over the last axis. */
export function rmsNorm(x: Tensor, scale: Tensor, epsilon = 1e-5): Tensor {
  return rmsNormCall([x, scale], { epsilon })[0] as Tensor;
}
