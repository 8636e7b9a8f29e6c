/** That INKSTONE_SCREENSHOTS keeps what a test saw: a picture of each page that it left open, named after it. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { browserSuite } from './suite.ts';

let folder: string;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-screenshots-'));
  vi.stubEnv('INKSTONE_SCREENSHOTS', folder);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await fs.rm(folder, { recursive: true, force: true });
});

browserSuite('screenshots', (stage) => {
  it('of two pages, one wide/one narrow', async () => {
    await stage.open('', { viewport: { width: 1280, height: 600 } });
    await stage.open('', { viewport: { width: 360, height: 600 } });
    await (await stage.open()).close();
  });

  it('lie in the folder, whole pages, closed ones left out', async () => {
    const names = (await fs.readdir(folder)).toSorted();
    expect(names).toEqual([
      'screenshots-of-two-pages-one-wide-one-narrow-2.png',
      'screenshots-of-two-pages-one-wide-one-narrow.png',
    ]);
    const sizes = await Promise.all(
      names.map(async (name) => {
        const { width, height } = await sharp(path.join(folder, name)).metadata();
        expect(height).toBeGreaterThanOrEqual(600);
        return width;
      }),
    );
    expect(sizes).toEqual([360, 1280]);
  });
});
