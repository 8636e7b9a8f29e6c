/**
 * Composites that runtimes have a faster form of, or whose gradient takes fewer walks over memory when it is written down:
 * softmax, log-softmax, layer norm, tanh-GELU, SiLU. Each keeps its meaning in primitives (`composite`), and is tested
 * against it.
 */

import { evaluate } from '../evaluate.ts';
import { define, type ReferenceCall, shapeError } from '../operation.ts';
import { programOf } from '../trace.ts';
import type { Attributes, Tensor, TensorType } from '../types.ts';
import { input } from './constant.ts';
import { add, div, exp, mul, requireFloat, sigmoid, sqrt, sub, tanh } from './elementwise.ts';
import { matmul } from './linear.ts';
import { logSumExp, max, mean, sum } from './reduce.ts';
import { axisOf, broadcastTo, reshape, transpose } from './shape.ts';

type Composite<A extends Attributes> = (inputs: readonly Tensor[], attributes: A) => readonly Tensor[];

/** The meaning of a fused op is its composite's. */
export function byComposite<A extends Attributes>(composite: Composite<A>) {
  return ({ inputs, attributes, types }: ReferenceCall<A>): Float64Array[] => {
    const stands = inputs.map((value, i) => ({
      name: `x${i}`,
      tensor: input(`x${i}`, { dtype: (types[i] as TensorType).dtype, shape: value.shape }),
    }));
    const outputs = composite(
      stands.map((s) => s.tensor),
      attributes,
    ).map((tensor, i) => ({ name: `y${i}`, tensor }));
    return evaluate(programOf('composite', stands, outputs), inputs).map((value) => value.data);
  };
}

const softmaxInPrimitives: Composite<{ axis: number }> = ([x], { axis }) => {
  const raised = exp(sub(x as Tensor, max(x as Tensor, { axes: [axis], keep: true })));
  return [div(raised, sum(raised, { axes: [axis], keep: true }))];
};

const softmaxCall = define<{ axis: number }>({
  name: 'softmax',
  infer: ([x]) => [x as TensorType],
  vjp: ({ outputs: [y], cotangents: [g], attributes: { axis } }) => {
    const flow = mul(g as Tensor, y as Tensor);
    return [sub(flow, mul(y as Tensor, sum(flow, { axes: [axis], keep: true })))];
  },
  onnx: ({ emit, inputs, attributes }) => emit('Softmax', inputs, { axis: attributes.axis }),
  reference: byComposite(softmaxInPrimitives),
  composite: softmaxInPrimitives,
});

export function softmax(x: Tensor, axis = -1): Tensor {
  return softmaxCall([x], { axis: axisOf('softmax', x, axis) })[0] as Tensor;
}

const logSoftmaxInPrimitives: Composite<{ axis: number }> = ([x], { axis }) => [
  sub(x as Tensor, logSumExp(x as Tensor, { axes: [axis], keep: true })),
];

const logSoftmaxCall = define<{ axis: number }>({
  name: 'logSoftmax',
  infer: ([x]) => [x as TensorType],
  vjp: ({ outputs: [y], cotangents: [g], attributes: { axis } }) => [
    sub(g as Tensor, mul(exp(y as Tensor), sum(g as Tensor, { axes: [axis], keep: true }))),
  ],
  onnx: ({ emit, inputs, attributes }) => emit('LogSoftmax', inputs, { axis: attributes.axis }),
  reference: byComposite(logSoftmaxInPrimitives),
  composite: logSoftmaxInPrimitives,
});

export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return logSoftmaxCall([x], { axis: axisOf('logSoftmax', x, axis) })[0] as Tensor;
}

/** [x, scale, bias?] → normalised, mean and 1/deviation (the two are for the gradient). */
const layerNormInPrimitives: Composite<{ epsilon: number }> = ([x, scale, bias], { epsilon }) => {
  const centre = mean(x as Tensor, { axes: [-1], keep: true });
  const centred = sub(x as Tensor, centre);
  const inverse = div(1, sqrt(add(mean(mul(centred, centred), { axes: [-1], keep: true }), epsilon)));
  const scaled = mul(mul(centred, inverse), scale as Tensor);
  return [bias === undefined ? scaled : add(scaled, bias), centre, inverse];
};

