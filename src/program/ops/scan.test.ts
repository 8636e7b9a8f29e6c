/** Loops against the same steps written out: values, gradients, gradients of gradients. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/rng.ts';
import { type HostTensor, sizeOf, tensor } from '../../base/tensor.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import * as P from '../index.ts';

type Tensors = Record<string, P.Tensor>;
type Loop = typeof P.scan;

/** The loop as a chain of nodes. */
const unrolled: Loop = (options, body) => {
  const steps = Object.values(options.sequences)[0]?.shape[0] as number;
  let carry: Tensors = { ...options.carry };
  const rows: Record<string, P.Tensor[]> = {};
  for (let s = 0; s < steps; s++) {
    const at = options.reverse === true ? steps - 1 - s : s;
    const row = Object.fromEntries(
      Object.entries(options.sequences).map(([name, t]) => [
        name,
        P.reshape(P.slice(t, { axis: 0, start: at, end: at + 1 }), t.shape.slice(1)),
      ]),
    );
    const made = body({ carry, row, constants: { ...options.constants } });
    carry = { ...made.carry };
    for (const [name, t] of Object.entries(made.results ?? {})) {
      rows[name] ??= [];
      const open = P.reshape(t, [1, ...t.shape]);
      if (options.reverse === true) rows[name].unshift(open);
      else rows[name].push(open);
    }
  }
  const results = Object.fromEntries(Object.entries(rows).map(([name, list]) => [name, P.concat(list, 0)]));
  return { carry, results };
};

interface Case {
  name: string;
  shapes: Record<string, number[]>;
  /** Whole numbers 0…3, without a gradient. */
  ids?: Record<string, number[]>;
  fn: (x: Tensors, loop: Loop) => P.Tensor[];
}

const t = (x: P.Tensor | undefined): P.Tensor => x as P.Tensor;

