#!/usr/bin/env node
/**
 * The command. In a clone it first installs and builds what is missing or stale; in an installed package
 * (no `src/` there) it just runs. Knows nothing of the commands themselves.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

async function prepare() {
  if (!existsSync(path.join(root, 'src')) || !existsSync(path.join(root, 'tools', 'setup.mjs'))) return;
  const { setup } = await import('../tools/setup.mjs');
  await setup();
  const { build } = await import('../tools/build.mjs');
  await build();
}

try {
  await prepare();
} catch (error) {
  const json = process.argv.includes('--json');
  const message = error instanceof Error ? error.message : String(error);
  if (json) process.stdout.write(`${JSON.stringify({ error: { code: 'setup_failed', message } })}\n`);
  else process.stderr.write(`${message}\n`);
  process.exit(1);
}
const { run } = await import('../dist/cli/main.js');
await run();
