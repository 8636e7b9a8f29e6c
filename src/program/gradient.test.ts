/** Differentiation itself: what flows where, trees, higher orders, and work that is done again to save memory. */
import { describe, expect, it } from 'vitest';
import { tensor } from '../base/tensor.ts';
import * as P from './index.ts';

type Tensors = Record<string, P.Tensor>;
const f64 = (...shape: P.Size[]): P.TensorType => ({ dtype: 'f64', shape });

/** Outputs by name, at these values. */
function run(
  inputs: Record<string, readonly number[]>,
  fn: (x: Tensors) => Tensors,
): Record<string, number[]> {
  const types = Object.fromEntries(Object.entries(inputs).map(([key, list]) => [key, f64(list.length)]));
  const program = P.trace('f', types, fn);
  const values = Object.values(inputs).map((list) => ({
    shape: [list.length],
    data: Float64Array.from(list),
  }));
  const results = P.evaluate(program, values);
  return Object.fromEntries(program.outputs.map((o, i) => [o.name, [...(results[i]?.data ?? [])]]));
}

const t = (x: P.Tensor | undefined): P.Tensor => x as P.Tensor;

describe('gradients', () => {
  it('add up over every way to the result', () => {
    const { g } = run({ x: [2, 3] }, ({ x }) => ({
      g: P.grad((v: P.Tensor) => P.sum(P.add(P.mul(v, v), P.add(v, P.mul(v, 5)))))(t(x)),
    }));
    expect(g).toEqual([10, 12]);
  });

  it('are zeros where nothing depends on the tensor', () => {
    const { g, h } = run({ x: [2, 3], y: [1] }, ({ x, y }) => {
      const [g, h] = P.gradients(P.sum(P.floor(t(x))), [t(x), t(y)]) as [P.Tensor, P.Tensor];
      return { g, h };
    });
    expect(g).toEqual([0, 0]);
    expect(h).toEqual([0]);
  });

  it('end at stopGradient, and only there', () => {
    const { g } = run({ x: [2, 3] }, ({ x }) => ({
      g: P.grad((v: P.Tensor) => P.sum(P.mul(v, P.stopGradient(P.mul(v, v)))))(t(x)),
    }));
    expect(g).toEqual([4, 9]);
  });

  it('are taken of what lies in between, too, and of the result itself', () => {
    const { a, b, c, d } = run({ x: [2] }, ({ x }) => {
      const middle = P.mul(t(x), t(x));
      const y = P.sum(P.mul(middle, 3));
      const [a, b, c, d] = P.gradients(y, [t(x), middle, y, t(x)]) as [
        P.Tensor,
        P.Tensor,
        P.Tensor,
        P.Tensor,
      ];
      return { a, b, c, d };
    });
    expect([a, b, c, d]).toEqual([[12], [3], [1], [12]]);
  });

  it('come as trees like the ones given', () => {
    const program = P.trace('f', { a: f64(2), b: f64(2), c: f64() }, ({ a, b, c }) => {
      const parameters = { layers: [{ w: t(a) }, { w: t(b) }], scale: t(c) };
      const { value, gradient } = P.valueAndGrad((p: typeof parameters, by: number) =>
        P.mul(P.sum(P.mul(p.layers[0]?.w as P.Tensor, p.layers[1]?.w as P.Tensor)), P.mul(p.scale, by)),
      )(parameters, 2);
      expect(Object.keys(gradient)).toEqual(['layers', 'scale']);
      expect(gradient.layers).toHaveLength(2);
      return { value, a: t(gradient.layers[0]?.w), b: t(gradient.layers[1]?.w), c: gradient.scale };
    });
    const results = P.evaluate(program, [
      { shape: [2], data: Float64Array.of(1, 2) },
      { shape: [2], data: Float64Array.of(3, 4) },
      { shape: [], data: Float64Array.of(5) },
    ]);
    expect(results.map((r) => [...r.data])).toEqual([[110], [30, 40], [10, 20], [22]]);
  });

  it('go on to any order', () => {
    const { third, mixed } = run({ x: [0.7] }, ({ x }) => {
      const f = (v: P.Tensor): P.Tensor => P.sum(P.mul(P.sin(v), P.mul(v, v)));
      const once = P.grad(f);
      const twice = P.grad((v: P.Tensor) => P.sum(once(v)));
      const third = P.grad((v: P.Tensor) => P.sum(twice(v)));
      // A gradient step inside the loss, as in meta-learning.
      const mixed = P.grad((v: P.Tensor) => f(P.sub(v, P.mul(once(v), 0.1))));
      return { third: third(t(x)), mixed: mixed(t(x)) };
    });
    const [sin, cos, x] = [Math.sin(0.7), Math.cos(0.7), 0.7];
    const d1 = (v: number): number => Math.cos(v) * v * v + 2 * v * Math.sin(v);
    const d2 = 2 * sin + 4 * x * cos - x * x * sin;
    expect(third?.[0]).toBeCloseTo(6 * cos - 6 * x * sin - x * x * cos, 12);
    expect(mixed?.[0]).toBeCloseTo(d1(x - 0.1 * d1(x)) * (1 - 0.1 * d2), 12);
  });

  it('weigh several results by their seeds; one left out counts as none', () => {
    const { g } = run({ x: [2, 3] }, ({ x }) => {
      const [a, b] = [P.mul(t(x), 2), P.mul(t(x), t(x))];
      const seed = P.constant(tensor('f64', [2], [1, 10]));
      return { g: P.gradientsOf([a, b, P.exp(t(x))], [seed, seed, undefined], [t(x)])[0] as P.Tensor };
    });
    expect(g).toEqual([2 + 4, 20 + 60]);
  });

  it('share ties of a largest element evenly', () => {
    const { all, pair, relu } = run({ x: [3, 1, 3] }, ({ x }) => ({
      all: P.grad((v: P.Tensor) => P.max(v))(t(x)),
      pair: P.grad((v: P.Tensor) => P.sum(P.maximum(v, 3)))(t(x)),
      relu: P.grad((v: P.Tensor) => P.sum(P.relu(P.sub(v, v))))(t(x)),
    }));
    expect(all).toEqual([0.5, 0, 0.5]);
    expect(pair).toEqual([0.5, 0, 0.5]);
    expect(relu).toEqual([0, 0, 0]);
  });
});

