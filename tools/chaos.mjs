/**
 * `npm run chaos`: installs and builds what is missing, then the parts of the chaos suite that were asked for, one after
 * the other. Each part ends with one line of JSON.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { setup } from './setup.mjs';

const PARTS = ['kills', 'power', 'overload', 'minute', 'partition'];
const STORES = ['folder', 'pglite', 'postgresql'];
const HELP = `npm run chaos -- [--only PARTS] [--stores STORES] [--rounds N] [--minutes N] [--seed N] [--report FILE]

Parts (all of them where --only does not say, separated by commas):
  kills      server, host, database killed, a host hung, the clock set, the disk full, under load; 200 rounds a store
  power      simulated power cuts; 20 a store (postgresql: on a disk of its own, root and ext4)
  overload   five times as many requests as can be answered, in turns with as many as can be; 10 pairs
  minute     one model host killed every minute at 80 % of the measured peak; --minutes 20
  partition  a server behind the gateway cut off from it, and back; 20 cuts

  --stores   of kills and power: ${STORES.join(',')}
  --rounds   rounds, cuts or pairs of each part, in place of the above
  --minutes  how long minute lasts
  --seed     of what is drawn by chance (default 1)
  --report   where each round is written, as lines of JSON (default chaos-report.jsonl)
`;

function refuse(text) {
  process.stderr.write(`${text}\n`);
  process.exit(2);
}

function given() {
  try {
    const options = Object.fromEntries(
      ['only', 'stores', 'rounds', 'minutes', 'seed', 'report'].map((name) => [name, { type: 'string' }]),
    );
    return parseArgs({ options: { ...options, help: { type: 'boolean' } } }).values;
  } catch (thrown) {
    return refuse(`${thrown.message}\n\n${HELP}`);
  }
}

function listed(name, text, known) {
  const all = text === undefined ? known : text.split(',');
  const strange = all.find((one) => !known.includes(one));
  if (strange !== undefined) refuse(`--${name}: there is no ${strange}; there are ${known.join(', ')}`);
  return all;
}

const { help, ...values } = given();
if (help === true) {
  process.stdout.write(HELP);
  process.exit(0);
}
const parts = listed('only', values.only, PARTS);
const stores = listed('stores', values.stores, STORES);
for (const name of ['rounds', 'minutes', 'seed'])
  if (values[name] !== undefined && !/^[1-9]\d{0,5}$/.test(values[name]))
    refuse(`--${name} is a whole number of at least 1`);

await setup();
const { build, root } = await import('./build.mjs');
await build();
const { status } = spawnSync(
  process.execPath,
  [
    ...[
      path.join(root, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      '--config',
      'test/chaos/vitest.config.ts',
    ],
    ...['--disableConsoleIntercept', ...parts.map((part) => `test/chaos/${part}.chaos.ts`)],
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      CHAOS_STORES: stores.join(','),
      CHAOS_ROUNDS: values.rounds ?? '',
      CHAOS_MINUTES: values.minutes ?? '20',
      CHAOS_SEED: values.seed ?? '1',
      CHAOS_REPORT: path.resolve(values.report ?? 'chaos-report.jsonl'),
    },
  },
);
process.exitCode = status ?? 1;
