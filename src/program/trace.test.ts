/** Traces: what a wrong call is answered with, what may not leak in, and known sizes for open ones. */
import { describe, expect, it } from 'vitest';
import { InkstoneError } from '../base/errors.ts';
import { type DType, tensor } from '../base/tensor.ts';
import * as P from './index.ts';

type Tensors = Record<string, P.Tensor>;
const of = (dtype: DType, ...shape: P.Size[]): P.TensorType => ({ dtype, shape });
const f32 = (...shape: P.Size[]): P.TensorType => of('f32', ...shape);

function thrownBy(run: () => unknown): InkstoneError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(InkstoneError);
    return error as InkstoneError;
  }
  throw new Error('nothing was thrown');
}

/** A trace for the sake of its errors. */
function traced(inputs: Record<string, P.TensorType>, call: (x: Tensors) => unknown): void {
  P.trace('f', inputs, (x) => {
    call(x);
    return {};
  });
}

/** Op, the types of `a` and `b`, and the wrong call. */
const wrong: [string, P.TensorType, P.TensorType, (a: P.Tensor, b: P.Tensor) => unknown][] = [
  ['add', f32(2, 3), f32(4), (a, b) => P.add(a, b)],
  ['add', f32('batch', 3), f32('time', 3), (a, b) => P.add(a, b)],
  ['mul', f32(2), of('i32', 2), (a, b) => P.mul(a, b)],
  ['where', f32(2), f32(2), (a, b) => P.where(a, b, b)],
  ['where', of('bool', 2), f32(3), (a, b) => P.where(a, b, b)],
  ['matmul', f32(2, 3), f32(4, 5), (a, b) => P.matmul(a, b)],
  ['matmul', f32(3), f32(3, 5), (a, b) => P.matmul(a, b)],
  ['matmul', of('i32', 2, 3), of('i32', 3, 2), (a, b) => P.matmul(a, b)],
  ['matmul', f32(2, 4, 3), f32(5, 3, 4), (a, b) => P.matmul(a, b)],
  ['concat', f32(2, 3), f32(3, 3), (a, b) => P.concat([a, b], 1)],
  ['concat', f32(2, 3), of('f64', 2, 3), (a, b) => P.concat([a, b], 0)],
  ['gather', f32(2, 3), f32(3), (a, b) => P.gather(a, b)],
  ['gatherElements', f32(2, 3), of('i32', 3, 3), (a, b) => P.gatherElements(a, b, 1)],
  ['scatterAdd', f32(2, 3), of('i64', 3), (a, b) => P.scatterAdd(a, b, 5)],
  ['scatterElements', f32(2, 3), of('i64', 2, 2), (a, b) => P.scatterElements(a, b, 5, 0)],
  ['layerNorm', f32(2, 3), f32(2), (a, b) => P.layerNorm(a, b)],
  ['layerNorm', f32(2, 3), of('f64', 3), (a, b) => P.layerNorm(a, b)],
  ['attention', f32(2, 3, 4), f32(2, 3, 5), (a, b) => P.attention(a, b, b)],
  ['attention', f32(2, 3, 4), f32(2, 5, 3), (a, b) => P.attention(a, a, a, { mask: b })],
  ['attention', f32(2, 3, 4), of('f64', 3, 3), (a, b) => P.attention(a, a, a, { mask: b })],
  ['conv', f32(1, 3, 8), f32(4, 2, 3), (a, b) => P.conv(a, b)],
  ['conv', f32(1, 2, 2), f32(4, 2, 3), (a, b) => P.conv(a, b)],
  ['convTranspose', f32(1, 3, 8), f32(4, 2, 3), (a, b) => P.convTranspose(a, b)],
  [
    'scan',
    f32(2),
    f32(4, 3),
    (a, b) => P.scan({ carry: { a }, sequences: { b } }, ({ row }) => ({ carry: { a: row.b as P.Tensor } })),
  ],
  ['scan', f32(2, 3), f32(4, 3), (a, b) => P.scan({ carry: {}, sequences: { a, b } }, () => ({ carry: {} }))],
];

