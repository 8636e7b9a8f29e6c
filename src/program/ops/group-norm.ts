/**
 * Group norm (Wu and He 2018) as one op: scale and deviation are one factor per channel, and its gradient needs two sums a
 * channel; in primitives both walk over the picture up to twice as often.
 */
import { define, shapeError } from '../operation.ts';
import type { Tensor, TensorType } from '../types.ts';
import { add, div, mul, requireFloat, sqrt, square, sub } from './elementwise.ts';
import { byComposite } from './fused.ts';
import { mean, sum } from './reduce.ts';
import { broadcastTo, reshape } from './shape.ts';

type Attributes = { groups: number; epsilon: number };

/** `each` channels a group, `space` places a channel, `count` values a group. */
function sizesOf({ shape }: TensorType, { groups }: Attributes) {
  const [, channels, ...sides] = shape as readonly [unknown, number, ...number[]];
  const space = sides.reduce((product, side) => product * side, 1);
  const each = channels / groups;
  return { channels, each, space, count: each * space };
}

/** [x, scale, bias] → normalised, mean and 1/deviation `[batch, groups, 1]` (the two are for the gradient). */
const inPrimitives = (
  [x, scale, bias]: readonly Tensor[],
  attributes: Attributes,
): readonly [Tensor, Tensor, Tensor] => {
  const { shape } = x as Tensor;
  const { channels, count } = sizesOf(x as Tensor, attributes);
  const grouped = reshape(x as Tensor, [shape[0] as number, attributes.groups, count]);
  const centre = mean(grouped, { axes: [2], keep: true });
  const centred = sub(grouped, centre);
  const variance = mean(square(centred), { axes: [2], keep: true });
  const inverse = div(1, sqrt(add(variance, attributes.epsilon)));
  const line = [channels, ...shape.slice(2).map(() => 1)];
  const even = reshape(mul(centred, inverse), shape);
  const scaled = mul(even, reshape(scale as Tensor, line));
  return [add(scaled, reshape(bias as Tensor, line)), centre, inverse];
};

