/**
 * A server under constant load, watched from outside: memory and open handles of all its processes, rows of every table.
 * Starts the server as a process of its own. Judges growth by its slope and the slope's interval, never by first and last.
 */
import { InkstoneError } from '../base/errors.ts';
import { type ChildProcess, monotonic } from '../base/host.ts';
import { databaseProcess } from '../store/index.ts';
import { growing, isFlat, judgeParts, Looks, type PartJudged } from './soak-judge.ts';
import { forget, noCounts, type SoakCounts, soakClient } from './soak-load.ts';
import { heldOf, useOf } from './soak-look.ts';
import { rowsOf, startServer, stopServer, withKeys } from './soak-server.ts';

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
  /** Of these, how many at the beginning were for warming up. */
  warm: number;
  /** Since the model had answered some. */
  requests: SoakCounts;
  /** Requests that failed before that, by reason: a model that is still being loaded refuses. */
  loading: SoakCounts['failures'];
  /** `server`, `models`, and where there are any `store` (the embedded database) and `others`. */
  parts: Record<string, PartJudged>;
  /** Rows by table: the fewest of some looks when it was warm, and when all was over. */
  tables: Record<string, { before: number; after: number }>;
  /** What grows: `server memory`, `models handles`, `table responses`. */
  growing: string[];
  /** Nothing grows; null where too little was seen to say so: too short a time, or a system that does not tell. */
  flat: boolean | null;
}

/** Answers to each person before the time begins, and milliseconds that are given for them. */
const FIRST = 5;
const LOADING = 600_000;
/** Part of the time in which caches fill and heaps find their size: not judged. */
const WARM = 0.5;
/** Milliseconds between looks, and between those at what JavaScript holds. */
const EVERY = 500;
const HELD_EVERY = 2000;
/** Looks at the tables: what is under way in one of them is not in all of them. */
const TABLE_LOOKS = 5;

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
  const { home, people, signal } = options;
  const { server, address, model } = await startServer(home, people);
  const end = new AbortController();
  const requests = noCounts();
  const stop = AbortSignal.any([signal, end.signal]);
  const looks = new Looks();
  const length = options.minutes * 60_000;
  let loading: SoakCounts['failures'] = {};
  let before: Record<string, number> | undefined;
  let started = monotonic();
  const seconds = (): number => (monotonic() - started) / 1000;
  try {
    const load = Array.from({ length: people }, (_, number) =>
      soakClient({ address, key, model: options.model ?? model, number, stop, counts: requests }),
    );
    // The time begins with a model that is loaded and has answered some: on a busy machine that takes its while.
    const answers = (): number => requests.answered + requests.streamed;
    while (answers() < FIRST * people && monotonic() - started < LOADING && !stop.aborted) await pause(EVERY);
    loading = forget(requests).failures;
    started = monotonic();
    let tableLooks = 0;
    let asked = Number.NEGATIVE_INFINITY;
    while (monotonic() - started < length && !signal.aborted) {
      await pause(EVERY);
      requireAlive(server);
      const use = useOf(server.pid as number, await databaseProcess(home));
      looks.use(seconds(), use);
      if (monotonic() - asked >= HELD_EVERY) {
        asked = monotonic();
        looks.held(seconds(), await heldOf(address, key));
      }
      if (monotonic() - started >= length * WARM && tableLooks++ < TABLE_LOOKS)
        before = fewest(before, await rowsOf(home));
      const all = Object.values(use);
      const sum = (of: (one: (typeof all)[number]) => number): number =>
        all.reduce((total, one) => total + of(one), 0);
      options.tell(
        `${Math.round(seconds())} s, ${answers()} answers, ${requests.failed} failed, ${Math.round(sum((one) => one.resident) / 2 ** 20)} MiB, ${sum((one) => one.handles)} handles`,
      );
    }
    end.abort();
    await Promise.all(load);
  } finally {
    end.abort();
    await stopServer(server);
  }
  const whole = seconds();
  const warm = (length * WARM) / 1000;
  const after = await rowsOf(home);
  const tables = tablesOf(before ?? after, after);
  const parts = judgeParts(looks.parts, warm);
  // What failed half-way may have left what it made.
  const found = growing(parts, tables, requests.failed);
  return {
    ...{ seconds: Math.round(whole), warm: Math.round(warm) },
    ...{ requests, loading, parts, tables },
    ...{ growing: found, flat: isFlat(parts, found) },
  };
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

function requireAlive({ exitCode, signalCode }: ChildProcess): void {
  if (exitCode !== null || signalCode !== null)
    throw new InkstoneError('soak_failed', `the server ended with ${exitCode ?? signalCode}`);
}

/** Of each table the smaller number of rows; one that is missing has none. */
function fewest(
  one: Readonly<Record<string, number>> | undefined,
  other: Readonly<Record<string, number>>,
): Record<string, number> {
  if (one === undefined) return { ...other };
  const names = Object.keys(one).filter((name) => name in other);
  return Object.fromEntries(
    names.map((name) => [name, Math.min(one[name] as number, other[name] as number)]),
  );
}

function tablesOf(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): SoakResult['tables'] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return Object.fromEntries(
    names.map((name) => [name, { before: before[name] ?? 0, after: after[name] ?? 0 }]),
  );
}
