/**
 * Negative log-likelihood of classes under a softmax, with a gradient that walks over the scores only as often as
 * it must: at a large vocabulary they are the largest tensor of a network.
 */
import { define, shapeError } from '../operation.ts';
import type { Tensor, TensorType } from '../types.ts';
import { add, mul, neg, sub } from './elementwise.ts';
import { byComposite, logSoftmax, softmax } from './fused.ts';
import { gatherElements, oneHot } from './indexing.ts';
import { sum } from './reduce.ts';
import { reshape } from './shape.ts';

type None = Record<string, never>;

function check(name: string, [logits, targets]: readonly TensorType[]): void {
  const fits =
    logits?.shape.length === 2 && targets?.shape.length === 1 && logits.shape[0] === targets.shape[0];
  if (!fits || !targets.dtype.startsWith('i'))
    shapeError(
      name,
      'scores and classes do not fit',
      [logits, targets] as TensorType[],
      'shapes are [rows, classes] and [rows], the second of whole numbers',
    );
}

const column = (t: Tensor): Tensor => reshape(t, [t.shape[0] as number, 1]);

const lossInPrimitives = ([logits, targets]: readonly Tensor[]): readonly Tensor[] => [
  reshape(neg(gatherElements(logSoftmax(logits as Tensor), column(targets as Tensor), 1)), [
    (targets as Tensor).shape[0] as number,
  ]),
];

const lossCall = define<None>({
  name: 'crossEntropy',
  infer: (types) => {
    check('crossEntropy', types);
    const [logits] = types as readonly [TensorType];
    return [{ dtype: logits.dtype, shape: [logits.shape[0] as number] }];
  },
  vjp: ({ inputs: [logits, targets], cotangents: [g] }) => [
    slopeCall([logits as Tensor, targets as Tensor, g as Tensor], {})[0],
    undefined,
  ],
  onnx: ({ emit, inputs, integers }) => {
    const [logits, targets] = inputs as readonly [string, string];
    const places = emit('Unsqueeze', [targets, integers([1])]);
    const picked = emit('GatherElements', [emit('LogSoftmax', [logits], { axis: -1 }), places], { axis: 1 });
    return emit('Neg', [emit('Squeeze', [picked, integers([1])])]);
  },
  reference: byComposite(lossInPrimitives),
  composite: lossInPrimitives,
});

/** [logits, targets, g] → (softmax(logits) − onehot(targets))·g. */
const slopeInPrimitives = ([logits, targets, g]: readonly Tensor[]): readonly Tensor[] => {
  const scores = logits as Tensor;
  const hot = oneHot(targets as Tensor, scores.shape[1] as number, scores.dtype);
  return [mul(sub(softmax(scores), hot), column(g as Tensor))];
};

const slopeCall = define<None>({
  name: 'crossEntropySlope',
  infer: (types) => {
    check('crossEntropySlope', types);
    return [types[0] as TensorType];
  },
  vjp: ({ inputs, cotangents: [c] }) => {
    const [logits, targets, g] = inputs as readonly [Tensor, Tensor, Tensor];
    const flow = c as Tensor;
    const p = softmax(logits);
    const weighted = mul(p, flow);
    const total = sum(weighted, { axes: [1], keep: true });
    // d logits = g·(p∘c − p·Σ p∘c), d g = Σ c∘(p − onehot)
    const own = reshape(gatherElements(flow, column(targets), 1), [targets.shape[0] as number]);
    return [
      mul(sub(weighted, mul(p, total)), column(g)),
      undefined,
      add(reshape(total, [targets.shape[0] as number]), neg(own)),
    ];
  },
  onnx: ({ emit, inputs, integers }) => {
    const [logits, targets, g] = inputs as readonly [string, string, string];
    const weights = emit('Unsqueeze', [g, integers([1])]);
    const scaled = emit('Mul', [emit('Softmax', [logits], { axis: -1 }), weights]);
    const places = emit('Unsqueeze', [targets, integers([1])]);
    return emit('ScatterElements', [scaled, places, emit('Neg', [weights])], { axis: 1, reduction: 'add' });
  },
  reference: byComposite(slopeInPrimitives),
  composite: slopeInPrimitives,
});

/**
 * Negative log-likelihood of each target under softmax(logits), in nats.
 * @param logits `[rows, classes] f32` @param targets `[rows] i32` @returns `[rows] f32`
 */
export function crossEntropyRows(logits: Tensor, targets: Tensor): Tensor {
  return lossCall([logits, targets], {})[0] as Tensor;
}
