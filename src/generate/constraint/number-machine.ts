/**
 * A machine for JSON numbers within bounds. A state is what was written so far; it may stand where some way on ends
 * within the bounds. Knows no schemas.
 */
import type { Machine } from './grammar.ts';

export interface NumberBounds {
  integer: boolean;
  /** Both included. */
  least: number;
  most: number;
  /** The bounds themselves are out. */
  aboveLeast: boolean;
  belowMost: boolean;
}

/** Digits before and behind the point that are written at most: a double keeps these. */
const WHOLE_DIGITS = 15;
const FRACTION_DIGITS = 12;
const DIGITS = '0123456789';
const SHAPE = /^(-?)(0|[1-9]\d*)?(\.\d*)?$/;

export function numberMachine(bounds: NumberBounds): Machine {
  const states: string[] = [''];
  const known = new Map<string, number>([['', 0]]);
  const distances = new Map<string, number>();
  const inside = (value: number): boolean =>
    (bounds.aboveLeast ? value > bounds.least : value >= bounds.least) &&
    (bounds.belowMost ? value < bounds.most : value <= bounds.most);
  const overlaps = (from: number, to: number): boolean =>
    from <= bounds.most && to >= bounds.least && (from < to || inside(from));

  const grammatical = (text: string): boolean => {
    const parts = SHAPE.exec(text);
    if (parts === null) return false;
    const [, , whole = '', fraction] = parts;
    if (whole.length > WHOLE_DIGITS) return false;
    if (fraction === undefined) return true;
    return !bounds.integer && whole !== '' && fraction.length - 1 <= FRACTION_DIGITS;
  };
  /** Whether something that begins so may lie within the bounds: never wrong in saying no. */
  const possible = (text: string): boolean => {
    const [, sign = '', whole = '', fraction] = SHAPE.exec(text) as RegExpExecArray;
    const signed = (from: number, to: number): boolean =>
      sign === '-' ? overlaps(-to, -from) : overlaps(from, to);
    const size = Number(`${whole === '' ? '0' : whole}${fraction ?? ''}` || 0);
    if (whole === '') return signed(0, 10 ** WHOLE_DIGITS);
    if (fraction !== undefined) {
      const unit = 10 ** -(fraction.length - 1);
      return fraction.length - 1 === FRACTION_DIGITS ? final(text) : signed(size, size + unit);
    }
    if (bounds.integer ? signed(size, size) : signed(size, size + 1)) return true;
    if (whole === '0') return false;
    for (let more = 1; whole.length + more <= WHOLE_DIGITS; more++)
      if (signed(size * 10 ** more, (size + 1) * 10 ** more - (bounds.integer ? 1 : 0))) return true;
    return false;
  };
  const final = (text: string): boolean => /\d$/.test(text) && inside(Number(text));
  const following = (text: string): string[] =>
    [...DIGITS, '-', '.'].map((c) => text + c).filter((longer) => grammatical(longer) && possible(longer));

  /** Level by level; ranges overlap the bounds at two ends at most, so levels stay narrow once it matters. */
  const distance = (text: string): number => {
    const kept = distances.get(text);
    if (kept !== undefined) return kept;
    let found = Number.POSITIVE_INFINITY;
    let level = [text];
    for (let steps = 0; level.length > 0 && found === Number.POSITIVE_INFINITY; steps++) {
      if (level.some(final)) found = steps;
      else level = spread(level.flatMap(following));
    }
    distances.set(text, found);
    return found;
  };

  const enter = (text: string): number => {
    if (!grammatical(text) || !possible(text) || distance(text) === Number.POSITIVE_INFINITY) return -1;
    let at = known.get(text);
    if (at === undefined) {
      at = states.push(text) - 1;
      known.set(text, at);
    }
    return at;
  };
  return {
    start: 0,
    next: (state, byte) =>
      byte === 0x2d || byte === 0x2e || (byte >= 0x30 && byte <= 0x39)
        ? enter((states[state] as string) + String.fromCharCode(byte))
        : -1,
    final: (state) => final(states[state] as string),
    least: (state) => distance(states[state] as string),
  };
}

/** The ends of a level decide; of the rest a few are enough. */
function spread(level: readonly string[]): string[] {
  const MOST = 48;
  if (level.length <= MOST) return [...level];
  const step = (level.length - 1) / (MOST - 1);
  return Array.from({ length: MOST }, (_, i) => level[Math.round(i * step)] as string);
}
