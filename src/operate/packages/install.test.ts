/** Engines are fetched once, by one process, pinned; what cannot be fetched is told with what to do. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { entryOf, install, isInstalled, packageName, packagesFolder } from './install.ts';
import { missingEngine } from './testing.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-packages-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const missing = await missingEngine('transformers');

test('a name that is no engine is refused with the nearest', () => {
  expect(packageName('llama')).toBe('llama');
  expect(() => packageName('lama')).toThrow(
    expect.objectContaining({ code: 'package_unknown', hint: 'did you mean llama?' }),
  );
});

test('packages lie in the home folder unless said otherwise', () => {
  vi.stubEnv('INKSTONE_PACKAGES', '');
  expect(packagesFolder('/somewhere')).toBe(path.resolve('/somewhere/packages'));
  vi.stubEnv('INKSTONE_PACKAGES', folder);
  expect(packagesFolder('/somewhere')).toBe(folder);
});

test('without a registry it says what to do, leaves nothing half done, and a second try is a fresh one', async () => {
  vi.stubEnv('npm_config_registry', 'http://127.0.0.1:9/');
  vi.stubEnv('npm_config_cache', path.join(folder, 'cache'));
  const place = path.join(folder, 'packages');
  for (let i = 0; i < 2; i++)
    await expect(install('llama', { folder: place })).rejects.toMatchObject({
      code: 'package_unavailable',
      kind: 'resource',
      hint: expect.stringContaining('inkstone add llama'),
    });
  expect(await readdir(place)).toEqual([]);
  expect(await isInstalled('llama', place)).toBe(false);
});

test.skipIf(missing !== undefined)(
  `of several that ask at once one fetches and all get the same (${missing ?? 'npm'})`,
  { timeout: 300_000 },
  async () => {
    // What another test has fetched lies in npm's own cache.
    vi.stubEnv('npm_config_prefer_offline', 'true');
    const notes: string[] = [];
    // What a process that was killed left behind is no hindrance: its lock, and a folder that is half there.
    await writeFile(path.join(folder, 'transformers.lock'), '999999999');
    const { folder: kept } = await install('transformers');
    await mkdir(path.join(folder, path.basename(kept)));
    expect(await isInstalled('transformers', folder)).toBe(false);
    const all = await Promise.all(
      [1, 2, 3].map(() => install('transformers', { folder, note: (line) => notes.push(line) })),
    );
    expect(new Set(all.map((one) => one.folder)).size).toBe(1);
    expect(notes.filter((line) => line.startsWith('fetching'))).toHaveLength(1);
    const [installed] = all as [(typeof all)[0]];
    expect(await entryOf(installed)).toMatch(/transformers\.node\.mjs$/);
    // The runtime that we have already is shared, not fetched a second time.
    const modules = await readdir(path.join(installed.folder, 'node_modules'));
    expect(modules).toContain('onnxruntime-node');
    const shared = await readFile(path.join(installed.folder, 'shared/onnxruntime-node/index.js'), 'utf8');
    expect(shared).toContain('node_modules');
    expect(await isInstalled('transformers', folder)).toBe(true);
    const again = await install('transformers', { folder, note: (line) => notes.push(line) });
    expect(again).toEqual(installed);
    expect(notes.filter((line) => line.startsWith('fetching'))).toHaveLength(1);
    await rm(await entryOf(installed));
    await expect(entryOf(installed)).rejects.toMatchObject({ code: 'package_unavailable' });
  },
);
