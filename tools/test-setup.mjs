/** Runs once before all tests: children and workers start from `dist`, so it has to be fresh. */
import { build } from './build.mjs';

export async function setup() {
  try {
    await build();
  } catch (error) {
    // `npm test` has its own check for this; a narrow run should still be able to use the rest.
    process.stderr.write(`${error.message}\n`);
  }
}
