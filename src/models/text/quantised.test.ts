/** Weights in 8 and 4 bits: the numbers that are chosen, every architecture's programs against the same weights as floats. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { initialise } from '../../nn/parameters.ts';
import { quantiseRows, withWeights } from '../../nn/quantise.ts';
import * as P from '../../program/index.ts';
import { blocksName, quantisableInputs, scalesName } from '../../program/quantise.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import { decodingOf, type TextConfig, textConfig, textLogits, textParameters } from '../index.ts';

const random = new Random(3, 'weights');
const normal = (count: number): Float32Array => Float32Array.from({ length: count }, () => random.normal());

/** The floats that blocks stand for, by the oracle's own rule. */
async function valuesOf(backend: Backend, rows: number, parts: HostTensors, layout: P.BlockLayout) {
  const program = P.trace(
    'values',
    {
      b: { dtype: 'u8', shape: parts.blocks?.shape as number[] },
      s: { dtype: 'f32', shape: parts.scales?.shape as number[] },
    },
    ({ b, s }) => ({ y: P.dequantise(b as P.Tensor, s as P.Tensor, layout) }),
  );
  const { y } = await (await backend.compile(program)).run({
    inputs: { b: parts.blocks as HostTensor, s: parts.scales as HostTensor },
  });
  expect(y?.shape).toEqual([rows, layout.inner]);
  return y?.data as Float32Array;
}

const sizes = { layers: 2, heads: 2, width: 64, context: 32, vocabulary: 70 };
const configs: Record<string, TextConfig> = {
  gpt2: { ...sizes, bias: true },
  pangu: textConfig.parse({ architecture: 'pangu', ...sizes, bias: true }),
  llama: textConfig.parse({
    architecture: 'llama',
    ...sizes,
    keyHeads: 1,
    headWidth: 32,
    hidden: 96,
    tied: true,
  }),
  'llama, untied': textConfig.parse({
    architecture: 'llama',
    ...sizes,
    keyHeads: 2,
    headWidth: 32,
    hidden: 96,
  }),
};

