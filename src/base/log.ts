/**
 * A small logger: JSON lines for machines, short lines for people. Writes to standard error unless told
 * otherwise, so that standard output stays for results. Knows nothing of rotation or shipping.
 */
import { environment, isTerminal, onExit, timestamp, writeError } from './host.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error' | 'silent';
export type Facts = Readonly<Record<string, unknown>>;

export interface Logger {
  readonly level: Level;
  debug(message: string, facts?: Facts): void;
  info(message: string, facts?: Facts): void;
  warn(message: string, facts?: Facts): void;
  error(message: string, facts?: Facts): void;
  /**
   * `info` of what happens often: lines go together, within 50 ms, and before any other line. A write for each would cost a
   * server that answers a thousand requests a second as much as its limits and metrics do.
   */
  often(message: string, facts?: Facts): void;
  /** The same logger, with facts that go with every line. */
  child(facts: Facts): Logger;
}

const RANK: Record<Level, number> = { debug: 10, info: 20, warn: 30, error: 40, silent: 100 };

export interface LoggerOptions {
  /** Least level that is written; `INKSTONE_LOG`, else info. */
  level?: Level;
  format?: 'json' | 'pretty';
  write?: (line: string) => void;
  clock?: () => string;
  facts?: Facts;
}

export function isLevel(text: string | undefined): text is Level {
  return text !== undefined && Object.hasOwn(RANK, text);
}

function plainError(error: Error): Record<string, unknown> {
  const { code } = error as { code?: unknown };
  return {
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(error.cause === undefined
      ? {}
      : { cause: error.cause instanceof Error ? plainError(error.cause) : error.cause }),
  };
}

/** Errors keep their message, code and cause; a value that JSON cannot hold becomes text. */
function plain(this: Record<string, unknown>, key: string, value: unknown): unknown {
  // `value` has been through toJSON already; the holder still has the error itself.
  const original = this[key];
  if (original instanceof Error) return plainError(original);
  if (typeof value === 'bigint' || typeof value === 'function' || typeof value === 'symbol')
    return String(value);
  return value;
}

const isPlain = (value: unknown): boolean =>
  value === null || ['string', 'number', 'boolean', 'undefined'].includes(typeof value);

function serialize(value: unknown): string {
  try {
    // A function for each value costs more than all else of a line.
    const flat = isPlain(value) || Object.values(value as object).every(isPlain);
    return flat ? JSON.stringify(value) : JSON.stringify(value, plain);
  } catch {
    return '"(circular)"';
  }
}

/** Milliseconds that a line may wait for others, and characters that may wait. */
const TOGETHER = 50;
const MOST = 32_768;

/** Lines that wait to be written in one piece. */
class Lines {
  private readonly write: (text: string) => void;
  private waiting = '';
  private timer: NodeJS.Timeout | undefined;
  private watched = false;

  constructor(write: (text: string) => void) {
    this.write = write;
  }

  add(line: string): void {
    if (!this.watched) onExit(() => this.flush());
    this.watched = true;
    this.waiting += line;
    if (this.waiting.length >= MOST) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), TOGETHER).unref();
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { waiting } = this;
    this.waiting = '';
    if (waiting !== '') this.write(waiting);
  }

  now(line: string): void {
    this.flush();
    this.write(line);
  }
}

export function createLogger(options: LoggerOptions = {}): Logger {
  return loggerOn(new Lines(options.write ?? writeError), options);
}

function loggerOn(lines: Lines, options: LoggerOptions): Logger {
  const fromEnvironment = environment('INKSTONE_LOG');
  const level = options.level ?? (isLevel(fromEnvironment) ? fromEnvironment : 'info');
  const format = options.format ?? (isTerminal('stderr') ? 'pretty' : 'json');
  const clock = options.clock ?? (() => timestamp());
  const bound = options.facts ?? {};

  const log = (
    at: Exclude<Level, 'silent'>,
    message: string,
    facts: Facts = {},
    write = (line: string): void => lines.now(line),
  ): void => {
    if (RANK[at] < RANK[level]) return;
    const all = { ...bound, ...facts };
    if (format === 'json') {
      let line = serialize({ time: clock(), level: at, message, ...all });
      if (line === '"(circular)"')
        line = JSON.stringify({ time: clock(), level: at, message, facts: '(circular)' });
      write(`${line}\n`);
      return;
    }
    const told = Object.entries(all).map(
      ([key, value]) => ` ${key}=${typeof value === 'string' ? value : serialize(value)}`,
    );
    write(`${clock().slice(11, 19)} ${at.padEnd(5)} ${message}${told.join('')}\n`);
  };
  const soon = (line: string): void => lines.add(line);
  return {
    level,
    debug: (message, facts) => log('debug', message, facts),
    info: (message, facts) => log('info', message, facts),
    warn: (message, facts) => log('warn', message, facts),
    error: (message, facts) => log('error', message, facts),
    often: (message, facts) => log('info', message, facts, soon),
    child: (facts) => loggerOn(lines, { level, format, clock, facts: { ...bound, ...facts } }),
  };
}