const cases: Case[] = [
  {
    name: 'a recurrent network: carry, rows, weights',
    shapes: { h: [2, 3], xs: [5, 2, 4], w: [4, 3], u: [3, 3] },
    fn: ({ h, xs, w, u }, loop) => {
      const { carry, results } = loop(
        { carry: { h: t(h) }, sequences: { x: t(xs) }, constants: { w: t(w), u: t(u) } },
        ({ carry, row, constants }) => {
          const next = P.tanh(
            P.add(P.matmul(t(row.x), t(constants.w)), P.matmul(t(carry.h), t(constants.u))),
          );
          return { carry: { h: next }, results: { y: P.sin(next), z: P.sum(next) } };
        },
      );
      return [t(carry.h), t(results.y), t(results.z)];
    },
  },
  {
    name: 'backwards, with two carries of different shapes',
    shapes: { a: [3], b: [], xs: [4, 3], ys: [4] },
    fn: ({ a, b, xs, ys }, loop) => {
      const { carry, results } = loop(
        { carry: { a: t(a), b: t(b) }, sequences: { x: t(xs), y: t(ys) }, reverse: true },
        ({ carry, row }) => ({
          carry: {
            b: P.sin(P.add(t(carry.b), P.sum(P.mul(t(carry.a), t(row.x))))),
            a: P.mul(P.tanh(P.add(t(carry.a), t(row.y))), t(carry.b)),
          },
          results: { before: t(carry.b) },
        }),
      );
      return [t(carry.a), t(carry.b), t(results.before)];
    },
  },
  {
    name: 'only its results are used',
    shapes: { h: [2], xs: [4, 2] },
    fn: ({ h, xs }, loop) => [
      t(
        loop({ carry: { h: t(h) }, sequences: { x: t(xs) } }, ({ carry, row }) => ({
          carry: { h: P.mul(t(carry.h), t(row.x)) },
          results: { y: P.exp(t(carry.h)), unused: t(row.x) },
        })).results.y,
      ),
    ],
  },
  {
    name: 'no carry at all',
    shapes: { xs: [4, 2], w: [2] },
    fn: ({ xs, w }, loop) => [
      t(
        loop({ carry: {}, sequences: { x: t(xs) }, constants: { w: t(w) } }, ({ row, constants }) => ({
          carry: {},
          results: { y: P.mul(P.sin(t(row.x)), t(constants.w)) },
        })).results.y,
      ),
    ],
  },
  {
    name: 'whole numbers beside: a counter carried, ids as rows',
    shapes: { h: [3], table: [4, 3] },
    ids: { ids: [5] },
    fn: ({ h, table, ids }, loop) => {
      const { carry, results } = loop(
        {
          carry: { h: t(h), n: P.constant(tensor('i32', [], [1])) },
          sequences: { id: t(ids) },
          constants: { table: t(table) },
        },
        ({ carry, row, constants }) => {
          const picked = P.gather(t(constants.table), t(row.id));
          const next = P.tanh(P.add(t(carry.h), P.mul(picked, P.cast(t(carry.n), picked.dtype))));
          return { carry: { h: next, n: P.add(t(carry.n), 1) }, results: { n: t(carry.n), h: next } };
        },
      );
      return [t(carry.h), P.mul(t(results.h), P.cast(P.reshape(t(results.n), [5, 1]), t(h).dtype))];
    },
  },
  {
    name: 'a carry handed through, and one that is forgotten',
    shapes: { a: [2], b: [2], xs: [3, 2] },
    fn: ({ a, b, xs }, loop) => {
      const { carry } = loop({ carry: { a: t(a), b: t(b) }, sequences: { x: t(xs) } }, ({ carry, row }) => ({
        carry: { a: t(carry.a), b: P.mul(t(row.x), t(carry.a)) },
      }));
      return [t(carry.a), t(carry.b)];
    },
  },
  {
    name: 'one step',
    shapes: { h: [2], xs: [1, 2] },
    fn: ({ h, xs }, loop) => {
      const { carry, results } = loop({ carry: { h: t(h) }, sequences: { x: t(xs) } }, ({ carry, row }) => ({
        carry: { h: P.mul(t(carry.h), t(row.x)) },
        results: { y: t(carry.h) },
      }));
      return [t(carry.h), t(results.y)];
    },
  },
  {
    name: 'a loop in a loop',
    shapes: { h: [2], xs: [3, 4, 2], w: [2] },
    fn: ({ h, xs, w }, loop) => {
      const { carry, results } = loop(
        { carry: { h: t(h) }, sequences: { x: t(xs) }, constants: { w: t(w) } },
        (outer) => {
          const inner = loop(
            {
              carry: { g: t(outer.carry.h) },
              sequences: { x: t(outer.row.x) },
              constants: { w: t(outer.constants.w) },
            },
            ({ carry, row, constants }) => ({
              carry: { g: P.tanh(P.add(P.mul(t(carry.g), t(constants.w)), t(row.x))) },
              results: { y: P.sin(t(carry.g)) },
            }),
          );
          return { carry: { h: t(inner.carry.g) }, results: { y: P.sum(t(inner.results.y), { axes: [0] }) } };
        },
      );
      return [t(carry.h), t(results.y)];
    },
  },
  {
    name: 'a checkpoint inside the body',
    shapes: { h: [2], xs: [3, 2] },
    fn: ({ h, xs }, loop) => [
      t(
        loop({ carry: { h: t(h) }, sequences: { x: t(xs) } }, ({ carry, row }) => ({
          carry: {
            h: P.checkpoint((a: P.Tensor, b: P.Tensor) => P.tanh(P.mul(P.sin(a), b)))(t(carry.h), t(row.x)),
          },
        })).carry.h,
      ),
    ],
  },
];

function programOf({ name, shapes, ids, fn }: Case, dtype: 'f32' | 'f64', loop: Loop): P.Program {
  const types = {
    ...Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [key, { dtype, shape }])),
    ...Object.fromEntries(
      Object.entries(ids ?? {}).map(([key, shape]) => [key, { dtype: 'i32' as const, shape }]),
    ),
  };
  return P.trace(name, types, (x) => {
    const keys = Object.keys(shapes);
    const xs = keys.map((key) => t(x[key]));
    const values = fn(x, loop);
    const total = values.map((y, i) => P.mul(P.sum(P.sin(y)), i + 1)).reduce((a, b) => P.add(a, b));
    const first = P.gradients(total, xs);
    const squares = first.map((g) => P.sum(P.mul(g, P.add(g, 1)))).reduce((a, b) => P.add(a, b));
    const second = P.gradients(squares, xs);
    const named = (prefix: string, list: P.Tensor[]): Tensors =>
      Object.fromEntries(list.map((y, i) => [`${prefix}${i}`, y]));
    return { total, ...named('value', values), ...named('first', first), ...named('second', second) };
  });
}