const layerNormCall = define<{ epsilon: number }>({
  name: 'layerNorm',
  infer: (types) => {
    const [x, scale] = types as readonly [TensorType, TensorType];
    if (types.slice(1).some((t) => t.shape.length !== 1 || t.shape[0] !== x.shape.at(-1))) {
      shapeError('layerNorm', 'scale and bias must be as long as the last axis', types);
    }
    if (x.shape.at(-1) === 0) shapeError('layerNorm', 'nothing to normalise: the last axis is 0', types);
    if (scale.dtype !== x.dtype) shapeError('layerNorm', 'needs one dtype', types);
    const statistics = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
    return [x, statistics, statistics];
  },
  vjp: ({ inputs, outputs, cotangents, needed }) => {
    const [x, scale] = inputs as readonly [Tensor, Tensor];
    const [, centre, inverse] = outputs as readonly [Tensor, Tensor, Tensor];
    const [g, gCentre, gInverse] = cotangents;
    const width = x.shape.at(-1) as number;
    // The statistics are functions of x, too (gradients of gradients pass through them):
    //   d centre = 1/C, d inverse = −inverse³·(x − centre)/C.
    let through: Tensor | undefined;
    if (gCentre !== undefined) through = broadcastTo(div(gCentre, width), x.shape);
    if (gInverse !== undefined) {
      const slope = mul(gInverse, div(mul(inverse, mul(inverse, inverse)), -width));
      const part = mul(slope, sub(x, centre));
      through = through === undefined ? part : add(through, part);
    }
    if (g === undefined) return [through, ...inputs.slice(1).map(() => undefined)];
    // y = n·scale + bias with n = (x − centre)·inverse and h = g·scale:
    //   dx = inverse·(h − mean h − n·mean(h·n)) = h·inverse − (x·slope + offset),
    //   slope = inverse²·mean(h·n), offset = inverse·mean h − centre·slope.
    // Row and column sums are products with vectors, so that g·x is the only other matrix that is written.
    const size = x.shape.at(-1) as number;
    const rows = (t: Tensor): Tensor => reshape(t, [-1, t.shape.at(-1) as number]);
    const flow = rows(g);
    const [flat, centres, inverses] = [rows(x), rows(centre), rows(inverse)] as const;
    const column = reshape(scale, [size, 1]);
    const flowX = mul(flow, flat);
    const meanH = div(matmul(flow, column), size);
    const meanHN = mul(inverses, sub(div(matmul(flowX, column), size), mul(centres, meanH)));
    const slope = mul(mul(inverses, inverses), meanHN);
    const offset = sub(mul(inverses, meanH), mul(centres, slope));
    const dx = sub(mul(mul(flow, scale), inverses), add(mul(flat, slope), offset));
    const sumRows = (weights: Tensor, t: Tensor): Tensor => reshape(matmul(transpose(weights), t), [size]);
    return [
      through === undefined ? reshape(dx, x.shape) : add(reshape(dx, x.shape), through),
      needed[1] === true ? sub(sumRows(inverses, flowX), sumRows(mul(inverses, centres), flow)) : undefined,
      ...(inputs.length > 2 ? [needed[2] === true ? sum(flow, { axes: [0] }) : undefined] : []),
    ];
  },
  onnx: ({ emitMany, inputs, attributes }) =>
    emitMany('LayerNormalization', inputs, 3, { axis: -1, epsilon: { float: attributes.epsilon } }),
  reference: byComposite(layerNormInPrimitives),
  composite: layerNormInPrimitives,
});

/** Ba et al. 2016 over the last axis; `bias` may be left out. */
export function layerNorm(x: Tensor, scale: Tensor, bias?: Tensor, epsilon = 1e-5): Tensor {
  return layerNormCall(bias === undefined ? [x, scale] : [x, scale, bias], { epsilon })[0] as Tensor;
}

const SLOPE = Math.sqrt(2 / Math.PI);
const CUBE = 0.044715;

const geluInPrimitives: Composite<Record<string, never>> = ([given]) => {
  const x = given as Tensor;
  const inner = mul(x, add(mul(mul(x, x), SLOPE * CUBE), SLOPE));
  return [mul(mul(x, 0.5), add(tanh(inner), 1))];
};

const geluCall = define<Record<string, never>>({
  name: 'gelu',
  infer: ([x]) => [x as TensorType],
  // With s = σ(2·inner): y = x·s and y' = s + y·(1 − s)·2·inner'; few walks over memory.
  vjp: ({ inputs: [given], outputs: [y], cotangents: [g] }) => {
    const x = given as Tensor;
    const half = add(mul(mul(x, x), 2 * SLOPE * CUBE), 2 * SLOPE);
    const s = sigmoid(mul(x, half));
    const slope = sub(mul(half, 3), 4 * SLOPE);
    return [mul(g as Tensor, add(s, mul(mul(sub(1, s), y as Tensor), slope)))];
  },
  onnx: ({ emit, inputs }) => emit('Gelu', inputs, { approximate: 'tanh' }),
  reference: byComposite(geluInPrimitives),
  composite: geluInPrimitives,
});

/** The tanh form of GELU (Hendrycks and Gimpel 2016, as GPT-2 has it). */
export function gelu(x: Tensor): Tensor {
  return geluCall([x], {})[0] as Tensor;
}

/** [x] → x·σ(x), and σ(x) for the gradient. */
const siluInPrimitives: Composite<Record<string, never>> = ([x]) => {
  const s = sigmoid(x as Tensor);
  return [mul(x as Tensor, s), s];
};

const siluCall = define<Record<string, never>>({
  name: 'silu',
  infer: ([x]) => {
    requireFloat('silu', x as TensorType);
    return [x as TensorType, x as TensorType];
  },
  // y' = σ·(1 + x − y), σ' = σ·(1 − σ).
  vjp: ({ inputs: [x], outputs, cotangents: [g, gS] }) => {
    const [y, s] = outputs as readonly [Tensor, Tensor];
    const own = g === undefined ? undefined : mul(g, mul(s, add(sub(x as Tensor, y), 1)));
    if (gS === undefined) return [own];
    const through = mul(gS, mul(s, sub(1, s)));
    return [own === undefined ? through : add(own, through)];
  },
  onnx: ({ emit, inputs: [x] }) => {
    const s = emit('Sigmoid', [x as string]);
    return [emit('Mul', [x as string, s]), s];
  },
  reference: byComposite(siluInPrimitives),
  composite: siluInPrimitives,
});

/** x·σ(x) (Hendrycks and Gimpel 2016; Ramachandran et al. 2017 as swish). */
export function silu(x: Tensor): Tensor {
  return siluCall([x], {})[0] as Tensor;
}
