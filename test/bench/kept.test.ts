/** Benchmarks that train keep what is done: a part is made once, other settings begin anew, the end clears all. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KeptWork, partOf } from '../../bench/kept.ts';

let folder: string;
const before = process.env.INKSTONE_HOME;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-kept-'));
  process.env.INKSTONE_HOME = folder;
});
afterAll(async () => {
  if (before === undefined) delete process.env.INKSTONE_HOME;
  else process.env.INKSTONE_HOME = before;
  await fs.rm(folder, { recursive: true, force: true });
});

test('a part is made once, a failed one again, other settings make their own', async () => {
  let made = 0;
  const part = async (): Promise<{ value: number }> => ({ value: ++made });
  const kept = new KeptWork('x', { steps: 1 });
  await expect(kept.result('a', () => Promise.reject(new Error('killed')))).rejects.toThrow('killed');
  expect(await kept.result('a', part)).toEqual({ value: 1 });
  expect(await new KeptWork('x', { steps: 1 }).result('a', part)).toEqual({ value: 1 });
  expect(await new KeptWork('x', { steps: 2 }).result('a', part)).toEqual({ value: 2 });
  expect(kept.run('a').startsWith(folder)).toBe(true);
  await kept.finish();
  expect(await new KeptWork('x', { steps: 1 }).result('a', part)).toEqual({ value: 3 });
});

test('a part with settings of its own is another part with others, and the same with the same', () => {
  expect(partOf('a', { rate: 1 })).toBe(partOf('a', { rate: 1 }));
  expect(partOf('a', { rate: 1 })).not.toBe(partOf('a', { rate: 2 }));
  expect(partOf('a', { rate: 1 })).toMatch(/^a-[0-9a-f]{16}$/);
});
