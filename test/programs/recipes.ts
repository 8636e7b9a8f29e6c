/**
 * Recipes of random programs: which ops to chain, on which shapes, with which choices. Knows nothing of how
 * they are drawn or what is expected of them.
 */
import { Random } from '../../src/base/rng.ts';
import { sizeOf, tensor } from '../../src/base/tensor.ts';
import * as P from '../../src/program/index.ts';

/** A value in a program under way; no element is larger than `bound`. */
interface Value {
  tensor: P.Tensor;
  bound: number;
}
export interface Step {
  op: string;
  picks: readonly number[];
}
export interface Recipe {
  shapes: readonly (readonly number[])[];
  steps: readonly Step[];
  seed: number;
}

/** What a step may choose from: each call takes the step's next number. */
interface Choice {
  below(count: number): number;
  of<T>(list: readonly T[]): T;
  value(): Value;
  number(): number;
  constant(shape: readonly number[]): P.Tensor;
}

const LARGEST = 240;
const shapeOf = (x: P.Tensor): number[] => x.shape as number[];
const map =
  (f: (x: P.Tensor) => P.Tensor, bound: (b: number) => number = () => 1) =>
  (c: Choice): Value => {
    const x = c.value();
    return { tensor: f(x.tensor), bound: bound(x.bound) };
  };
/** Along a random axis; a scalar has none and stays. */
const along =
  (f: (x: P.Tensor, axis: number, c: Choice) => P.Tensor, bound = (b: number, _size: number) => b) =>
  (c: Choice): Value => {
    const x = c.value();
    const rank = x.tensor.shape.length;
    if (rank === 0) return x;
    const axis = c.below(rank);
    return { tensor: f(x.tensor, axis, c), bound: bound(x.bound, shapeOf(x.tensor)[axis] as number) };
  };
/** Reductions: any set of axes, kept or not. */
const reduced =
  (
    f: (x: P.Tensor, options: { axes: number[]; keep: boolean }) => P.Tensor,
    bound = (b: number, _count: number) => b,
  ) =>
  (c: Choice): Value => {
    const x = c.value();
    const set = c.below(2 ** x.tensor.shape.length);
    const axes = x.tensor.shape.map((_, i) => i).filter((i) => (set >> i) % 2 === 1);
    const count = sizeOf(axes.map((axis) => shapeOf(x.tensor)[axis] as number));
    return { tensor: f(x.tensor, { axes, keep: c.below(2) === 1 }), bound: bound(x.bound, count) };
  };
/** A second operand that broadcasts: sizes of the first, some of them 1, some leading axes gone. */
function partner(x: P.Tensor, c: Choice): P.Tensor {
  const gone = c.below(x.shape.length + 1);
  const ones = c.below(2 ** x.shape.length);
  const shape = shapeOf(x).slice(gone);
  const source = c.value().tensor;
  const wanted = shape.map((size, i) => ((ones >> i) % 2 === 1 ? 1 : size));
  // One of the program's own values where it fits, so that it is used twice; else something new.
  const fits =
    source.shape.length <= x.shape.length &&
    source.shape.every((s, i) => s === 1 || s === x.shape[i + x.shape.length - source.shape.length]);
  return fits ? source : c.constant(wanted);
}
const pair =
  (f: (a: P.Tensor, b: P.Tensor) => P.Tensor, bound: (a: number) => number) =>
  (c: Choice): Value => {
    const a = c.value();
    const b = partner(a.tensor, c);
    const [left, right] = c.below(2) === 1 ? [a.tensor, b] : [b, a.tensor];
    return { tensor: f(left, right), bound: bound(Math.max(a.bound, 4)) };
  };

