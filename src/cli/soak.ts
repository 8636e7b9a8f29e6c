/**
 * A server under constant load, watched from outside: memory and open handles of all its processes, rows of every table.
 * Starts the server as a process of its own. Judges growth by its slope and the slope's interval, never by first and last.
 */
import { InkstoneError } from '../base/errors.ts';
import { type ChildProcess, monotonic, spawnCommand } from '../base/host.ts';
import { childrenOf, openHandles } from '../base/host-process.ts';
import { processUse } from '../base/machine.ts';
import { type Growth, growth } from '../operate/watch/trend.ts';
import { openStore } from '../store/index.ts';

export interface SoakOptions {
  home: string;
  minutes: number;
  /** Requests under way at once. */
  people: number;
  model?: string | undefined;
  signal: AbortSignal;
  tell(text: string): void;
}

export interface SoakResult {
  seconds: number;
  requests: { answered: number; streamed: number; hungUp: number; files: number; failed: number };
  /** Bytes; slopes in bytes a second. */
  memory: Growth | null;
  handles: Growth | null;
  /** Rows by table at a third of the time and at its end. */
  tables: Record<string, { before: number; after: number }>;
  /** Tables with more rows, although nothing in the load leaves any. */
  growing: string[];
  flat: boolean;
}

/** Answers to each person before the time begins, and milliseconds that are given for them. */
const FIRST = 5;
const LOADING = 600_000;
/** Part of the time in which caches fill: not judged. */
const WARM = 0.25;
/** Bytes and handles that may be added over the whole time: what allocators and pools keep. */
const LEAST_BYTES = 8 * 2 ** 20;
const LEAST_HANDLES = 4;
/** Milliseconds between looks. */
const EVERY = 500;

/** @throws InkstoneError `soak_failed` where the server does not start or ends */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { server, address, model } = await startServer(options);
  const end = new AbortController();
  const requests = { answered: 0, streamed: 0, hungUp: 0, files: 0, failed: 0 };
  const stop = AbortSignal.any([options.signal, end.signal]);
  const memory: number[] = [];
  const handles: number[] = [];
  let started = monotonic();
  const length = options.minutes * 60_000;
  let tables: Record<string, number> | undefined;
  let warmed = started;
  try {
    const people = Array.from({ length: options.people }, (_, i) =>
      person(address, options.model ?? model, i, stop, requests),
    );
    // The time begins with a model that is loaded and has answered some: on a busy machine that takes its while.
    const answers = (): number => requests.answered + requests.streamed;
    while (answers() < FIRST * options.people && monotonic() - started < LOADING && !stop.aborted)
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    started = monotonic();
    warmed = started;
    while (monotonic() - started < length && !options.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, EVERY));
      if (server.exitCode !== null || server.signalCode !== null)
        throw new InkstoneError(
          'soak_failed',
          `the server ended with ${server.exitCode ?? server.signalCode}`,
        );
      if (monotonic() - started < length * WARM) {
        warmed = monotonic();
        continue;
      }
      tables ??= await rowsOf(options.home);
      const use = useOf(server.pid as number);
      if (use.memory !== undefined) memory.push(use.memory);
      if (use.handles !== undefined) handles.push(use.handles);
      options.tell(
        `${Math.round((monotonic() - started) / 1000)} s, ${requests.answered + requests.streamed} answers, ${Math.round((use.memory ?? 0) / 2 ** 20)} MiB, ${use.handles ?? '?'} handles`,
      );
    }
    end.abort();
    await Promise.all(people);
  } finally {
    end.abort();
    await stopServer(server);
  }
  const seconds = (monotonic() - warmed) / 1000;
  const after = await rowsOf(options.home);
  const before = tables ?? after;
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  const judged = {
    memory: memory.length < 8 ? null : growth(memory, seconds, LEAST_BYTES),
    handles: handles.length < 8 ? null : growth(handles, seconds, LEAST_HANDLES),
  };
  const growing = names.filter((name) => (after[name] ?? 0) > (before[name] ?? 0) + options.people);
  return {
    seconds: Math.round((monotonic() - started) / 1000),
    requests,
    ...judged,
    tables: Object.fromEntries(
      names.map((name) => [name, { before: before[name] ?? 0, after: after[name] ?? 0 }]),
    ),
    growing,
    flat: judged.memory?.grows !== true && judged.handles?.grows !== true && growing.length === 0,
  };
}

