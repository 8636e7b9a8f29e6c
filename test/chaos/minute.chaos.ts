/** One host killed every minute at 80 % of the peak: 99.95 % of all requests are answered, at the first try. */
import { expect, it } from 'vitest';
import { minute } from './minute.ts';
import { minutes, note, seed, summary } from './part.ts';

it(`a host killed every minute for ${minutes} minutes`, { timeout: 0 }, async () => {
  const report = await minute({
    ...{ minutes, every: 60_000, seed },
    tell: (kill) => note({ part: 'minute', ...kill }),
  });
  summary('minute', { passed: report.success >= 0.9995, ...report });
  expect(report.kills).toBe(minutes);
  expect(report.success).toBeGreaterThanOrEqual(0.9995);
});
