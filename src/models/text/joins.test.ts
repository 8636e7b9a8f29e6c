/** Joined matrices: the same numbers in other places, fewer products (that answers stay is in architectures.test.ts). */
import { expect, it } from 'vitest';
import { type HostTensors, tensor } from '../../base/tensor.ts';
import { initialise, type ParameterSpec } from '../../nn/parameters.ts';
import { textConfig, textParameters } from './architectures.ts';
import { joinedSpecs, joinedWeights } from './joins.ts';
import { servedText } from './serving.ts';

const spec = (name: string, shape: number[]): ParameterSpec => ({
  ...{ name, shape, initialiser: { name: 'ones' }, role: shape.length === 1 ? 'vector' : 'matrix' },
});
const specs = [spec('a.weight', [1, 2]), spec('n', [2]), spec('b.weight', [2, 2]), spec('b.bias', [2])];
const weights: HostTensors = {
  'a.weight': tensor('f32', [1, 2], [1, 2]),
  n: tensor('f32', [2], [7, 8]),
  'b.weight': tensor('f32', [2, 2], [3, 4, 5, 6]),
  'b.bias': tensor('f32', [2], [9, 10]),
};

it('rows follow each other, in the order of the parts, and what only some parts have stays apart', () => {
  const joins = { ab: ['a', 'b'] };
  const made = joinedWeights(weights, joins);
  expect(made['ab.weight']).toEqual(tensor('f32', [3, 2], [1, 2, 3, 4, 5, 6]));
  expect(Object.keys(made).sort()).toEqual(['ab.weight', 'b.bias', 'n']);
  expect(joinedSpecs(specs, joins).map(({ name, shape }) => [name, shape])).toEqual([
    ['ab.weight', [3, 2]],
    ['n', [2]],
    ['b.bias', [2]],
  ]);
  expect(Object.keys(weights)).toHaveLength(4);
});

it('biases are joined with their matrices', () => {
  const made = joinedWeights({ ...weights, 'a.bias': tensor('f32', [1], [11]) }, { ba: ['b', 'a'] });
  expect(made['ba.bias']).toEqual(tensor('f32', [3], [9, 10, 11]));
  expect(made['ba.weight']).toEqual(tensor('f32', [3, 2], [3, 4, 5, 6, 1, 2]));
});

it('nothing is joined where a part is missing', () => {
  const joins = { ac: ['a', 'c'] };
  expect(joinedWeights(weights, joins)).toEqual(weights);
  expect(joinedSpecs(specs, joins)).toEqual(specs);
});

it('a served Llama has four products a layer, and as many numbers as its file', () => {
  const config = textConfig.parse({
    ...{ architecture: 'llama', layers: 2, heads: 4, keyHeads: 2, headWidth: 16, width: 64, hidden: 96 },
    ...{ context: 16, vocabulary: 40 },
  });
  const files = initialise(textParameters(config), 1);
  const count = (all: HostTensors): number =>
    Object.values(all).reduce((sum, { data }) => sum + data.length, 0);
  const served = servedText(config, files, 'float32');
  expect(count(served.parameters)).toBe(count(files));
  for (const format of ['float32', 'int8', 'int4'] as const) {
    const { step } = servedText(config, files, format);
    // (The two products with the cache have no weights.)
    const products = step.nodes.filter(({ op }) => op === 'matmul' || op === 'quantisedMatmul').length;
    expect(products - 2 * 2).toBe(4 * 2 + 1);
  }
});
