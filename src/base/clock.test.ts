/** The clock that is moved by hand: order of what was planned, taking back, planning from within. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ManualClock } from './clock.ts';

it('makes calls in order of time, then of planning, and none that was taken back', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ at: fc.nat(50), back: fc.boolean() })), fc.nat(60), (plans, until) => {
      const clock = new ManualClock();
      const seen: [number, number][] = [];
      for (const [index, { at, back }] of plans.entries()) {
        const stop = clock.after(at, () => seen.push([clock.now(), index]));
        if (back) stop();
      }
      clock.advance(until);
      expect(clock.now()).toBe(until);
      const due = plans.map(({ at, back }, index) => ({ at, back, index }));
      const expected = due.filter(({ at, back }) => !back && at <= until).sort((a, b) => a.at - b.at);
      expect(seen).toEqual(expected.map(({ at, index }) => [at, index]));
    }),
  );
});

it('goes on with what a call plans', () => {
  const clock = new ManualClock();
  const seen: number[] = [];
  const again = (): void => {
    seen.push(clock.now());
    if (seen.length < 4) clock.after(10, again);
  };
  clock.after(5, again);
  clock.advance(30);
  expect(seen).toEqual([5, 15, 25]);
  expect(clock.step()).toBe(true);
  expect(clock.step()).toBe(false);
});
