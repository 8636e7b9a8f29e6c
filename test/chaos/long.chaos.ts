/**
 * `npm run chaos`: rounds of kills on each store under load, judged at the end, with a report in JSON lines. CHAOS_ROUNDS,
 * CHAOS_STORES and CHAOS_SEED change how long, where and which.
 */
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/rng.ts';
import { noPostgres } from '../services/postgres.ts';
import { before, cut } from './power.ts';
import { type Blow, chaos } from './rounds.ts';
import type { StoreName } from './yard.ts';

const rounds = Number(process.env.CHAOS_ROUNDS ?? 200);
const seed = Number(process.env.CHAOS_SEED ?? 1);
const wanted = (process.env.CHAOS_STORES ?? 'folder,pglite,postgresql').split(',');
const report = path.resolve(process.env.CHAOS_REPORT ?? 'chaos-report.jsonl');
mkdirSync(path.dirname(report), { recursive: true });

const BLOWS: Record<StoreName, readonly Blow[]> = {
  folder: ['server', 'host', 'hang'],
  pglite: ['server', 'host', 'hang', 'database', 'database'],
  postgresql: ['server', 'host', 'hang', 'database', 'backend'],
};

describe.each(Object.keys(BLOWS) as StoreName[])('%s', (store) => {
  it(`${rounds} rounds of kills`, { timeout: 0 }, async ({ skip }) => {
    skip(!wanted.includes(store), 'not among CHAOS_STORES');
    skip(store === 'postgresql' && noPostgres !== undefined, noPostgres);
    const result = await chaos({
      ...{ store, rounds, seed, blows: BLOWS[store] },
      tell: (round, number) => appendFileSync(report, `${JSON.stringify({ store, number, ...round })}\n`),
    });
    const { rounds: _, ...summary } = result;
    appendFileSync(report, `${JSON.stringify({ summary })}\n`);
    process.stdout.write(`${JSON.stringify(summary)}\n`);
    expect(result).toMatchObject({ notEnded: [], wrong: [], doubled: 0 });
    expect(result.ended).toBe(result.accepted);
    expect(result.requests.hung).toBe(0);
    expect(result.worst.orphans).toBeLessThanOrEqual(5000);
  });
});

const cuts = Number(process.env.CHAOS_CUTS ?? 20);

describe.each(['folder', 'pglite'] as const)('%s', (store) => {
  it(`${cuts} power cuts`, { timeout: 0 }, async ({ skip }) => {
    skip(!wanted.includes(store), 'not among CHAOS_STORES');
    const random = new Random(seed, 'power');
    const base = await before(store);
    const problems: string[] = [];
    for (let i = 1; i <= cuts; i++) {
      const result = await cut(base, store, () => random.uniform());
      appendFileSync(report, `${JSON.stringify({ store, cut: i, ...result })}\n`);
      problems.push(...result.problems);
    }
    rmSync(base, { recursive: true, force: true });
    expect(problems).toEqual([]);
  });
});