describe('checkpoint', () => {
  const block = (w: P.Tensor) => (h: P.Tensor) => P.tanh(P.mul(P.sin(P.mul(h, w)), P.exp(h)));
  const network =
    (wrap: (fn: (h: P.Tensor) => P.Tensor) => (h: P.Tensor) => P.Tensor, layers = 3) =>
    (w: P.Tensor, x: P.Tensor): P.Tensor => {
      let h = x;
      for (let i = 0; i < layers; i++) h = P.add(wrap(block(w))(h), h);
      return P.sum(P.mul(h, h));
    };
  const plain = network((fn) => fn);
  const saving = network((fn) => P.checkpoint(fn));

  const gradientOf = (loss: typeof plain): P.Program =>
    P.trace('f', { w: f64(4), x: f64(4) }, ({ w, x }) => {
      const value = loss(t(w), t(x));
      const [dw, dx] = P.gradients(value, [t(w), t(x)]) as [P.Tensor, P.Tensor];
      const [second] = P.gradients(P.sum(P.mul(dx, dx)), [t(w)]) as [P.Tensor];
      return { value, dw, dx, second };
    });
  const inputs = [
    { shape: [4], data: Float64Array.of(0.3, -0.8, 1.2, 0.1) },
    { shape: [4], data: Float64Array.of(-0.4, 0.9, 0.2, -1.1) },
  ];

  it('has the same value and gradients, of second order, too', () => {
    const want = P.evaluate(gradientOf(plain), inputs);
    const got = P.evaluate(gradientOf(saving), inputs);
    want.forEach(({ data }, i) =>
      data.forEach((v, j) => expect(got[i]?.data[j], `${i}[${j}]`).toBeCloseTo(v, 12)),
    );
  });

  const firstOrder = (loss: typeof plain): P.Program =>
    P.simplify(
      P.trace('f', { w: f64(4), x: f64(4) }, ({ w, x }) => {
        const value = loss(t(w), t(x));
        return { value, dw: P.gradients(value, [t(w)])[0] as P.Tensor };
      }),
    );
  const count = (program: P.Program, op: string): number => program.nodes.filter((n) => n.op === op).length;

  it('computes again what lies inside, once', () => {
    // One tanh, one sine and one exponential a layer; on the way back once more each.
    for (const op of ['tanh', 'sin', 'exp']) {
      expect(count(firstOrder(plain), op), op).toBe(3);
      expect(count(firstOrder(saving), op), op).toBe(6);
    }
    expect(count(firstOrder(plain), 'barrier')).toBe(0);
    expect(count(firstOrder(saving), 'barrier')).toBeGreaterThanOrEqual(3);
  });

  it('keeps nothing from inside: only the way there reads it', () => {
    const program = firstOrder(saving);
    const firstBarrier = program.nodes.findIndex((n) => n.op === 'barrier');
    const inside = new Set(
      program.nodes.slice(0, firstBarrier).filter((n) => ['tanh', 'sin', 'exp'].includes(n.op)),
    );
    expect(inside.size).toBe(9);
    for (const node of program.nodes.slice(firstBarrier))
      for (const input of node.inputs)
        expect(inside.has(input.node), `${node.op} of ${input.node.op}`).toBe(false);
  });

  it('waits for the way back: every copy rests on a barrier', () => {
    const program = firstOrder(saving);
    const firstBarrier = program.nodes.findIndex((n) => n.op === 'barrier');
    const behind = new Set<P.Node>();
    for (const node of program.nodes)
      if (node.op === 'barrier' || node.inputs.some((i) => behind.has(i.node))) behind.add(node);
    for (const node of program.nodes.slice(firstBarrier))
      if (['tanh', 'sin', 'exp'].includes(node.op)) expect(behind.has(node), node.op).toBe(true);
  });

  it('may stand inside another, take trees and give trees', () => {
    const inner = P.checkpoint((p: { a: P.Tensor; b: readonly P.Tensor[] }) => ({
      sum: P.tanh(P.add(p.a, p.b[0] as P.Tensor)),
      product: [P.mul(p.a, p.b[0] as P.Tensor)],
    }));
    const outer = (wrap: boolean) => (x: P.Tensor) => {
      const body = (v: P.Tensor): P.Tensor => {
        const { sum, product } = inner({ a: P.sin(v), b: [P.exp(v)] });
        return P.mul(sum, product[0] as P.Tensor);
      };
      return P.sum((wrap ? P.checkpoint(body) : body)(x));
    };
    const { nested, flat } = run({ x: [0.3, -0.7] }, ({ x }) => ({
      nested: P.grad(outer(true))(t(x)),
      flat: P.grad(outer(false))(t(x)),
    }));
    nested?.forEach((v, i) => expect(v).toBeCloseTo(flat?.[i] as number, 13));
    const f = (v: number): number => Math.tanh(Math.sin(v) + Math.exp(v)) * Math.sin(v) * Math.exp(v);
    [0.3, -0.7].forEach((v, i) => expect(nested?.[i]).toBeCloseTo((f(v + 1e-6) - f(v - 1e-6)) / 2e-6, 8));
  });
});
