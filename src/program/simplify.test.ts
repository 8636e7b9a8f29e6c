/** Which nodes a simplified program still has, and that it means the same. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, tensor } from '../base/tensor.ts';
import { numbersOf } from './host-value.ts';
import * as P from './index.ts';

type Tensors = Record<string, P.Tensor>;
const f32 = (...shape: P.Size[]): P.TensorType => ({ dtype: 'f32', shape });

/** The ops left, inputs and constants not counted. */
function ops(program: P.Program): string[] {
  return program.nodes.map((node) => node.op).filter((op) => op !== 'input' && op !== 'constant');
}

function simplified(inputs: Record<string, P.TensorType>, fn: (x: Tensors) => Tensors): P.Program {
  return P.simplify(P.trace('f', inputs, fn));
}

/** The value of an output that became a constant. */
function constantOf(program: P.Program, index = 0): HostTensor {
  const { node } = (program.outputs[index] as P.Named).tensor;
  expect(node.op).toBe('constant');
  return node.attributes.value as HostTensor;
}

const c = (values: number[], shape = [values.length]): P.Tensor => P.constant(tensor('f32', shape, values));

describe('constants', () => {
  it('are folded through any op', () => {
    const program = simplified({}, () => {
      const product = P.matmul(c([1, 2, 3, 4], [2, 2]), c([1, 1], [2, 1]));
      return { y: P.sum(P.transpose(P.mul(product, P.exp(c([0])))), { axes: [0] }) };
    });
    expect(ops(program)).toEqual([]);
    expect(constantOf(program)).toEqual(tensor('f32', [2], [3, 7]));
  });

  it.each([
    ['f16', 0.1, 0.0999755859375],
    ['f32', 0.1, Math.fround(0.1)],
    ['f64', 0.1, Math.fround(0.1)],
    ['i32', -2.7, -2],
    ['i64', -2.7, -2],
    ['u8', 2.7, 2],
    ['bool', 0.1, 1],
  ] as const)('are rounded as %s holds them', (dtype, value, held) => {
    const program = simplified({}, () => ({ y: P.cast(c([value]), dtype) }));
    expect(constantOf(program).dtype).toBe(dtype);
    expect([...numbersOf(constantOf(program))]).toEqual([held]);
  });

  it('stay nodes where the result would be large', () => {
    const grow = (rows: number) => simplified({}, () => ({ y: P.broadcastTo(c([1, 2, 3, 4]), [rows, 4]) }));
    expect(ops(grow(1024))).toEqual([]);
    expect(ops(grow(1025))).toEqual(['broadcastTo']);
  });

  it('are not made of what an input has a part in', () => {
    const program = simplified({ x: f32(2) }, ({ x }) => ({ y: P.add(x as P.Tensor, P.mul(c([2, 3]), 2)) }));
    expect(ops(program)).toEqual(['add']);
    expect((program.outputs[0] as P.Named).tensor.node.inputs[1]?.node.op).toBe('constant');
  });

  it('stand for results without elements', () => {
    const program = simplified({ x: f32(2, 0) }, ({ x }) => ({
      y: P.exp(P.matmul(x as P.Tensor, P.fill(1, [0, 0]))),
    }));
    expect(ops(program)).toEqual([]);
    expect(constantOf(program).shape).toEqual([2, 0]);
  });
});

describe('equal nodes', () => {
  it('are made once', () => {
    const program = simplified({ x: f32(3), w: f32(3) }, ({ x, w }) => {
      const part = () => P.tanh(P.mul(x as P.Tensor, w as P.Tensor));
      return { y: P.add(part(), P.exp(part())) };
    });
    expect(ops(program)).toEqual(['mul', 'tanh', 'exp', 'add']);
  });

  it('differ where an attribute, an order or the sign of a zero differs', () => {
    const program = simplified({ x: f32(2, 2), y: f32(2, 2) }, ({ x, y }) => {
      const [a, b] = [x as P.Tensor, y as P.Tensor];
      return {
        sums: P.add(P.sum(a, { axes: [0] }), P.sum(a, { axes: [1] })),
        differences: P.mul(P.sub(a, b), P.sub(b, a)),
        zeros: P.div(P.maximum(a, 0), P.maximum(a, -0)),
      };
    });
    expect(ops(program).filter((op) => op === 'sum')).toHaveLength(2);
    expect(ops(program).filter((op) => op === 'sub')).toHaveLength(2);
    expect(ops(program).filter((op) => op === 'maximum')).toHaveLength(2);
  });

  it('are found in a gradient: nothing of the way there is made twice', () => {
    const traced = P.trace('f', { x: f32(3) }, ({ x }) => {
      const total = (t: P.Tensor) => P.sum(P.mul(P.exp(t), P.exp(t)));
      return P.valueAndGrad(total)(x as P.Tensor) as unknown as Tensors;
    });
    const program = P.simplify(traced);
    expect(ops(traced).filter((op) => op === 'exp')).toHaveLength(2);
    expect(ops(program).filter((op) => op === 'exp')).toHaveLength(1);
    expect(program.nodes.length).toBeLessThan(traced.nodes.length - 5);
  });
});

