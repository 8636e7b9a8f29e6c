/** Power cuts, simulated, on each store: nothing that was acknowledged is lost. */
import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/rng.ts';
import { noPostgres } from '../services/postgres.ts';
import { CutDisk, PostgresCuts } from './cut-disk.ts';
import { note, rounded, roundsOr, seed, stores, summary } from './part.ts';
import { before, type Cut, cut } from './power.ts';
import type { StoreName } from './yard.ts';

const cuts = roundsOr(20);

async function all(store: StoreName, one: (chance: () => number) => Promise<Cut>): Promise<void> {
  const began = performance.now();
  const random = new Random(seed, 'power');
  const problems: string[] = [];
  let [acknowledged, lost] = [0, 0];
  for (let i = 1; i <= cuts; i++) {
    const result = await one(() => random.uniform());
    note({ part: 'power', store, cut: i, ...result });
    problems.push(...result.problems);
    acknowledged += result.acknowledged;
    lost += result.lost;
  }
  summary('power', {
    ...{ passed: problems.length === 0, store, cuts, acknowledged, lost, problems },
    seconds: rounded((performance.now() - began) / 1000),
  });
  expect(problems).toEqual([]);
}

describe.each(['folder', 'pglite'] as const)('%s', (store) => {
  it(`${cuts} power cuts`, { timeout: 0 }, async ({ skip }) => {
    skip(!stores.includes(store), 'not among --stores');
    const base = await before(store);
    await all(store, (chance) => cut(base, store, chance));
    rmSync(base, { recursive: true, force: true });
  });
});

it(`postgresql: ${cuts} power cuts`, { timeout: 0 }, async ({ skip }) => {
  skip(!stores.includes('postgresql'), 'not among --stores');
  skip(noPostgres !== undefined, noPostgres);
  const disk = CutDisk.make();
  if (typeof disk === 'string') return skip(`no disk of its own: ${disk}`);
  const cutter = await PostgresCuts.start(disk);
  try {
    await all('postgresql', (chance) => cutter.cut(chance));
  } finally {
    await cutter.stop();
  }
});
