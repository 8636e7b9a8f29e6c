/** Low-rank adapters: merged weights compute what adapters do, and are undone to the same bits. */
import { expect, test } from 'vitest';
import { Random } from '../base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { matmul, mean, mul, type Tensor, trace } from '../program/index.ts';
import { createBackend } from '../runtime/index.ts';
import { loraParameters, mergeLora, mergeRemainders, unmergeLora, withLora } from './lora.ts';
import { type ParameterSpec, parameterTypes } from './parameters.ts';

const specs: ParameterSpec[] = [
  { name: 'w', shape: [6, 5], initialiser: { name: 'zeros' }, role: 'matrix' },
  { name: 'e', shape: [4, 6], initialiser: { name: 'zeros' }, role: 'embedding' },
];
const options = { rank: 3, alpha: 7 };
const random = new Random(2, 'lora');
const drawn = (shape: readonly number[], scale: number): HostTensor =>
  tensor(
    'f32',
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal() * scale),
  );
const weights: HostTensors = { w: drawn([6, 5], 0.02), e: drawn([4, 6], 1) };
const adapters: HostTensors = { 'w.lora_a': drawn([6, 3], 1), 'w.lora_b': drawn([3, 5], 0.3) };

test('adapters stand on matrices alone, and start without effect', () => {
  expect(loraParameters(specs, options).map(({ name, shape }) => [name, shape])).toEqual([
    ['w.lora_a', [6, 3]],
    ['w.lora_b', [3, 5]],
  ]);
  const still = { ...adapters, 'w.lora_b': tensor('f32', [3, 5], new Float32Array(15)) };
  expect(mergeLora(weights, still, options)).toEqual(weights);
});

test('merged weights compute what the adapters do', async () => {
  const model = {
    specs,
    inputs: {},
    dropped: 0,
    loss: (x: Readonly<Record<string, Tensor>>) => {
      const y = matmul(x.e as Tensor, x.w as Tensor);
      return mean(mul(y, y));
    },
  };
  const adapted = withLora(model, options);
  const backend = await createBackend('reference');
  const run = async (types: typeof adapted, all: HostTensors): Promise<number> => {
    const inputs = { ...parameterTypes(types.specs), ...types.frozen };
    const program = trace('loss', inputs, (x) => ({ loss: types.loss(x, (t) => t) }));
    return Number((await (await backend.compile(program)).run({ inputs: all })).loss?.data[0]);
  };
  const merged = mergeLora(weights, adapters, options);
  const [plain, tuned] = [await run(model, merged), await run(adapted, { ...weights, ...adapters })];
  expect(plain).toBeCloseTo(tuned, 5);
  expect(Math.abs(plain - (await run(model, weights)))).toBeGreaterThan(0.01);
  await backend.close();
});

test('unmerging gives the same bits with the remainders, and nearly the same without', () => {
  for (let round = 0; round < 200; round++) {
    const own: HostTensors = { ...weights, w: drawn([6, 5], 10 ** (random.integer(7) - 5)) };
    const merged = mergeLora(own, adapters, options);
    expect(merged.w?.data).not.toEqual(own.w?.data);
    const back = unmergeLora(merged, adapters, options, mergeRemainders(own, adapters, options));
    expect(back.w?.data).toEqual(own.w?.data);
    expect(back.e).toBe(own.e);
    const near = (unmergeLora(merged, adapters, options).w as HostTensor<'f32'>).data;
    const made = (merged.w as HostTensor<'f32'>).data;
    near.forEach((value, i) => {
      const size = Math.max(Math.abs(made[i] as number), Math.abs(value));
      expect(Math.abs(value - ((own.w as HostTensor<'f32'>).data[i] as number))).toBeLessThanOrEqual(
        size * 2 ** -23,
      );
    });
  }
});
