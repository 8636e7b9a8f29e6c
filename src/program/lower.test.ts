/**
 * Fused forms against their meaning in primitives, and each choice that lowering makes against the reference:
 * which ONNX ops it took, and that they compute the same, for ONNX Runtime alone and for any runtime.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../base/rng.ts';
import { type HostTensor, type HostTensors, sizeOf, tensor } from '../base/tensor.ts';
import { Engine } from '../runtime/onnxruntime/engine.ts';
import { numbersOf } from './host-value.ts';
import * as P from './index.ts';
import { operationNames, operationOf, remake } from './operation.ts';

type Tensors = Record<string, P.Tensor>;
const t = (x: P.Tensor | undefined): P.Tensor => x as P.Tensor;
const random = new Random(5, 'lowering');
const floats = (shape: readonly number[], scale = 1, offset = 0): HostTensor<'f32'> => {
  const made = tensor('f32', shape, new Float32Array(sizeOf(shape)));
  random.fillNormal(made.data, offset, scale);
  return made;
};
const ids = (values: number[], shape = [values.length]): HostTensor => tensor('i32', shape, values);

let engine: Engine;
beforeAll(() => {
  engine = new Engine({ provider: 'cpu', threads: 2 });
});
afterAll(() => engine.close());

async function onCpu(program: P.Program, inputs: HostTensors, portable: boolean): Promise<HostTensors> {
  const session = await engine.compile(P.lower(program, { portable }), program.name);
  const fetch = program.outputs.map((o) => o.name);
  const results = await engine.run({ session, inputs, resident: [], update: {}, write: [], fetch });
  await engine.free(session);
  return results;
}

function exactly(program: P.Program, inputs: HostTensors): Record<string, Float64Array> {
  const values = program.inputs.map(({ name }) => ({
    shape: inputs[name]?.shape as readonly number[],
    data: numbersOf(inputs[name] as HostTensor),
  }));
  const results = P.evaluate(program, values);
  return Object.fromEntries(program.outputs.map((o, i) => [o.name, results[i]?.data as Float64Array]));
}

/** The largest error of each result, in parts of its largest value. */
function errors(got: HostTensors, want: Record<string, Float64Array>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(want).map(([name, list]) => {
      const largest = list.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
      const found = numbersOf(got[name] as HostTensor);
      expect(found.length).toBe(list.length);
      expect(found.every((v, i) => Number.isNaN(v) === Number.isNaN(list[i]))).toBe(true);
      return [name, list.reduce((m, v, i) => Math.max(m, Math.abs(v - (found[i] as number))), 0) / largest];
    }),
  );
}

interface Fused {
  op: string;
  inputs: HostTensors;
  fn: (x: Tensors) => P.Tensor;
}
const softmaxes = (op: string, fn: (x: P.Tensor, axis: number) => P.Tensor): Fused[] => [
  { op, inputs: { x: floats([4, 7]) }, fn: ({ x }) => fn(t(x), -1) },
  { op, inputs: { x: floats([4, 7, 3], 5) }, fn: ({ x }) => fn(t(x), 1) },
  { op, inputs: { x: floats([4, 7], 3, 5000) }, fn: ({ x }) => fn(t(x), 0) },
  { op, inputs: { x: floats([3, 1]) }, fn: ({ x }) => fn(t(x), 1) },
  { op, inputs: { x: floats([3, 9], 80) }, fn: ({ x }) => fn(t(x), 1) },
];
const [q, k, v] = [floats([2, 3, 5, 8]), floats([2, 3, 6, 8]), floats([2, 3, 6, 4])];
const causal = tensor(
  'f32',
  [5, 6],
  Array.from({ length: 30 }, (_, i) => (i % 6 <= Math.floor(i / 6) ? 0 : Number.NEGATIVE_INFINITY)),
);
const padding = tensor('f32', [2, 1, 1, 6], [0, 0, 0, 0, -1e9, -1e9, 0, 0, 0, 0, 0, -1e9]);

