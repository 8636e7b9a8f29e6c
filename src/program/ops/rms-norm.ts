/**
 * Root-mean-square norm (Zhang and Sennrich 2019), alone and after a residual sum: composites that ONNX Runtime has
 * faster forms of.
 */
import type { DType } from '../../base/tensor.ts';
import { define, type OnnxCall, shapeError } from '../operation.ts';
import { sameShape } from '../size.ts';
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

/** From g of the norm of x to those of x and of the scale. */
function backwards(
  [x, scale, inverse]: readonly [Tensor, Tensor, Tensor],
  g: Tensor,
  needsScale: boolean,
): [Tensor, Tensor | undefined] {
  const size = x.shape.at(-1) as number;
  // y = x·inverse·scale with h = g·scale: dx = h·inverse − x·inverse³·mean(h·x).
  const rows = (t: Tensor): Tensor => reshape(t, [-1, t.shape.at(-1) as number]);
  const [flow, flat, inverses, cube] = [
    rows(g),
    rows(x),
    rows(inverse),
    rows(mul(inverse, mul(inverse, inverse))),
  ] as const;
  const flowX = mul(flow, flat);
  const meanHX = div(matmul(flowX, reshape(scale, [size, 1])), size);
  const dx = sub(mul(mul(flow, scale), inverses), mul(flat, mul(cube, meanHX)));
  return [reshape(dx, x.shape), needsScale ? reshape(matmul(transpose(inverses), flowX), [size]) : undefined];
}

function inStandardOps(
  { emit, integers, scalar }: Pick<OnnxCall<Attributes>, 'emit' | 'integers' | 'scalar'>,
  [x, scale]: readonly [string, string],
  dtype: DType,
  epsilon: number,
): [string, string] {
  const squares = emit('ReduceMean', [emit('Mul', [x, x]), integers([-1])], { keepdims: 1 });
  const inverse = emit('Reciprocal', [emit('Sqrt', [emit('Add', [squares, scalar(epsilon, dtype)])])]);
  return [emit('Mul', [emit('Mul', [x, inverse]), scale]), inverse];
}

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
    // d inverse = −inverse³·x/C
    const through =
      gInverse === undefined
        ? undefined
        : mul(x, div(mul(gInverse, mul(inverse, mul(inverse, inverse))), -(x.shape.at(-1) as number)));
    if (g === undefined) return [through, undefined];
    const [own, ofScale] = backwards([x, scale, inverse], g, needed[1] === true);
    return [through === undefined ? own : add(own, through), ofScale];
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
    return inStandardOps({ emit, integers, scalar }, [x, scale], (types[0] as TensorType).dtype, epsilon);
  },
  reference: byComposite(inPrimitives),
  composite: inPrimitives,
});

/** x / √(mean(x²) + ε) · scale over the last axis. */
export function rmsNorm(x: Tensor, scale: Tensor, epsilon = 1e-5): Tensor {
  return rmsNormCall([x, scale], { epsilon })[0] as Tensor;
}

const skipInPrimitives = ([a, b, scale]: readonly Tensor[], attributes: Attributes): readonly Tensor[] => {
  const total = add(a as Tensor, b as Tensor);
  return [inPrimitives([total, scale as Tensor], attributes)[0] as Tensor, total];
};

const skipRmsNormCall = define<Attributes>({
  name: 'skipRmsNorm',
  infer: (types) => {
    const [a, b, scale] = types as readonly TensorType[] as readonly [TensorType, TensorType, TensorType];
    if (!sameShape(a.shape, b.shape) || a.dtype !== b.dtype)
      shapeError('skipRmsNorm', 'both sides of the sum must be alike', types);
    if (scale.shape.length !== 1 || scale.shape[0] !== a.shape.at(-1) || scale.dtype !== a.dtype)
      shapeError('skipRmsNorm', 'the scale must be as long as the last axis', types);
    if (a.shape.at(-1) === 0) shapeError('skipRmsNorm', 'nothing to normalise: the last axis is 0', types);
    return [a, a];
  },
  vjp: ({ inputs, outputs, cotangents: [g, gTotal], attributes: { epsilon }, needed }) => {
    const scale = inputs[2] as Tensor;
    const total = outputs[1] as Tensor;
    if (g === undefined) return [gTotal, gTotal, undefined];
    const inverse = inPrimitives([total, scale], { epsilon })[1] as Tensor;
    const [own, ofScale] = backwards([total, scale, inverse], g, needed[2] === true);
    const flow = gTotal === undefined ? own : add(own, gTotal);
    return [flow, flow, ofScale];
  },
  onnx: ({ emit, emitMany, inputs, types, portable, scalar, integers, attributes: { epsilon } }) => {
    const [a, b, scale] = inputs as readonly [string, string, string];
    const { dtype, shape } = types[0] as TensorType;
    if (portable || dtype !== 'f32' || shape.length < 2 || shape.length > 3) {
      const total = emit('Add', [a, b]);
      return [inStandardOps({ emit, integers, scalar }, [total, scale], dtype, epsilon)[0], total];
    }
    // Its second and third outputs are for training and stay empty on the CPU.
    const [normed, , , total] = emitMany(
      'SkipSimplifiedLayerNormalization',
      inputs,
      4,
      { epsilon: { float: epsilon } },
      'com.microsoft',
    ) as [string, string, string, string];
    return [normed, total];
  },
  reference: byComposite(skipInPrimitives),
  composite: skipInPrimitives,
});

/** A residual sum and the norm that comes after it: `[rmsNorm(a + b, scale), a + b]`; both sides of one shape. */
export function skipRmsNorm(a: Tensor, b: Tensor, scale: Tensor, epsilon = 1e-5): [Tensor, Tensor] {
  return [...skipRmsNormCall([a, b, scale], { epsilon })] as [Tensor, Tensor];
}
