/**
 * Our ops, optimisers and GPT-2 against values and gradients that PyTorch made (tools/golden): on the float64
 * reference and on ONNX Runtime.
 */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageFolder, readTextNow } from '../../src/base/host.ts';
import { type DType, type HostTensor, tensor } from '../../src/base/tensor.ts';
import { textLogits, textLoss } from '../../src/models/text/architectures.ts';
import { type Gpt2Config, gpt2Parameters } from '../../src/models/text/gpt2.ts';
import { parameterTypes } from '../../src/nn/parameters.ts';
import {
  add,
  gradients,
  mul,
  operationNames,
  type Program,
  sum,
  type Tensor,
  trace,
} from '../../src/program/index.ts';
import { type Backend, createBackend } from '../../src/runtime/index.ts';
import { OPERATIONS } from './operations.ts';

interface Stored {
  dtype: DType;
  shape: number[];
  data: number[];
}
interface Case {
  op: string;
  attributes: Record<string, unknown>;
  inputs: Stored[];
  outputs: Stored[];
  cotangents: (Stored | null)[];
  gradients: (Stored | null)[];
}

const FAMILIES = [
  ...[
    'elementwise',
    'reductions',
    'linear',
    'indexing',
    'shape',
    'convolution',
    'pooling',
    'composites',
    'quantised',
  ],
  ...['scan', 'optimisers'],
];
/** Newton–Schulz multiplies rounding errors; everything else keeps float32's own accuracy. */
const LOOSE: Record<string, number> = { muon: 20 };

function read<T>(name: string): T {
  return JSON.parse(
    readTextNow(path.join(packageFolder, 'src', 'program', 'ops', 'golden', `${name}.json`)),
  ) as T;
}

const host = ({ dtype, shape, data }: Stored): HostTensor => tensor(dtype, shape, data);

/** Outputs `y0…`, and `g0…` for the inputs that have a golden gradient. */
function programOf(one: Case): Program {
  const types = Object.fromEntries(one.inputs.map(({ dtype, shape }, i) => [`x${i}`, { dtype, shape }]));
  const flows = Object.fromEntries(
    one.cotangents.flatMap((c, i) =>
      c === null ? [] : [[`c${i}`, { dtype: c.dtype, shape: c.shape }] as const],
    ),
  );
  return trace(one.op, { ...types, ...flows }, (given) => {
    const inputs = one.inputs.map((_, i) => given[`x${i}`] as Tensor);
    const operation = OPERATIONS[one.op];
    if (operation === undefined) throw new Error(`no operation for ${one.op}`);
    const outputs = operation(inputs, one.attributes);
    const named = Object.fromEntries(outputs.map((y, i) => [`y${i}`, y]));
    const wanted = one.gradients.flatMap((g, i) => (g === null ? [] : [i]));
    if (wanted.length === 0) return named;
    const parts = outputs.flatMap((y, i) =>
      one.cotangents[i] == null ? [] : [sum(mul(y, given[`c${i}`] as Tensor))],
    );
    const found = gradients(
      parts.reduce((a, b) => add(a, b)),
      wanted.map((i) => inputs[i] as Tensor),
    );
    return { ...named, ...Object.fromEntries(wanted.map((at, i) => [`g${at}`, found[i] as Tensor])) };
  });
}

/** Within `tolerance` of the golden values, measured against the largest of them. */
function expectClose(found: HostTensor | undefined, wanted: Stored, tolerance: number, name: string): void {
  expect(found?.shape, `shape of ${name}`).toEqual(wanted.shape);
  const scale = Math.max(1, ...wanted.data.map(Math.abs));
  const worst = wanted.data.reduce((most, value, i) => {
    const off = Math.abs(Number(found?.data[i]) - value);
    return Number.isNaN(off) ? Number.POSITIVE_INFINITY : Math.max(most, off);
  }, 0);
  expect(
    worst / scale,
    `${name}: ${[...(found?.data ?? [])].join()} but ${wanted.data.join()}`,
  ).toBeLessThanOrEqual(tolerance);
}

/** Ops that no output of a case is, and why that is enough. */
const WITHOUT: Record<string, string> = {
  barrier: 'hands on what it is given; only the order of computing is another',
  constant: 'a value that is given',
  convWeights: 'the gradient of the weights in the cases of conv and convTranspose',
  crossEntropySlope: 'the gradient in the cases of crossEntropyRows and crossEntropy',
  fill: 'a value that is given, again and again',
  flipWeights: 'the gradient of the input in the cases of conv, and convTranspose',
  input: 'a value that is given',
  iota: 'counts from 0; PyTorch has no other answer',
  size: 'the length of an axis',
};

