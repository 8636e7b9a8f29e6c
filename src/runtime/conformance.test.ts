/** What every backend must do: one suite for the reference, ONNX Runtime inline and in its thread. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tensor, zeros } from '../base/tensor.ts';
import { floatsToHalves, halvesToFloats } from '../formats/float16.ts';
import { add, cast, constant, mul, type Tensor, trace } from '../program/index.ts';
import { type Backend, createBackend } from './index.ts';

const f32 = (shape: (number | string)[]) => ({ dtype: 'f32' as const, shape });
const grow = trace('grow', { x: f32([2]), by: f32([]) }, ({ x, by }) => ({
  next: add(x as never, by as never),
  twice: mul(x as never, 2),
}));
const rows = trace('rows', { r: f32(['batch', 1, 2, 1]) }, ({ r }) => ({ out: mul(r as never, 10) }));

describe.each([
  ['reference', () => createBackend('reference')],
  ['cpu, inline', () => createBackend('cpu', { inline: true })],
  ['cpu, in its thread', () => createBackend('cpu', { threads: 2 })],
] as const)('%s', (_, open) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(async () => {
    await backend.close();
    await backend.close();
  });

  it('keeps rows where they belong while an axis grows and shrinks', async () => {
    const shape = [2, 2, 3, 2];
    const at = (r: number, m: number, t: number, i: number): number => 1000 * r + 100 * m + 10 * t + i + 1;
    const all = (rows: readonly number[], time: number, filled: number): number[] =>
      rows.flatMap((r) =>
        [0, 1].flatMap((m) =>
          Array.from({ length: time }, (_, t) => [0, 1].map((i) => (t < filled ? at(r, m, t, i) : 0))).flat(),
        ),
      );
    const state = await backend.resident({ c: tensor('f32', shape, all([0, 1], 3, 3)) });
    const now = async (): Promise<number[]> => Array.from((await state.read()).c?.data as Float32Array);
    for (const size of [4, 5, 6, 7, 3, 4, 9]) {
      await state.resize(['c'], 2, size);
      expect(await now()).toEqual(all([0, 1], size, 3));
    }
    await state.resize(['c'], 0, 3);
    expect(await now()).toEqual([...all([0, 1], 9, 3), ...all([0], 9, 0)]);
    await state.copyRows(['c'], [1, 0], [2, 1]);
    expect(await now()).toEqual(all([0, 0, 1], 9, 3));
    await state.resize(['c'], 0, 2);
    const part = { row: 1, axis: 2, at: 1, count: 2 };
    const read = (await state.readPart(['c'], part)).c;
    expect(read?.shape).toEqual([1, 2, 2, 2]);
    expect(Array.from(read?.data as Float32Array)).toEqual([11, 12, 21, 22, 111, 112, 121, 122]);
    await state.writePart({ c: read as never }, { ...part, row: 0, at: 5 });
    expect((await now()).slice(8, 16)).toEqual([0, 0, 11, 12, 21, 22, 0, 0]);
    await expect(state.readPart(['c'], { ...part, at: 8 })).rejects.toMatchObject({
      code: 'row_out_of_range',
    });
  });

  it('updates resident tensors from step to step', async () => {
    const program = await backend.compile(grow);
    const state = await backend.resident({ x: tensor('f32', [2], [1, 2]) });
    const by = tensor('f32', [], [1]);
    for (let step = 0; step < 3; step++) {
      const { twice, next } = await program.run({ inputs: { by }, resident: [state], update: { next: 'x' } });
      expect(Array.from(twice?.data as Float32Array)).toEqual([2 * (1 + step), 2 * (2 + step)]);
      expect(next).toBeUndefined();
    }
    expect(Array.from((await state.read()).x?.data as Float32Array)).toEqual([4, 5]);
    await state.write({ x: tensor('f32', [2], [7, 8]) });
    await state.resize(['x'], 0, 3);
    expect(Array.from((await state.read(['x'])).x?.data as Float32Array)).toEqual([7, 8, 0]);
    await state.free();
    await program.free();
  });

  it('writes rows into place', async () => {
    const program = await backend.compile(rows);
    const cache = await backend.resident({ c: zeros('f32', [3, 1, 4, 1]) });
    await program.run({
      inputs: { r: tensor('f32', [2, 1, 2, 1], [1, 2, 3, 4]) },
      resident: [cache],
      write: [{ output: 'out', into: 'c', axis: 2, at: [1, 0], count: [2, 1], rows: [2, 0] }],
    });
    expect(Array.from((await cache.read()).c?.data as Float32Array)).toEqual([
      30, 0, 0, 0, 0, 0, 0, 0, 0, 10, 20, 0,
    ]);
    await expect(
      program.run({
        inputs: { r: tensor('f32', [1, 1, 2, 1], [1, 2]) },
        resident: [cache],
        write: [{ output: 'out', into: 'c', axis: 2, at: [3] }],
      }),
    ).rejects.toMatchObject({ code: 'row_out_of_range' });
  });

  it('writes what one output holds for several tensors, and refuses more than it holds', async () => {
    const program = await backend.compile(
      trace('both', { r: { dtype: 'f32', shape: ['batch', 3, 1, 2] } }, ({ r }) => ({
        out: mul(r as Tensor, 10),
      })),
    );
    const cache = await backend.resident({ a: zeros('f32', [2, 1, 2, 2]), b: zeros('f32', [2, 2, 2, 2]) });
    const run = (first: number) =>
      program.run({
        inputs: { r: tensor('f32', [1, 3, 1, 2], [1, 2, 3, 4, 5, 6]) },
        resident: [cache],
        write: [
          { output: 'out', into: 'a', axis: 2, at: [1], rows: [1] },
          { output: 'out', into: 'b', axis: 2, first, at: [0], rows: [0] },
        ],
      });
    expect(await run(1)).toEqual({});
    const { a, b } = await cache.read();
    expect(Array.from(a?.data as Float32Array)).toEqual([0, 0, 0, 0, 0, 0, 10, 20]);
    expect(Array.from(b?.data as Float32Array)).toEqual([30, 40, 0, 0, 50, 60, 0, 0, ...Array(8).fill(0)]);
    await expect(run(2)).rejects.toMatchObject({ code: 'row_out_of_range' });
    await program.free();
  });

  it('writes rows run after run, of changing sizes, and what was handed out stays as it was', async () => {
    const program = await backend.compile(rows);
    const cache = await backend.resident({ c: zeros('f32', [2, 1, 2, 1]) });
    const put = (values: number[], at: number[], fetch: string[] = []) =>
      program.run({
        inputs: {
          r: tensor(
            'f32',
            [values.length, 1, 2, 1],
            values.flatMap((value) => [value, 0]),
          ),
        },
        resident: [cache],
        write: [{ output: 'out', into: 'c', axis: 2, at, count: values.map(() => 1) }],
        fetch,
      });
    const held = async () => Array.from((await cache.read()).c?.data as Float32Array);
    await put([1, 2], [0, 0]);
    await put([3, 4], [1, 1]);
    expect(await held()).toEqual([10, 30, 20, 40]);
    await put([5], [0]);
    const { out } = await put([6, 7], [0, 1], ['out']);
    await put([8, 9], [0, 1]);
    expect(await held()).toEqual([80, 30, 20, 90]);
    expect(Array.from(out?.data as Float32Array)).toEqual([60, 0, 70, 0]);
    await program.free();
  });

  it('tells what is wrong with inputs', async () => {
    const program = await backend.compile(grow);
    const x = tensor('f32', [2], [1, 2]);
    await expect(program.run({ inputs: { x } })).rejects.toMatchObject({ code: 'input_missing' });
    await expect(
      program.run({ inputs: { x: tensor('f32', [3], [1, 2, 3]), by: tensor('f32', [], [1]) } }),
    ).rejects.toMatchObject({ code: 'input_mismatch' });
  });

  it('computes with half floats: inputs, constants and results', async () => {
    const type = { dtype: 'f16' as const, shape: [3] };
    const program = await backend.compile(
      trace('half', { x: type }, ({ x }) => {
        const scaled = mul(x as Tensor, 1.5);
        return { y: add(scaled, mul(constant(0.25, 'f16'), 3)), wide: cast(scaled, 'f32') };
      }),
    );
    const x = { ...type, data: floatsToHalves([1, -2, 0.5]) };
    const { y, wide } = await program.run({ inputs: { x } });
    expect(Array.from(halvesToFloats(y?.data as Uint16Array))).toEqual([2.25, -2.25, 1.5]);
    expect(Array.from(wide?.data as Float32Array)).toEqual([1.5, -3, 0.75]);
    await program.free();
  });

  it('answers calls made at once, each its own', async () => {
    const program = await backend.compile(grow);
    const x = tensor('f32', [2], [0, 0]);
    const calls = [1, 2, 3].map((by) =>
      program.run({ inputs: { x, by: tensor('f32', [], [by]) }, fetch: ['next'] }),
    );
    expect((await Promise.all(calls)).map((r) => r.next?.data[0])).toEqual([1, 2, 3]);
  });
});