/** The same for ops of one tensor. */
const wrongAlone: [string, P.TensorType, (x: P.Tensor) => unknown][] = [
  ['exp', of('i32', 2), (x) => P.exp(x)],
  ['reshape', f32(2, 3), (x) => P.reshape(x, [4])],
  ['reshape', f32(2, 3), (x) => P.reshape(x, [4, -1])],
  ['reshape', f32(2, 3), (x) => P.reshape(x, [-1, -1])],
  ['broadcastTo', f32(2, 3), (x) => P.broadcastTo(x, [3])],
  ['broadcastTo', f32(2, 3), (x) => P.broadcastTo(x, [2, 1])],
  ['transpose', f32(2, 3), (x) => P.transpose(x, [0, 0])],
  ['swapAxes', f32(3), (x) => P.swapAxes(x)],
  ['sum', f32(2, 3), (x) => P.sum(x, { axes: [2] })],
  ['sum', f32(2, 3), (x) => P.sum(x, { axes: [1, -1] })],
  ['softmax', f32(2, 3), (x) => P.softmax(x, 5)],
  ['argmax', f32(2, 3), (x) => P.argmax(x, -3)],
  ['cumsum', f32(2, 3), (x) => P.cumsum(x, 0.5)],
  ['slice', f32('n'), (x) => P.slice(x, { axis: 0, step: 2 })],
  ['slice', f32(4), (x) => P.slice(x, { axis: 0, step: -1 })],
  ['split', f32(4), (x) => P.split(x, [1, 2], 0)],
  ['split', f32(4), (x) => P.split(x, [], 0)],
  ['pad', f32(4), (x) => P.pad(x, [[1, -1]])],
  ['pad', f32(4, 4), (x) => P.pad(x, [[1, 1]])],
  ['topK', f32(4), (x) => P.topK(x, 5)],
  ['sort', f32('n'), (x) => P.sort(x)],
  ['reverse', f32(4), (x) => P.reverse(x, 1)],
  ['maxPool', f32(1, 2, 2), (x) => P.maxPool(x, 3)],
  ['averagePool', f32(1, 2, 4), (x) => P.averagePool(x, 2, { padding: 2 })],
  ['maxPool', f32(2, 4), (x) => P.maxPool(x, 2)],
  ['resize', f32(2, 4), (x) => P.resize(x, [2, 0])],
  ['conv', f32(1, 2, 4), (x) => P.conv(x, x, { stride: [1, 1] })],
];

describe('a wrong call', () => {
  it.each(wrong)('%s: the op, both types, the line', (op, a, b, call) => {
    const error = thrownBy(() => traced({ a, b }, (x) => call(x.a as P.Tensor, x.b as P.Tensor)));
    expect(error).toMatchObject({ code: 'shape_mismatch', kind: 'usage', details: { op } });
    expect(error.message).toContain(`${op}: `);
    for (const { dtype, shape } of [a, b]) {
      // Rows of a sequence and leading axes of a product are told without what does not matter there.
      const told = (error.details.shapes as P.Shape[]).map((s) => s.join());
      const tail = [shape, shape.slice(0, -2), shape.slice(1)].some((s) => told.includes(s.join()));
      expect(tail, `${error.message} of ${dtype}[${shape}]`).toBe(true);
    }
    expect(error.details.where).toMatch(/trace\.test\.ts:\d+$/);
    expect(error.message).toContain(error.details.where as string);
  });

  it.each(wrongAlone)('%s: the op, the type, the line', (op, type, call) => {
    const error = thrownBy(() => traced({ x: type }, ({ x }) => call(x as P.Tensor)));
    expect(error).toMatchObject({ code: 'shape_mismatch', kind: 'usage', details: { op } });
    expect(error.message).toContain(`${type.dtype}[${type.shape.join(', ')}]`);
    expect(error.details.where).toMatch(/trace\.test\.ts:\d+$/);
  });

  it('is found at its own line, not at the trace', () => {
    const call = (a: P.Tensor, b: P.Tensor): P.Tensor => {
      line = Number(/:(\d+):\d+\)?$/.exec(new Error().stack?.split('\n')[1] as string)?.[1]) + 1;
      return P.matmul(a, b);
    };
    let line = 0;
    const error = thrownBy(() =>
      P.trace('f', { a: f32(2, 3), b: f32(4, 5) }, ({ a, b }) => ({ y: call(a as P.Tensor, b as P.Tensor) })),
    );
    expect(line).toBeGreaterThan(1);
    expect(error.message).toBe(
      `matmul: the inner sizes 3 and 4 differ: f32[2, 3] and f32[4, 5] (at ${error.details.where})`,
    );
    expect(error.details.where).toMatch(new RegExp(`trace\\.test\\.ts:${line}$`));
  });

  it('has a hint where there is one thing to do', () => {
    const { hint } = thrownBy(() => P.add(P.fill(1, [2]), P.fill(1, [3])));
    expect(hint).toBe('sizes must be equal or 1, counted from the last axis');
  });

  it('a gradient of what is no scalar', () => {
    const error = thrownBy(() => P.grad((x: P.Tensor) => P.mul(x, 2))(P.fill(1, [2])));
    expect(error).toMatchObject({ code: 'not_scalar', kind: 'usage' });
    expect(error.message).toContain('[2]');
  });
});

