/**
 * Ops on each element alone, with broadcasting: arithmetic, functions, comparison, logic, casts.
 * Gradients are made of the same ops, so they can be differentiated again.
 */
import type { DType } from '../../base/tensor.ts';
import { define, type ReferenceValue, shapeError } from '../operation.ts';
import type { Tensor, TensorType } from '../types.ts';
import { broadcastIndex, broadcastShapes, product, unbroadcast } from './broadcast.ts';
import { constantLike, type Operand, operands } from './constant.ts';

type Unary = (x: Tensor) => Tensor;
type Binary = (a: Operand, b: Operand) => Tensor;

/** @throws InkstoneError `dtype_mismatch` or `shape_mismatch` with the caller's line */
export function requireFloat(op: string, type: TensorType): void {
  if (!type.dtype.startsWith('f')) shapeError(op, 'needs a floating type', [type], 'cast it first');
}

function unary(
  name: string,
  onnxOp: string,
  evaluate: (x: number) => number,
  derivative: ((x: Tensor, y: Tensor) => Tensor) | null,
  options: { whole?: boolean; opset?: string } = {},
): Unary {
  const call = define<Record<string, never>>({
    name,
    infer: ([x]) => {
      if (options.whole !== true) requireFloat(name, x as TensorType);
      return [x as TensorType];
    },
    vjp:
      derivative === null
        ? null
        : ({ inputs: [x], outputs: [y], cotangents: [g] }) => [
            mul(g as Tensor, derivative(x as Tensor, y as Tensor)),
          ],
    onnx: ({ emit, inputs }) => emit(onnxOp, inputs),
    reference: ({ inputs: [x] }) => [(x as ReferenceValue).data.map(evaluate)],
  });
  return (x) => call([x], {})[0] as Tensor;
}

/** Round half to even, as ONNX and NumPy do. */
function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Error function to float64: series near 0, continued fraction beyond (Abramowitz and Stegun 7.1.5, 7.1.14). */
export function erfReference(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; n < 120; n++) {
      term *= (-a * a) / n;
      const add = term / (2 * n + 1);
      sum += add;
      if (Math.abs(add) < 1e-18) break;
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = a;
  for (let k = 80; k >= 1; k--) fraction = a + k / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / (fraction * Math.sqrt(Math.PI)));
}

