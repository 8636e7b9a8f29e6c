/** A disk that is full, as a small file system in memory (where this user may mount one): nothing that was there is lost. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Row } from '../../src/base/contracts/store.ts';
import { Jobs } from '../../src/operate/jobs/jobs.ts';
import { check, openFileStore } from '../../src/store/index.ts';

const disk = mkdtempSync(path.join(tmpdir(), 'inkstone-disk-'));
let mounted = false;
beforeAll(() => {
  mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status === 0;
});
afterAll(() => {
  if (mounted) spawnSync('umount', [disk]);
  rmSync(disk, { recursive: true, force: true });
});
const why = 'this user may mount no small disk';

describe('a full disk', () => {
  it('refuses what does not fit, keeps what was there, and works again when there is room', async ({
    skip,
  }) => {
    skip(!mounted, why);
    const store = await openFileStore(path.join(disk, 'store'));
    const kept: string[] = [];
    let refused: unknown;
    for (let i = 0; refused === undefined; i++) {
      try {
        await store.rows.put('notes', { id: `n${i}`, text: 'x'.repeat(20_000) });
        kept.push(`n${i}`);
      } catch (thrown) {
        refused = thrown;
      }
    }
    expect(refused).toMatchObject({
      code: 'disk_full',
      kind: 'resource',
      hint: expect.stringContaining('free'),
    });
    // A row that is replaced is there as it was, or as it shall be; never half.
    await store.rows.put('notes', { id: 'n0', text: 'y'.repeat(300_000) }).catch(() => undefined);
    expect((await store.rows.get<Row & { text: string }>('notes', 'n0'))?.text).toHaveLength(20_000);
    await expect(store.objects.put(Buffer.alloc(500_000, 1))).rejects.toMatchObject({ code: 'disk_full' });
    expect((await store.rows.list('notes')).map(({ id }) => id).sort()).toEqual([...kept].sort());
    expect((await check(store)).problems).toEqual([]);
    for (const id of kept.slice(0, 20)) await store.rows.remove('notes', id);
    await store.objects.put(Buffer.alloc(200_000, 1));
    await store.close();
  });

  it('lets a job wait until there is room, and then it ends', { timeout: 60_000 }, async ({ skip }) => {
    skip(!mounted, why);
    rmSync(path.join(disk, 'store'), { recursive: true, force: true });
    const store = await openFileStore(path.join(disk, 'store'));
    const jobs = new Jobs({ store, look: 50 });
    let tries = 0;
    jobs.register<number, number, string>({
      kind: 'fill',
      async run() {
        tries++;
        const { hash } = await store.objects.put(Buffer.alloc(400_000, tries));
        return hash;
      },
    });
    const filler = path.join(disk, 'filler');
    const { id } = await jobs.create({ kind: 'fill', input: 1 });
    writeFileSync(filler, Buffer.alloc(700_000, 1));
    jobs.start();
    while (tries < 2) await new Promise((resolve) => setTimeout(resolve, 20));
    rmSync(filler);
    let job = await jobs.get(id);
    while (job.ended === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      job = await jobs.get(id);
    }
    expect(job).toMatchObject({ state: 'succeeded' });
    expect(job.failures).toBeGreaterThan(0);
    await jobs.close();
  });
});