describe('quantised weights', () => {
  let reference: Backend;
  let cpu: Backend;
  beforeAll(async () => {
    reference = await createBackend('reference');
    cpu = await createBackend('cpu', { inline: true, threads: 2 });
  });
  afterAll(() => cpu.close());

  it.each([
    [8, 64, 0.006],
    [8, 128, 0.007],
    [4, 32, 0.1],
  ] as const)('%i bits in blocks of %i keep normal numbers to a part of %d', async (bits, block, limit) => {
    const layout = { bits, block, inner: 2 * block + 5 };
    const values = normal(7 * layout.inner);
    values.fill(0, 0, block);
    const found = await valuesOf(reference, 7, quantiseRows(values, 7, layout), layout);
    let error = 0;
    let energy = 0;
    values.forEach((v, i) => {
      error += (v - (found[i] as number)) ** 2;
      energy += v * v;
    });
    expect(Math.sqrt(error / energy)).toBeLessThan(limit);
    expect(Math.sqrt(error / energy)).toBeGreaterThan(limit / 10);
    expect(Array.from(found.subarray(0, block))).toEqual(new Array(block).fill(0));
  });

  it('what lies on the steps is kept exactly, whatever its sign, and both backends read it alike', async () => {
    const layout = { bits: 4, block: 16, inner: 16 } as const;
    const steps = Array.from({ length: 16 }, (_, i) => i - 8);
    const values = Float32Array.from([...steps.map((v) => v * 0.25), ...steps.map((v) => v * -3)]);
    const parts = quantiseRows(values, 2, layout);
    expect(await valuesOf(reference, 2, parts, layout)).toEqual(values);
    expect(await valuesOf(cpu, 2, parts, layout)).toEqual(values);
  });

  it('only matrices whose every use has a quantised form are taken, and they say which way they lie', () => {
    const matrix = { dtype: 'f32' as const, shape: [64, 64] };
    const make = (odd: boolean) =>
      P.trace('p', { x: matrix, rows: matrix, columns: matrix, both: matrix, other: matrix }, (x) => {
        const t = (name: string): P.Tensor => x[name] as P.Tensor;
        let y = P.matmul(P.matmul(t('x'), P.swapAxes(t('rows'))), t('columns'));
        y = P.matmul(P.matmul(y, t('both')), P.swapAxes(t('both')));
        return { y: odd ? P.add(y, t('rows')) : P.add(y, t('other')) };
      });
    expect(quantisableInputs([make(false)])).toEqual(
      new Map([
        ['rows', 'rows'],
        ['columns', 'columns'],
      ]),
    );
    expect(quantisableInputs([make(false), make(true)])).toEqual(new Map([['columns', 'columns']]));
  });

  it('rows are cut into the largest blocks that fill them', () => {
    const shapes = { a: [20, 256], b: [20, 192], c: [40, 70] };
    const types = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [name, { dtype: 'f32' as const, shape }]),
    );
    const program = P.trace('p', types, (x) =>
      Object.fromEntries(
        Object.keys(shapes).map((name) => [
          `out_${name}`,
          P.matmul(P.fill(1, [1, x[name]?.shape[1] as number]), P.swapAxes(x[name] as P.Tensor)),
        ]),
      ),
    );
    const weights = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [
        name,
        tensor('f32', shape, normal((shape[0] as number) * (shape[1] as number))),
      ]),
    );
    const made = (format: 'int8' | 'int4') => {
      const specs = Object.entries(shapes).map(
        ([name, shape]) => ({ name, shape, initialiser: { name: 'zeros' }, role: 'matrix' }) as const,
      );
      const { parameters } = withWeights({ program }, weights, specs, format);
      return Object.keys(shapes).map((name) => parameters[blocksName(name)]?.shape);
    };
    expect(made('int8')).toEqual([
      [20, 2, 128],
      [20, 3, 64],
      [40, 2, 64],
    ]);
    expect(made('int4')).toEqual([
      [20, 8, 16],
      [20, 6, 16],
      [40, 3, 16],
    ]);
  });

  it('a product in a file for any runtime is the same product', async () => {
    const layout = { bits: 4, block: 32, inner: 70 } as const;
    const parts = quantiseRows(normal(9 * 70), 9, layout);
    const types = {
      x: { dtype: 'f32' as const, shape: ['n', 70] },
      b: { dtype: 'u8' as const, shape: parts.blocks.shape },
      s: { dtype: 'f32' as const, shape: parts.scales.shape },
    };
    const program = P.trace('product', types, ({ x, b, s }) => ({
      y: P.quantisedMatmul(x as P.Tensor, b as P.Tensor, s as P.Tensor, layout, { exact: true }),
    }));
    const inputs = { x: tensor('f32', [3, 70], normal(210)), b: parts.blocks, s: parts.scales };
    const truth = (await (await reference.compile(program)).run({ inputs })).y?.data as Float32Array;
    const model = P.lowerToModel(program, { portable: true });
    expect(model.graph.nodes.map((n) => n.domain ?? '')).not.toContain('com.microsoft');
    const { Engine } = await import('../../runtime/onnxruntime/engine.ts');
    const engine = new Engine({ provider: 'cpu', threads: 1 });
    const session = await engine.compile(P.lower(program, { portable: true }), 'product');
    const made = await engine.run({ session, inputs, resident: [], update: {}, write: [], fetch: ['y'] });
    await engine.close();
    ((made.y as HostTensor).data as Float32Array).forEach((v, i) =>
      expect(v).toBeCloseTo(truth[i] as number, 4),
    );
  });

  describe.each(Object.entries(configs))('%s', (_, config) => {
    it.each(['int8', 'int4'] as const)('in %s computes what its rounded weights say', async (format) => {
      const specs = textParameters(config);
      const weights = initialise(specs, 4);
      for (const { name, role } of specs)
        if (role !== 'vector')
          weights[name] = tensor(
            'f32',
            weights[name]?.shape ?? [],
            (weights[name] as HostTensor<'f32'>).data.map((v) => 5 * v),
          );
      const plain = textLogits(config);
      const exact = withWeights({ plain }, weights, specs, format, { exact: true });
      const fast = withWeights({ plain }, weights, specs, format);
      const tokens = tensor(
        'i32',
        [2, 9],
        Array.from({ length: 18 }, (_, i) => (i * 7) % 70),
      );
      const run = async (backend: Backend, program: P.Program, parameters: HostTensors) => {
        const executable = await backend.compile(program, { constants: parameters });
        const data = (await executable.run({ inputs: { tokens } })).logits?.data as Float32Array;
        await executable.free();
        return data;
      };
      const truth = await run(reference, exact.programs.plain, exact.parameters);
      const spread = Math.sqrt(truth.reduce((sum, v) => sum + v * v, 0) / truth.length);
      const apart = (other: Float32Array): number =>
        Math.sqrt(other.reduce((sum, v, i) => sum + (v - (truth[i] as number)) ** 2, 0) / truth.length) /
        spread;
      expect(apart(await run(cpu, exact.programs.plain, exact.parameters))).toBeLessThan(1e-5);
      // Rows of activations in 8 bits, too: close, not equal.
      expect(apart(await run(cpu, fast.programs.plain, fast.parameters))).toBeLessThan(0.03);
      const original = apart(await run(cpu, plain, weights));
      expect(original).toBeGreaterThan(1e-4);
      expect(original).toBeLessThan(format === 'int8' ? 0.03 : 0.4);
      const taken = specs.filter(({ name }) => exact.parameters[blocksName(name)] !== undefined);
      expect(taken.length).toBeGreaterThanOrEqual(specs.filter(({ role }) => role === 'matrix').length - 2);
      for (const { name } of taken) expect(exact.parameters[scalesName(name)]).toBeDefined();
      const before = withWeights({ plain }, weights, specs, 'float32').bytes;
      expect(exact.bytes / before).toBeLessThan(format === 'int8' ? 0.32 : 0.28);
    });

    it('all its decoding programs are rewritten alike', () => {
      const { prefill, step, chunk } = decodingOf(config);
      const specs = textParameters(config);
      const made = withWeights({ prefill, step, chunk }, initialise(specs, 1), specs, 'int8');
      const names = new Set(Object.keys(made.parameters));
      for (const program of Object.values(made.programs))
        for (const { name } of program.inputs)
          expect(names.has(name) || specs.every((spec) => spec.name !== name)).toBe(true);
    });
  });

  it('float16 rounds the weights and leaves the programs', () => {
    const config = configs.llama as TextConfig;
    const specs = textParameters(config);
    const weights = initialise(specs, 4);
    const program = textLogits(config);
    const made = withWeights({ program }, weights, specs, 'float16');
    expect(made.programs.program).toBe(program);
    for (const { name } of specs) {
      const [before, after] = [weights[name]?.data, made.parameters[name]?.data] as Float32Array[];
      before?.forEach((v, i) =>
        expect(Math.abs(v - (after?.[i] as number))).toBeLessThanOrEqual(Math.abs(v) / 2048 + 1e-7),
      );
    }
  });
});
