/** The gateway benchmark at a small load: the promised form, every answer there, the gateway's own count the same. */
import { expect, it } from 'vitest';
import { benchGateway } from '../../bench/gateway.ts';

it('sends what is due through the gateway and straight', async () => {
  const result = await benchGateway({ effort: 0.03, rate: 40, show: () => undefined });
  expect(result.cases.map((one) => one.case)).toEqual([
    ...['p50', 'p95', 'p99'].map((name) => `added latency ${name}`),
    'requests a second',
  ]);
  const last = result.cases[3];
  expect(last?.note).toMatch(/^80 answers, errors: 0; the gateway counted (\d+) answers and wrote \1 lines$/);
  expect(last?.ours).toBeGreaterThan(0);
});
