/**
 * Writes the type declarations of the public exports into `dist/types`, for publishing. Not part of `npm start`:
 * nothing at run time needs them. Import endings become `.js`, which every compiler setting resolves.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './build.mjs';

const target = path.join(root, 'dist', 'types');
rmSync(target, { recursive: true, force: true });
const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const args = ['-p', 'tsconfig.declarations.json', '--outDir', target];
const { status } = spawnSync(process.execPath, [compiler, ...args], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
});
if (status !== 0) process.exit(1);
let count = 0;
for (const entry of readdirSync(target, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.d.ts')) continue;
  const file = path.join(entry.parentPath, entry.name);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace(/(["'])(\.{1,2}\/[^"'\n]+)\.ts\1/g, '$1$2.js$1'));
  count++;
}
process.stdout.write(`dist/types: ${count} declarations\n`);
