/**
 * The part of the host that starts processes which are on their own (no message channel, no tie to this one), and that
 * looks at others. Knows nothing of what they do.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import fs from 'node:fs';
import process from 'node:process';
import { entry } from './host.ts';

/** A built entry as a process of its own. */
export function spawnEntry(name: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(process.execPath, [entry(name), ...args], options);
}

/** Ids of the processes that another started; none where this system does not tell. */
export function childrenOf(id: number): number[] {
  try {
    const text = fs.readFileSync(`/proc/${id}/task/${id}/children`, 'utf8');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** The words that a process was started with; none where this system does not tell. */
export function commandOf(id: number): string[] {
  try {
    return fs.readFileSync(`/proc/${id}/cmdline`, 'utf8').split('\0').filter(Boolean);
  } catch {
    return [];
  }
}

/** Open files, sockets and pipes of another process; undefined where this system does not tell. */
export function openHandles(id: number): number | undefined {
  try {
    return fs.readdirSync(`/proc/${id}/fd`).length;
  } catch {
    return undefined;
  }
}
