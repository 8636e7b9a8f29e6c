/**
 * A server under constant load, watched from outside: memory and open handles of all its processes, rows of every table.
 * Starts the server as a process of its own. Judges growth by its slope and the slope's interval, never by first and last.
 */
import { InkstoneError } from '../base/errors.ts';
import { type ChildProcess, monotonic, spawnCommand } from '../base/host.ts';
import { childrenOf, openHandles } from '../base/host-process.ts';
import { processUse } from '../base/machine.ts';
import { type Growth, growth } from '../operate/watch/trend.ts';
import { Keys } from '../serve/keys.ts';
import { openStore } from '../store/index.ts';
import { forget, noCounts, type SoakCounts, soakClient } from './soak-load.ts';

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
  /** Since the model had answered some. */
  requests: SoakCounts;
  /** Requests that failed before that, by reason: a model that is still being loaded refuses. */
  loading: SoakCounts['failures'];
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
  const { key, row } = await withKeys(options.home, (keys) => keys.create('soak'));
  try {
    return await watched(options, key);
  } finally {
    await withKeys(options.home, (keys) => keys.revoke(row.id));
  }
}

async function watched(options: SoakOptions, key: string): Promise<SoakResult> {
  const { server, address, model } = await startServer(options);
  const end = new AbortController();
  const requests = noCounts();
  const stop = AbortSignal.any([options.signal, end.signal]);
  const memory: number[] = [];
  const handles: number[] = [];
  let started = monotonic();
  const length = options.minutes * 60_000;
  let tables: Record<string, number> | undefined;
  let warmed = started;
  let loading: SoakCounts['failures'] = {};
  try {
    const people = Array.from({ length: options.people }, (_, number) =>
      soakClient({ address, key, model: options.model ?? model, number, stop, counts: requests }),
    );
    // The time begins with a model that is loaded and has answered some: on a busy machine that takes its while.
    const answers = (): number => requests.answered + requests.streamed;
    while (answers() < FIRST * options.people && monotonic() - started < LOADING && !stop.aborted)
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    loading = forget(requests).failures;
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
        `${Math.round((monotonic() - started) / 1000)} s, ${requests.answered + requests.streamed} answers, ${requests.failed} failed, ${Math.round((use.memory ?? 0) / 2 ** 20)} MiB, ${use.handles ?? '?'} handles`,
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
    ...{ requests, loading },
    ...judged,
    tables: Object.fromEntries(
      names.map((name) => [name, { before: before[name] ?? 0, after: after[name] ?? 0 }]),
    ),
    growing,
    flat: judged.memory?.grows !== true && judged.handles?.grows !== true && growing.length === 0,
  };
}

/** Its own key, as a customer has one: spending is a table, too. Taken back when the soak is over. */
async function withKeys<T>(home: string, use: (keys: Keys) => Promise<T>): Promise<T> {
  const store = await openStore(home);
  try {
    return await use(new Keys(store));
  } finally {
    await store.close();
  }
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
