/**
 * Progress for people: one live line on a terminal, a plain line now and then elsewhere. Writes where it is
 * told (standard error, as a rule); knows nothing of what makes progress.
 */
import { isTerminal, monotonic, terminalWidth, writeError } from './host.ts';

export interface Progress {
  /** Replaces the live line. Off a terminal it is printed at most every `interval` ms, and always when `final`. */
  show(text: string, options?: { final?: boolean }): void;
  /** A line that stays. */
  note(text: string): void;
  /** Ends the live line; call it before anything else writes there. */
  end(): void;
}

export interface ProgressOptions {
  write?: (text: string) => void;
  terminal?: boolean;
  width?: () => number;
  /** Milliseconds between plain lines, where there is no terminal. */
  interval?: number;
  /** Milliseconds between two drawings of the live line. */
  frame?: number;
  clock?: () => number;
}

export function createProgress(options: ProgressOptions = {}): Progress {
  const write = options.write ?? writeError;
  const terminal = options.terminal ?? isTerminal('stderr');
  const width = options.width ?? terminalWidth;
  const interval = options.interval ?? 5000;
  const frame = options.frame ?? 50;
  const clock = options.clock ?? monotonic;
  let last = Number.NEGATIVE_INFINITY;
  /** The text on the live line; undefined when there is none. */
  let live: string | undefined;

  const draw = (text: string): void => {
    const room = Math.max(10, width() - 1);
    write(`\r\x1b[2K${text.length > room ? `${text.slice(0, room - 1)}…` : text}`);
  };
  const end = (): void => {
    if (live === undefined) return;
    draw(live);
    write('\n');
    live = undefined;
  };
  return {
    show(text, { final = false } = {}) {
      const at = clock();
      if (terminal) {
        live = text;
        if (final || at - last >= frame) {
          last = at;
          draw(text);
        }
        if (final) end();
      } else if (final || at - last >= interval) {
        last = at;
        write(`${text}\n`);
      }
    },
    note(text) {
      if (terminal && live !== undefined) {
        write(`\r\x1b[2K${text}\n`);
        draw(live);
      } else write(`${text}\n`);
    },
    end,
  };
}

/** `[████░░░░]` */
export function bar(fraction: number, width = 20): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return `[${'█'.repeat(full)}${'░'.repeat(width - full)}]`;
}

/** Seconds for people: `4.2 s`, `3 min 05 s`, `2 h 07 min`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** A count for people: `812`, `9.6 k`, `10.6 M`. */
export function count(value: number): string {
  if (Math.abs(value) < 1000) return Number.isInteger(value) ? String(value) : value.toFixed(1);
  const [size, unit] = Math.abs(value) >= 1e9 ? [1e9, 'G'] : Math.abs(value) >= 1e6 ? [1e6, 'M'] : [1e3, 'k'];
  return `${(value / size).toFixed(1)} ${unit}`;
}

/** Bytes for people: `12.0 MB` (decimal units). */
export function bytes(value: number): string {
  return value < 1000 ? `${value} B` : `${count(value)}B`;
}