const fused: Fused[] = [
  ...softmaxes('softmax', P.softmax),
  ...softmaxes('logSoftmax', P.logSoftmax),
  ...[floats([6, 5]), floats([3, 40], 8), tensor('f32', [4], [0, -0, 30, -30])].map((x) => ({
    op: 'gelu',
    inputs: { x },
    fn: (given: Tensors) => P.gelu(t(given.x)),
  })),
  ...[floats([5, 8]), floats([2, 3, 16], 0.01, 2), floats([2, 1, 1, 4], 100)].map((x) => ({
    op: 'layerNorm',
    inputs: { x, s: floats([x.shape.at(-1) as number]), b: floats([x.shape.at(-1) as number]) },
    fn: ({ x, s, b }: Tensors) => P.layerNorm(t(x), t(s), t(b)),
  })),
  ...[floats([5, 8]), tensor('f32', [4], [0, -0, 90, -90])].map((x) => ({
    op: 'silu',
    inputs: { x },
    fn: (given: Tensors) => P.silu(t(given.x)),
  })),
  ...[
    floats([2, 4, 5]),
    floats([3, 4, 2, 3], 3),
    floats([2, 4, 1, 6], 100),
    floats([3, 4]),
    floats([2, 4, 9], 1, 30),
  ].map((x) => ({
    op: 'groupNorm',
    inputs: { x, s: floats([4]), b: floats([4]) },
    fn: ({ x, s, b }: Tensors) => P.groupNorm(t(x), t(s), t(b), { groups: 2 }),
  })),
  ...[1, 2].map((groups) => ({
    op: 'flipWeights',
    inputs: { w: floats([4, 6 / groups, 3, 2]) },
    // What goes into a convolution on its way back.
    fn: ({ w }: Tensors) =>
      t(P.convTranspose(P.constant(floats([1, 4, 5, 4])), t(w), { groups }).node.inputs[1]),
  })),
  {
    op: 'layerNorm',
    inputs: { x: floats([5, 8]), s: floats([8]) },
    fn: ({ x, s }) => P.layerNorm(t(x), t(s), undefined, 0.1),
  },
  ...[floats([5, 8]), floats([2, 3, 16], 2), floats([2, 1, 1, 4], 100)].map((x) => ({
    op: 'rmsNorm',
    inputs: { x, s: floats([x.shape.at(-1) as number]) },
    fn: ({ x, s }: Tensors) => P.rmsNorm(t(x), t(s)),
  })),
  ...[floats([5, 8]), floats([2, 3, 16], 2), floats([2, 1, 1, 4], 100)].flatMap((a) =>
    [0, 1].map((which) => ({
      op: 'skipRmsNorm',
      inputs: { a, b: floats(a.shape), s: floats([a.shape.at(-1) as number]) },
      fn: ({ a, b, s }: Tensors) => P.skipRmsNorm(t(a), t(b), t(s))[which] as P.Tensor,
    })),
  ),
  {
    op: 'crossEntropy',
    inputs: { x: floats([5, 8], 4) },
    fn: ({ x }) => P.crossEntropyRows(t(x), P.constant(tensor('i32', [5], [0, 7, 3, 3, 1]))),
  },
  {
    op: 'crossEntropySlope',
    inputs: { x: floats([5, 8], 4) },
    fn: ({ x }) => {
      const loss = P.sum(P.crossEntropyRows(t(x), P.constant(tensor('i32', [5], [0, 7, 3, 3, 1]))));
      return P.gradients(loss, [t(x)])[0] as P.Tensor;
    },
  },
  ...[floats([2, 1, 5, 4], 3), floats([1, 5, 4], 3), floats([1, 1, 5, 4], 3)].map((angles) => ({
    op: 'rotate',
    inputs: { q },
    fn: (x: Tensors) => {
      const angle = P.constant(angles);
      return P.rotate(t(x.q), { cos: P.cos(angle), sin: P.sin(angle) });
    },
  })),
  { op: 'attention', inputs: { q, k, v }, fn: ({ q, k, v }) => P.attention(t(q), t(k), t(v)) },
  {
    op: 'attention',
    inputs: { q, k, v },
    fn: ({ q, k, v }) => P.attention(t(q), t(k), t(v), { scale: 0.3, mask: P.constant(causal) }),
  },
  {
    op: 'attention',
    inputs: { q, k, v },
    fn: ({ q, k, v }) => P.attention(t(q), t(k), t(v), { mask: P.constant(padding) }),
  },
  ...(
    [
      [{}, 4],
      [{ stride: 2, padding: 1 }, 3],
      [{ dilation: 2, padding: 2 }, 6],
    ] as [P.ConvOptions, number][]
  ).map(([options, side]) => ({
    op: 'convWeights',
    inputs: { x: floats([4, 3, 6, 6]), g: floats([4, 2, side, side]) },
    fn: ({ x, g }: Tensors) => {
      const w = P.constant(floatsOnce([2, 3, 3, 3]));
      const total = P.sum(P.mul(P.conv(t(x), w, options), t(g)));
      return P.gradients(total, [w])[0] as P.Tensor;
    },
  })),
  ...[3, 700].map((size) => ({
    op: 'scatterAdd',
    inputs: { x: floats([5, 4]) },
    fn: ({ x }: Tensors) => P.scatterAdd(t(x), P.constant(ids([2, 0, 2, 2, 1])), size),
  })),
  {
    op: 'scatterAdd',
    inputs: { x: floats([3, 2, 2, 4]) },
    fn: ({ x }) => P.scatterAdd(t(x), P.constant(ids([1, 0, 1, 1], [2, 2])), 3, 1),
  },
];

