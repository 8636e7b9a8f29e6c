/**
 * Installs and builds what is missing or stale. Its own process under `npm start`, so that the compilers' memory is
 * given back before the server runs.
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
