/**
 * What the host knows of the machine: cores, memory, disk, and what of them this process takes. Part of `host.ts`, which
 * everybody imports; changes nothing.
 */
import fs from 'node:fs';
import os from 'node:os';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import process from 'node:process';
import { getHeapStatistics } from 'node:v8';
import { fileError } from './file-error.ts';

export function cpuCount(): number {
  return os.availableParallelism();
}

export interface Machine {
  platform: string;
  architecture: string;
  cpu: string;
  cores: number;
  /** Bytes. */
  memory: number;
  node: string;
}

export function machine(): Machine {
  return {
    platform: process.platform,
    architecture: process.arch,
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memory: os.totalmem(),
    node: process.version,
  };
}

/** Bytes: `resident` of this process (and its peak), `heap` used, `free` and `total` of the machine. */
export function memoryUse(): { resident: number; peak: number; heap: number; free: number; total: number } {
  const { rss, heapUsed } = process.memoryUsage();
  const peak = process.resourceUsage().maxRSS * 1024;
  return { resident: rss, peak, heap: heapUsed, free: os.freemem(), total: os.totalmem() };
}

/** Which kind of collection an entry tells of. */
const kindOf = (entry: object): number | undefined => (entry as { detail?: { kind?: number } }).detail?.kind;

let held: number | undefined;
let collections: PerformanceObserver | undefined;

/**
 * Bytes that this process's JavaScript held when it was last collected as a whole: heap, and what lies outside of it for it
 * (buffers). What grows here for ever leaks; resident memory also has what is not collected yet, and what allocators keep.
 * Watched from the first call on; undefined until a collection came.
 */
export function heldMemory(): number | undefined {
  if (collections === undefined) {
    collections = new PerformanceObserver((list) => {
      const whole = list.getEntries().some((entry) => kindOf(entry) === constants.NODE_PERFORMANCE_GC_MAJOR);
      if (!whole) return;
      const { used_heap_size: heap, external_memory: outside } = getHeapStatistics();
      held = heap + outside;
    });
    collections.observe({ entryTypes: ['gc'] });
  }
  return held;
}

/** Seconds that this process has run. */
export function uptime(): number {
  return process.uptime();
}

/** Bytes of the disk where `folder` is: all, and what this user may still write. */
export async function diskUse(folder: string): Promise<{ total: number; free: number }> {
  try {
    const { bavail, blocks, bsize } = await fs.promises.statfs(folder);
    return { total: blocks * bsize, free: bavail * bsize };
  } catch (thrown) {
    throw fileError(thrown, folder);
  }
}

/** Bytes that this user may still write where `folder` is. */
export async function freeSpace(folder: string): Promise<number> {
  return (await diskUse(folder)).free;
}

/** What another process uses; undefined where it is gone, or where this system does not tell. */
export interface ProcessUse {
  /** Bytes. */
  resident: number;
  /** Milliseconds of processor time so far, all threads. */
  cpu: number;
  /** False for one that was stopped by a signal. */
  running: boolean;
  /** When it began, in a unit of the system's own: tells it from a later process with the same id. */
  started: number;
}

/** Linux counts time for others in hundredths of a second, memory in pages of 4 KiB. */
const TICK = 10;
const PAGE = 4096;

export function processUse(id: number): ProcessUse | undefined {
  const fields = processFields(id);
  if (fields === undefined || isOver(fields)) return undefined;
  const [state, user, system, started, resident] = [0, 11, 12, 19, 21].map((at) => fields[at]);
  return {
    resident: Number(resident) * PAGE,
    cpu: (Number(user) + Number(system)) * TICK,
    running: state !== 'T' && state !== 't',
    started: Number(started),
  };
}

/** True for a process that has ended and that nobody has asked how: it still has its id. */
export function isZombie(id: number): boolean {
  const fields = processFields(id);
  return fields !== undefined && isOver(fields);
}

const isOver = ([state]: readonly string[]): boolean => state === 'Z' || state === 'X';

/** What Linux says of a process, the state first; undefined elsewhere. */
function processFields(id: number): string[] | undefined {
  try {
    const text = fs.readFileSync(`/proc/${id}/stat`, 'latin1');
    // The name stands in parentheses and may hold anything; fields are counted from behind it.
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Lets everybody else go first; what cannot be lowered stays as it is. */
export function lowerPriority(id: number): void {
  try {
    os.setPriority(id, os.constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended, or belongs to somebody else.
  }
}
