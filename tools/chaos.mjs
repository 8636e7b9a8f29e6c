/** `npm run chaos`: installs and builds what is missing, then the chaos suite; its words go to vitest. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { setup } from './setup.mjs';

await setup();
const { build, root } = await import('./build.mjs');
await build();
const { status } = spawnSync(
  process.execPath,
  [
    path.join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--config',
    'test/chaos/vitest.config.ts',
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: 'inherit' },
);
process.exitCode = status ?? 1;
