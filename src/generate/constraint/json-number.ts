/** Numbers of a schema: any number as JSON writes it, or one within bounds. */
import { type Grammar, type Machine, machine } from './grammar.ts';
import type { Keywords } from './json-keywords.ts';
import { numberMachine } from './number-machine.ts';
import { unsatisfiable } from './schema-errors.ts';

/** Digits of each part at most, so that every number is finite and is read back as it was written. */
const WHOLE = 15;
const FRACTION = 15;
const EXPONENT = 2;

/**
 * States of numbers without bounds, in hundreds: 0 nothing, 100 a sign, 200 + n digits, 300 a single zero, 400 + n behind
 * the point, 500 behind `e`, 501 behind its sign, 600 + n its digits.
 */
function freeNumber(integer: boolean): Machine {
  const digit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
  const behindWhole = (byte: number): number => {
    if (integer) return -1;
    if (byte === 0x2e) return 400;
    return byte === 0x65 || byte === 0x45 ? 500 : -1;
  };
  const counted = (state: number, most: number): number => (state % 100 < most ? state + 1 : -1);
  return {
    start: 0,
    next: (state, byte) => {
      if (state === 0 || state === 100) {
        if (state === 0 && byte === 0x2d) return 100;
        if (byte === 0x30) return 300;
        return digit(byte) ? 201 : -1;
      }
      if (state === 300) return behindWhole(byte);
      if (state < 300) return digit(byte) ? counted(state, WHOLE) : behindWhole(byte);
      if (state < 500) {
        if (digit(byte)) return counted(state, FRACTION);
        return state > 400 && (byte === 0x65 || byte === 0x45) ? 500 : -1;
      }
      if (state === 500 && (byte === 0x2b || byte === 0x2d)) return 501;
      if (!digit(byte)) return -1;
      return state < 600 ? 601 : counted(state, EXPONENT);
    },
    final: (state) => (state > 200 && state <= 300) || (state > 400 && state < 500) || state > 600,
    least: (state) =>
      state === 0 || state === 100 || state === 400 || state === 500 || state === 501 ? 1 : 0,
  };
}

export const anyNumber = freeNumber(false);
const anyInteger = freeNumber(true);

/** @throws InkstoneError `schema_unsatisfiable` */
export function numberGrammar(given: Keywords, integer: boolean, path: string): Grammar {
  const {
    minimum: low = Number.NEGATIVE_INFINITY,
    exclusiveMinimum: above = Number.NEGATIVE_INFINITY,
    maximum: high = Number.POSITIVE_INFINITY,
    exclusiveMaximum: below = Number.POSITIVE_INFINITY,
  } = given;
  const least = Math.max(low, above);
  const most = Math.min(high, below);
  if (least === Number.NEGATIVE_INFINITY && most === Number.POSITIVE_INFINITY)
    return machine(integer ? anyInteger : anyNumber);
  const bounded = numberMachine({
    integer,
    least,
    most,
    aboveLeast: above >= low && above > Number.NEGATIVE_INFINITY,
    belowMost: below <= high && below < Number.POSITIVE_INFINITY,
  });
  if (bounded.least(bounded.start) === Number.POSITIVE_INFINITY)
    throw unsatisfiable(path, `no number of at most ${WHOLE} digits fits its bounds`);
  return machine(bounded);
}
