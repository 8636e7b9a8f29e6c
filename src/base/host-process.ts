/** The part of the host that starts processes which are on their own: no message channel, no tie to this one. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import process from 'node:process';
import { entry } from './host.ts';

/** A built entry as a process of its own. */
export function spawnEntry(name: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(process.execPath, [entry(name), ...args], options);
}
