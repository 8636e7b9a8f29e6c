/** The matrix product, batched and broadcast as NumPy's matmul. */
import { define, type OnnxCall, type ReferenceValue, shapeError } from '../operation.ts';
import { countOf, isStatic } from '../size.ts';
import type { Size, Tensor, TensorType } from '../types.ts';
import { broadcastIndex, broadcastShapes, product, unbroadcast } from './broadcast.ts';
import { reshape, swapAxes } from './shape.ts';

type Emit = OnnxCall<Record<string, never>>['emit'];

const matmulCall = define<Record<string, never>>({
  name: 'matmul',
  infer: (types) => {
    const [a, b] = types as readonly [TensorType, TensorType];
    if (a.shape.length < 2 || b.shape.length < 2)
      shapeError(
        'matmul',
        'both sides need at least two axes',
        types,
        'reshape a vector to a row or a column',
      );
    if (a.dtype !== b.dtype || !a.dtype.startsWith('f'))
      shapeError('matmul', 'both sides need one floating dtype', types);
    if (a.shape.at(-1) !== b.shape.at(-2))
      shapeError('matmul', `the inner sizes ${a.shape.at(-1)} and ${b.shape.at(-2)} differ`, types);
    const lead = broadcastShapes('matmul', [
      { dtype: a.dtype, shape: a.shape.slice(0, -2) },
      { dtype: b.dtype, shape: b.shape.slice(0, -2) },
    ]);
    return [{ dtype: a.dtype, shape: [...lead, a.shape.at(-2) as Size, b.shape.at(-1) as Size] }];
  },
  vjp: ({ inputs, cotangents: [g], needed }) => {
    const [a, b] = inputs as readonly [Tensor, Tensor];
    const flow = g as Tensor;
    const ga = needed[0] === true ? unbroadcast(matmul(flow, swapAxes(b)), a.shape) : undefined;
    if (needed[1] !== true) return [ga, undefined];
    if (b.shape.length === 2 && a.shape.length > 2) {
      // One product over all rows instead of a batch of products that is summed afterwards.
      const count = countOf(a.shape.slice(0, -1));
      const rows = reshape(a, [count, a.shape.at(-1) as Size]);
      return [ga, matmul(swapAxes(rows), reshape(flow, [count, flow.shape.at(-1) as Size]))];
    }
    return [ga, unbroadcast(matmul(swapAxes(a), flow), b.shape)];
  },
  onnx: ({ emit, integers, lookup, node, inputs, portable, types }) => {
    const [a, b] = node.inputs as readonly [Tensor, Tensor];
    const left = transposed(a);
    const right = transposed(b);
    const plain = left === undefined && right === undefined;
    // A zero inner size is a sum of nothing; ONNX Runtime's product leaves the memory as it was.
    if (plain || isEmpty(types)) return emit('MatMul', inputs);
    const names = [
      left === undefined ? (inputs[0] as string) : lookup(left),
      right === undefined ? (inputs[1] as string) : lookup(right),
    ];
    const flags = { transA: left === undefined ? 0 : 1, transB: right === undefined ? 0 : 1 };
    if (a.shape.length === 2 && b.shape.length === 2) {
      if (!portable && left !== undefined && right === undefined && isLarge(a, b))
        return leftTransposed(emit, integers, names as [string, string], left, b);
      return emit('Gemm', names, flags);
    }
    return portable ? emit('MatMul', inputs) : emit('FusedMatMul', names, flags, 'com.microsoft');
  },
  reference: ({ inputs, outputs: [y] }) => {
    const [a, b] = inputs as readonly [ReferenceValue, ReferenceValue];
    const shape = (y as { shape: readonly number[] }).shape;
    const lead = shape.slice(0, -2);
    const m = shape.at(-2) as number;
    const n = shape.at(-1) as number;
    const k = a.shape.at(-1) as number;
    const atA = broadcastIndex(a.shape.slice(0, -2), lead);
    const atB = broadcastIndex(b.shape.slice(0, -2), lead);
    const result = new Float64Array(product(shape));
    for (let batch = 0; batch < product(lead); batch++) {
      const baseA = atA(batch) * m * k;
      const baseB = atB(batch) * k * n;
      for (let i = 0; i < m; i++) {
        const row = (batch * m + i) * n;
        for (let p = 0; p < k; p++) {
          const value = a.data[baseA + i * k + p] as number;
          for (let j = 0; j < n; j++)
            result[row + j] = (result[row + j] as number) + value * (b.data[baseB + p * n + j] as number);
        }
      }
    }
    return [result];
  },
});

/**
 * aᵀ·b. ONNX Runtime's product with a transposed left side runs at 85 % of the plain one's speed (measured on
 * weights' gradients), so the smaller operand is turned by hand. The reshapes keep its optimiser from folding
 * the transpose back into the product.
 */
function leftTransposed(
  emit: Emit,
  integers: (values: readonly number[]) => string,
  [a, b]: readonly [string, string],
  left: Tensor,
  right: Tensor,
): string {
  const turn = (name: string, rows: number, columns: number): string => {
    const open = emit('Reshape', [name, integers([1, rows, columns])]);
    return emit('Reshape', [emit('Transpose', [open], { perm: [0, 2, 1] }), integers([columns, rows])]);
  };
  const [inner, m] = left.shape as readonly [number, number];
  const n = right.shape[1] as number;
  return m <= n ? emit('MatMul', [turn(a, inner, m), b]) : turn(emit('MatMul', [turn(b, inner, n), a]), n, m);
}

function isLarge(a: Tensor, b: Tensor): boolean {
  const shape: readonly Size[] = [...a.shape, b.shape[1] as Size];
  return isStatic(shape) && Math.min(...shape) >= 64 && shape.reduce((x: number, y) => x * y, 1) >= 2 ** 23;
}

/** The input of a transpose of the last two axes, if the tensor is one. */
function transposed(x: Tensor): Tensor | undefined {
  if (x.node.op !== 'transpose') return undefined;
  const order = x.node.attributes.permutation as readonly number[];
  const rank = order.length;
  const swaps = order.every(
    (axis, i) => axis === (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i),
  );
  return swaps ? x.node.inputs[0] : undefined;
}

function isEmpty(types: readonly TensorType[]): boolean {
  return types.some(({ shape }) => isStatic(shape) && shape.includes(0));
}

/** `[.., m, k] · [.., k, n] → [.., m, n]`; leading axes broadcast. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  return matmulCall([a, b], {})[0] as Tensor;
}