it('every op makes an output of some case, or there is a reason why not', () => {
  const cases = FAMILIES.flatMap((family) => read<{ cases: Case[] }>(family).cases);
  const makers = new Set<string>();
  for (const one of cases) {
    const { nodes, outputs } = programOf(one);
    const results = new Set(outputs.filter(({ name }) => name.startsWith('y')).map(({ tensor }) => tensor));
    for (const node of nodes) if (node.outputs.some((made) => results.has(made))) makers.add(node.op);
  }
  const missing = operationNames().filter((name) => !makers.has(name));
  expect(missing).toEqual(Object.keys(WITHOUT).toSorted());
});

describe.each(['reference', 'cpu'] as const)('golden values on the %s backend', (name) => {
  const tolerance = name === 'reference' ? 2e-7 : 5e-6;
  let backend: Backend;
  beforeAll(async () => {
    backend = await createBackend(name, { threads: 2 });
  });
  afterAll(() => backend.close());

  for (const family of FAMILIES) {
    const { cases } = read<{ cases: Case[] }>(family);
    it.each(
      cases.map((one, i) => [`${family} ${i}: ${one.op} ${JSON.stringify(one.attributes)}`, one] as const),
    )('%s', async (_, one) => {
      const executable = await backend.compile(programOf(one));
      const inputs = Object.fromEntries([
        ...one.inputs.map((x, i) => [`x${i}`, host(x)] as const),
        ...one.cotangents.flatMap((c, i) => (c === null ? [] : [[`c${i}`, host(c)] as const])),
      ]);
      const used = new Set(executable.program.inputs.map((input) => input.name));
      const found = await executable.run({
        inputs: Object.fromEntries(Object.entries(inputs).filter(([key]) => used.has(key))),
      });
      await executable.free();
      const allowed = tolerance * (LOOSE[one.op] ?? 1);
      one.outputs.forEach((y, i) => expectClose(found[`y${i}`], y, allowed, `output ${i}`));
      one.gradients.forEach((g, i) => {
        if (g !== null) expectClose(found[`g${i}`], g, allowed, `gradient ${i}`);
      });
    });
  }

  it('a whole GPT-2: logits, loss and every gradient', async () => {
    interface Whole {
      config: Gpt2Config;
      parameters: Record<string, Stored>;
      tokens: Stored;
      targets: Stored;
      logits: Stored;
      loss: Stored;
      gradients: Record<string, Stored>;
    }
    const golden = read<Whole>('gpt2');
    const [batch, time] = golden.tokens.shape as [number, number];
    const { loss, specs, inputs } = textLoss(golden.config, batch, time);
    const names = specs.map((spec) => spec.name);
    expect(names.toSorted()).toEqual(Object.keys(golden.parameters).toSorted());
    const program = trace('gpt2_gradients', { ...parameterTypes(specs), ...inputs }, (x) => {
      const value = loss(x, (y) => y);
      const found = gradients(
        value,
        names.map((n) => x[n] as Tensor),
      );
      return {
        loss: value,
        ...Object.fromEntries(names.map((n, i) => [`gradient ${n}`, found[i] as Tensor])),
      };
    });
    const parameters = Object.fromEntries(
      Object.entries(golden.parameters).map(([n, value]) => [n, host(value)]),
    );
    const training = await backend.compile(program);
    const found = await training.run({
      inputs: { ...parameters, tokens: host(golden.tokens), targets: host(golden.targets) },
    });
    expectClose(found.loss, golden.loss, tolerance, 'loss');
    for (const n of names) expectClose(found[`gradient ${n}`], golden.gradients[n] as Stored, tolerance, n);
    const serving = await backend.compile(textLogits(golden.config));
    const { logits } = await serving.run({ inputs: { ...parameters, tokens: host(golden.tokens) } });
    expectClose(logits, golden.logits, tolerance, 'logits');
  });

  it('a GPT-2 of Hugging Face’s transformers: the same names, layouts and logits', async () => {
    interface Theirs {
      config: Gpt2Config;
      parameters: Record<string, Stored>;
      tokens: Stored;
      logits: Stored;
    }
    const golden = read<Theirs>('transformers_gpt2');
    const specs = gpt2Parameters(golden.config);
    expect(Object.fromEntries(specs.map(({ name: own, shape }) => [own, shape]))).toEqual(
      Object.fromEntries(Object.entries(golden.parameters).map(([own, { shape }]) => [own, shape])),
    );
    const parameters = Object.fromEntries(
      Object.entries(golden.parameters).map(([n, value]) => [n, host(value)]),
    );
    const serving = await backend.compile(textLogits(golden.config));
    const { logits } = await serving.run({ inputs: { ...parameters, tokens: host(golden.tokens) } });
    expectClose(logits, golden.logits, tolerance, 'logits');
  });
});
