/** The program of our own side's child process; see ours.ts. */
import * as host from '../src/base/host.ts';
import { serve } from './ours.ts';

await serve(
  host.inputLines(),
  host.writeOut,
  Number(host.environment('INKSTONE_THREADS') ?? host.cpuCount()),
);
host.exit(0);
