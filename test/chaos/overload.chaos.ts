/** Five times too many requests: the server does what it does at its best, and refuses the others at once. */
import { expect, it } from 'vitest';
import { overload } from './overload.ts';
import { note, roundsOr, summary } from './part.ts';

it('at five times as many requests as can be answered', { timeout: 0 }, async () => {
  const report = await overload({
    pairs: roundsOr(10),
    turn: 6000,
    tell: (pair) => note({ part: 'overload', ...pair }),
  });
  const passed = report.goodput >= 0.95 && report.refusal.p99 < 10 && Object.keys(report.others).length === 0;
  summary('overload', { passed, ...report });
  expect(report.refused).toBeGreaterThan(report.sent / 2);
  expect(report.others).toEqual({});
  expect(report.goodput).toBeGreaterThanOrEqual(0.95);
  expect(report.refusal.p99).toBeLessThan(10);
});
