/** The short twin of `npm run chaos`: a few blows on each store, judged by the same account. */
import { describe, expect, it } from 'vitest';
import { noPostgres } from '../services/postgres.ts';
import { type Blow, chaos } from './rounds.ts';
import type { StoreName } from './yard.ts';

const stores: [StoreName, readonly Blow[], string | undefined][] = [
  ['folder', ['server', 'host'], undefined],
  ['postgresql', ['server', 'database', 'backend'], noPostgres],
];

describe('chaos, in short', () => {
  it.each(stores)('%s: what was accepted ends, once', { timeout: 300_000 }, async (store, blows, missing) => {
    if (missing !== undefined) return;
    const report = await chaos({ store, blows, rounds: 4, seed: 3 });
    expect(report).toMatchObject({ notEnded: [], wrong: [], doubled: 0 });
    expect(report.accepted).toBeGreaterThan(0);
    expect(report.ended).toBe(report.accepted);
    expect(report.requests.hung).toBe(0);
    expect(report.requests.answered).toBeGreaterThan(0);
  });
});
