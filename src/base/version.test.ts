/** Versions from made-up checkouts. */
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as host from './host.ts';
import { codeVersion, commitOf } from './version.ts';

const commit = '0123456789abcdef0123456789abcdef01234567';
let folder = '';
beforeAll(async () => {
  folder = await host.makeTemporaryFolder();
});
afterAll(() => host.removeFile(folder));

async function checkout(name: string, files: Record<string, string>): Promise<string> {
  const at = path.join(folder, name);
  for (const [file, text] of Object.entries({ 'package.json': '{"version":"1.2.3"}', ...files })) {
    await host.makeFolder(path.dirname(path.join(at, file)));
    await host.writeFile(path.join(at, file), text);
  }
  return at;
}

test('reads a branch, a packed branch, a bare commit and a linked worktree', async () => {
  const loose = { '.git/HEAD': 'ref: refs/heads/a/b\n', '.git/refs/heads/a/b': `${commit}\n` };
  const packed = {
    '.git/HEAD': 'ref: refs/heads/b\n',
    '.git/packed-refs': `# pack\n${commit} refs/heads/b\n`,
  };
  expect(await codeVersion(await checkout('loose', loose))).toBe('1.2.3+0123456789ab');
  expect(await commitOf(await checkout('packed', packed))).toBe(commit);
  expect(await commitOf(await checkout('detached', { '.git/HEAD': `${commit}\n` }))).toBe(commit);
  await checkout('loose/.git/worktrees/w', { HEAD: 'ref: refs/heads/a/b\n', commondir: '../..\n' });
  const linked = await checkout('linked', {
    '.git': `gitdir: ${path.join(folder, 'loose/.git/worktrees/w')}\n`,
  });
  expect(await commitOf(linked)).toBe(commit);
});

test('is the bare version outside a checkout or in a broken one', async () => {
  expect(await codeVersion(await checkout('installed', {}))).toBe('1.2.3');
  expect(await commitOf(await checkout('unborn', { '.git/HEAD': 'ref: refs/heads/main\n' }))).toBeUndefined();
  expect(await commitOf(await checkout('odd', { '.git': 'what\n' }))).toBeUndefined();
});

test('names this package', async () => {
  expect(await codeVersion()).toMatch(/^\d+\.\d+\.\d+(\+[0-9a-f]{12})?$/);
});