/** Value and gradients; with `open`, the fused op is taken apart first. */
function programOf({ op, inputs, fn }: Fused, open: boolean): P.Program {
  return P.trace(op, inputs, (x) => {
    const made = fn(x);
    expect(made.node.op).toBe(op);
    const y = open
      ? t(operationOf(op).composite?.(made.node.inputs, made.node.attributes)[made.index])
      : made;
    const total = P.sum(P.mul(y, P.add(P.cos(y), P.constant(floatsOnce(y.shape as number[])))));
    const found = P.gradients(total, Object.values(x));
    return { y, ...Object.fromEntries(Object.keys(x).map((key, i) => [`d${key}`, t(found[i])])) };
  });
}
/** The same numbers each time. */
const floatsOnce = (shape: readonly number[]): HostTensor =>
  tensor(
    'f32',
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 7) % 11) / 5 - 1),
  );

describe('a fused op', () => {
  it.each(fused.map((c, i) => [`${c.op} ${i}`, c] as const))('%s is its composite', async (_, c) => {
    const whole = programOf(c, false);
    const apart = programOf(c, true);
    expect(apart.nodes.some((node) => node.op === c.op)).toBe(false);
    const want = exactly(apart, c.inputs);
    // In float64 the gradient made by hand and the one through the primitives are one.
    for (const [name, list] of Object.entries(exactly(whole, c.inputs))) {
      const scale = list.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
      list.forEach((v, i) =>
        expect(Math.abs(v - (want[name]?.[i] as number)) / scale, name).toBeLessThan(1e-9),
      );
    }
    for (const portable of [false, true])
      for (const [name, error] of Object.entries(errors(await onCpu(whole, c.inputs, portable), want)))
        expect(error, `${name}, portable ${portable}`).toBeLessThan(name === 'y' ? 1e-5 : 2e-4);
  });

  it('has a case', () => {
    const names = operationNames().filter((name) => operationOf(name).composite !== undefined);
    expect(names.filter((name) => !fused.some((c) => c.op === name))).toEqual([]);
  });

  it('is remade with its own attributes', () => {
    const program = P.trace('f', { x: { dtype: 'f32', shape: [2, 3] } }, ({ x }) => ({
      y: P.softmax(t(x), 0),
    }));
    const { node } = (program.outputs[0] as P.Named).tensor;
    expect(t(remake(node, node.inputs)[0]).node.attributes).toEqual({ axis: 0 });
  });
});

