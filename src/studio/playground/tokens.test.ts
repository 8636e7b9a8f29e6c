import { describe, expect, it } from 'vitest';
import { levelOf, meanSurprise, UnitCollector, visible } from './tokens.ts';

const token = (text: string, probability = 0.5) => ({ text, logprob: Math.log(probability), top: [] });

describe('UnitCollector', () => {
  it('makes a unit of each token where the tokens spell the text', () => {
    const collector = new UnitCollector();
    expect(collector.add('abc', [token('a'), token('bc')])).toBe(2);
    expect(collector.units.map((unit) => unit.text)).toEqual(['a', 'bc']);
  });

  it('joins the tokens of one character', () => {
    const collector = new UnitCollector();
    collector.add('', [token('bytes:\\xe7')]);
    collector.add('', [token('bytes:\\xa0')]);
    collector.add('砚', [token('bytes:\\x9a')]);
    collector.add('台', [token('台')]);
    expect(collector.units.map((unit) => [unit.text, unit.tokens.length])).toEqual([
      ['砚', 3],
      ['台', 1],
    ]);
    expect(collector.text).toBe('砚台');
  });

  it('keeps text without tokens, and text held back for a stop sequence', () => {
    const collector = new UnitCollector();
    expect(collector.add('plain', [])).toBe(0);
    collector.add('', [token('a')]);
    collector.add('ab', [token('b')]);
    expect(collector.units.map((unit) => [unit.text, unit.tokens.length])).toEqual([
      ['plain', 0],
      ['a', 1],
      ['b', 1],
    ]);
  });
});

describe('levels', () => {
  it('go from sure to surprised', () => {
    const levels = [1, 0.75, 0.5, 0.2, 0.05, 0.001].map((p) =>
      levelOf({ text: 'x', tokens: [token('x', p)] }),
    );
    expect(levels).toEqual([0, 0, 1, 2, 3, 4]);
    expect(levelOf({ text: 'x', tokens: [] })).toBeUndefined();
  });

  it('multiply over the tokens of a unit', () => {
    expect(levelOf({ text: 'x', tokens: [token('a', 0.5), token('b', 0.2)] })).toBe(3);
  });

  it('give a mean surprise in nats', () => {
    const units = [{ text: 'ab', tokens: [token('a', 1), token('b', Math.exp(-2))] }];
    expect(meanSurprise(units)).toBeCloseTo(1, 12);
    expect(meanSurprise([{ text: 'x', tokens: [] }])).toBeUndefined();
  });
});

it('shows what cannot be seen', () => {
  expect([' the', 'a b', '\n', '\t', ''].map(visible)).toEqual(['␣the', 'a b', '↵', '⇥', '∅']);
});
