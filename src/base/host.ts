/**
 * The only file, with its `machine.ts`, that touches the process, the file system, the clock and the terminal. Everything else
 * asks here, so that tests and later platforms have one place to stand. Knows nothing of what it carries;
 * file errors come out as InkstoneError (`file_missing`, `file_denied`, `disk_full`, …).
 */
import {
  type ChildProcess,
  type ForkOptions,
  fork as forkProcess,
  spawn as spawnProcess,
} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { InkstoneError } from './errors.ts';
import { fileError } from './file-error.ts';
import { isZombie } from './machine.ts';

export * from './machine.ts';

// Places

const here = path.dirname(fileURLToPath(import.meta.url));
/** The folder of the package (where package.json is), from `src/base` and `dist/base` alike. */
export const packageFolder = path.resolve(here, '..', '..');

/** The built file of an entry: `entry('runtime/onnxruntime/worker')`. Children never run TypeScript. */
export function entry(name: string): string {
  return path.join(packageFolder, 'dist', `${name}.js`);
}

export function currentFolder(): string {
  return process.cwd();
}

/** Where state lives: `INKSTONE_HOME`, else `.inkstone` in the current folder; absolute. */
export function homeFolder(): string {
  return path.resolve(environment('INKSTONE_HOME') ?? '.inkstone');
}

/** A path in the system's temporary folder that nobody uses yet; nothing is made there. */
export function temporaryPath(name: string): string {
  return path.join(os.tmpdir(), `${name}-${process.pid}-${Math.random().toString(36).slice(2, 10)}`);
}

/** Makes a folder in the system's temporary folder. The caller removes it. */
export async function makeTemporaryFolder(name = 'inkstone'): Promise<string> {
  return fs.promises.mkdtemp(path.join(os.tmpdir(), `${name}-`));
}

// Files

async function onFile<T>(file: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    throw fileError(thrown, file);
  }
}

export interface FileFacts {
  kind: 'file' | 'folder' | 'other';
  /** Bytes. */
  size: number;
  /** Milliseconds since 1970. */
  modified: number;
}

/** Facts about a path, links followed; undefined where nothing is there. */
export async function facts(file: string): Promise<FileFacts | undefined> {
  try {
    const stat = await fs.promises.stat(file);
    const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : 'other';
    return { kind, size: stat.size, modified: stat.mtimeMs };
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw fileError(thrown, file);
  }
}

export async function exists(file: string): Promise<boolean> {
  return (await facts(file)) !== undefined;
}

/** Names in a folder, sorted by code unit so that every machine sees one order. */
export async function listFiles(folder: string): Promise<string[]> {
  return (await onFile(folder, fs.promises.readdir(folder))).sort();
}

/** All files below a folder, as paths relative to it with `/`, sorted. Links are not followed. */
export async function listTree(folder: string): Promise<string[]> {
  const entries = await onFile(folder, fs.promises.readdir(folder, { recursive: true, withFileTypes: true }));
  return entries
    .filter((e) => e.isFile())
    .map((e) => path.relative(folder, path.join(e.parentPath, e.name)).split(path.sep).join('/'))
    .sort();
}

export async function readText(file: string): Promise<string> {
  return onFile(file, fs.promises.readFile(file, 'utf8'));
}

export async function readBytes(file: string): Promise<Uint8Array> {
  return onFile(file, fs.promises.readFile(file));
}

/** For the few places that cannot wait (start-up). */
export function readTextNow(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (thrown) {
    throw fileError(thrown, file);
  }
}

/** A stream of bytes from `start` to `end` (both inclusive, as Node has it). Errors arrive as stream errors. */
export function readStream(
  file: string,
  range: { start?: number; end?: number; chunk?: number } = {},
): Readable {
  const { chunk = 1 << 18, ...rest } = range;
  return fs.createReadStream(file, { ...rest, highWaterMark: chunk });
}