interface Choice {
  name: string;
  inputs: HostTensors;
  fn: (x: Tensors) => P.Tensor;
  /** ONNX ops that must be there for ONNX Runtime, and for any runtime. */
  own: string[];
  portable: string[];
  /** Sizes that stay open in the graph. */
  open?: Record<string, P.Size[]>;
}
const square = floats([3, 3]);
const [tall, wide] = [floats([512, 96]), floats([512, 192])];

const choices: Choice[] = [
  {
    name: 'a plain product',
    inputs: { a: floats([2, 3, 4]), b: floats([4, 5]) },
    fn: ({ a, b }) => P.matmul(t(a), t(b)),
    own: ['MatMul'],
    portable: ['MatMul'],
  },
  {
    name: 'a product with the left side turned',
    inputs: { a: floats([4, 3]), b: floats([4, 5]) },
    fn: ({ a, b }) => P.matmul(P.transpose(t(a)), t(b)),
    own: ['Gemm'],
    portable: ['Gemm'],
  },
  {
    name: 'a product with the right side turned',
    inputs: { a: floats([3, 4]), b: floats([5, 4]) },
    fn: ({ a, b }) => P.matmul(t(a), P.transpose(t(b))),
    own: ['Gemm'],
    portable: ['Gemm'],
  },
  {
    name: 'a product with both sides turned',
    inputs: { a: floats([4, 3]), b: floats([5, 4]) },
    fn: ({ a, b }) => P.matmul(P.transpose(t(a)), P.transpose(t(b))),
    own: ['Gemm'],
    portable: ['Gemm'],
  },
  {
    name: 'a square matrix times itself turned',
    inputs: { a: square },
    fn: ({ a }) => P.sub(P.matmul(t(a), P.transpose(t(a))), P.matmul(P.transpose(t(a)), t(a))),
    own: ['Gemm', 'Gemm', 'Sub'],
    portable: ['Gemm', 'Gemm', 'Sub'],
  },
  {
    name: 'batched products, each side turned',
    inputs: { a: floats([2, 4, 3]), b: floats([2, 5, 4]) },
    fn: ({ a, b }) => P.matmul(P.swapAxes(t(a)), P.swapAxes(t(b))),
    own: ['FusedMatMul'],
    portable: ['Transpose', 'Transpose', 'MatMul'],
  },
  {
    name: 'a batched product with a turned matrix for all batches',
    inputs: { a: floats([2, 3, 4]), b: floats([5, 4]) },
    fn: ({ a, b }) => P.matmul(t(a), P.transpose(t(b))),
    own: ['FusedMatMul'],
    portable: ['Transpose', 'MatMul'],
  },
  {
    name: 'a batched product, other axes turned',
    inputs: { a: floats([3, 2, 4]), b: floats([2, 4, 5]) },
    fn: ({ a, b }) => P.matmul(P.transpose(t(a), [1, 0, 2]), t(b)),
    own: ['Transpose', 'MatMul'],
    portable: ['Transpose', 'MatMul'],
  },
  {
    name: 'a large product with the left side turned, narrow',
    inputs: { a: tall, b: wide },
    fn: ({ a, b }) => P.matmul(P.transpose(t(a)), t(b)),
    own: ['Reshape', 'Transpose', 'Reshape', 'MatMul'],
    portable: ['Gemm'],
  },
  {
    name: 'a large product with the left side turned, wide',
    inputs: { a: wide, b: tall },
    fn: ({ a, b }) => P.matmul(P.transpose(t(a)), t(b)),
    own: ['Reshape', 'Transpose', 'Reshape', 'MatMul', 'Reshape', 'Transpose', 'Reshape'],
    portable: ['Gemm'],
  },
  {
    name: 'a sum of squares',
    inputs: { x: floats([3, 4]) },
    fn: ({ x }) => P.sum(P.mul(t(x), t(x)), { axes: [1] }),
    own: ['ReduceSumSquare'],
    portable: ['ReduceSumSquare'],
  },
  {
    name: 'a sum of squares that is wanted itself, too',
    inputs: { x: floats([3, 4]) },
    fn: ({ x }) => P.add(P.mul(t(x), t(x)), P.sum(P.mul(t(x), t(x)), { axes: [1], keep: true })),
    own: ['Mul', 'ReduceSumSquare', 'Add'],
    portable: ['Mul', 'ReduceSumSquare', 'Add'],
  },
  {
    name: 'a sum of a product of two',
    inputs: { a: floats([3, 4]), b: floats([3, 4]) },
    fn: ({ a, b }) => P.sum(P.mul(t(a), t(b)), { axes: [0] }),
    own: ['Mul', 'ReduceSum'],
    portable: ['Mul', 'ReduceSum'],
  },
  {
    name: 'scattering to few rows',
    inputs: { x: floats([4, 3]), i: ids([511, 0, 511, 2]) },
    fn: ({ x, i }) => P.scatterAdd(t(x), t(i), 512),
    own: ['OneHot', 'MatMul'],
    portable: ['OneHot', 'MatMul'],
  },
  {
    name: 'scattering to many rows',
    inputs: { x: floats([4, 3]), i: ids([512, 0, 512, 2]) },
    fn: ({ x, i }) => P.scatterAdd(t(x), t(i), 513),
    own: ['ScatterElements'],
    portable: ['ScatterElements'],
  },
  {
    name: 'scattering columns',
    inputs: { x: floats([3, 4]), i: ids([1, 0, 1, 1]) },
    fn: ({ x, i }) => P.scatterAdd(t(x), t(i), 2, 1),
    own: ['ScatterElements'],
    portable: ['ScatterElements'],
  },
  {
    name: 'sorting rows of which the run tells how many',
    inputs: { x: floats([3, 5]) },
    open: { x: ['rows', 5] },
    fn: ({ x }) => P.mul(P.sort(t(x)).values, P.cast(P.topK(t(x), 5).indices, 'f32')),
    own: ['Pad', 'TopK', 'Slice'],
    portable: ['Pad', 'TopK', 'Slice'],
  },
  {
    name: 'sizes computed in the graph',
    inputs: { x: floats([2, 3, 4]), z: floats([6, 5]) },
    open: { x: ['batch', 'time', 4], z: ['rows', 5] },
    fn: ({ x, z }) =>
      P.concat(
        [
          P.reshape(t(x), [-1]),
          P.reshape(P.broadcastTo(P.mean(t(z)), ['batch', 'rows']), [-1]),
          P.cast(P.iota('1+batch*time'), 'f32'),
        ],
        0,
      ),
    own: ['Shape', 'Concat', 'Reshape', 'Range'],
    portable: ['Shape', 'Concat', 'Reshape', 'Range'],
  },
];

