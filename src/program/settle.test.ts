/** Every way of computing a convolution and its gradients gives what the float64 oracle gives, whatever does not fill a block. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { readOnnx } from '../formats/onnx.ts';
import { channelBlocks } from '../runtime/onnxruntime/blocks.ts';
import { Engine } from '../runtime/onnxruntime/engine.ts';
import { evaluate, toReference } from './evaluate.ts';
import * as P from './index.ts';
import { type ConvolutionCase, caseKey, settle, usualWay, type Way } from './settle.ts';

let blocks = 0;
const engine = new Engine({ provider: 'cpu', threads: 2 });
beforeAll(async () => {
  blocks = await channelBlocks();
});
afterAll(() => engine.close());

interface Layer {
  /** `[batch, in, high, wide]` */
  x: [number, number, number, number];
  out: number;
  kernel: [number, number];
  options?: P.ConvOptions;
}

const random = new Random(5, 'settle');
const floats = (shape: readonly number[]): HostTensor<'f32'> => {
  const made = tensor('f32', shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  random.fillNormal(made.data);
  return made;
};

/** The convolution with bias and rectifier, and the gradients of a loss that has gradients of gradients in it. */
function programOfLayer({ x, out, kernel, options }: Layer): { program: P.Program; inputs: HostTensors } {
  const inputs = {
    x: floats(x),
    w: floats([out, x[1], ...kernel]),
    bias: floats([out]),
  };
  const types = Object.fromEntries(
    Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }]),
  );
  const program = P.trace('layer', types, (given) => {
    const [a, w, bias] = [given.x, given.w, given.bias] as [P.Tensor, P.Tensor, P.Tensor];
    const y = P.leakyRelu(P.conv(a, w, { ...options, bias }), 0.2);
    const [slope] = P.gradients(P.sum(P.mul(y, y)), [a]) as [P.Tensor];
    const loss = P.add(P.mean(P.mul(slope, slope)), P.mean(y));
    const [dx, dw, db] = P.gradients(loss, [a, w, bias]) as [P.Tensor, P.Tensor, P.Tensor];
    return { y, dx, dw, db };
  });
  return { program, inputs };
}

async function run(program: P.Program, inputs: HostTensors, choose: (one: ConvolutionCase) => Way) {
  const session = await engine.compile(P.lower(program, { blocks, choose }), program.name);
  const fetch = program.outputs.map(({ name }) => name);
  const result = await engine.run({ session, inputs, resident: [], update: {}, write: [], fetch });
  await engine.free(session);
  return result;
}

const layers: [string, Layer][] = [
  ['blocks filled', { x: [16, 16, 6, 5], out: 32, kernel: [3, 3], options: { padding: 1 } }],
  ['a stride', { x: [4, 20, 9, 8], out: 24, kernel: [3, 3], options: { padding: 1, stride: 2 } }],
  [
    'few channels, one out',
    {
      x: [20, 3, 7, 7],
      out: 1,
      kernel: [3, 5],
      options: {
        padding: [
          [1, 1],
          [2, 2],
        ],
      },
    },
  ],
  ['odd channels', { x: [8, 18, 5, 5], out: 6, kernel: [3, 3], options: { padding: 1 } }],
  ['a point', { x: [12, 16, 4, 4], out: 8, kernel: [1, 1] }],
  [
    'uneven padding and dilation',
    {
      x: [4, 16, 8, 9],
      out: 16,
      kernel: [2, 3],
      options: {
        padding: [
          [2, 0],
          [0, 3],
        ],
        dilation: [2, 2],
      },
    },
  ],
  ['rows that no tap reaches', { x: [4, 8, 8, 8], out: 8, kernel: [3, 3], options: { stride: 2 } }],

  ['an odd batch', { x: [3, 16, 5, 5], out: 16, kernel: [3, 3], options: { padding: 1 } }],
];