const groupNormCall = define<Attributes>({
  name: 'groupNorm',
  infer: (types, attributes) => {
    const [x, scale, bias] = types as readonly [TensorType, TensorType, TensorType];
    if (x.shape.length < 2 || x.shape.slice(1).some((size) => typeof size !== 'number'))
      shapeError('groupNorm', 'all sizes but the batch must be known', types);
    const { channels, count } = sizesOf(x, attributes);
    if ([scale, bias].some(({ shape }) => shape.length !== 1 || shape[0] !== channels))
      shapeError('groupNorm', 'scale and bias must be as long as there are channels', types);
    if (attributes.groups < 1 || !Number.isInteger(attributes.groups) || channels % attributes.groups !== 0)
      shapeError('groupNorm', `the channels are not in ${attributes.groups} groups of one size`, types);
    if (count === 0) shapeError('groupNorm', 'nothing to normalise: a group is empty', types);
    requireFloat('groupNorm', x);
    if (scale.dtype !== x.dtype || bias.dtype !== x.dtype) shapeError('groupNorm', 'needs one dtype', types);
    const statistics = { dtype: x.dtype, shape: [x.shape[0] as number, attributes.groups, 1] };
    return [x, statistics, statistics];
  },
  vjp: ({ inputs, outputs, cotangents, attributes, needed }) => {
    const [x, scale] = inputs as readonly [Tensor, Tensor];
    const [, centre, inverse] = outputs as readonly [Tensor, Tensor, Tensor];
    const [g, gCentre, gInverse] = cotangents;
    const { groups } = attributes;
    const { channels, each, space, count } = sizesOf(x, attributes);
    const batch = x.shape[0] as number;
    const grouped = reshape(x, [batch, groups, count]);
    // The statistics are functions of x, too (gradients of gradients pass through them):
    //   d centre = 1/N, d inverse = −inverse³·(x − centre)/N.
    let through: Tensor | undefined;
    if (gCentre !== undefined) through = broadcastTo(div(gCentre, count), grouped.shape);
    if (gInverse !== undefined) {
      const slope = mul(gInverse, div(mul(inverse, square(inverse)), -count));
      const part = mul(slope, sub(grouped, centre));
      through = through === undefined ? part : add(through, part);
    }
    const whole = (t: Tensor): Tensor => reshape(t, x.shape);
    if (g === undefined) return [through === undefined ? through : whole(through), undefined, undefined];
    // y = n·scale + bias with n = (x − centre)·inverse and h = g·scale, means over a group:
    //   dx = inverse·(h − mean h − n·mean(h·n)) = h·inverse − (x·slope + offset),
    //   slope = inverse²·mean(h·n), offset = inverse·mean h − centre·slope.
    // Of a whole picture only the sums of g and of g·x over each channel are needed.
    const places = [batch, channels, space];
    const [flow, flat] = [reshape(g, places), reshape(x, places)];
    const perChannel = (t: Tensor): Tensor => reshape(sum(t, { axes: [2] }), [batch, groups, each]);
    const [sumG, sumGX] = [perChannel(flow), perChannel(mul(flow, flat))];
    const weights = reshape(scale, [groups, each]);
    const ofGroup = (t: Tensor): Tensor => div(sum(mul(t, weights), { axes: [2], keep: true }), count);
    const meanH = ofGroup(sumG);
    const meanHN = mul(inverse, sub(ofGroup(sumGX), mul(centre, meanH)));
    const slope = mul(square(inverse), meanHN);
    const offset = sub(mul(inverse, meanH), mul(centre, slope));
    const factor = reshape(mul(inverse, weights), [batch, channels, 1]);
    const line = add(mul(grouped, slope), offset);
    const own = sub(whole(mul(flow, factor)), whole(line));
    const alongBatch = (t: Tensor): Tensor => reshape(sum(t, { axes: [0] }), [channels]);
    return [
      through === undefined ? own : add(own, whole(through)),
      needed[1] === true ? alongBatch(mul(inverse, sub(sumGX, mul(centre, sumG)))) : undefined,
      needed[2] === true ? alongBatch(sumG) : undefined,
    ];
  },
  onnx: ({ emit, inputs, integers, scalar, types, attributes }) => {
    const [x, scale, bias] = inputs as readonly [string, string, string];
    const { groups, epsilon } = attributes;
    const { dtype, shape } = types[0] as TensorType;
    const { channels, each, space, count } = sizesOf(types[0] as TensorType, attributes);
    // A size of 0 stands for the one that is there.
    const shaped = (t: string, sizes: readonly number[]): string => emit('Reshape', [t, integers(sizes)]);
    const grouped = shaped(x, [0, groups, count]);
    const centre = emit('ReduceMean', [grouped, integers([2])], { keepdims: 1 });
    // Squares of what is not centred would save a walk and lose digits where the mean is many times the deviation.
    const centred = emit('Sub', [grouped, centre]);
    const squares = emit('ReduceSumSquare', [centred, integers([2])], { keepdims: 1 });
    const variance = emit('Mul', [squares, scalar(1 / count, dtype)]);
    const inverse = emit('Reciprocal', [emit('Sqrt', [emit('Add', [variance, scalar(epsilon, dtype)])])]);
    const factor = emit('Mul', [inverse, shaped(scale, [groups, each])]);
    const scaled = emit('Mul', [shaped(centred, [0, channels, space]), shaped(factor, [0, channels, 1])]);
    const y = emit('Add', [scaled, shaped(bias, [channels, 1])]);
    return [shaped(y, [0, ...(shape.slice(1) as number[])]), centre, inverse];
  },
  reference: byComposite(inPrimitives),
  composite: inPrimitives,
});

/** `x` `[batch, channels, …]`, `scale` and `bias` `[channels]`; statistics over the channels of a group and all places. */
export function groupNorm(
  x: Tensor,
  scale: Tensor,
  bias: Tensor,
  { groups, epsilon = 1e-5 }: { groups: number; epsilon?: number },
): Tensor {
  return groupNormCall([x, scale, bias], { groups, epsilon })[0] as Tensor;
}
