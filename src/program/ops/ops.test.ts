/**
 * Every op against three oracles of our own: ONNX Runtime against the float64 reference, the gradient against
 * finite differences, the gradient of the gradient against finite differences of the gradient.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostTensor, sizeOf, tensor } from '../../base/tensor.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import * as P from '../index.ts';
import { operationNames } from '../operation.ts';

type Fn = (x: Record<string, P.Tensor>) => P.Tensor;
interface Case {
  name: string;
  shapes: Record<string, number[]>;
  fn: Fn;
  /** Keeps inputs away from kinks and poles. */
  positive?: boolean;
}

const ids = (values: number[], shape = [values.length]): P.Tensor => P.constant(tensor('i32', shape, values));
const one = (name: string, f: (x: P.Tensor) => P.Tensor, positive = false): Case => ({
  name,
  shapes: { x: [2, 3] },
  fn: ({ x }) => f(x as P.Tensor),
  positive,
});
const two = (name: string, f: (a: P.Tensor, b: P.Tensor) => P.Tensor, positive = false): Case => ({
  name,
  shapes: { a: [2, 1, 3], b: [4, 1] },
  fn: ({ a, b }) => f(a as P.Tensor, b as P.Tensor),
  positive,
});

const cases: Case[] = [
  one('neg', P.neg),
  one('abs', P.abs, true),
  one('exp', P.exp),
  one('log', P.log, true),
  one('sqrt', P.sqrt, true),
  one('sin', P.sin),
  one('cos', P.cos),
  one('tanh', P.tanh),
  one('leakyRelu', (x) => P.leakyRelu(x, 0.3)),
  one('erf', P.erf),
  one('sigmoid', P.sigmoid),
  one('sign', (x) => P.mul(P.sign(x), x)),
  one('floor', (x) => P.mul(P.floor(x), x)),
  one('ceil', (x) => P.mul(P.ceil(x), x)),
  one('round', (x) => P.mul(P.round(x), x)),
  one('softplus', P.softplus),
  one('gelu', P.gelu),
  one('silu', P.silu),
  {
    name: 'quantisedMatmul, dequantise',
    shapes: { x: [2, 20], b: [2, 3] },
    fn: ({ x, b }) => {
      const layout = { bits: 4, block: 16, inner: 20 } as const;
      const blocks = P.constant(
        tensor(
          'u8',
          [3, 2, 8],
          Array.from({ length: 48 }, (_, i) => (37 * i) % 256),
        ),
      );
      const scales = P.constant(tensor('f32', [3, 2], [0.5, -0.25, 0.125, 1, 0.5, 0.75]));
      const made = P.quantisedMatmul(x as P.Tensor, blocks, scales, layout, { exact: true });
      const rows = P.gatherQuantised(blocks, scales, ids([2, 0]), layout);
      return P.add(P.mul(made, b as P.Tensor), P.sum(P.cast(rows, made.dtype)));
    },
  },
  one('stopGradient', (x) => P.mul(P.stopGradient(P.floor(x)), x)),
  one('cast', (x) => P.mul(P.cast(P.cast(x, 'i32'), x.dtype), x)),
  two('add', P.add),
  two('sub', P.sub),
  two('mul', P.mul),
  two('div', P.div, true),
  two('pow', P.pow, true),
  two('maximum', P.maximum),
  two('minimum', P.minimum),
  two('mod', P.mod, true),
  two('where, less, logic', (a, b) =>
    P.where(
      P.logicalOr(P.logicalAnd(P.less(a, b), P.logicalNot(P.equal(a, b))), P.lessEqual(b, -9)),
      P.mul(a, b),
      P.add(a, b),
    ),
  ),
  one('softmax', (x) => P.softmax(x)),
  one('logSoftmax', (x) => P.logSoftmax(x, 0)),
  one('logSumExp', (x) => P.logSumExp(x, { axes: [1] })),
  one('sum, mean', (x) => P.add(P.sum(x, { axes: [0] }), P.mean(x, { axes: [-1], keep: true }))),
  one('variance', (x) => P.variance(x)),
  one('max', (x) => P.max(x, { axes: [1] })),
  one('min', (x) => P.min(x, { axes: [0] })),
  one('prod', (x) => P.prod(x, { axes: [1] })),
  one('argmax, argmin', (x) =>
    P.mul(
      x,
      P.cast(P.sub(P.argmax(x, 1), P.argmin(P.transpose(x), 0)), x.dtype).shape.length === 1
        ? P.cast(P.reshape(P.sub(P.argmax(x, 1), P.argmin(x, 1)), [2, 1]), x.dtype)
        : x,
    ),
  ),
  one('cumsum', (x) => P.cumsum(x, 1)),
  one('reverse', (x) => P.mul(P.reverse(x, 1), x)),
  one('reshape, transpose', (x) => P.transpose(P.reshape(x, [3, 2]))),
  one('broadcastTo', (x) => P.broadcastTo(x, [4, 2, 3])),
  one('concat, slice', (x) => P.concat([P.slice(x, { axis: 1, start: 1 }), P.mul(x, x)], 1)),
  one('slice with a step', (x) =>
    P.slice(P.concat([x, P.exp(x)], 1), { axis: 1, start: 1, end: 6, step: 2 }),
  ),
  one('split', (x) => {
    const [a, b] = P.split(x, [1, 2], 1) as [P.Tensor, P.Tensor];
    return P.mul(a, b);
  }),
  one('pad', (x) =>
    P.pad(x, [
      [1, 0],
      [2, 1],
    ]),
  ),
  one('topK, sort', (x) => P.add(P.topK(x, 2).values, P.slice(P.sort(x).values, { axis: 1, end: 2 }))),
  one('size, fill, iota', (x) =>
    P.mul(P.add(x, P.fill(2, [2, 3], x.dtype)), P.cast(P.reshape(P.iota(3), [1, 3]), x.dtype)),
  ),
  one('size', (x) => P.mul(x, P.sizeTensor(3, x))),
  one('checkpoint, barrier', (x) => P.checkpoint((y: P.Tensor) => P.tanh(P.mul(P.tanh(y), y)))(x)),
  {
    name: 'matmul',
    shapes: { a: [2, 1, 3, 4], b: [5, 4, 2] },
    fn: ({ a, b }) => P.matmul(a as P.Tensor, b as P.Tensor),
  },
  {
    name: 'matmul, transposed',
    shapes: { a: [4, 3], b: [2, 4] },
    fn: ({ a, b }) => P.matmul(P.transpose(a as P.Tensor), P.transpose(b as P.Tensor)),
  },
  {
    name: 'gather, repeated',
    shapes: { x: [4, 3] },
    fn: ({ x }) => P.gather(x as P.Tensor, ids([3, 0, 3, 3])),
  },
  {
    name: 'scatterAdd, repeated',
    shapes: { x: [4, 3] },
    fn: ({ x }) => P.scatterAdd(x as P.Tensor, ids([1, 1, 0, 1]), 2),
  },
  {
    name: 'scatterAdd, many rows',
    shapes: { x: [2, 4] },
    fn: ({ x }) => P.scatterAdd(x as P.Tensor, ids([1, 600, 1, 3]), 700, 1),
  },
  {
    name: 'gatherElements',
    shapes: { x: [3, 2] },
    fn: ({ x }) => P.gatherElements(x as P.Tensor, ids([2, 0, 2, 1], [2, 2]), 0),
  },
  {
    name: 'scatterElements',
    shapes: { x: [2, 2] },
    fn: ({ x }) => P.scatterElements(x as P.Tensor, ids([1, 1, 0, 1], [2, 2]), 3, 1),
  },
  {
    name: 'layerNorm',
    shapes: { x: [3, 4], s: [4], b: [4] },
    fn: ({ x, s, b }) => P.layerNorm(x as P.Tensor, s as P.Tensor, b as P.Tensor),
  },
  {
    name: 'groupNorm',
    shapes: { x: [2, 4, 3], s: [4], b: [4] },
    fn: ({ x, s, b }) => P.groupNorm(x as P.Tensor, s as P.Tensor, b as P.Tensor, { groups: 2 }),
  },
  {
    name: 'groupNorm, one group, no places',
    shapes: { x: [2, 4], s: [4], b: [4] },
    fn: ({ x, s, b }) =>
      P.groupNorm(x as P.Tensor, s as P.Tensor, b as P.Tensor, { groups: 1, epsilon: 0.1 }),
  },
  {
    name: 'rmsNorm',
    shapes: { x: [3, 4], s: [4] },
    fn: ({ x, s }) => P.rmsNorm(x as P.Tensor, s as P.Tensor),
  },
  {
    name: 'crossEntropy',
    shapes: { x: [3, 4] },
    fn: ({ x }) => P.crossEntropyRows(x as P.Tensor, ids([2, 0, 2])),
  },
  {
    name: 'attention',
    shapes: { q: [2, 3, 4], k: [2, 3, 4], v: [2, 3, 2] },
    fn: ({ q, k, v }) => P.attention(q as P.Tensor, k as P.Tensor, v as P.Tensor),
  },
  {
    name: 'rotate',
    shapes: { x: [2, 2, 3, 4], z: [2, 1, 1, 2] },
    fn: ({ x, z }) => {
      const { dtype } = x as P.Tensor;
      const angles = (shape: number[]): { cos: P.Tensor; sin: P.Tensor } => {
        const values = tensor(
          'f32',
          shape,
          Array.from({ length: sizeOf(shape) }, (_, i) => 0.3 + 0.7 * i),
        );
        const turned = P.cast(P.constant(values), dtype);
        return { cos: P.cos(turned), sin: P.sin(turned) };
      };
      const shared = P.rotate(x as P.Tensor, angles([1, 3, 2]));
      const own = P.rotate(P.mul(x as P.Tensor, shared), angles([2, 1, 3, 2]));
      return P.add(
        P.sum(own, { axes: [1, 2], keep: true }),
        P.sum(P.rotate(z as P.Tensor, angles([2, 1, 1, 1]))),
      );
    },
  },
  {
    name: 'skipRmsNorm',
    shapes: { a: [2, 3], b: [2, 3], scale: [3] },
    fn: ({ a, b, scale }) => {
      const [normed, total] = P.skipRmsNorm(a as P.Tensor, b as P.Tensor, scale as P.Tensor, 0.1);
      return P.add(P.mul(normed, 2), total);
    },
  },
  {
    name: 'conv',
    shapes: { x: [2, 4, 5, 4], w: [4, 2, 3, 2] },
    fn: ({ x, w }) =>
      P.conv(x as P.Tensor, w as P.Tensor, { stride: [2, 1], dilation: [1, 2], padding: 1, groups: 2 }),
  },
  {
    name: 'conv, convWeights',
    shapes: { x: [2, 3, 4], w: [2, 3, 2], b: [2] },
    fn: ({ x, w, b }) => P.conv(x as P.Tensor, w as P.Tensor, { bias: b as P.Tensor }),
  },
  {
    name: 'convTranspose',
    shapes: { x: [1, 2, 3], w: [2, 2, 3] },
    fn: ({ x, w }) =>
      P.convTranspose(x as P.Tensor, w as P.Tensor, { stride: 2, padding: 1, outputPadding: 1 }),
  },
  {
    name: 'maxPool',
    shapes: { x: [1, 2, 5, 5] },
    fn: ({ x }) => P.maxPool(x as P.Tensor, 3, { stride: 2, padding: 1 }),
  },
  { name: 'averagePool', shapes: { x: [1, 2, 4, 4] }, fn: ({ x }) => P.averagePool(x as P.Tensor, 2) },
  {
    name: 'resize',
    shapes: { x: [1, 2, 3] },
    fn: ({ x }) => P.add(P.resize(x as P.Tensor, [4, 5], 'linear'), P.resize(x as P.Tensor, [4, 5])),
  },
  {
    name: 'scan',
    shapes: { h: [2, 3], xs: [4, 2, 2], w: [2, 3] },
    fn: ({ h, xs, w }) => {
      const step = P.scan(
        { carry: { h: h as P.Tensor }, sequences: { x: xs as P.Tensor }, constants: { w: w as P.Tensor } },
        ({ carry, row, constants }) => {
          const next = P.tanh(
            P.add(carry.h as P.Tensor, P.matmul(row.x as P.Tensor, constants.w as P.Tensor)),
          );
          return { carry: { h: next }, results: { h: P.mul(next, 2) } };
        },
      );
      return P.add(P.sum(step.results.h as P.Tensor, { axes: [0] }), step.carry.h as P.Tensor);
    },
  },
];

