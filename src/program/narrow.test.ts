/** Splits into many parts, as WebGPU can do them: the same parts, and few at a time. */
import { expect, it } from 'vitest';
import { tensor } from '../base/tensor.ts';
import { evaluate, toReference } from './evaluate.ts';
import * as P from './index.ts';
import { narrow } from './narrow.ts';

const splits = (count: number): { program: P.Program; size: number } => {
  const sizes = Array.from({ length: count }, (_, i) => (i * 5) % 4);
  const size = sizes.reduce((a, b) => a + b, 0);
  const program = P.trace('parts', { x: { dtype: 'f32', shape: [2, size] } }, ({ x }) =>
    Object.fromEntries(P.split(x as P.Tensor, sizes, 1).map((part, i) => [`y${i}`, P.mul(part, i + 1)])),
  );
  return { program, size };
};

it.each([2, 7, 8, 9, 49, 50, 120])('%i parts, at most seven at a time', (count) => {
  const { program, size } = splits(count);
  const made = narrow(program, 7);
  expect(Math.max(...made.nodes.map(({ outputs }) => outputs.length))).toBeLessThanOrEqual(7);
  const x = tensor(
    'f32',
    [2, size],
    Array.from({ length: 2 * size }, (_, i) => i),
  );
  expect(evaluate(made, [toReference(x)])).toEqual(evaluate(program, [toReference(x)]));
});

it('leaves alone what is narrow enough', () => {
  const { program } = splits(7);
  expect(narrow(program, 7)).toBe(program);
});
