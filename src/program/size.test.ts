/** Arithmetic on sizes: laws on random polynomials, the canonical spelling, and what cannot be read. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fill } from './ops/constant.ts';
import { add } from './ops/elementwise.ts';
import { reshape, reverse } from './ops/shape.ts';
import {
  addSizes,
  bindShape,
  bindSize,
  countOf,
  divideSizes,
  mayBeEmpty,
  multiplySizes,
  namesIn,
  scaleSize,
  subtractSizes,
} from './size.ts';
import { bindSizes, trace } from './trace.ts';
import type { Size, Tensor } from './types.ts';

const sizes: fc.Arbitrary<Size> = fc
  .array(
    fc.record({
      c: fc.integer({ min: -3, max: 5 }),
      names: fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 }),
    }),
    {
      maxLength: 3,
    },
  )
  .map((terms) =>
    terms.reduce<Size>(
      (sum, { c, names }) => addSizes(sum, scaleSize(names.reduce<Size>(multiplySizes, 1), c)),
      0,
    ),
  );
const values = fc.record({ a: fc.nat(9), b: fc.nat(9), c: fc.nat(9) });
const seeded = { seed: 5, numRuns: 400 };

describe('sizes', () => {
  it('are worth what their parts are worth', () => {
    fc.assert(
      fc.property(sizes, sizes, values, fc.integer({ min: -4, max: 4 }), (x, y, at, k) => {
        const [p, q] = [bindSize(x, at) as number, bindSize(y, at) as number];
        expect(bindSize(addSizes(x, y), at)).toBe(p + q);
        expect(bindSize(subtractSizes(x, y), at)).toBe(p - q);
        expect(bindSize(multiplySizes(x, y), at)).toBe(p * q + 0);
        expect(bindSize(scaleSize(x, k), at)).toBe(p * k + 0);
      }),
      seeded,
    );
  });

  it('have one spelling: equal sizes are equal strings', () => {
    fc.assert(
      fc.property(sizes, sizes, sizes, (x, y, z) => {
        expect(addSizes(x, y)).toBe(addSizes(y, x));
        expect(multiplySizes(x, y)).toBe(multiplySizes(y, x));
        expect(addSizes(addSizes(x, y), z)).toBe(addSizes(x, addSizes(y, z)));
        expect(multiplySizes(multiplySizes(x, y), z)).toBe(multiplySizes(x, multiplySizes(y, z)));
        expect(multiplySizes(x, addSizes(y, z))).toBe(addSizes(multiplySizes(x, y), multiplySizes(x, z)));
        expect(subtractSizes(addSizes(x, y), y)).toBe(addSizes(x, 0));
        expect(subtractSizes(x, x)).toBe(0);
      }),
      seeded,
    );
  });

  it('divide where it comes out even', () => {
    const monomial = fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 }))
      .map(([c, names]) => scaleSize(names.reduce<Size>(multiplySizes, 1), c));
    fc.assert(
      fc.property(sizes, monomial, (x, d) => {
        expect(divideSizes(multiplySizes(x, d), d)).toBe(addSizes(x, 0));
      }),
      seeded,
    );
  });

  it.each<[Size, Size, Size | undefined]>([
    [12, 4, 3],
    [12, 5, undefined],
    [12, 0, undefined],
    [0, 4, 0],
    ['batch*time', 'batch', 'time'],
    ['6*batch', 4, undefined],
    ['6*batch', 3, '2*batch'],
    ['batch*time', 'heads', undefined],
    ['2*batch+4', 2, '2+batch'],
    ['2*batch+4', 'batch', undefined],
    ['a*a', 'a', 'a'],
    ['1+a', '1+a', 1],
    ['a*b', 'a+1', undefined],
  ])('%s / %s = %s', (a, b, result) => expect(divideSizes(addSizes(a, 0), b)).toBe(result));

  it.each<[Size, Size]>([
    ['time+batch', 'batch+time'],
    ['b*a', 'a*b'],
    ['a+a', '2*a'],
    ['a+-1*a', 0],
    ['past+1', '1+past'],
    ['3', 3],
    ['2*3', 6],
    ['0*a', 0],
    ['a*2*b*3', '6*a*b'],
  ])('spells %s as %s', (given, canonical) => expect(addSizes(given, 'none+-1*none')).toBe(canonical));

  it('count, name and bind', () => {
    expect(countOf(['batch', 3, 'time'])).toBe('3*batch*time');
    expect(countOf([])).toBe(1);
    expect(namesIn('batch*time+past+1')).toEqual(['batch', 'time', 'past']);
    expect(namesIn(3)).toEqual([]);
    expect(bindShape(['batch', 'batch*time', '1+past', 2], { batch: 3, past: 0 })).toEqual([
      3,
      '3*time',
      1,
      2,
    ]);
    expect(bindSize('a+-1*b', { b: 4 })).toBe('-4+a');
    expect(mayBeEmpty([2, 3])).toBe(false);
    expect(mayBeEmpty([2, 0])).toBe(true);
    expect(mayBeEmpty([2, 'n'])).toBe(true);
  });

  it.each(['a-b', '2a', 'a b', '', 'a**b', '1.5*a', 'a+'])('cannot read "%s"', (text) => {
    expect(() => addSizes(text, 1)).toThrow(expect.objectContaining({ code: 'size_invalid', kind: 'usage' }));
  });

  it('take no part of a number', () => {
    expect(() => addSizes(1.5, 'a')).toThrow(expect.objectContaining({ code: 'size_invalid' }));
    expect(() => addSizes('a', Number.NaN)).toThrow(expect.objectContaining({ code: 'size_invalid' }));
  });
});

describe('sizes of tensors', () => {
  const f32 = (shape: Size[]) => ({ dtype: 'f32' as const, shape });

  it('may be written in any order', () => {
    const program = trace('f', { x: f32(['past+1', 4]), y: f32(['1+past', 4]) }, ({ x, y }) => ({
      z: add(reshape(add(x as Tensor, y as Tensor), ['4*past+4']), fill(1, ['4+past*4'])),
    }));
    expect(program.outputs[0]?.tensor.shape).toEqual(['4+4*past']);
    expect(program.inputs[0]?.tensor.shape).toEqual(['1+past', 4]);
  });

  it.each([[-1], [1.5], ['a-b']])('%s is none', (size) => {
    const code = expect.objectContaining({ code: 'size_invalid' });
    expect(() => trace('f', { x: f32([size]) }, (x) => x)).toThrow(code);
    expect(() => fill(1, [2, size])).toThrow(code);
  });

  it('say so where a name got a value that makes no size', () => {
    const program = trace('f', { x: f32(['n']) }, ({ x }) => ({ y: reverse(x as Tensor, 0) }));
    expect(() => bindSizes(program, { n: -2 })).toThrow(expect.objectContaining({ code: 'size_invalid' }));
  });
});
