/**
 * `npm start`: installs and builds what is missing or stale, then runs `inkstone serve` in this process with the
 * flags it was given (`npm start -- --port 5000`). Nothing to do costs some tens of milliseconds.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const prepared = spawnSync(process.execPath, [fileURLToPath(new URL('prepare.mjs', import.meta.url))], {
  stdio: ['ignore', 2, 2],
});
if (prepared.status !== 0) process.exit(prepared.status ?? 1);
const { run } = await import('../dist/cli/main.js');
await run(['serve', ...process.argv.slice(2)]);
