/**
 * Loaded before a process (node --import): its clock on the wall is off by the milliseconds that stand in the file
 * CHAOS_CLOCK, which is read again ten times a second. Time that only grows is left alone, as a real jump leaves it.
 */
import { readFileSync } from 'node:fs';

const file = process.env.CHAOS_CLOCK;
if (file !== undefined) {
  const RealDate = Date;
  const real = Date.now.bind(Date);
  let off = 0;
  const look = () => {
    try {
      off = Number(readFileSync(file, 'utf8')) || 0;
    } catch {
      // No file, no jump.
    }
  };
  look();
  setInterval(look, 100).unref();
  class Off extends RealDate {
    constructor(...given) {
      if (given.length === 0) super(real() + off);
      else super(...given);
    }
    static now() {
      return real() + off;
    }
  }
  globalThis.Date = Off;
}