/** Every op here is smooth, or has its kinks where random values are not. */
export const OPS: Record<string, (c: Choice) => Value> = {
  neg: map(P.neg, (b) => b),
  exp: map((x) => P.exp(P.mul(x, 0.5)), Math.exp),
  log: map(
    (x) => P.log(P.add(P.mul(x, x), 0.5)),
    (b) => Math.log(b * b + 1) + 1,
  ),
  sqrt: map(
    (x) => P.sqrt(P.add(P.mul(x, x), 0.25)),
    (b) => b + 1,
  ),
  tanh: map(P.tanh),
  sin: map(P.sin),
  sigmoid: map(P.sigmoid),
  erf: map(P.erf),
  softplus: map(P.softplus, (b) => b + 1),
  gelu: map(P.gelu, (b) => b),
  relu: map(
    (x) => P.relu(P.sub(x, 0.1337)),
    (b) => b + 1,
  ),
  abs: map(
    (x) => P.abs(P.add(x, 0.1337)),
    (b) => b + 1,
  ),
  add: pair(P.add, (b) => 2 * b),
  sub: pair(P.sub, (b) => 2 * b),
  mul: pair(P.mul, (b) => b * b),
  div: pair(
    (a, b) => P.div(a, P.add(P.mul(b, b), 1)),
    (b) => b,
  ),
  maximum: pair(
    (a, b) => P.maximum(a, P.add(b, 0.1337)),
    (b) => b + 1,
  ),
  pow: map(
    (x) => P.pow(P.add(P.mul(x, x), 0.5), 1.5),
    (b) => (b * b + 0.5) ** 1.5,
  ),
  where: (c) => {
    const a = c.value();
    const b = partner(a.tensor, c);
    const condition = P.less(partner(a.tensor, c), c.number());
    return { tensor: P.where(condition, P.sin(a.tensor), P.mul(b, 0.5)), bound: 2 };
  },
  sum: reduced(P.sum, (b, count) => b * count),
  mean: reduced(P.mean),
  max: reduced(P.max),
  min: reduced(P.min),
  variance: reduced(P.variance, (b) => b * b),
  logSumExp: reduced(P.logSumExp, (b, count) => b + Math.log(count + 1)),
  prod: along(
    (x, axis) => P.prod(P.sin(x), { axes: [axis] }),
    () => 1,
  ),
  cumsum: along(P.cumsum, (b, size) => b * size),
  softmax: along(P.softmax, () => 1),
  logSoftmax: along(P.logSoftmax, (b, size) => 2 * b + Math.log(size + 1)),
  reverse: along(P.reverse),
  layerNorm: along(
    (x, _, c) => {
      const width = x.shape.at(-1) as number;
      const scale = P.mean(x, { axes: x.shape.slice(1).map((_, i) => i) });
      return c.below(2) === 1
        ? P.layerNorm(x, P.add(scale, 1), c.constant([width]), 0.01)
        : P.layerNorm(x, c.constant([width]), undefined, 0.01);
    },
    (b, size) => (b + 1) * (Math.sqrt(size) + 1) * 3,
  ),
  slice: along((x, axis, c) => {
    const size = shapeOf(x)[axis] as number;
    const start = c.below(size);
    return P.slice(x, { axis, start, end: start + 1 + c.below(size - start), step: 1 + c.below(2) });
  }),
  split: along((x, axis, c) => {
    const size = shapeOf(x)[axis] as number;
    const first = c.below(size);
    const parts = P.split(x, [first, size - first], axis);
    return P.concat([...parts].reverse(), axis);
  }),
  pad: along((x, axis, c) => {
    const pads = x.shape.map((_, i) => (i === axis ? [c.below(3), c.below(2)] : [0, 0]));
    return P.pad(x, pads);
  }),
  concat: along((x, axis, c) => P.concat([x, c.of([x, P.sin(x), P.slice(x, { axis, end: 1 })])], axis)),
  gather: along((x, axis, c) => {
    const size = shapeOf(x)[axis] as number;
    const shape = c.of([[2], [3], [2, 2], [1, 3], []]);
    const places = Array.from({ length: sizeOf(shape) }, () => c.below(size));
    return P.gather(x, P.constant(tensor('i32', shape, places)), axis);
  }),
  gatherElements: along((x, axis, c) => {
    const size = shapeOf(x)[axis] as number;
    const shape = shapeOf(x).map((s, i) => (i === axis ? 2 : s));
    const places = Array.from({ length: sizeOf(shape) }, (_, i) => (i * 7 + c.below(size)) % size);
    return P.gatherElements(x, P.constant(tensor('i32', shape, places)), axis);
  }),
  scatterAdd: along(
    (x, axis, c) => {
      const size = shapeOf(x)[axis] as number;
      const places = Array.from({ length: size }, () => c.below(3));
      return P.scatterAdd(x, P.constant(tensor('i32', [size], places)), 3, axis);
    },
    (b, size) => b * size,
  ),
  reshape: (c) => {
    const x = c.value();
    const size = sizeOf(shapeOf(x.tensor));
    const row = c.of([1, 2, 3, 4, 6].filter((n) => size % n === 0));
    return {
      tensor: P.reshape(x.tensor, c.of([[-1], [row, -1], [-1, row], [1, row, -1], [-1, 1, row]])),
      bound: x.bound,
    };
  },
  transpose: (c) => {
    const x = c.value();
    const order = new Random(c.below(1000)).shuffle(x.tensor.shape.map((_, i) => i));
    return { tensor: P.transpose(x.tensor, order), bound: x.bound };
  },
  broadcastTo: (c) => {
    const x = c.value();
    const shape = shapeOf(x.tensor).map((size) => (size === 1 ? 1 + c.below(3) : size));
    return { tensor: P.broadcastTo(x.tensor, c.of([shape, [2, ...shape], [1, ...shape]])), bound: x.bound };
  },
  matmul: (c) => {
    const x = c.value();
    const rank = x.tensor.shape.length;
    const a = rank < 2 ? P.reshape(x.tensor, [c.of([1, sizeOf(shapeOf(x.tensor))]), -1]) : x.tensor;
    const inner = a.shape.at(-1) as number;
    const square = P.swapAxes(a);
    const b = c.of([square, c.constant([inner, 1 + c.below(3)]), c.constant([2, 1, inner, 2])]);
    return { tensor: P.matmul(a, b), bound: Math.max(x.bound, 1) ** 2 * inner };
  },
  attention: (c) => {
    const x = c.value();
    const [rows, size] = [sizeOf(shapeOf(x.tensor).slice(0, -1)), x.tensor.shape.at(-1) ?? 1];
    const q = P.reshape(x.tensor, [1, rows, size]);
    return { tensor: P.attention(q, P.sin(q), P.tanh(q), { scale: 0.5 }), bound: 1 };
  },
};

