/** The chaos suite by itself: one thing at a time, as long as it takes. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/chaos/**/*.chaos.ts'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    globalSetup: ['./tools/test-setup.mjs'],
    testTimeout: 0,
    hookTimeout: 300_000,
  },
});