export const neg: Unary = unary(
  'neg',
  'Neg',
  (x) => -x,
  (x) => constantLike(-1, x),
  { whole: true },
);
export const abs: Unary = unary('abs', 'Abs', Math.abs, (x) => sign(x), { whole: true });
export const sign: Unary = unary('sign', 'Sign', Math.sign, null, { whole: true });
export const exp: Unary = unary('exp', 'Exp', Math.exp, (_, y) => y);
export const log: Unary = unary('log', 'Log', Math.log, (x) => div(1, x));
export const sqrt: Unary = unary('sqrt', 'Sqrt', Math.sqrt, (_, y) => div(0.5, y));
export const sin: Unary = unary('sin', 'Sin', Math.sin, (x) => cos(x));
export const cos: Unary = unary('cos', 'Cos', Math.cos, (x) => neg(sin(x)));
export const tanh: Unary = unary('tanh', 'Tanh', Math.tanh, (_, y) => sub(1, mul(y, y)));
export const erf: Unary = unary('erf', 'Erf', erfReference, (x) =>
  mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x)))),
);
export const sigmoid: Unary = unary(
  'sigmoid',
  'Sigmoid',
  (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
  (_, y) => mul(y, sub(1, y)),
);
export const floor: Unary = unary('floor', 'Floor', Math.floor, null);
export const ceil: Unary = unary('ceil', 'Ceil', Math.ceil, null);
export const round: Unary = unary('round', 'Round', roundEven, null);

function binaryReference(
  inputs: readonly ReferenceValue[],
  shape: readonly number[],
  evaluate: (a: number, b: number) => number,
): Float64Array {
  const [a, b] = inputs as readonly [ReferenceValue, ReferenceValue];
  const atA = broadcastIndex(a.shape, shape);
  const atB = broadcastIndex(b.shape, shape);
  const result = new Float64Array(product(shape));
  for (let i = 0; i < result.length; i++)
    result[i] = evaluate(a.data[atA(i)] as number, b.data[atB(i)] as number);
  return result;
}

function binary(
  name: string,
  onnxOp: string,
  evaluate: (a: number, b: number) => number,
  derivative: ((a: Tensor, b: Tensor, y: Tensor, g: Tensor, side: 0 | 1) => Tensor) | null,
  result: 'same' | 'bool' = 'same',
): Binary {
  const call = define<Record<string, never>>({
    name,
    infer: (types) => {
      const [a, b] = types as readonly [TensorType, TensorType];
      if (a.dtype !== b.dtype) shapeError(name, 'both sides need one dtype', types, 'cast one of them');
      return [{ dtype: result === 'bool' ? 'bool' : a.dtype, shape: broadcastShapes(name, types) }];
    },
    vjp:
      derivative === null
        ? null
        : ({ inputs, outputs: [y], cotangents: [g], needed }) => {
            const [a, b] = inputs as readonly [Tensor, Tensor];
            return ([0, 1] as const).map((side) =>
              needed[side] === true
                ? unbroadcast(
                    derivative(a, b, y as Tensor, g as Tensor, side),
                    (inputs[side] as Tensor).shape,
                  )
                : undefined,
            );
          },
    onnx: ({ emit, inputs }) => emit(onnxOp, inputs),
    reference: ({ inputs, outputs: [y], types }) => {
      const whole = !(types[0] as TensorType).dtype.startsWith('f');
      const truncated = name === 'div' && whole ? (a: number, b: number) => Math.trunc(a / b) : evaluate;
      return [binaryReference(inputs, (y as { shape: readonly number[] }).shape, truncated)];
    },
  });
  return (a, b) => call(operands(a, b), {})[0] as Tensor;
}

/** Gradient of max and min: to the larger (smaller); ties share it in halves, as PyTorch does. */
function choose(a: Tensor, b: Tensor, g: Tensor, first: Tensor): Tensor {
  return mul(g, add(cast(first, g.dtype), mul(0.5, cast(equal(a, b), g.dtype))));
}

export const add: Binary = binary(
  'add',
  'Add',
  (a, b) => a + b,
  (_a, _b, _y, g) => g,
);
export const sub: Binary = binary(
  'sub',
  'Sub',
  (a, b) => a - b,
  (_a, _b, _y, g, side) => (side === 0 ? g : neg(g)),
);
export const mul: Binary = binary(
  'mul',
  'Mul',
  (a, b) => a * b,
  (a, b, _y, g, side) => mul(g, side === 0 ? b : a),
);
/** Whole numbers divide towards zero. */
export const div: Binary = binary(
  'div',
  'Div',
  (a, b) => a / b,
  (_a, b, y, g, side) => (side === 0 ? div(g, b) : neg(div(mul(g, y), b))),
);
/** The gradient of the exponent counts only where the base is above zero. */
export const pow: Binary = binary(
  'pow',
  'Pow',
  (a, b) => a ** b,
  (a, b, y, g, side) => {
    if (side === 0) return mul(g, mul(b, pow(a, sub(b, 1))));
    const positive = greater(a, 0);
    return mul(g, where(positive, mul(y, log(where(positive, a, 1))), 0));
  },
);
export const maximum: Binary = binary('maximum', 'Max', Math.max, (a, b, _y, g, side) =>
  choose(a, b, g, side === 0 ? greater(a, b) : less(a, b)),
);
export const minimum: Binary = binary('minimum', 'Min', Math.min, (a, b, _y, g, side) =>
  choose(a, b, g, side === 0 ? less(a, b) : greater(a, b)),
);
export const equal: Binary = binary('equal', 'Equal', (a, b) => (a === b ? 1 : 0), null, 'bool');
export const less: Binary = binary('less', 'Less', (a, b) => (a < b ? 1 : 0), null, 'bool');
export const lessEqual: Binary = binary('lessEqual', 'LessOrEqual', (a, b) => (a <= b ? 1 : 0), null, 'bool');
export const logicalAnd: Binary = binary(
  'logicalAnd',
  'And',
  (a, b) => (a !== 0 && b !== 0 ? 1 : 0),
  null,
  'bool',
);
export const logicalOr: Binary = binary(
  'logicalOr',
  'Or',
  (a, b) => (a !== 0 || b !== 0 ? 1 : 0),
  null,
  'bool',
);
export const logicalNot: Unary = unary('logicalNot', 'Not', (x) => (x === 0 ? 1 : 0), null, { whole: true });
export const greater: Binary = (a, b) => less(b, a);
export const greaterEqual: Binary = (a, b) => lessEqual(b, a);
export const notEqual: Binary = (a, b) => logicalNot(equal(a, b));

/** Remainder with the sign of the divisor, as Python's %. Floating types only. */
export const mod: Binary = (a, b) => {
  const [x, y] = operands(a, b) as readonly [Tensor, Tensor];
  return sub(x, mul(y, floor(div(x, y))));
};
export const square = (x: Tensor): Tensor => mul(x, x);
export const reciprocal = (x: Tensor): Tensor => div(1, x);
export const relu = (x: Tensor): Tensor => maximum(x, 0);
/** ln(1 + e^x), without overflow. */
export const softplus = (x: Tensor): Tensor => add(relu(x), log(add(1, exp(neg(abs(x))))));
/** x·Φ(x), the exact form of GELU (Hendrycks and Gimpel 2016), as BERT has it. */
export const geluExact = (x: Tensor): Tensor => mul(mul(x, 0.5), add(erf(mul(x, Math.SQRT1_2)), 1));

const whereCall = define<Record<string, never>>({
  name: 'where',
  infer: (types) => {
    const [condition, a, b] = types as readonly [TensorType, TensorType, TensorType];
    if (condition.dtype !== 'bool') shapeError('where', 'the condition must be bool', types);
    if (a.dtype !== b.dtype) shapeError('where', 'both choices need one dtype', types, 'cast one of them');
    return [{ dtype: a.dtype, shape: broadcastShapes('where', types) }];
  },
  vjp: ({ inputs, cotangents: [g] }) => {
    const [condition, a, b] = inputs as readonly [Tensor, Tensor, Tensor];
    const flow = g as Tensor;
    return [
      undefined,
      unbroadcast(where(condition, flow, 0), a.shape),
      unbroadcast(where(condition, 0, flow), b.shape),
    ];
  },
  onnx: ({ emit, inputs }) => emit('Where', inputs),
  reference: ({ inputs, outputs: [y] }) => {
    const shape = (y as { shape: readonly number[] }).shape;
    const at = inputs.map((input) => broadcastIndex(input.shape, shape));
    return [
      Float64Array.from({ length: product(shape) }, (_, i) => {
        const pick = inputs[0]?.data[at[0]?.(i) as number] !== 0 ? 1 : 2;
        return inputs[pick]?.data[at[pick]?.(i) as number] as number;
      }),
    ];
  },
});

/** `a` where the condition holds, else `b`; all broadcast. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  return whereCall([condition, ...operands(a, b)], {})[0] as Tensor;
}

const castCall = define<{ to: DType }>({
  name: 'cast',
  infer: ([x], { to }) => [{ dtype: to, shape: (x as TensorType).shape }],
  vjp: ({ inputs: [x], cotangents: [g] }) => [
    (x as Tensor).dtype.startsWith('f') ? cast(g as Tensor, (x as Tensor).dtype) : undefined,
  ],
  onnx: ({ emit, inputs, attributes }) => emit('Cast', inputs, { to: ONNX_DTYPE[attributes.to] }),
  reference: ({ inputs: [x], attributes }) => {
    const { data } = x as ReferenceValue;
    if (attributes.to === 'bool') return [data.map((v) => (v !== 0 ? 1 : 0))];
    if (attributes.to.startsWith('f')) return [data];
    return [data.map(Math.trunc)];
  },
});

/** ONNX TensorProto.DataType. */
export const ONNX_DTYPE: Record<DType, number> = { f32: 1, u8: 2, i32: 6, i64: 7, bool: 9, f16: 10, f64: 11 };

/** To another dtype; towards whole numbers it truncates. */
export function cast(x: Tensor, to: DType): Tensor {
  return x.dtype === to ? x : (castCall([x], { to })[0] as Tensor);
}

const stopCall = define<Record<string, never>>({
  name: 'stopGradient',
  infer: ([x]) => [x as TensorType],
  vjp: null,
  onnx: ({ inputs }) => inputs[0] as string,
  reference: ({ inputs: [x] }) => [(x as ReferenceValue).data],
});

/** The same value; nothing flows back through it. */
export function stopGradient(x: Tensor): Tensor {
  return stopCall([x], {})[0] as Tensor;
}