/** An open file for reads and writes at any place. */
export interface OpenFile {
  readonly size: number;
  /** Fills `into` from `position`; returns the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  write(bytes: Uint8Array, position?: number): Promise<void>;
  /** Returns when the bytes are on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** @param mode read; write (made empty); append; update (read and write, must exist) */
export async function openFile(
  file: string,
  mode: 'read' | 'write' | 'append' | 'update',
): Promise<OpenFile> {
  const flags = { read: 'r', write: 'w', append: 'a', update: 'r+' }[mode];
  const handle = await onFile(file, fs.promises.open(file, flags));
  const { size } = await handle.stat();
  return {
    size,
    async read(into, position) {
      let done = 0;
      while (done < into.byteLength) {
        const { bytesRead } = await onFile(
          file,
          handle.read(into, done, into.byteLength - done, position + done),
        );
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    },
    async write(bytes, position) {
      let done = 0;
      while (done < bytes.byteLength) {
        const at = position === undefined ? null : position + done;
        const { bytesWritten } = await onFile(file, handle.write(bytes, done, bytes.byteLength - done, at));
        done += bytesWritten;
      }
    },
    sync: () => onFile(file, handle.sync()),
    close: () => onFile(file, handle.close()),
  };
}

/** Makes renames in a folder survive a power cut. Some systems refuse to sync a folder; then nothing is lost. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await fs.promises.open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // Windows and some network file systems.
  }
}

let temporaryNumber = 0;

/**
 * Writes a whole file so that a reader, or the next start after a crash, sees the old one or the new one:
 * into a neighbour, fsync, rename, fsync of the folder. `write` may be called with any number of pieces.
 */
export async function writeAtomically(
  file: string,
  fill: (write: (bytes: Uint8Array | string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const temporary = `${file}.${process.pid}.${++temporaryNumber}.tmp`;
  const out = await openFile(temporary, 'write').catch((thrown) => {
    throw InkstoneError.is(thrown) && thrown.code === 'file_missing'
      ? fileError({ code: 'ENOENT' }, path.dirname(file))
      : thrown;
  });
  try {
    await fill((piece) => out.write(typeof piece === 'string' ? Buffer.from(piece) : piece)).finally(
      async () => {
        await out.sync();
        await out.close();
      },
    );
    await onFile(file, fs.promises.rename(temporary, file));
  } catch (thrown) {
    await fs.promises.rm(temporary, { force: true });
    throw thrown;
  }
  await syncFolder(path.dirname(file));
}

/** `writeAtomically` for what is in memory already. */
export async function writeFile(file: string, content: Uint8Array | string): Promise<void> {
  await writeAtomically(file, (write) => write(content));
}

/** Makes a file only where none is; false where one was: of several processes one gets true. */
export async function createFile(file: string, content: string): Promise<boolean> {
  try {
    await fs.promises.writeFile(file, content, { flag: 'wx' });
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fileError(thrown, file);
  }
}

/** Adds a line; several processes may add to one file. */
export async function appendText(file: string, text: string): Promise<void> {
  await onFile(file, fs.promises.appendFile(file, text));
}

/** `appendText` that has returned only when the line is with the system; for loops that must not be overtaken. */
export function appendTextNow(file: string, text: string): void {
  try {
    fs.appendFileSync(file, text);
  } catch (thrown) {
    throw fileError(thrown, file);
  }
}

export async function truncateFile(file: string, size: number): Promise<void> {
  await onFile(file, fs.promises.truncate(file, size));
}

export async function makeFolder(folder: string): Promise<void> {
  await onFile(folder, fs.promises.mkdir(folder, { recursive: true }));
}

/** A file or a whole folder; nothing happens where nothing is. */
export async function removeFile(file: string): Promise<void> {
  await onFile(file, fs.promises.rm(file, { force: true, recursive: true }));
}

export async function renameFile(from: string, to: string): Promise<void> {
  await onFile(from, fs.promises.rename(from, to));
}

export async function copyFile(from: string, to: string): Promise<void> {
  await onFile(from, fs.promises.copyFile(from, to));
}

/** Tells of changes below a path. Returns a function that stops it. */
export function watch(file: string, changed: () => void): () => void {
  const watcher = fs.watch(file, { persistent: false }, () => changed());
  watcher.on('error', () => watcher.close());
  return () => watcher.close();
}

// Clock and chance

/** Milliseconds since 1970. */
export function now(): number {
  return Date.now();
}

/** Milliseconds that only grow; for durations. */
export function monotonic(): number {
  return performance.now();
}

/** ISO 8601, UTC. */
export function timestamp(at: number = Date.now()): string {
  return new Date(at).toISOString();
}

// Terminal and process

/** What stands behind the command's name. */
export function commandArguments(): string[] {
  return process.argv.slice(2);
}

/** An environment variable; an empty one counts as not set. */
export function environment(name: string): string | undefined {
  const value = process.env[name];
  return value === undefined || value === '' ? undefined : value;
}

export function allEnvironment(): Record<string, string | undefined> {
  return { ...process.env };
}

// A reader that went away (`inkstone … | head`) is no error; anything else on these streams has nowhere to go.
let watchingPipes = false;
function watchPipes(): void {
  if (watchingPipes) return;
  watchingPipes = true;
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

export function writeOut(text: string): void {
  watchPipes();
  process.stdout.write(text);
}

export function writeError(text: string): void {
  watchPipes();
  process.stderr.write(text);
}

export function isTerminal(stream: 'stdin' | 'stdout' | 'stderr'): boolean {
  return process[stream].isTTY === true;
}

/** Columns of the terminal; 80 where there is none. */
export function terminalWidth(): number {
  return process.stderr.columns ?? process.stdout.columns ?? 80;
}

/** All of standard input, as text. */
export async function readInput(): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}

/** Standard input line by line, until it ends. */
export async function* inputLines(): AsyncIterable<string> {
  let pending = '';
  process.stdin.setEncoding('utf8');
  for await (const piece of process.stdin) {
    const lines = (pending + piece).split('\n');
    pending = lines.pop() ?? '';
    yield* lines;
  }
  if (pending !== '') yield pending;
}

export function setExitStatus(status: number): void {
  process.exitCode = status;
}

export function exitStatus(): number {
  return Number(process.exitCode ?? 0);
}

/** Called when this process ends by itself or by `exit`, and may only do what waits for nothing. */
export function onExit(react: () => void): void {
  process.once('exit', react);
}

/** Ends at once. For the last resort: what is still being written may be lost. */
export function exit(status: number): never {
  process.exit(status);
}

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** Calls back on a signal, in place of the default end. Returns a function that takes it away again. */
export function onSignal(signal: Signal, react: () => void): () => void {
  process.on(signal, react);
  return () => void process.off(signal, react);
}

/**
 * Ends as the signal by itself would: at once, by the system. (`exit` first stops threads, and native code that
 * computes in one aborts the process then.)
 */
export function endBySignal(signal: Signal): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** For errors that nobody caught. */
export function onCrash(react: (thrown: unknown) => void): void {
  process.on('uncaughtException', react);
  process.on('unhandledRejection', react);
}

export function processId(): number {
  return process.pid;
}

export function isAlive(id: number): boolean {
  try {
    process.kill(id, 0);
    return !isZombie(id);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** False where there is no such process any more. Zero is nobody, not this process and all its kin. */
export function sendSignal(id: number, signal: NodeJS.Signals): boolean {
  try {
    return id > 0 && process.kill(id, signal);
  } catch {
    return false;
  }
}

/** Messages with the process that forked this one; undefined where there is none. */
export function parentChannel():
  | { send(message: unknown): void; onMessage(f: (m: unknown) => void): void; onClose(f: () => void): void }
  | undefined {
  const send = process.send?.bind(process);
  if (send === undefined) return undefined;
  return {
    send: (message) => void send(message, undefined, undefined, () => undefined),
    onMessage: (receive) => void process.on('message', receive),
    onClose: (react) => void process.on('disconnect', react),
  };
}

/** Calls back when all that is ready now has run, before anything else begins. */
export function afterThis(react: () => void): void {
  process.nextTick(react);
}

// Children and threads

export type { ChildProcess, ForkOptions };
export { forkProcess, spawnProcess };

/**
 * This process's environment, and for glibc's allocator the wish for large pages: a child that reads the same hundred
 * megabytes again and again misses the page table less. Elsewhere it means nothing.
 */
export function withLargePages(): Record<string, string | undefined> {
  return { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1', ...process.env };
}

/** A child that runs a built entry with a message channel; none of our own Node flags are handed down. */
export function forkEntry(name: string, args: string[] = [], options: ForkOptions = {}): ChildProcess {
  return forkProcess(entry(name), args, { execArgv: [], serialization: 'advanced', ...options });
}

/** The command line of this package as a child: `spawnCommand(['train', 'text', …])`. */
export function spawnCommand(args: string[], options: ForkOptions = {}): ChildProcess {
  const command = path.join(packageFolder, 'bin', 'inkstone.mjs');
  return spawnProcess(process.execPath, [command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
}

/** Says to a command that it is tied: one that is only started with a channel is not. */
const TIED = 'INKSTONE_TIED';

/**
 * The same, tied to this process: it is told when this one is gone, however that went (see `onParentGone`). In a group of
 * its own: Ctrl+C in the terminal is for this process, which ends its commands in order.
 * @param variables of its environment, beside ours
 */
export function spawnTied(args: string[], variables: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawnCommand(args, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, ...variables, [TIED]: '1' },
    detached: process.platform !== 'win32',
  });
}

/** In a command that is tied to its parent: when that is gone. */
export function onParentGone(react: () => void): void {
  if (process.env[TIED] === '1') parentChannel()?.onClose(react);
}

export type WorkerHandle = Pick<Worker, 'on' | 'postMessage' | 'ref' | 'unref' | 'terminate'>;

export function startWorker(file: string, options: WorkerOptions = {}): WorkerHandle {
  return new Worker(file, { execArgv: [], ...options });
}
