/** The logger and the progress line, written into strings. */
import { describe, expect, test } from 'vitest';
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
