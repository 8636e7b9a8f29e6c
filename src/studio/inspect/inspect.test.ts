import { describe, expect, it } from 'vitest';
import { inspection } from '../../../test/studio/fixture-inspect.ts';
import type { Inspection } from '../api/types.ts';
import { darkness, floatsOf, habitOf, layersOf, sharesOf, sharpest } from './attention.ts';
import { labelOf, mostSurprising, surpriseLevel, unitsOf } from './surprise.ts';

const given = inspection({ text: 'one two three', attention: true, model: 'm' }) as Inspection;
const time = given.tokens.length;

describe('attention', () => {
  it('comes out of base64 as it went in', () => {
    const values = Float32Array.of(0, 1, -2.5, 1 / 3);
    expect([...floatsOf(Buffer.from(values.buffer).toString('base64'))]).toEqual([...values]);
  });

  it('has rows, columns and a mean over heads', () => {
    const layers = layersOf(given);
    expect(layers.map(({ heads }) => heads.length)).toEqual([4, 4, 4]);
    const [first] = layers;
    const row = sharesOf(first?.mean as Float32Array, time, 2, 'from');
    expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    const each = (first?.heads ?? []).map((map) => sharesOf(map, time, 2, 'from')[1] as number);
    expect(row[1]).toBeCloseTo(each.reduce((a, b) => a + b, 0) / 4, 5);
    expect(sharesOf(first?.mean as Float32Array, time, 1, 'to')[2]).toBeCloseTo(row[1] as number, 6);
  });

  it('tells habits and the most decided head', () => {
    const previous = Float32Array.of(1, 0, 0, 1, 0, 0, 0, 1, 0);
    expect(habitOf(previous, 3)).toEqual({ self: 0, previous: 1, first: 0.5, distance: 1 });
    expect(habitOf(Float32Array.of(1), 1).self).toBe(1);
    const even = Float32Array.of(1, 0, 0, 0.5, 0.5, 0, 0.4, 0.3, 0.3);
    const layers = [
      { layer: 0, heads: [even, even], mean: even },
      { layer: 1, heads: [even, previous], mean: even },
    ];
    expect(sharpest(layers, 3)).toEqual({ layer: 1, head: 1 });
  });

  it('is darker where there is more', () => {
    expect([darkness(0), darkness(1), darkness(7)]).toEqual([0, 1, 1]);
    expect(darkness(0.1)).toBeGreaterThan(0.1);
  });
});

describe('surprise', () => {
  const token = (text: string, bytes: number[], surprise: number | null, more = '') => ({
    ...{ id: 0, token: text, bytes, text: more, surprise, rank: surprise === null ? null : 2 },
    top_logprobs: [],
  });

  it('is one unit for the tokens of one character, and none for marks of the model', () => {
    const units = unitsOf([
      token('[CLS]', [], null),
      token('\ufffd', [0xe5, 0xa2], 3),
      token('\ufffd', [0xa8], 0.5, '墨'),
      token('!', [33], null, '!'),
    ]);
    expect(units.map(({ text, tokens }) => [text, tokens.length])).toEqual([
      ['墨', 2],
      ['!', 0],
    ]);
    expect(units.map(surpriseLevel)).toEqual([2, undefined]);
  });

  it('names what is no text by its bytes', () => {
    expect(labelOf({ token: '\ufffd', bytes: [0xe5, 0xa2] })).toBe('‹E5 A2›');
    expect(labelOf({ token: ' a\n', bytes: [32, 97, 10] })).toBe('␣a↵');
  });

  it('finds the tokens that surprised most', () => {
    const places = mostSurprising(given.tokens, 2);
    const values = given.tokens.map(({ surprise }) => surprise ?? -1);
    expect(values[places[0] as number]).toBe(Math.max(...values));
    expect(places).toHaveLength(2);
    expect(mostSurprising(given.tokens, 99)).toHaveLength(given.tokens.length - 1);
  });
});