let seed = 7;
const random = (): number => {
  seed = (seed * 16807) % 2147483647;
  return seed / 2147483647;
};

/** Value, gradients, and the gradients of Σ gradient·weights, for one dtype. */
function programOf(
  { name, shapes, fn }: Case,
  dtype: 'f32' | 'f64',
  weights: Record<string, HostTensor>,
): P.Program {
  const types = Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [key, { dtype, shape }]));
  return P.trace(name, types, (x) => {
    const keys = Object.keys(shapes);
    const y = P.sum(P.sin(fn(x)));
    const first = P.gradients(
      y,
      keys.map((key) => x[key] as P.Tensor),
    );
    const dot = keys
      .map((key, i) =>
        P.sum(P.mul(first[i] as P.Tensor, P.cast(P.constant(weights[key] as HostTensor), dtype))),
      )
      .reduce((a, b) => P.add(a, b));
    const second = P.gradients(
      dot,
      keys.map((key) => x[key] as P.Tensor),
    );
    const named = (prefix: string, list: P.Tensor[]) =>
      Object.fromEntries(keys.map((key, i) => [`${prefix}${key}`, list[i] as P.Tensor]));
    return { y, dot, ...named('first_', first), ...named('second_', second) };
  });
}

describe('every op', () => {
  let reference: Backend;
  let cpu: Backend;
  const seen = new Set<string>();

  beforeAll(async () => {
    reference = await createBackend('reference');
    cpu = await createBackend('cpu', { inline: true });
  });

  afterAll(() => cpu.close());

  it.each(cases.map((c) => [c.name, c] as const))('%s', async (_, c) => {
    const draw = (shape: number[]): number[] =>
      Array.from({ length: sizeOf(shape) }, () =>
        c.positive === true ? 0.6 + random() : random() * 2.6 - 1.3,
      );
    const values = Object.fromEntries(
      Object.entries(c.shapes).map(([key, shape]) => [key, draw(shape).map(Math.fround)]),
    );
    const weights = Object.fromEntries(
      Object.entries(c.shapes).map(([key, shape]) => [key, tensor('f64', shape, draw(shape))]),
    );
    const exact = programOf(c, 'f64', weights);
    for (const node of exact.nodes) seen.add(node.op);
    const oracle = await reference.compile(exact);
    const at = (v: Record<string, number[]>) =>
      oracle.run({
        inputs: Object.fromEntries(
          Object.entries(c.shapes).map(([key, shape]) => [key, tensor('f64', shape, v[key] as number[])]),
        ),
      });
    const truth = await at(values);

    const fast = await cpu.compile(programOf(c, 'f32', weights));
    const got = await fast.run({
      inputs: Object.fromEntries(
        Object.entries(c.shapes).map(([key, shape]) => [key, tensor('f32', shape, values[key] as number[])]),
      ),
    });
    for (const [key, { data }] of Object.entries(truth)) {
      data.forEach((want, i) =>
        expect(Math.abs(Number(got[key]?.data[i]) - Number(want)), `${key}[${i}]`).toBeLessThan(
          2e-3 * (1 + Math.abs(Number(want))),
        ),
      );
    }
    await fast.free();

    const h = 1e-6;
    for (const [key, list] of Object.entries(values)) {
      for (let i = 0; i < Math.min(list.length, 4); i++) {
        const moved = (by: number) => at({ ...values, [key]: list.map((v, j) => (j === i ? v + by : v)) });
        const [up, down] = [await moved(h), await moved(-h)];
        for (const [of, by] of [
          ['y', 'first_'],
          ['dot', 'second_'],
        ] as const) {
          const difference = (Number(up[of]?.data[0]) - Number(down[of]?.data[0])) / (2 * h);
          const gradient = Number(truth[`${by}${key}`]?.data[i]);
          expect(Math.abs(difference - gradient), `${by}${key}[${i}]`).toBeLessThan(
            1e-5 * (1 + Math.abs(gradient)),
          );
        }
      }
    }
  });

  it('has a case', () => {
    expect(operationNames().filter((name) => !seen.has(name))).toEqual([]);
  });
});
