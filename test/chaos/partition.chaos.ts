/** A server cut off from its gateway: every request is answered all the same, and none past its deadline. */
import { expect, it } from 'vitest';
import { Random } from '../../src/base/rng.ts';
import { note, roundsOr, seed, summary } from './part.ts';
import { partition } from './partition.ts';
import { DEADLINE } from './yard.ts';

it('a server cut off from its gateway', { timeout: 0 }, async () => {
  const random = new Random(seed, 'partition');
  const report = await partition({
    cuts: roundsOr(20),
    chance: () => random.uniform(),
    tell: (cut) => note({ part: 'partition', ...cut }),
  });
  const passed = report.answered === report.requests && report.back < DEADLINE;
  summary('partition', { passed, ...report });
  expect(report.answered).toBeGreaterThan(0);
  expect(report.others).toEqual({});
  expect(report.back).toBeLessThan(DEADLINE);
});
