/**
 * Positions that repeat, summed by two threads: right sums, and the same bits in every run. Sizes are large
 * enough for ONNX Runtime to share the work out.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/rng.ts';
import { bytesOf, type HostTensor, tensor } from '../../base/tensor.ts';
import { crossEntropy } from '../../nn/loss.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import * as P from '../index.ts';

const RUNS = 50;

type Inputs = Record<string, HostTensor>;
interface Case {
  name: string;
  inputs: Inputs;
  fn: (x: Record<string, P.Tensor>) => P.Tensor;
  /** The sums, by a plain loop in float64. */
  sums: (inputs: Inputs) => Float64Array;
}

const random = new Random(11, 'repeated');
const floats = (shape: number[]): HostTensor<'f32'> => {
  const made = tensor('f32', shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  random.fillNormal(made.data);
  return made;
};
/** Few of the rows, most of them often; the first and the last are among them. */
const places = (dtype: 'i32' | 'i64', shape: number[], rows: number, from = 7): HostTensor => {
  const count = shape.reduce((a, b) => a * b, 1);
  const used = Array.from({ length: from }, () => random.integer(rows));
  used.push(0, rows - 1);
  return tensor(
    dtype,
    shape,
    Array.from({ length: count }, () => used[random.integer(used.length)] as number),
  );
};
const numbers = (t: HostTensor | undefined): number[] => Array.from((t as HostTensor).data as never, Number);

/** `into[at(i)] += from[i]`. */
function added(size: number, from: readonly number[], at: (i: number) => number): Float64Array {
  const result = new Float64Array(size);
  from.forEach((value, i) => {
    result[at(i)] = (result[at(i)] as number) + value;
  });
  return result;
}

const gatherGradient = (name: string, rows: number, dtype: 'i32' | 'i64', shape: number[]): Case => {
  const width = 48;
  return {
    name,
    inputs: {
      table: floats([rows, width]),
      ids: places(dtype, shape, rows),
      weights: floats([...shape, width]),
    },
    fn: ({ table, ids, weights }) =>
      P.gradients(P.sum(P.mul(P.gather(table as P.Tensor, ids as P.Tensor), weights as P.Tensor)), [
        table as P.Tensor,
      ])[0] as P.Tensor,
    sums: ({ ids, weights }) => {
      const at = numbers(ids);
      return added(
        rows * width,
        numbers(weights),
        (i) => (at[Math.floor(i / width)] as number) * width + (i % width),
      );
    },
  };
};

const [OUTER, COUNT, ROWS, INNER] = [6, 700, 40, 24] as const;

const cases: Case[] = [
  gatherGradient('the gradient of gather, few rows', 300, 'i32', [2048]),
  gatherGradient('the gradient of gather, few rows, i64', 300, 'i64', [2048]),
  gatherGradient('the gradient of gather, many rows', 5000, 'i32', [2048]),
  gatherGradient('the gradient of an embedding, [batch, time]', 5000, 'i64', [16, 128]),
  gatherGradient('the gradient of an embedding, one row only', 1, 'i32', [16, 128]),
  {
    name: 'the gradient of gather along a middle axis',
    inputs: {
      x: floats([OUTER, ROWS, INNER]),
      ids: places('i32', [COUNT], ROWS),
      weights: floats([OUTER, COUNT, INNER]),
    },
    fn: ({ x, ids, weights }) =>
      P.gradients(P.sum(P.mul(P.gather(x as P.Tensor, ids as P.Tensor, 1), weights as P.Tensor)), [
        x as P.Tensor,
      ])[0] as P.Tensor,
    sums: ({ ids, weights }) => {
      const at = numbers(ids);
      return added(OUTER * ROWS * INNER, numbers(weights), (i) => {
        const [o, n] = [Math.floor(i / (COUNT * INNER)), Math.floor(i / INNER) % COUNT];
        return (o * ROWS + (at[n] as number)) * INNER + (i % INNER);
      });
    },
  },
  {
    name: 'scatterAdd, all to one place',
    inputs: { updates: floats([5000, 16]), ids: tensor('i32', [5000], new Array<number>(5000).fill(699)) },
    fn: ({ updates, ids }) => P.scatterAdd(updates as P.Tensor, ids as P.Tensor, 700),
    sums: ({ updates }) => added(700 * 16, numbers(updates), (i) => 699 * 16 + (i % 16)),
  },
  {
    name: 'scatterElements along the last axis',
    inputs: { updates: floats([64, 900]), ids: places('i32', [64, 900], ROWS, 3) },
    fn: ({ updates, ids }) => P.scatterElements(updates as P.Tensor, ids as P.Tensor, ROWS, 1),
    sums: ({ updates, ids }) => {
      const at = numbers(ids);
      return added(64 * ROWS, numbers(updates), (i) => Math.floor(i / 900) * ROWS + (at[i] as number));
    },
  },
  {
    name: 'scatterElements along the first axis',
    inputs: { updates: floats([900, 64]), ids: places('i64', [900, 64], ROWS, 3) },
    fn: ({ updates, ids }) => P.scatterElements(updates as P.Tensor, ids as P.Tensor, ROWS, 0),
    sums: ({ updates, ids }) => {
      const at = numbers(ids);
      return added(ROWS * 64, numbers(updates), (i) => (at[i] as number) * 64 + (i % 64));
    },
  },
  {
    name: 'the gradient of gatherElements',
    inputs: {
      x: floats([ROWS, 64]),
      ids: places('i32', [900, 64], ROWS, 3),
      weights: floats([900, 64]),
    },
    fn: ({ x, ids, weights }) =>
      P.gradients(P.sum(P.mul(P.gatherElements(x as P.Tensor, ids as P.Tensor, 0), weights as P.Tensor)), [
        x as P.Tensor,
      ])[0] as P.Tensor,
    sums: ({ ids, weights }) => {
      const at = numbers(ids);
      return added(ROWS * 64, numbers(weights), (i) => (at[i] as number) * 64 + (i % 64));
    },
  },
];

describe('positions that repeat', () => {
  let cpu: Backend;

  beforeAll(async () => {
    cpu = await createBackend('cpu', { inline: true, threads: 2 });
  });

  afterAll(() => cpu.close());

  async function sameBits(
    program: P.Program,
    inputs: Inputs,
    runs: number,
  ): Promise<Record<string, HostTensor>> {
    const first = await cpu.compile(program);
    const second = await cpu.compile(program);
    const start = await first.run({ inputs });
    for (let run = 1; run < runs; run++) {
      // A session that was made anew must agree, too.
      const again = await (run % 5 === 0 ? second : first).run({ inputs });
      for (const [key, value] of Object.entries(start)) {
        const same = Buffer.compare(bytesOf(value), bytesOf(again[key] as HostTensor)) === 0;
        expect(same, `${key} in run ${run}`).toBe(true);
      }
    }
    await first.free();
    await second.free();
    return start;
  }

  it.each(cases.map((c) => [c.name, c] as const))('%s', async (_, { name, inputs, fn, sums }) => {
    const program = P.trace(name, inputs, (x) => ({ y: fn(x) }));
    const { y } = await sameBits(program, inputs, RUNS);
    const want = sums(inputs);
    const got = numbers(y);
    expect(got.length).toBe(want.length);
    const worst = got.reduce((most, v, i) => Math.max(most, Math.abs(v - (want[i] as number))), 0);
    // Sums of thousands of normal numbers, each rounded to float32.
    expect(worst).toBeLessThan(1e-3);
    expect(want.some((v) => Math.abs(v) > 10)).toBe(true);
  });

  it('an embedding tied to the output: loss and gradient of a small decoder', async () => {
    const [vocabulary, width, batch, time] = [900, 32, 8, 64] as const;
    const inputs = {
      table: floats([vocabulary, width]),
      tokens: places('i32', [batch, time], vocabulary, 20),
      targets: places('i32', [batch * time], vocabulary, 20),
    };
    const program = P.trace('tied', inputs, ({ table, tokens, targets }) => {
      const rows = P.reshape(P.gather(table as P.Tensor, tokens as P.Tensor), [batch * time, width]);
      const logits = P.matmul(P.tanh(rows), P.transpose(table as P.Tensor));
      const loss = crossEntropy(logits, targets as P.Tensor);
      return { loss, gradient: P.gradients(loss, [table as P.Tensor])[0] as P.Tensor };
    });
    const got = await sameBits(program, inputs, RUNS);
    const reference = await createBackend('reference');
    const want = await (await reference.compile(program)).run({ inputs });
    for (const key of ['loss', 'gradient']) {
      const exact = numbers(want[key]);
      expect(Math.max(...numbers(got[key]).map((v, i) => Math.abs(v - (exact[i] as number))))).toBeLessThan(
        1e-4,
      );
    }
  });
});