describe('a lowering', () => {
  it.each(choices.map((c) => [c.name, c] as const))('of %s', async (_, c) => {
    const types = Object.fromEntries(
      Object.entries(c.inputs).map(([key, { dtype, shape }]) => [
        key,
        { dtype, shape: c.open?.[key] ?? shape },
      ]),
    );
    const program = P.trace(c.name, types, (x) => ({ y: c.fn(x) }));
    const sizes = Object.fromEntries(
      Object.entries(c.open ?? {}).flatMap(([key, shape]) =>
        shape.map((size, i) => [String(size), c.inputs[key]?.shape[i] as number] as const),
      ),
    );
    const want = exactly(P.bindSizes(program, sizes), c.inputs);
    for (const portable of [false, true]) {
      const model = P.lowerToModel(program, { portable });
      const found = model.graph.nodes.map((node) => node.opType);
      const expected = portable ? c.portable : c.own;
      if (c.open === undefined && !found.includes('OneHot') && !found.includes('ScatterElements'))
        expect(found).toEqual(expected);
      else for (const op of expected) expect(found, op).toContain(op);
      const domains = model.opsets.map((o) => o.domain);
      expect(domains).toEqual(found.includes('FusedMatMul') ? ['', 'com.microsoft'] : ['']);
      const { y } = errors(await onCpu(program, c.inputs, portable), want);
      expect(y).toBeLessThan(1e-5);
    }
  });

  it('never takes an op of ONNX Runtime’s own into a file for any runtime', () => {
    const program = P.trace('all', { q, k, v, x: floats([2, 4, 3]) }, ({ q, k, v, x }) => {
      const y = P.attention(t(q), t(k), t(v));
      const z = P.matmul(P.swapAxes(t(x)), t(x));
      const loss = P.add(P.sum(y), P.sum(P.gelu(z)));
      return { loss, dq: t(P.gradients(loss, [t(q)])[0]) };
    });
    expect(P.lowerToModel(program, { portable: true }).opsets).toEqual([{ domain: '', version: 20 }]);
    expect(P.lowerToModel(program).opsets.map((o) => o.domain)).toContain('com.microsoft');
  });

  it('gives outputs their names, whatever they are', async () => {
    const program = P.trace('named', { x: floats([2]) }, ({ x }) => {
      const y = P.add(t(x), 1);
      return { first: y, again: y, given: t(x), fixed: P.constant(3), next: P.mul(y, 2) };
    });
    const got = await onCpu(program, { x: tensor('f32', [2], [1, 2]) }, false);
    const lists = Object.fromEntries(Object.entries(got).map(([key, value]) => [key, [...numbersOf(value)]]));
    expect(lists).toEqual({ first: [2, 3], again: [2, 3], given: [1, 2], fixed: [3], next: [4, 6] });
  });

  it('takes names that nodes would have had, and none twice', async () => {
    const named = (output: string) =>
      P.trace('names', { Mul_0: floats([2]), constant_1: floats([2]) }, (x) => ({
        [output]: P.add(P.mul(t(x.Mul_0), t(x.constant_1)), 0.5),
        Mul_1: P.mul(t(x.Mul_0), 3),
      }));
    const inputs = { Mul_0: tensor('f32', [2], [1, 2]), constant_1: tensor('f32', [2], [3, 4]) };
    const got = await onCpu(named('Add_2'), inputs, false);
    expect([...numbersOf(got.Add_2 as HostTensor)]).toEqual([3.5, 8.5]);
    expect([...numbersOf(got.Mul_1 as HostTensor)]).toEqual([3, 6]);
    expect(() => P.lower(named('Mul_0'))).toThrow(expect.objectContaining({ code: 'name_taken' }));
  });

  it('makes inputs constants, and leaves what they alone decide out of the run', async () => {
    const program = P.trace('served', { x: floats([1, 2]), w: floats([2, 2]) }, ({ x, w }) => ({
      y: P.matmul(t(x), t(w)),
    }));
    const w = tensor('f32', [2, 2], [1, 2, 3, 4]);
    const model = P.lowerToModel(program, { constants: { w } });
    expect(model.graph.inputs.map((i) => i.name)).toEqual(['x']);
    expect(model.graph.initializers.map((i) => i.name)).toContain('w');
    const session = await engine.compile(P.lower(program, { constants: { w } }), 'served');
    const inputs = { x: tensor('f32', [1, 2], [1, 10]) };
    const { y } = await engine.run({ session, inputs, resident: [], update: {}, write: [], fetch: ['y'] });
    expect([...numbersOf(y as HostTensor)]).toEqual([31, 42]);
  });
});
