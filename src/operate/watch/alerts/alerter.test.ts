/** Looks by a clock that is moved by hand: who is told, and that nothing of it is kept. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Store } from '../../../base/contracts/store.ts';
import { openFileStore } from '../../../store/index.ts';
import { Metrics } from '../metrics.ts';
import { Alerter } from './alerter.ts';
import { alertConfig } from './config.ts';

let home: string;
let store: Store;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-alerter-'));
  store = await openFileStore(home);
});
afterEach(() => rm(home, { recursive: true, force: true }));

it('tells of an alert and of its end, and holds no word that was said', async () => {
  const metrics = new Metrics();
  const told: string[] = [];
  let minute = 0;
  const alerter = new Alerter({
    ...{ home, store, metrics, clock: () => 1e12 + 60_000 * minute },
    config: alertConfig.parse({ receivers: [{ type: 'webhook', url: 'http://127.0.0.1:1/' }] }),
    send: async (_, { status }) => {
      told.push(status);
    },
  });
  for (const used of [0.99, 0.1, 0.99, 0.1]) {
    metrics.set('memoryUsed', used);
    for (const end = minute + 20; minute < end; minute++) await alerter.look();
  }
  expect(told).toEqual(['firing', 'resolved', 'firing', 'resolved']);
  // Each would hold the one before it, and so all of them.
  const last = (alerter as unknown as { telling: Promise<unknown> }).telling;
  expect(await last).toBeUndefined();
  await alerter.close();
});
