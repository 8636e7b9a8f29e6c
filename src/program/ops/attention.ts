/**
 * Scaled dot-product attention (Vaswani et al. 2017, eq. 1) with a hand-made gradient that walks over the
 * score matrix half as often: Σ_j dP·P = Σ_d dO·O (Dao et al. 2022, FlashAttention, appendix B).
 */
import { define, shapeError } from '../operation.ts';
import type { Size, Tensor, TensorType } from '../types.ts';
import { add, mul, sub } from './elementwise.ts';
import { byComposite, softmax } from './fused.ts';
import { matmul } from './linear.ts';
import { sum } from './reduce.ts';
import { swapAxes } from './shape.ts';

type Attributes = { scale: number };

const inPrimitives = ([q, k, v, mask]: readonly Tensor[], { scale }: Attributes): readonly Tensor[] => {
  const scores = matmul(mul(q as Tensor, scale), swapAxes(k as Tensor));
  const weights = softmax(mask === undefined ? scores : add(scores, mask));
  return [matmul(weights, v as Tensor), weights];
};

const attentionCall = define<Attributes>({
  name: 'attention',
  infer: (types) => {
    const [q, k, v, mask] = types as readonly TensorType[] as readonly [
      TensorType,
      TensorType,
      TensorType,
      TensorType | undefined,
    ];
    const fits =
      q.shape.length === k.shape.length &&
      k.shape.length === v.shape.length &&
      q.shape.length >= 3 &&
      q.shape.at(-1) === k.shape.at(-1) &&
      k.shape.at(-2) === v.shape.at(-2) &&
      q.shape.slice(0, -2).every((s, i) => s === k.shape[i] && s === v.shape[i]);
    if (!fits)
      shapeError(
        'attention',
        'queries, keys and values do not fit',
        types,
        'shapes are [.., time, dim], [.., keys, dim], [.., keys, value]',
      );
    const lead = q.shape.slice(0, -1);
    const scores = [...lead, k.shape.at(-2) as Size];
    const above = scores.length - (mask?.shape.length ?? 0);
    const covers = mask?.shape.every((size, i) => size === 1 || size === scores[above + i]) ?? true;
    if (above < 0 || !covers || (mask !== undefined && mask.dtype !== q.dtype))
      shapeError('attention', 'the mask does not fit', types, 'it is broadcast to [.., time, keys]');
    return [
      { dtype: q.dtype, shape: [...lead, v.shape.at(-1) as Size] },
      { dtype: q.dtype, shape: scores },
    ];
  },
  vjp: ({ inputs, outputs, cotangents, attributes: { scale } }) => {
    const [q, k, v] = inputs as readonly [Tensor, Tensor, Tensor];
    const [out, weights] = outputs as readonly [Tensor, Tensor];
    const [g, gWeights] = cotangents;
    let flow: Tensor | undefined;
    let total: Tensor | undefined;
    if (g !== undefined) {
      flow = matmul(g, swapAxes(v));
      total = sum(mul(g, out), { axes: [-1], keep: true });
    }
    if (gWeights !== undefined) {
      const own = sum(mul(gWeights, weights), { axes: [-1], keep: true });
      flow = flow === undefined ? gWeights : add(flow, gWeights);
      total = total === undefined ? own : add(total, own);
    }
    const scores = mul(weights, sub(flow as Tensor, total as Tensor));
    return [
      mul(matmul(scores, k), scale),
      matmul(swapAxes(scores), mul(q, scale)),
      g === undefined ? undefined : matmul(swapAxes(weights), g),
      ...(inputs.length > 3 ? [undefined] : []),
    ];
  },
  onnx: ({ emit, inputs, scalar, portable, types, attributes: { scale } }) => {
    const [q, k, v, mask] = inputs as readonly string[] as readonly [
      string,
      string,
      string,
      string | undefined,
    ];
    const { dtype, shape } = types[0] as TensorType;
    const rank = shape.length;
    const last = Array.from({ length: rank }, (_, i) =>
      i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i,
    );
    const scores = portable
      ? emit('MatMul', [emit('Mul', [q, scalar(scale, dtype)]), emit('Transpose', [k], { perm: last })])
      : emit('FusedMatMul', [q, k], { transB: 1, alpha: { float: scale } }, 'com.microsoft');
    const weights = emit('Softmax', [mask === undefined ? scores : emit('Add', [scores, mask])], {
      axis: -1,
    });
    return [emit('MatMul', [weights, v]), weights];
  },
  reference: byComposite(inPrimitives),
  composite: inPrimitives,
});

/**
 * softmax(q·kᵀ·scale + mask)·v.
 * @param q `[.., time, dim]` @param k `[.., keys, dim]` @param v `[.., keys, value]`
 * @param options `mask` is added to the scores (it gets no gradient); `scale` defaults to 1/√dim
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: { mask?: Tensor; scale?: number } = {},
): Tensor {
  const scale = options.scale ?? 1 / Math.sqrt(q.shape.at(-1) as number);
  return attentionCall(options.mask === undefined ? [q, k, v] : [q, k, v, options.mask], {
    scale,
  })[0] as Tensor;
}