async function rowsOf(home: string): Promise<Record<string, number>> {
  const store = await openStore(home);
  try {
    const found: Record<string, number> = {};
    for (const name of await store.rows.collections()) found[name] = await store.rows.count(name);
    return found;
  } finally {
    await store.close();
  }
}

/** Of a process and all below it. */
function useOf(id: number): { memory?: number; handles?: number } {
  let memory: number | undefined;
  let handles: number | undefined;
  for (const one of [id, ...childrenOf(id).flatMap((child) => [child, ...childrenOf(child)])]) {
    const use = processUse(one);
    const open = openHandles(one);
    if (use !== undefined) memory = (memory ?? 0) + use.resident;
    if (open !== undefined) handles = (handles ?? 0) + open;
  }
  return { ...(memory === undefined ? {} : { memory }), ...(handles === undefined ? {} : { handles }) };
}

async function startServer({
  home,
  people,
}: SoakOptions): Promise<{ server: ChildProcess; address: string; model: string }> {
  const server = spawnCommand([
    'serve',
    '--home',
    home,
    '--port',
    '0',
    '--json',
    '--queue',
    String(people * 4),
  ]);
  server.stderr?.resume();
  const line = await new Promise<string>((resolve, reject) => {
    let said = '';
    server.stdout?.on('data', (piece) => {
      said += String(piece);
      if (said.includes('\n')) resolve(said.split('\n')[0] ?? '');
    });
    server.once('exit', () => reject(new InkstoneError('soak_failed', `the server did not start: ${said}`)));
  });
  const { address, model } = JSON.parse(line) as { address: string; model: string | null };
  if (model === null) {
    await stopServer(server);
    throw new InkstoneError('model_missing', 'there is no model to ask', {
      kind: 'missing',
      hint: 'train one, or clone the project: it ships one',
    });
  }
  return { server, address, model };
}

async function stopServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  const late = setTimeout(() => server.kill('SIGKILL'), 20_000);
  await ended;
  clearTimeout(late);
}

/** One client: whole answers, streams, streams that are left half-way, files that come and go. Leaves nothing behind. */
async function person(
  address: string,
  model: string,
  number: number,
  stop: AbortSignal,
  counts: SoakResult['requests'],
): Promise<void> {
  for (let i = number; !stop.aborted; i++) {
    try {
      if (i % 4 === 0) {
        await fileThere(address, i);
        counts.files++;
        continue;
      }
      const leave = new AbortController();
      const stream = i % 4 !== 1;
      const response = await fetch(`${address}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, prompt: `Once ${i % 50}`, max_tokens: 24, seed: i, stream }),
        signal: AbortSignal.any([leave.signal, AbortSignal.timeout(60_000)]),
      });
      if (!response.ok) {
        await response.arrayBuffer();
        throw new InkstoneError('soak_refused', String(response.status));
      }
      if (i % 4 === 3) {
        await response.body?.getReader().read();
        leave.abort();
        counts.hungUp++;
      } else {
        await response.arrayBuffer();
        counts[stream ? 'streamed' : 'answered']++;
      }
    } catch {
      if (stop.aborted) return;
      counts.failed++;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

async function fileThere(address: string, i: number): Promise<void> {
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new Blob([`{"line": ${i}}\n`.repeat(50)]), 'soak.jsonl');
  const made = await fetch(`${address}/v1/files`, { method: 'POST', body: form });
  const { id } = (await made.json()) as { id: string };
  const gone = await fetch(`${address}/v1/files/${id}`, { method: 'DELETE' });
  await gone.arrayBuffer();
  if (!gone.ok) throw new InkstoneError('soak_refused', String(gone.status));
}
