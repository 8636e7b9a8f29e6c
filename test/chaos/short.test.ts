/** The short twin of `npm run chaos`: a few blows on each store, judged by the same account. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/rng.ts';
import { noPostgres } from '../services/postgres.ts';
import { before, cut, playBack } from './power.ts';
import { type Blow, chaos } from './rounds.ts';
import type { StoreName } from './yard.ts';

const stores: [StoreName, Partial<Record<Blow, number>>, string | undefined][] = [
  ['folder', { server: 1, host: 1, clock: 1, disk: 1 }, undefined],
  ['postgresql', { server: 1, database: 1, backend: 1 }, noPostgres],
];

describe('chaos, in short', () => {
  it.each(stores)('%s: what was accepted ends, once', { timeout: 300_000 }, async (store, blows, missing) => {
    if (missing !== undefined) return;
    const report = await chaos({ store, blows, rounds: 5, seed: 3 });
    expect(report).toMatchObject({ notEnded: [], wrong: [], doubled: 0, missed: 0 });
    expect(report.accepted).toBeGreaterThan(0);
    expect(report.ended).toBe(report.accepted);
    expect(report.requests.hung).toBe(0);
    expect(report.requests.answered).toBeGreaterThan(0);
  });
});

describe('power cuts, in short', () => {
  it('of a store in files lose nothing that was acknowledged', { timeout: 120_000 }, async () => {
    const base = await before('folder');
    const random = new Random(5, 'power');
    for (let i = 0; i < 3; i++) {
      const { acknowledged, problems } = await cut(base, 'folder', () => random.uniform());
      expect(acknowledged).toBeGreaterThanOrEqual(10);
      expect(problems).toEqual([]);
    }
    await rm(base, { recursive: true, force: true });
  });

  it('that are played back lose what was not synced, or the test would show nothing', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'inkstone-play-'));
    const data = Buffer.from('x'.repeat(2000)).toString('base64');
    const write = [
      { op: 'create', id: 1, path: 'a' },
      { op: 'write', id: 1, at: 0, data },
      { op: 'rename', from: 'a', to: 'b' },
    ] as const;
    // Chance that loses everything that may be lost.
    expect(playBack(write, folder, () => 0)).toBe(2);
    expect(await readdir(folder)).toEqual([]);
    playBack([...write, { op: 'sync', id: 1 }], folder, () => 0);
    expect(await readFile(path.join(folder, 'b'), 'utf8')).toHaveLength(2000);
    playBack([...write, { op: 'sync', id: 9 }], folder, () => 0);
    expect(await readFile(path.join(folder, 'b'), 'utf8')).toBe('');
    await rm(folder, { recursive: true });
  });
});
