/** The fairness benchmark on a model without weights: the promised form, and shares that differ as they should. */
import { expect, it } from 'vitest';
import { benchFairness } from '../../bench/fairness.ts';
import { percentile } from '../../bench/percentile.ts';
import { show } from '../../bench/report.ts';
import { LetterReplica } from '../../src/serve/testing.ts';

it('compares fair shares with order of arrival', async () => {
  const result = await benchFairness({
    effort: 0.1,
    show: () => undefined,
    startReplica: () => new LetterReplica('starter', { pace: 1 }),
  });
  const [index, throughput] = result.cases;
  expect(result.cases.map((one) => one.unit)).toEqual([
    ...['index', 'tokens/s', 'ms', 'ms', 'ms', 'ms'],
    ...['ms', 'ms', 'tokens/s'],
  ]);
  expect(index?.ours).toBeGreaterThan(index?.peer ?? 1);
  expect(index?.note).toContain('errors: 0');
  expect(throughput?.ours).toBeGreaterThan(0);
  expect(show(result)).toContain('order of arrival');
});

it('takes percentiles that were samples', () => {
  expect(percentile([4, 1, 3, 2], 0.5)).toBe(2);
  expect(percentile([1, 2, 3, 4], 0.95)).toBe(4);
  expect(percentile([7], 0)).toBe(7);
  expect(percentile([], 0.5)).toBeNaN();
});