describe('convolutions in blocks of channels', () => {
  it.each(layers)('%s: every way gives the same', async (_, layer) => {
    const { program, inputs } = programOfLayer(layer);
    const wanted = evaluate(
      program,
      program.inputs.map(({ name }) => toReference(inputs[name] as HostTensor)),
    );
    const seen = new Set<Way>();
    for (const wish of ['plain', 'blocks', 'swapped', 'wide'] as const) {
      const found = await run(program, inputs, (one) => {
        const way = one.ways.includes(wish) ? wish : 'plain';
        seen.add(way);
        return way;
      });
      program.outputs.forEach(({ name }, i) => {
        const want = wanted[i]?.data as Float64Array;
        const scale = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
        const got = found[name]?.data as Float32Array;
        expect(got.length, `${wish} ${name}`).toBe(want.length);
        const worst = want.reduce(
          (most, value, at) => Math.max(most, Math.abs(value - (got[at] as number))),
          0,
        );
        expect(worst / scale, `${wish} ${name}`).toBeLessThan(2e-5);
      });
    }
    if (blocks > 0 && layer.x[0] % 4 === 0) expect(seen.size).toBeGreaterThan(1);
  });

  it('the rectifier goes into the convolution, unless somebody wants what comes before it', () => {
    const types = {
      x: { dtype: 'f32' as const, shape: [2, 16, 4, 4] },
      w: { dtype: 'f32' as const, shape: [16, 16, 3, 3] },
    };
    const ops = (both: boolean, portable = false): string[] => {
      const program = P.trace('layer', types, ({ x, w }) => {
        const y = P.conv(x as P.Tensor, w as P.Tensor);
        return both ? { z: P.leakyRelu(y), y } : { z: P.leakyRelu(y) };
      });
      return P.lowerToModel(program, { portable }).graph.nodes.map(({ opType }) => opType);
    };
    expect(ops(false)).toEqual(['FusedConv']);
    expect(ops(true)).toEqual(['Conv', 'LeakyRelu']);
    expect(ops(false, true)).toEqual(['Conv', 'LeakyRelu']);
  });

  it.each(['blocks', 'plain'] as const)('weights of the way back, %s', (way) => {
    const types = {
      x: { dtype: 'f32' as const, shape: [2, 16, 3, 3] },
      w: { dtype: 'f32' as const, shape: [16, 20, 3, 3] },
    };
    const program = P.trace('back', types, ({ x, w }) => ({
      y: P.convTranspose(x as P.Tensor, w as P.Tensor),
    }));
    const options = { blocks: 16, constants: new Set<string>(), portable: false, byFours: false };
    const settled = settle(program, { ...options, choose: () => way });
    const ops = settled.nodes.map(({ op }) => op);
    // In blocks they are flipped while they are laid out, not before.
    expect(ops.includes('flipWeights')).toBe(way === 'plain');
    // It means what it meant.
    const inputs = [floats([2, 16, 3, 3]), floats([16, 20, 3, 3])].map(toReference);
    expect(evaluate(settled, inputs)).toEqual(evaluate(program, inputs));
  });

  it('weights that are known when the graph is made are left to the runtime', () => {
    const types = {
      x: { dtype: 'f32' as const, shape: [2, 16, 4, 4] },
      w: { dtype: 'f32' as const, shape: [16, 16, 3, 3] },
    };
    const program = P.trace('layer', types, ({ x, w }) => ({
      y: P.conv(x as P.Tensor, P.mul(w as P.Tensor, 2)),
    }));
    const ops = (constants: HostTensors): string[] =>
      P.lowerToModel(program, { blocks: 16, constants }).graph.nodes.map(
        ({ domain, opType }) => `${domain ?? ''}:${opType}`,
      );
    expect(ops({})).toContain('com.microsoft.nchwc:Conv');
    expect(ops({ w: floats([16, 16, 3, 3]) })).toContain(':Conv');
  });

  it('channels by threes are filled up to fours where the runtime needs it, and give the same', async () => {
    for (const channels of [3, 6, 9, 12]) {
      const { program, inputs } = programOfLayer({ x: [4, channels, 5, 5], out: 4, kernel: [3, 3] });
      const wanted = await run(program, inputs, () => 'plain');
      const bytes = P.lower(program, { byFours: true });
      const convolutions = readOnnx(bytes).graph.nodes.filter(({ opType }) => opType.endsWith('Conv'));
      expect(convolutions.length).toBeGreaterThan(1);
      const padded = readOnnx(bytes).graph.nodes.some(({ opType }) => opType === 'Pad');
      const session = await engine.compile(bytes, 'filled');
      const fetch = program.outputs.map(({ name }) => name);
      const found = await engine.run({ session, inputs, resident: [], update: {}, write: [], fetch });
      await engine.free(session);
      for (const name of fetch)
        found[name]?.data.forEach((value, i) =>
          expect(Number(value)).toBeCloseTo(Number(wanted[name]?.data[i]), 2),
        );
      if (channels % 4 !== 0 && channels > 3) expect(padded).toBe(true);
    }
  });

  it('a case is known by all that decides its bytes', () => {
    const case_ = (out: number): ConvolutionCase => ({
      op: 'conv',
      types: [
        { dtype: 'f32', shape: [2, 16, 4, 4] },
        { dtype: 'f32', shape: [out, 16, 3, 3] },
      ],
      attributes: {
        strides: [1, 1],
        dilations: [1, 1],
        pads: [
          [1, 1],
          [1, 1],
        ],
      },
      ways: ['plain', 'blocks'],
    });
    expect(caseKey(case_(16))).not.toBe(caseKey(case_(32)));
    expect(caseKey(case_(16))).toBe(caseKey(case_(16)));
    expect(usualWay(case_(16))).toBe('blocks');
    expect(usualWay(case_(1))).toBe('plain');
  });
});