/** Plays a recipe. Results: each value that no later step took, and a sum over all of them. */
export function play(recipe: Recipe, inputs: readonly P.Tensor[]): { ends: P.Tensor[]; total: P.Tensor } {
  const dtype = (inputs[0] as P.Tensor).dtype;
  const random = new Random(recipe.seed, 'constants');
  // The same numbers whatever the dtype: exact in f32.
  const constant = (shape: readonly number[]): P.Tensor =>
    P.cast(
      P.constant(
        tensor(
          'f32',
          shape,
          Array.from({ length: sizeOf(shape) }, () => Math.fround(random.normal())),
        ),
      ),
      dtype,
    );
  const pool: Value[] = inputs.map((t) => ({ tensor: t, bound: 4 }));
  const used = new Set<P.Tensor>();
  for (const step of recipe.steps) {
    let next = 0;
    const below = (count: number): number => (step.picks[next++ % step.picks.length] as number) % count;
    const value = (): Value => {
      // Late values are likelier: chains grow long instead of wide.
      const value = pool[pool.length - 1 - below(Math.min(pool.length, 3))] as Value;
      used.add(value.tensor);
      return value;
    };
    const made = (OPS[step.op] as (c: Choice) => Value)({
      below,
      of: (list) => list[below(list.length)] as never,
      value,
      number: () => below(1000) / 500 - 1 + 1 / 3000,
      constant,
    });
    if (sizeOf(shapeOf(made.tensor)) > LARGEST || made.tensor.shape.length > 5) continue;
    pool.push(made.bound > 6 ? { tensor: P.tanh(made.tensor), bound: 1 } : made);
  }
  const ends = pool.map((v) => v.tensor).filter((t) => !used.has(t) && !inputs.includes(t));
  const parts = ends.map((t) => P.sum(P.mul(t, constant(shapeOf(t)))));
  return { ends, total: parts.reduce((a, b) => P.add(a, b), P.sum(P.mul(inputs[0] as P.Tensor, 0.5))) };
}
