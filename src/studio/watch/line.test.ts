/** Small charts: gaps, dots, and the scale. */
import { expect, it } from 'vitest';
import { highest, pathOf } from './line.ts';

it('draws a line from edge to edge, upside down as screens are', () =>
  expect(pathOf([0, 1, 2], 2)).toBe('M0.0 69.0L150.0 36.0L300.0 3.0'));
it('leaves gaps where nothing is known, and shows a lone value as a dot', () =>
  expect(pathOf([1, null, 1, null, 1, 1], 1)).toBe('M0.0 3.0h0.1M120.0 3.0h0.1M240.0 3.0L300.0 3.0'));
it('draws nothing of nothing', () => expect(pathOf([null, null], 1)).toBe(''));
it('scales to the highest of all lines', () => {
  expect(highest([[1, null], [3]], 1)).toBe(3);
  expect(highest([[], []], 1)).toBe(1);
});
