/** `npm run fuzz -- --requests N --seed S`: the long run of test/fuzz; its report is one line of JSON. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { setup } from './setup.mjs';

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } },
});
for (const [name, value] of Object.entries(values))
  if (!/^[1-9]\d{0,8}$/.test(value)) {
    process.stderr.write(`--${name} is a whole number of at least 1\n`);
    process.exit(2);
  }
await setup();
const { root } = await import('./build.mjs');
const { status } = spawnSync(
  process.execPath,
  [path.join(root, 'node_modules/vitest/vitest.mjs'), 'run', 'test/fuzz', '--disableConsoleIntercept'],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, INKSTONE_FUZZ_REQUESTS: values.requests, INKSTONE_FUZZ_SEED: values.seed },
  },
);
process.exit(status ?? 1);
