/** Power cuts, simulated, on the stores that keep their files themselves: nothing that was acknowledged is lost. */
import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/rng.ts';
import { note, rounded, roundsOr, seed, stores, summary } from './part.ts';
import { before, cut } from './power.ts';

const cuts = roundsOr(20);

describe.each(['folder', 'pglite'] as const)('%s', (store) => {
  it(`${cuts} power cuts`, { timeout: 0 }, async ({ skip }) => {
    skip(!stores.includes(store), 'not among --stores');
    const began = performance.now();
    const random = new Random(seed, 'power');
    const base = await before(store);
    const problems: string[] = [];
    let [acknowledged, lost] = [0, 0];
    for (let i = 1; i <= cuts; i++) {
      const result = await cut(base, store, () => random.uniform());
      note({ part: 'power', store, cut: i, ...result });
      problems.push(...result.problems);
      acknowledged += result.acknowledged;
      lost += result.lost;
    }
    rmSync(base, { recursive: true, force: true });
    summary('power', {
      ...{ passed: problems.length === 0, store, cuts, acknowledged, lost, problems },
      seconds: rounded((performance.now() - began) / 1000),
    });
    expect(problems).toEqual([]);
  });
});
