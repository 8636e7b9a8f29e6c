/** Kills under load on each store: what was accepted ends, once; nobody waits past the deadline; orphans come back in time. */
import { describe, expect, it } from 'vitest';
import { noPostgres } from '../services/postgres.ts';
import { note, rounded, roundsOr, seed, stores, summary } from './part.ts';
import { type Blow, chaos } from './rounds.ts';
import type { StoreName } from './yard.ts';

/** A hang takes its eight seconds until it is one: it comes seldom. */
const BLOWS: Record<StoreName, Partial<Record<Blow, number>>> = {
  folder: { server: 7, host: 8, hang: 1, clock: 3, disk: 1 },
  pglite: { server: 5, host: 5, hang: 1, database: 7, clock: 2 },
  postgresql: { server: 5, host: 5, hang: 1, database: 4, backend: 4, clock: 1 },
};
const rounds = roundsOr(200);

describe.each(Object.keys(BLOWS) as StoreName[])('%s', (store) => {
  it(`${rounds} rounds of kills`, { timeout: 0 }, async ({ skip }) => {
    skip(!stores.includes(store), 'not among --stores');
    skip(store === 'postgresql' && noPostgres !== undefined, noPostgres);
    const { rounds: all, ...report } = await chaos({
      ...{ store, rounds, seed, blows: BLOWS[store] },
      tell: (round, number) => note({ part: 'kills', store, number, ...round }),
    });
    const passed =
      report.notEnded.length === 0 &&
      report.wrong.length === 0 &&
      report.doubled === 0 &&
      report.missed === 0 &&
      report.requests.hung === 0 &&
      report.worst.orphans <= 5000;
    summary('kills', { passed, rounds: all.length, ...report, seconds: rounded(report.seconds) });
    expect(report).toMatchObject({ notEnded: [], wrong: [], doubled: 0, missed: 0 });
    expect(report.accepted).toBeGreaterThan(0);
    expect(report.ended).toBe(report.accepted);
    expect(report.requests.hung).toBe(0);
    expect(report.worst.orphans).toBeLessThanOrEqual(5000);
  });
});
