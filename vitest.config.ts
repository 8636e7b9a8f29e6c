/** How the tests run: in child processes (native sessions need it), two at a time, against a fresh `dist`. */
import path from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.{ts,tsx}', 'test/**/*.test.ts', 'examples/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    globalSetup: ['./tools/test-setup.mjs'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // A machine with other work is slow; no test is about speed.
    expect: { poll: { timeout: 30_000 } },
    // Engines that tests fetch are kept from run to run.
    env: { INKSTONE_PACKAGES: path.resolve('node_modules/.cache/inkstone-packages') },
    passWithNoTests: true,
  },
});
