/** The autoscaling benchmark on a day of three seconds: the promised form, every request answered. */
import { expect, it } from 'vitest';
import { benchAutoscale } from '../../bench/autoscale.ts';

it('runs a day over child processes and simulates it', async () => {
  const result = await benchAutoscale({ effort: 0.025, show: () => undefined });
  expect(result.cases).toHaveLength(7);
  expect(result.cases[0]?.note).toContain('failures: 0');
  expect(result.cases[1]?.ours).toBeGreaterThan(0);
  expect(result.cases[6]?.ratio).toBeGreaterThan(0);
});
