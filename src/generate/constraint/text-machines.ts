/**
 * Machines for the inside of a JSON string: bytes are read as UTF-8 and escapes, and the characters they make are
 * handed to an automaton over code points (any text of some length, or a pattern). Knows no schemas.
 */
import type { Machine } from './grammar.ts';

/** An automaton over code points; states are numbers. */
export interface CharacterAutomaton {
  readonly start: number;
  /** -1 where the character may not come. */
  next(state: number, point: number): number;
  final(state: number): boolean;
  /** Bytes, as JSON writes them, to the nearest end. */
  least(state: number): number;
  /** The same behind some character of `from`–`to` (code points, both included), without that character's bytes. */
  leastAfter(state: number, from: number, to: number): number;
}

/** Any characters, so many of them; `to` may be Infinity. */
export function ofLength(from: number, to: number): CharacterAutomaton {
  // Without a limit all lengths from `from` on are one state.
  const open = to === Number.POSITIVE_INFINITY;
  const next = (state: number): number => (open ? Math.min(state + 1, from) : state < to ? state + 1 : -1);
  const least = (state: number): number => Math.max(0, from - state);
  return {
    start: 0,
    next,
    final: (state) => state >= from,
    least,
    leastAfter: (state, low, high) =>
      low > high || next(state) < 0 ? Number.POSITIVE_INFINITY : least(next(state)),
  };
}

const BACKSLASH = 0x5c;
const QUOTE = 0x22;
const SHORT: Record<string, number> = { '"': 0x22, '\\': 0x5c, '/': 0x2f, b: 8, f: 12, n: 10, r: 13, t: 9 };
const SHORT_POINTS = Object.values(SHORT);

/** Bytes that JSON needs for the cheapest character of a range, where every character but ASCII is written as it is. */
export function bytesOfRange(from: number, to: number): number {
  for (let point = Math.max(from, 0x20); point <= Math.min(to, 0x7f); point++)
    if (point !== QUOTE && point !== BACKSLASH) return 1;
  if (SHORT_POINTS.some((point) => point >= from && point <= to)) return 2;
  const raw = Math.max(from, 0x80);
  if (raw <= to) return raw < 0x800 ? 2 : raw < 0x10000 ? 3 : 4;
  return 6;
}

/** Inside one character: the code points that it may still become. */
interface Within {
  readonly outer: number;
  readonly kind: 'escape' | 'hex' | 'utf8';
  readonly from: number;
  readonly to: number;
  /** Bytes that are still missing; of an escape the letter. */
  readonly left: number;
}

/**
 * The inside of a JSON string, without its quotation marks; `plain` for text as it is, without escapes. Even states
 * stand between characters, odd ones inside.
 */
export function stringMachine(characters: CharacterAutomaton, plain = false): Machine {
  const inside: Within[] = [];
  const known = new Map<string, number>();

  /** Halves of pairs are no characters. */
  const leastAfter = (outer: number, from: number, to: number): number =>
    Math.min(
      characters.leastAfter(outer, from, Math.min(to, 0xd7ff)),
      characters.leastAfter(outer, Math.max(from, 0xe000), to),
    );
  const leastWithin = ({ outer, kind, from, to, left }: Within): number =>
    kind === 'escape'
      ? Math.min(
          ...SHORT_POINTS.map((point) => 1 + characters.leastAfter(outer, point, point)),
          5 + leastAfter(outer, 0, 0xffff),
        )
      : left + leastAfter(outer, from, to);
  const enter = (state: Within): number => {
    if (leastWithin(state) === Number.POSITIVE_INFINITY) return -1;
    const key = `${state.outer}.${state.kind}.${state.from}.${state.left}`;
    let at = known.get(key);
    if (at === undefined) {
      at = inside.push(state) - 1;
      known.set(key, at);
    }
    return at * 2 + 1;
  };
  const whole = (outer: number, point: number): number => {
    if (point >= 0xd800 && point <= 0xdfff) return -1;
    const next = characters.next(outer, point);
    return next < 0 ? -1 : next * 2;
  };

  const begin = (outer: number, byte: number): number => {
    if (!plain) {
      if (byte === BACKSLASH) return enter({ outer, kind: 'escape', from: 0, to: 0xffff, left: 1 });
      if (byte < 0x20 || byte === QUOTE) return -1;
    }
    if (byte < 0x80) return whole(outer, byte);
    // The shortest form of a character only, and none above U+10FFFF.
    if (byte < 0xc2 || byte > 0xf4) return -1;
    const left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    const from = (byte & (0x3f >> left)) << (6 * left);
    const to = from + (1 << (6 * left)) - 1;
    const first = [0, 0x80, 0x800, 0x10000][left] as number;
    return enter({ outer, kind: 'utf8', from: Math.max(from, first), to: Math.min(to, 0x10ffff), left });
  };

  const narrowed = (state: Within, digit: number, bits: number): number => {
    const { outer, kind, from, to, left } = state;
    const size = 1 << (bits * (left - 1));
    const base = from - (from % (size << bits));
    const low = base + digit * size;
    const high = low + size - 1;
    if (high < from || low > to) return -1;
    if (left === 1) return whole(outer, low);
    return enter({ outer, kind, from: Math.max(from, low), to: Math.min(to, high), left: left - 1 });
  };
  const step = (state: Within, byte: number): number => {
    if (state.kind === 'utf8') return (byte & 0xc0) === 0x80 ? narrowed(state, byte & 0x3f, 6) : -1;
    const letter = String.fromCharCode(byte);
    if (state.kind === 'hex')
      return /[0-9a-fA-F]/.test(letter) ? narrowed(state, Number.parseInt(letter, 16), 4) : -1;
    if (letter === 'u') return enter({ ...state, kind: 'hex', left: 4 });
    const point = SHORT[letter];
    return point === undefined ? -1 : whole(state.outer, point);
  };

  return {
    start: characters.start * 2,
    next: (state, byte) =>
      state % 2 === 0 ? begin(state / 2, byte) : step(inside[(state - 1) / 2] as Within, byte),
    final: (state) => state % 2 === 0 && characters.final(state / 2),
    least: (state) =>
      state % 2 === 0 ? characters.least(state / 2) : leastWithin(inside[(state - 1) / 2] as Within),
  };
}