describe('nodes that change nothing', () => {
  const keeps: [string, (x: P.Tensor) => P.Tensor][] = [
    ['x + 0', (x) => P.add(x, 0)],
    ['0 + x', (x) => P.add(0, x)],
    ['x − 0', (x) => P.sub(x, 0)],
    ['x · 1', (x) => P.mul(x, 1)],
    ['1 · x', (x) => P.mul(1, x)],
    ['x / 1', (x) => P.div(x, 1)],
    ['x to the power of 1', (x) => P.pow(x, 1)],
    ['x + zeros', (x) => P.add(x, P.fill(0, [2, 3]))],
    ['−(−x)', (x) => P.neg(P.neg(x))],
    ['there and back', (x) => P.reshape(P.reshape(x, [6]), [2, 3])],
    ['turned and turned back', (x) => P.transpose(P.transpose(x))],
    ['stopGradient', (x) => P.stopGradient(x)],
  ];
  it.each(keeps)('%s', (_, fn) => {
    expect(ops(simplified({ x: f32(2, 3) }, ({ x }) => ({ y: fn(x as P.Tensor) })))).toEqual([]);
  });

  const stay: [string, (x: P.Tensor) => P.Tensor, string[]][] = [
    ['0 − x', (x) => P.sub(0, x), ['sub']],
    ['1 / x', (x) => P.div(1, x), ['div']],
    ['x + zeros that make it larger', (x) => P.add(x, P.fill(0, [4, 2, 3])), ['fill', 'add']],
    ['two reshapes become one', (x) => P.reshape(P.reshape(x, [6]), [3, 2]), ['reshape']],
    [
      'three turns become one',
      (x) => P.transpose(P.transpose(P.transpose(P.reshape(x, [1, 2, 3]), [1, 2, 0]), [1, 2, 0]), [0, 2, 1]),
      ['reshape', 'transpose'],
    ],
    ['a cast that loses something', (x) => P.cast(P.cast(x, 'i32'), 'f32'), ['cast', 'cast']],
  ];
  it.each(stay)('but: %s', (_, fn, left) => {
    expect(ops(simplified({ x: f32(2, 3) }, ({ x }) => ({ y: fn(x as P.Tensor) })))).toEqual(left);
  });
});

describe('broadcasts', () => {
  it('go where the next op does it by itself', () => {
    const program = simplified({ x: f32(4, 3), b: f32(3) }, ({ x, b }) => ({
      y: P.add(x as P.Tensor, P.broadcastTo(b as P.Tensor, [4, 3])),
    }));
    expect(ops(program)).toEqual(['add']);
  });

  it('stay where nothing else has that size', () => {
    const program = simplified({ b: f32(3), d: f32(3) }, ({ b, d }) => ({
      y: P.add(P.broadcastTo(d as P.Tensor, [4, 3]), P.broadcastTo(b as P.Tensor, [4, 3])),
    }));
    expect(ops(program)).toEqual(['broadcastTo', 'add']);
    expect(program.outputs[0]?.tensor.shape).toEqual([4, 3]);
  });

  it('stay where nothing else has that many axes', () => {
    const program = simplified({ b: f32() }, ({ b }) => ({
      y: P.sum(P.exp(P.mul(P.broadcastTo(b as P.Tensor, [1, 1]), 3)), { axes: [1] }),
    }));
    expect(program.outputs[0]?.tensor.shape).toEqual([1]);
  });
});

describe('what nobody reads', () => {
  it('goes, inputs stay', () => {
    const program = simplified({ x: f32(2), unused: f32(2) }, ({ x, unused }) => {
      P.exp(P.mul(unused as P.Tensor, 2));
      const [first] = P.split(P.tanh(x as P.Tensor), [1, 1], 0);
      return { y: first as P.Tensor };
    });
    expect(ops(program)).toEqual(['tanh', 'split']);
    expect(program.inputs.map((i) => i.name)).toEqual(['x', 'unused']);
    expect(program.nodes.filter((n) => n.op === 'input')).toHaveLength(2);
  });

  const loop = (x: Tensors): P.ScanResult =>
    P.scan({ carry: { h: x.h as P.Tensor }, sequences: { x: x.xs as P.Tensor } }, ({ carry, row }) => ({
      carry: { h: P.mul(P.add(carry.h as P.Tensor, 0), P.exp(row.x as P.Tensor)) },
    }));
  const types = { h: f32(2), xs: f32(5, 2) };
  const scanOf = (program: P.Program): P.Node => program.nodes.find((n) => n.op === 'scan') as P.Node;

  it('goes from a loop, too: its history without a gradient, and what its body does in vain', () => {
    const node = scanOf(simplified(types, (x) => ({ y: loop(x).carry.h as P.Tensor })));
    expect(node.attributes.history).toBe(false);
    expect(ops(node.attributes.body as P.Program)).toEqual(['exp', 'mul']);
  });

  it('is not the history of a loop that a gradient goes back through', () => {
    const program = simplified(types, (x) => ({
      y: P.gradients(P.sum(loop(x).carry.h as P.Tensor), [x.xs as P.Tensor])[0] as P.Tensor,
    }));
    expect(program.nodes.filter((n) => n.op === 'scan').map((n) => n.attributes.history)).toEqual([
      true,
      false,
    ]);
  });

  it('is not what a barrier holds back', () => {
    const program = simplified({ x: f32(2) }, ({ x }) => ({
      y: P.gradients(P.sum(P.checkpoint((t: P.Tensor) => P.exp(P.tanh(t)))(x as P.Tensor)), [
        x as P.Tensor,
      ])[0] as P.Tensor,
    }));
    expect(ops(program)).toContain('barrier');
    expect(ops(program).filter((op) => op === 'tanh').length).toBeGreaterThanOrEqual(1);
  });
});

it('simplifying twice changes nothing more', () => {
  const program = simplified({ x: f32(2, 3), w: f32(3, 3) }, ({ x, w }) => {
    const loss = (t: P.Tensor) => P.mean(P.gelu(P.matmul(P.softmax(x as P.Tensor), t)));
    return { y: P.grad(loss)(w as P.Tensor) };
  });
  expect(P.print(P.simplify(program))).toBe(P.print(program));
});
