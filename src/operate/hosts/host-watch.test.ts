/** When a process is called hung, late or too large, and when it is started again: in time that is moved by hand. */
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../base/clock.ts';
import { type ProcessUse, processId, processUse } from '../../base/host.ts';
import { memoryNeed, threadsLeft } from './budget.ts';
import { HostWatch, type WatchSettings } from './host-watch.ts';
import { Restarts } from './restarts.ts';

const SETTINGS = { startWithin: 5000, silent: 800, busy: 4000, every: 100, memory: 1000 };

function watched(settings: Partial<WatchSettings> = {}) {
  const clock = new ManualClock();
  const state = {
    use: { resident: 10, cpu: 0, running: true, started: 1 } as ProcessUse | undefined,
    codes: [] as string[],
  };
  let slept = 0;
  const watch = new HostWatch({
    ...{
      process: 1,
      name: 'm',
      clock: { now: () => clock.now() + slept, after: (ms, f) => clock.after(ms, f) },
    },
    ...{ settings: { ...SETTINGS, ...settings }, use: () => state.use },
    condemn: ({ code }) => state.codes.push(code),
  });
  /** Lets time pass; `beats` and `works` say what the process does meanwhile. */
  const pass = (milliseconds: number, { beats = false, works = false } = {}): void => {
    for (let i = 0; i < milliseconds; i += 100) {
      if (state.use !== undefined && works) state.use = { ...state.use, cpu: state.use.cpu + 90 };
      if (beats) watch.alive();
      clock.advance(100);
    }
  };
  const sleep = (milliseconds: number): void => {
    slept += milliseconds;
  };
  return { clock, state, watch, pass, sleep };
}

describe('a host that is watched', () => {
  it('may be silent while it computes, and not while it does nothing', () => {
    const { state, watch, pass } = watched();
    watch.started();
    pass(3000, { beats: true });
    pass(2000, { works: true });
    expect(state.codes).toEqual([]);
    watch.alive();
    pass(700);
    expect(state.codes).toEqual([]);
    pass(200);
    expect(state.codes).toEqual(['replica_hung']);
    pass(9000);
    expect(state.codes).toHaveLength(1);
  });

  it('may not compute in silence for ever', () => {
    const { state, watch, pass } = watched();
    watch.started();
    pass(3900, { works: true });
    expect(state.codes).toEqual([]);
    pass(200, { works: true });
    expect(state.codes).toEqual(['replica_hung']);
  });

  it('is hung soon where it was stopped, and late where nobody can tell', () => {
    const stopped = watched();
    stopped.watch.started();
    stopped.state.use = { resident: 10, cpu: 0, running: false, started: 1 };
    stopped.pass(900);
    expect(stopped.state.codes).toEqual(['replica_hung']);
    const unknown = watched();
    unknown.state.use = undefined;
    unknown.watch.started();
    unknown.pass(3900);
    expect(unknown.state.codes).toEqual([]);
    unknown.pass(200);
    expect(unknown.state.codes).toEqual(['replica_hung']);
  });

  it('must start in time, where progress counts', () => {
    const { state, watch, pass } = watched();
    pass(4900);
    watch.alive();
    pass(4900);
    expect(state.codes).toEqual([]);
    pass(200);
    expect(state.codes).toEqual(['replica_start_late']);
  });

  it('must stay within its memory, by the system’s word or its own', () => {
    const { state, watch, pass } = watched();
    watch.started();
    pass(100, { beats: true });
    watch.reported(5000);
    expect(state.codes).toEqual([]);
    state.use = { resident: 1001, cpu: 0, running: true, started: 1 };
    pass(100, { beats: true });
    expect([state.codes, watch.memory]).toEqual([['replica_out_of_memory'], 1001]);
    const own = watched();
    own.state.use = undefined;
    own.watch.reported(1001);
    expect(own.state.codes).toEqual(['replica_out_of_memory']);
  });

  it('is forgiven a silence that was this side’s own', () => {
    const { clock, state, watch, pass, sleep } = watched();
    watch.started();
    // Nothing looked for a minute: the machine slept. What the other said lies in the socket.
    sleep(60_000);
    clock.advance(700);
    expect(state.codes).toEqual([]);
    pass(200);
    expect(state.codes).toEqual(['replica_hung']);
  });
});

describe('starting again', () => {
  it('waits longer each time, and short after steady work', () => {
    const restarts = new Restarts({ first: 100, most: 500, crashes: 99, steady: 1000 });
    expect([0, 1, 2, 3, 4].map((i) => restarts.ended(i, 10))).toEqual([100, 200, 400, 500, 500]);
    expect(restarts.ended(5000, 1000)).toBe(100);
    expect(restarts.ended(5001, 0)).toBe(200);
  });

  it('stops at so many ends in so short a time', () => {
    const restarts = new Restarts({ crashes: 3, within: 100 });
    expect([0, 60, 120, 180].map((at) => restarts.ended(at, 0) === undefined)).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect(restarts.ended(190, 0)).toBeUndefined();
  });

  it('never stops where somebody kills it every minute', () => {
    const restarts = new Restarts();
    const pauses = Array.from({ length: 20 }, (_, i) => restarts.ended(60_000 * i, 58_000));
    expect(new Set(pauses)).toEqual(new Set([100]));
  });
});

it('knows what this process uses, and nothing of one that is not there', () => {
  const use = processUse(processId());
  if (use !== undefined) {
    expect(use.resident).toBeGreaterThan(10 * 2 ** 20);
    expect(use.running).toBe(true);
    expect(use.cpu).toBeGreaterThan(0);
  }
  expect(processUse(2 ** 22 + 1)).toBeUndefined();
});

it('guesses what a model needs, and shares threads among those that work', () => {
  expect(memoryNeed({ parameters: 1e9 })).toBeGreaterThan(4e9);
  expect(memoryNeed({ parameters: 1e9, weights: 'int4' })).toBeLessThan(1.5e9);
  expect(memoryNeed({ parameters: 7e9, bytes: 4e9 })).toBeLessThan(4.5e9);
  expect([threadsLeft(1e6, 8, 0), threadsLeft(1e9, 2, 1), threadsLeft(1e9, 2, 5)]).toEqual([1, 1, 1]);
});
