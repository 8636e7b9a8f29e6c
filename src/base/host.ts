/**
 * The only file that touches the process, the file system, the clock and the terminal. Everything else
 * asks here, so that tests and later platforms have one place to stand.
 */
import { fork as forkProcess, spawn as spawnProcess, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

// Places

const here = path.dirname(fileURLToPath(import.meta.url));
/** The folder of the package (where package.json is), from `src/base` and `dist/base` alike. */
export const packageFolder = path.resolve(here, '..', '..');

/** The built file of an entry: `entry('runtime/onnxruntime/worker')`. Children never run TypeScript. */
export function entry(name: string): string {
  return path.join(packageFolder, 'dist', `${name}.js`);
}

export function temporaryPath(name: string): string {
  return path.join(os.tmpdir(), `${name}-${process.pid}-${Math.random().toString(36).slice(2, 10)}`);
}

// Machine

export function cpuCount(): number {
  return os.availableParallelism();
}

// Files

export async function listFiles(folder: string): Promise<string[]> {
  return (await fs.promises.readdir(folder)).sort();
}

export async function readText(file: string): Promise<string> {
  return fs.promises.readFile(file, 'utf8');
}

export async function removeFile(file: string): Promise<void> {
  await fs.promises.rm(file, { force: true, recursive: true });
}

// Threads

export type WorkerHandle = Pick<Worker, 'on' | 'postMessage' | 'ref' | 'unref' | 'terminate'>;

export function startWorker(file: string): WorkerHandle {
  return new Worker(file);
}
export { forkProcess, spawnProcess, type ChildProcess };
