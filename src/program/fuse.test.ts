/** Sums and norms become one node where that is the same, and only there; what they compute stays. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { fuse } from './fuse.ts';
import * as P from './index.ts';

const random = new Random(2, 'fuse');
const floats = (shape: readonly number[]): HostTensor<'f32'> => {
  const made = tensor('f32', shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  random.fillNormal(made.data);
  return made;
};

let cpu: Backend;
let reference: Backend;
beforeAll(async () => {
  cpu = await createBackend('cpu', { inline: true, threads: 1 });
  reference = await createBackend('reference');
});
afterAll(() => cpu.close());

const inputs: HostTensors = {
  x: floats([2, 3, 8]),
  y: floats([2, 3, 8]),
  row: floats([8]),
  s: floats([8]),
  other: floats([8]),
};
const program = (fn: (x: Record<string, P.Tensor>) => Record<string, P.Tensor>): P.Program =>
  P.trace(
    'p',
    Object.fromEntries(Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
    fn,
  );
const fused = (made: P.Program): number =>
  fuse(made).nodes.filter((node) => node.op === 'skipRmsNorm').length;
type Given = Record<'x' | 'y' | 'row' | 's' | 'other', P.Tensor>;
const given = (x: Record<string, P.Tensor>): Given => x as Given;

it('a chain of residual sums, each read by its norm and by the next sum, is the same in half the nodes', async () => {
  const chain = program((all) => {
    const { x, y, s, other } = given(all);
    const first = P.add(x, y);
    const second = P.add(first, P.tanh(P.rmsNorm(first, s)));
    return { normed: P.rmsNorm(second, other, 0.1), second };
  });
  expect(fused(chain)).toBe(2);
  expect(fuse(chain).nodes.some(({ op }) => op === 'rmsNorm' || op === 'add')).toBe(false);
  const want = await (await reference.compile(chain)).run({ inputs });
  for (const got of [
    await (await reference.compile(fuse(chain))).run({ inputs }),
    await (await cpu.compile(chain)).run({ inputs }),
  ])
    for (const [name, { data }] of Object.entries(want))
      data.forEach((value, i) => expect(Number(got[name]?.data[i])).toBeCloseTo(Number(value), 5));
  const nodes = (options: P.LowerOptions): string[] =>
    P.lowerToModel(chain, options).graph.nodes.map(({ opType }) => opType);
  expect(nodes({ skips: true })).toContain('SkipSimplifiedLayerNormalization');
  expect(nodes({})).not.toContain('SkipSimplifiedLayerNormalization');
  expect(nodes({ skips: true, portable: true })).not.toContain('SkipSimplifiedLayerNormalization');
});

it('a second norm of the same sum stays a norm', () => {
  const made = program((all) => {
    const { x, y, s, other } = given(all);
    const total = P.add(x, y);
    return { a: P.rmsNorm(total, s), b: P.rmsNorm(total, other) };
  });
  expect(fused(made)).toBe(1);
  expect(fuse(made).nodes.filter(({ op }) => op === 'rmsNorm').length).toBe(1);
});

it.each<[string, (x: Given) => Record<string, P.Tensor>]>([
  ['a sum that spreads a row', ({ x, row, s }) => ({ out: P.rmsNorm(P.add(x, row), s) })],
  [
    'four axes',
    ({ x, y, s }) => {
      const wide = (t: P.Tensor): P.Tensor => P.reshape(t, [2, 3, 1, 8]);
      return { out: P.rmsNorm(P.add(wide(x), wide(y)), s) };
    },
  ],
  ['a scale that is computed', ({ x, y, s }) => ({ out: P.rmsNorm(P.add(x, y), P.tanh(s)) })],
  [
    'a norm whose gradient is taken',
    ({ x, y, s }) => {
      const out = P.rmsNorm(P.add(x, y), s);
      return { out, slope: P.gradients(P.sum(P.mul(out, out)), [x])[0] as P.Tensor };
    },
  ],
  ['no sum', ({ x, s }) => ({ out: P.rmsNorm(P.mul(x, 2), s) })],
])('%s is left', (_, fn) => {
  const made = program((all) => fn(given(all)));
  expect(fuse(made)).toBe(made);
});
