/** Scores of classes against values counted by hand, and against scikit-learn's documented example. */
import { expect, test } from 'vitest';
import { scoreClasses } from './classes.ts';

test('precision, recall, F1 and their mean, as in scikit-learn’s documentation of f1_score', () => {
  // f1_score([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1]): macro 0.2667, each [0.8, 0, 0].
  const { accuracy, macroF1, classes, confusion } = scoreClasses(
    [0, 1, 2, 0, 1, 2],
    [0, 2, 1, 0, 0, 1],
    ['a', 'b', 'c'],
  );
  expect(accuracy.value).toBeCloseTo(2 / 6, 12);
  expect(classes.map(({ f1 }) => f1)).toEqual([0.8, 0, 0]);
  expect(macroF1.value).toBeCloseTo(0.8 / 3, 12);
  expect(classes[0]).toEqual({ label: 'a', precision: 2 / 3, recall: 1, f1: 0.8, support: 2 });
  expect(confusion).toEqual([
    [2, 0, 0],
    [1, 0, 1],
    [0, 2, 0],
  ]);
});

test('a class that neither was nor was said does not count; intervals hold the value', () => {
  const actual = Array.from({ length: 200 }, (_, i) => i % 2);
  const said = actual.map((label, i) => (i % 10 === 0 ? 1 - label : label));
  const { accuracy, macroF1 } = scoreClasses(actual, said, ['a', 'b', 'never']);
  expect(accuracy.value).toBeCloseTo(0.9, 12);
  // All errors are of class a: F1 80/(80+100+…) = 0.8889 and 0.9091.
  expect(macroF1.value).toBeCloseTo((160 / 180 + 200 / 220) / 2, 12);
  expect(macroF1.lower).toBeGreaterThan(0.83);
  expect(macroF1.lower).toBeLessThan(macroF1.value);
  expect(macroF1.upper).toBeGreaterThan(macroF1.value);
  expect(macroF1.upper).toBeLessThan(0.96);
});