describe('tensors of another trace', () => {
  let outside: P.Tensor | undefined;
  P.trace('outer', { weights: f32(2) }, ({ weights }) => {
    outside = weights;
    return { weights: weights as P.Tensor };
  });

  it('are refused by name', () => {
    const error = thrownBy(() =>
      P.trace('inner', { x: f32(2) }, ({ x }) => ({ y: P.add(x as P.Tensor, outside as P.Tensor) })),
    );
    expect(error).toMatchObject({ code: 'foreign_input', kind: 'usage' });
    expect(error.message).toBe('inner uses the input "weights" of another program');
  });

  it('are refused in the body of a loop, too', () => {
    const error = thrownBy(() =>
      P.trace(
        'f',
        { h: f32(2), xs: f32(3, 2) },
        ({ h, xs }) =>
          P.scan({ carry: { h: h as P.Tensor }, sequences: { xs: xs as P.Tensor } }, ({ carry }) => ({
            carry: { h: P.add(carry.h as P.Tensor, h as P.Tensor) },
          })).carry,
      ),
    );
    expect(error).toMatchObject({ code: 'foreign_input' });
    expect(error.message).toContain('"h"');
  });
});

describe('bindSizes', () => {
  const program = P.trace('open', { x: f32('batch', 'time'), n: of('i32', 'batch') }, ({ x, n }: Tensors) => {
    const [rows, ids] = [x as P.Tensor, n as P.Tensor];
    const wide = P.concat([rows, P.fill(1, ['batch', 2])], 1);
    return {
      wide: P.reshape(wide, [-1]),
      mean: P.mean(rows, { axes: [0] }),
      count: P.add(P.iota('batch'), ids),
      tail: P.slice(wide, { axis: 1, start: 1 }),
    };
  });

  it('leaves sizes open that have no value', () => {
    const half = P.bindSizes(program, { batch: 3 });
    expect(half.inputs.map((i) => i.tensor.shape)).toEqual([[3, 'time'], [3]]);
    expect(half.outputs.map((o) => o.tensor.shape)).toEqual([['6+3*time'], ['time'], [3], [3, '1+time']]);
  });

  it('gives the program one would have traced with numbers', () => {
    const bound = P.bindSizes(program, { batch: 2, time: 3 });
    const [wide, mean, count, tail] = P.evaluate(bound, [
      { shape: [2, 3], data: Float64Array.of(1, 2, 3, 4, 5, 6) },
      { shape: [2], data: Float64Array.of(10, 20) },
    ]);
    expect([...(wide?.data ?? [])]).toEqual([1, 2, 3, 1, 1, 4, 5, 6, 1, 1]);
    expect([...(mean?.data ?? [])]).toEqual([2.5, 3.5, 4.5]);
    expect([...(count?.data ?? [])]).toEqual([10, 21]);
    expect([...(tail?.data ?? [])]).toEqual([2, 3, 1, 1, 5, 6, 1, 1]);
  });

  it('is asked for where an evaluation meets an open size', () => {
    const error = thrownBy(() => P.evaluate(program, []));
    expect(error).toMatchObject({ code: 'not_static' });
  });

  it('finds what does not fit only with numbers', () => {
    const open = P.trace('f', { x: f32('n') }, ({ x }) => ({ y: P.topK(x as P.Tensor, 3).values }));
    expect(thrownBy(() => P.bindSizes(open, { n: 2 }))).toMatchObject({ code: 'shape_mismatch' });
  });

  it('needs an input that tells each size', () => {
    const lost = P.trace('f', { x: f32(2) }, ({ x }) => ({
      y: P.add(P.fill(1, ['rows', 2]), x as P.Tensor),
    }));
    expect(thrownBy(() => P.lower(lost))).toMatchObject({ code: 'size_unknown', kind: 'usage' });
    expect(P.lower(lost, { sizes: { rows: 3 } }).length).toBeGreaterThan(0);
  });
});

it('constants keep their own values', () => {
  const value = tensor('f32', [2], [1, 2]);
  const program = P.trace('f', {}, () => ({ y: P.mul(P.constant(value), 2) }));
  expect([...(P.evaluate(program, [])[0]?.data ?? [])]).toEqual([2, 4]);
});
