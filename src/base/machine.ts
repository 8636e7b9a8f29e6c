/**
 * What the host knows of the machine: cores, memory, disk, and what of them this process takes. Part of `host.ts`, which
 * everybody imports; changes nothing.
 */
import fs from 'node:fs';
import os from 'node:os';
import process from 'node:process';
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
