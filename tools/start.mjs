/**
 * `npm start`: installs and builds what is missing or stale, then runs `inkstone serve` in this process with the
 * flags it was given (`npm start -- --port 5000`). Nothing to do costs a few milliseconds.
 */
import { setup } from './setup.mjs';

try {
  await setup();
  const { build } = await import('./build.mjs');
  await build();
  const { buildStudio } = await import('./studio.mjs');
  await buildStudio();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
const { run } = await import('../dist/cli/main.js');
await run(['serve', ...process.argv.slice(2)]);
