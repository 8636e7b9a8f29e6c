/** Stop strings in pieces: whatever the cuts, the same text as in one piece, and nothing shown too early. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopFinder } from './stop-finder.ts';

function shown(
  text: string,
  stops: readonly string[],
  cuts: readonly number[],
): { pieces: string[]; stopped: boolean } {
  const finder = new StopFinder(stops);
  const pieces: string[] = [];
  let rest = text;
  for (const cut of cuts) {
    pieces.push(finder.push(rest.slice(0, cut)).text);
    rest = rest.slice(cut);
    if (finder.stopped) return { pieces, stopped: true };
  }
  pieces.push(finder.end(rest));
  return { pieces, stopped: finder.stopped };
}

describe('the stop finder', () => {
  it.each([
    ['one two', ['two'], [3, 2], 'one '],
    ['one tw', ['two'], [3, 2], 'one tw'],
    ['aaab', ['aab'], [1, 1, 1], 'a'],
    ['ab', ['b', 'ab'], [1], ''],
    ['plain', [], [2], 'plain'],
    ['plain', [''], [2], 'plain'],
    ['墨水\n\n完', ['\n\n'], [1, 2], '墨水'],
  ])('%j with %j', (text, stops, cuts, expected) => {
    expect(shown(text, stops, cuts).pieces.join('')).toBe(expected);
  });

  it('shows what stands before the first stop string, however the text is cut', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n'), maxLength: 30 });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b', '\n'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(letters, fc.array(stop, { maxLength: 3 }), fc.array(fc.nat(4)), (text, stops, cuts) => {
        // In pieces a shorter stop string may be complete while a longer one that began earlier is not yet.
        const cutAt = new Set<number>();
        for (let end = 1; end <= text.length && cutAt.size === 0; end++)
          for (const s of stops) if (text.slice(0, end).endsWith(s)) cutAt.add(end - s.length);
        const inLetters = shown(text, stops, new Array(text.length).fill(1));
        expect(inLetters.pieces.join('')).toBe(cutAt.size === 0 ? text : text.slice(0, Math.min(...cutAt)));
        const { pieces, stopped } = shown(text, stops, cuts);
        expect(text.startsWith(pieces.join(''))).toBe(true);
        expect(stopped).toBe(stops.some((s) => text.includes(s)));
      }),
    );
  });
});
