/** The logger and the progress line, written into strings. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { InkstoneError } from './errors.ts';
import { createLogger } from './log.ts';
import { bar, bytes, count, createProgress, duration } from './progress.ts';

describe('log', () => {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  const clock = (): string => '2030-01-02T03:04:05.000Z';

  test('writes JSON lines with bound facts, from its level up', () => {
    lines.length = 0;
    const log = createLogger({ level: 'info', format: 'json', write, clock }).child({ part: 'server' });
    log.debug('hidden');
    log.info('started', { port: 1 });
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { time: clock(), level: 'info', message: 'started', part: 'server', port: 1 },
    ]);
  });

  test('keeps code and cause of an error and survives what JSON cannot hold', () => {
    lines.length = 0;
    const log = createLogger({ level: 'debug', format: 'json', write, clock });
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    log.error('failed', {
      error: new InkstoneError('disk_full', 'full', { cause: new Error('ENOSPC') }),
      big: 5n,
    });
    log.warn('odd', { circle });
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      error: { code: 'disk_full', message: 'full', cause: { message: 'ENOSPC' } },
      big: '5',
    });
    expect(JSON.parse(lines[1] as string)).toMatchObject({ level: 'warn', message: 'odd' });
  });

  test('writes what happens often in one piece, before any other line, and after a moment by itself', () => {
    vi.useFakeTimers();
    try {
      lines.length = 0;
      const log = createLogger({ level: 'info', format: 'json', write, clock });
      const child = log.child({ part: 'server' });
      log.often('request', { n: 1 });
      child.often('request', { n: 2, why: undefined, of: ['a', new Error('b')] });
      expect(lines).toEqual([]);
      log.warn('server is back');
      const told = lines.map((piece) =>
        piece
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line)),
      );
      expect(told).toMatchObject([
        [
          { level: 'info', message: 'request', n: 1 },
          { part: 'server', n: 2, of: ['a', { message: 'b' }] },
        ],
        [{ level: 'warn', message: 'server is back' }],
      ]);
      log.often('request', { n: 3 });
      vi.advanceTimersByTime(49);
      expect(lines).toHaveLength(2);
      vi.advanceTimersByTime(1);
      expect(lines).toHaveLength(3);
      // Much of it waits for no time.
      for (let i = 0; i < 1000; i++) log.often('request', { n: i });
      expect(lines.length).toBeGreaterThan(3);
      vi.advanceTimersByTime(50);
      const all = lines.slice(3).join('').trim().split('\n');
      expect(all.map((line) => JSON.parse(line).n)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
      createLogger({ level: 'warn', format: 'json', write, clock }).often('request');
      vi.advanceTimersByTime(50);
      expect(lines.join('').trim().split('\n')).toHaveLength(1004);
    } finally {
      vi.useRealTimers();
    }
  });

  test('loses no line when the process ends', () => {
    const code = `const { createLogger } = await import('./dist/base/log.js');
      const log = createLogger({ format: 'json' });
      log.often('request', { n: 1 });
      process.exit(3);`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      cwd: path.resolve(import.meta.dirname, '..', '..'),
      encoding: 'utf8',
    });
    expect([status, JSON.parse(stderr)]).toMatchObject([3, { message: 'request', n: 1 }]);
  });

  test('writes short lines for people, and nothing when silent', () => {
    lines.length = 0;
    createLogger({ level: 'info', format: 'pretty', write, clock }).warn('slow', { step: 3, name: 'a b' });
    createLogger({ level: 'silent', format: 'pretty', write, clock }).error('x');
    expect(lines).toEqual(['03:04:05 warn  slow step=3 name=a b\n']);
  });
});

describe('progress', () => {
  function make(terminal: boolean): {
    text: () => string;
    progress: ReturnType<typeof createProgress>;
    wait(ms: number): void;
  } {
    let text = '';
    let now = 0;
    const progress = createProgress({
      write: (piece) => {
        text += piece;
      },
      terminal,
      width: () => 20,
      interval: 1000,
      frame: 50,
      clock: () => now,
    });
    return {
      text: () => text,
      progress,
      wait: (ms) => {
        now += ms;
      },
    };
  }

  test('redraws one line on a terminal, cut to its width, and ends with the newest', () => {
    const { text, progress, wait } = make(true);
    progress.show('step 1');
    progress.show('step 2');
    wait(60);
    progress.show('step 3 with a very long tail');
    progress.note('a note');
    progress.show('step 4');
    progress.end();
    progress.end();
    const clear = '\r\x1b[2K';
    expect(text()).toBe(
      `${clear}step 1${clear}step 3 with a very…${clear}a note\n${clear}step 3 with a very…${clear}step 4\n`,
    );
  });

  test('prints a line now and then elsewhere, and always the last', () => {
    const { text, progress, wait } = make(false);
    progress.show('1');
    wait(500);
    progress.show('2');
    wait(600);
    progress.show('3');
    progress.note('note');
    progress.show('4', { final: true });
    progress.end();
    expect(text()).toBe('1\n3\nnote\n4\n');
  });

  test('words figures for people', () => {
    expect([0, 4.23, 59.96, 185, 7620, Number.NaN].map(duration)).toEqual([
      '0.0 s',
      '4.2 s',
      '1 min 00 s',
      '3 min 05 s',
      '2 h 07 min',
      '?',
    ]);
    expect([0, 812, 9600, 10_600_000, 2e9, 1.25].map(count)).toEqual([
      '0',
      '812',
      '9.6 k',
      '10.6 M',
      '2.0 G',
      '1.3',
    ]);
    expect([12, 12_000_000].map(bytes)).toEqual(['12 B', '12.0 MB']);
    expect([bar(0, 4), bar(0.5, 4), bar(2, 4)]).toEqual(['[░░░░]', '[██░░]', '[████]']);
  });
});
