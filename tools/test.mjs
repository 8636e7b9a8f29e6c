/**
 * `npm test`: installs and builds what is missing, then checks types, lint and format, and runs every test.
 * Extra words go to vitest (`npm test -- src/base`). The last line is `N passed, N failed, N skipped`.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setup } from './setup.mjs';

const totals = { passed: 0, failed: 0, skipped: 0 };
const say = (text) => process.stdout.write(`${text}\n`);

function finish() {
  process.exitCode = totals.failed > 0 ? 1 : 0;
  say(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
}

try {
  await setup();
} catch (error) {
  say(error.message);
  totals.failed++;
  finish();
  process.exit();
}
const { build, root } = await import('./build.mjs');
const { buildStudio } = await import('./studio.mjs');

/** Runs a tool of node_modules with its output passed through; resolves to its exit status. */
function tool(script, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [path.join(root, 'node_modules', script), ...args], {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env },
    });
    child.on('error', (error) => {
      say(error.message);
      resolve(1);
    });
    child.on('close', (status, signal) => resolve(signal === null ? status : 1));
  });
}

async function check(name, work) {
  let passed = false;
  try {
    passed = await work();
  } catch (error) {
    say(error.message);
  }
  totals[passed ? 'passed' : 'failed']++;
  say(`${passed ? '✓' : '✗'} ${name}`);
}

await check('build', async () => {
  await build();
  await buildStudio();
  return true;
});

await check('types', async () => {
  const projects = ['tsconfig.json', 'src/studio/tsconfig.json', 'test/studio/tsconfig.json'];
  let failed = 0;
  for (const project of projects.filter((file) => existsSync(path.join(root, file)))) {
    failed += await tool('typescript/bin/tsc', ['-p', project]);
  }
  return failed === 0;
});

await check('lint and format', async () => (await tool('@biomejs/biome/bin/biome', ['check'])) === 0);

const folder = mkdtempSync(path.join(os.tmpdir(), 'inkstone-test-'));
const summaryFile = path.join(folder, 'summary.json');
try {
  const status = await tool(
    'vitest/vitest.mjs',
    ['run', '--reporter=default', '--reporter=./tools/test-reporter.mjs', ...process.argv.slice(2)],
    { INKSTONE_TEST_SUMMARY: summaryFile },
  );
  if (existsSync(summaryFile)) {
    const summary = JSON.parse(readFileSync(summaryFile, 'utf8'));
    for (const key of ['passed', 'failed', 'skipped']) totals[key] += summary[key];
    for (const { name, why } of summary.skips) say(`skipped: ${name}: ${why}`);
    for (const name of summary.unexplained) say(`✗ skipped without a reason, which is a failure: ${name}`);
    // vitest can fail for reasons of its own (a crashed child): that is never a pass.
    if (status !== 0 && summary.failed === 0) totals.failed++;
  } else {
    say('vitest ended without a summary');
    totals.failed++;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
finish();