function inputsOf({ name, shapes, ids }: Case, dtype: 'f32' | 'f64'): Record<string, HostTensor> {
  const random = new Random(3, name);
  const fill = (shape: number[], value: () => number): number[] =>
    Array.from({ length: sizeOf(shape) }, value);
  return {
    ...Object.fromEntries(
      Object.entries(shapes).map(([key, shape]) => [
        key,
        tensor(
          dtype,
          shape,
          fill(shape, () => Math.fround(random.uniform() * 2 - 1)),
        ),
      ]),
    ),
    ...Object.fromEntries(
      Object.entries(ids ?? {}).map(([key, shape]) => [
        key,
        tensor(
          'i32',
          shape,
          fill(shape, () => random.integer(4)),
        ),
      ]),
    ),
  };
}

describe('a loop', () => {
  let reference: Backend;
  let cpu: Backend;

  beforeAll(async () => {
    reference = await createBackend('reference');
    cpu = await createBackend('cpu', { inline: true, threads: 1 });
  });

  afterAll(() => cpu.close());

  it.each(cases.map((c) => [c.name, c] as const))('%s', async (_, c) => {
    const run = async (backend: Backend, dtype: 'f32' | 'f64', loop: Loop) =>
      (await backend.compile(programOf(c, dtype, loop))).run({ inputs: inputsOf(c, dtype) });
    const want = await run(reference, 'f64', unrolled);
    expect(programOf(c, 'f64', unrolled).nodes.some((node) => node.op === 'scan')).toBe(false);
    for (const [got, tolerance] of [
      [await run(reference, 'f64', P.scan), 1e-12],
      [await run(cpu, 'f32', P.scan), 1e-4],
    ] as const) {
      expect(Object.keys(got)).toEqual(Object.keys(want));
      for (const [key, { shape, data }] of Object.entries(want)) {
        expect(got[key]?.shape, key).toEqual(shape);
        data.forEach((value, i) =>
          expect(Math.abs(Number(got[key]?.data[i]) - Number(value)), `${key}[${i}]`).toBeLessThan(
            tolerance * (1 + Math.abs(Number(value))),
          ),
        );
      }
    }
    // Something must flow for this to say anything.
    const flows = Object.entries(want).filter(([key]) => key.startsWith('first'));
    expect(flows.some(([, { data }]) => data.some((v) => Number(v) !== 0))).toBe(true);
  });

  it('of a length that only the run tells', async () => {
    const program = P.trace(
      'open',
      { h: { dtype: 'f32', shape: [2] }, xs: { dtype: 'f32', shape: ['steps', 2] } },
      ({ h, xs }) => {
        const { carry, results } = P.scan(
          { carry: { h: t(h) }, sequences: { x: t(xs) } },
          ({ carry, row }) => ({
            carry: { h: P.mul(t(carry.h), t(row.x)) },
            results: { y: t(carry.h) },
          }),
        );
        const total = P.add(P.sum(t(carry.h)), P.sum(t(results.y)));
        const [dh, dxs] = P.gradients(total, [t(h), t(xs)]) as [P.Tensor, P.Tensor];
        return { y: t(results.y), dh, dxs };
      },
    );
    const executable = await cpu.compile(program);
    for (const steps of [1, 3, 6]) {
      const inputs = {
        h: tensor('f32', [2], [1, 2]),
        xs: tensor(
          'f32',
          [steps, 2],
          Array.from({ length: 2 * steps }, (_, i) => 0.5 + i / 8),
        ),
      };
      const want = await (await reference.compile(program)).run({ inputs });
      const got = await executable.run({ inputs });
      for (const [key, { shape, data }] of Object.entries(want)) {
        expect(got[key]?.shape).toEqual(shape);
        data.forEach((v, i) => expect(Number(got[key]?.data[i])).toBeCloseTo(Number(v), 4));
      }
    }
  });
});
