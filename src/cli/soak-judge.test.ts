/** What a soak calls growth: leaks of memory, of what JavaScript holds, of handles and of rows, each alone; and what is none. */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/rng.ts';
import { growing, isFlat, judgeParts, Looks, type PartJudged } from './soak-judge.ts';

const MEGABYTE = 2 ** 20;

interface Told {
  resident?: (second: number) => number;
  held?: (second: number) => number;
  handles?: (second: number) => number;
}

/** A server that was looked at twice a second for 1200 s, and collected as a whole every 10 s. */
function seen({
  resident = () => 300 * MEGABYTE,
  held = () => 60 * MEGABYTE,
  handles = () => 40,
}: Told): string[] {
  const random = new Random(5, 'looks');
  const looks = new Looks();
  for (let i = 0; i < 2400; i++) {
    const second = i / 2;
    // Garbage piles up and is swept: a saw of 30 MB.
    const saw = 30 * MEGABYTE * ((second % 10) / 10) + MEGABYTE * random.uniform();
    looks.use(second, {
      server: {
        resident: resident(second) + saw,
        handles: Math.round(handles(second) + 4 * random.uniform()),
      },
    });
    const collected = 10 * Math.floor(second / 10);
    looks.held(second, { server: held(collected) + 0.5 * MEGABYTE * Math.sin(collected) });
  }
  return growing(judgeParts(looks.parts, 600), {}, 0);
}

describe('of a part', () => {
  it.each<[string, Told, string[]]>([
    ['that keeps what it has', {}, []],
    [
      'that fills its caches in the first half',
      { resident: (s) => MEGABYTE * (300 + Math.min(200, s)), held: (s) => MEGABYTE * Math.min(100, s / 4) },
      [],
    ],
    ['with a step in the judged half', { resident: (s) => MEGABYTE * (s < 900 ? 300 : 320) }, []],
    [
      'whose memory grows outside of JavaScript',
      { resident: (s) => MEGABYTE * (300 + s / 10) },
      ['server memory'],
    ],
    [
      'whose JavaScript keeps 1 kB of each of 10 requests a second',
      { held: (s) => 60 * MEGABYTE + 10_240 * s },
      ['server held'],
    ],
    ['that leaves a handle open every 20 seconds', { handles: (s) => 40 + s / 20 }, ['server handles']],
  ])('%s', (_, told, expected) => {
    expect(seen(told)).toEqual(expected);
  });

  it('nothing is said that was looked at too rarely', () => {
    const looks = new Looks();
    for (let i = 0; i < 7; i++) looks.use(i, { server: { resident: i * 100 * MEGABYTE, handles: 100 * i } });
    looks.held(1, { server: 1 });
    const { server } = judgeParts(looks.parts, 0);
    expect(server).toEqual({ memory: null, held: null, handles: null });
    expect(isFlat({ server: server as PartJudged }, [])).toBeNull();
    expect(isFlat({}, [])).toBeNull();
    expect(isFlat({}, ['table keys'])).toBe(false);
  });
});

describe('of tables', () => {
  it('one with more rows grows, but for what failed half-way', () => {
    const tables = { keys: { before: 1, after: 1 }, responses: { before: 0, after: 3 } };
    expect(growing({}, tables, 0)).toEqual(['table responses']);
    expect(growing({}, tables, 3)).toEqual([]);
  });
});
