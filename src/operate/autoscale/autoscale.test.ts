/** The policy as a function, the simulator, and both against the scheduler and sets of replicas in simulated time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Clock, ManualClock } from '../../base/clock.ts';
import type { TextEvent, TextRequest } from '../../base/contracts/generator.ts';
import type { Replica, ReplicaState, ReplicaStatus } from '../../base/contracts/replica.ts';
import { Random } from '../../base/rng.ts';
import { ReplicaSet } from '../hosts/replica-set.ts';
import { scriptedModel } from '../hosts/scripted-model.ts';
import { Scheduler } from '../scheduler/scheduler.ts';
import { Autoscaler } from './autoscaler.ts';
import { AUTOSCALE, type AutoscalePolicy, begin, decide, type Observation } from './policy.ts';
import { bestFixed, type ReplicaModel, serviceTime, simulate } from './simulator.ts';
import { type Arrival, madeUpDay, readTraffic, writeTraffic } from './traffic.ts';

const policy: AutoscalePolicy = { ...AUTOSCALE, minimum: 0, maximum: 10 };

/** Applies decisions at once; every second one look. @returns replicas after each */
function follow(loads: readonly number[], own: AutoscalePolicy = policy, replicas = 1): number[] {
  let state = begin(0);
  return loads.map((load, i) => {
    const seen: Observation = {
      ...{ now: 1000 * i, running: load, waiting: 0, oldest: 0, replicas, loading: 0 },
    };
    const decision = decide(own, state, seen);
    state = decision.state;
    replicas = decision.replicas;
    return replicas;
  });
}
const steady = (load: number, seconds: number): number[] => Array<number>(seconds).fill(load);

describe('the policy', () => {
  it('stays within its bounds, never has none while somebody asks, and changes nothing it was given', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(60), { minLength: 1, maxLength: 60 }),
        fc.nat(3),
        fc.integer({ min: 3, max: 12 }),
        (loads, minimum, maximum) => {
          const own = Object.freeze({ ...policy, minimum, maximum });
          for (const [i, replicas] of follow(loads, own, Math.max(1, minimum)).entries()) {
            expect(replicas).toBeGreaterThanOrEqual(Math.max(minimum, (loads[i] as number) > 0 ? 1 : 0));
            expect(replicas).toBeLessThanOrEqual(maximum);
          }
        },
      ),
    );
  });

  it('comes to ceil(load / target) and stays there', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 25 }), fc.integer({ min: 1, max: 10 }), (load, from) => {
        const after = follow(steady(load, 700), policy, from).slice(-200);
        expect(new Set(after)).toEqual(new Set([Math.min(10, Math.ceil(load / policy.target))]));
      }),
      { numRuns: 30 },
    );
  });

  it('goes up after a window, at once in a panic, and down slowly', () => {
    const up = follow([...steady(4, 60), ...steady(6, 60)], policy, 2);
    expect([up[59], up[61], up[95]]).toEqual([2, 2, 3]);
    const panic = follow([...steady(2, 60), ...steady(12, 30)]);
    expect(panic.findIndex((count) => count >= 4) - 60).toBeLessThan(7);
    const down = follow([...steady(12, 400), ...steady(2, 500)], policy, 6);
    expect([down[399], down[600], down.at(-1)]).toEqual([6, 6, 1]);
  });

  it('is not moved by a dip that is shorter than its window', () => {
    const counts = follow([...steady(12, 400), ...steady(0, 60), ...steady(12, 100)], policy, 6);
    expect(new Set(counts)).toEqual(new Set([6]));
  });

  it('puts all down after silence, and holds a request for the first one at once', () => {
    const counts = follow([...steady(2, 10), ...steady(0, 700), 1, 1]);
    expect(counts.slice(-3)).toEqual([0, 1, 1]);
    expect(counts.lastIndexOf(1, 600)).toBeGreaterThan(600 - 5);
    expect(follow(steady(0, 2000), { ...policy, minimum: 1 }).at(-1)).toBe(1);
  });

  it('asks for one more where the queue grows old, one at a time', () => {
    const seen = { now: 400_000, running: 2, waiting: 0, oldest: 9, replicas: 2, loading: 0 };
    const first = decide(policy, begin(0), seen);
    expect(first).toMatchObject({ replicas: 3, reason: 'queue-age' });
    expect(decide(policy, first.state, { ...seen, now: 401_000, replicas: 3, loading: 1 }).replicas).toBe(3);
    expect(decide(policy, first.state, { ...seen, now: 401_000, replicas: 3 }).replicas).toBe(3);
    expect(decide(policy, first.state, { ...seen, now: 407_000, replicas: 3 }).replicas).toBe(4);
  });

  it('wants no less for more', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 50 }), fc.nat(8), (loads, more) => {
        // The first change may differ in time; up to it more load never wants less.
        const [less, greater] = [follow(loads), follow(loads.map((load) => load + more))];
        const first = less.findIndex((count, i) => count !== 1 || greater[i] !== 1);
        if (first >= 0 && (loads[first] as number) > 0)
          expect(greater[first] as number).toBeGreaterThanOrEqual(less[first] as number);
      }),
    );
  });
});

const replica: ReplicaModel = { slots: 4, overhead: 0.05, perPrompt: 0.0005, perAnswer: 0.01, load: 20 };

describe('the simulator', () => {
  it('agrees with the theory of queues', () => {
    // M/M/4 at load .8, by Erlang's C: P(wait) = .5964, 95 % of the waits within ln(.5964/.05) / (4 − 3.2).
    const random = new Random(3, 'queue');
    const exponential = (): number => -Math.log(1 - random.uniform());
    let at = 0;
    const traffic = Array.from({ length: 20_000 }, (): Arrival => {
      at += exponential() / 3.2;
      return { at, prompt: 0, answer: exponential() };
    });
    const model = { slots: 4, overhead: 0, perPrompt: 0, perAnswer: 1, load: 0 };
    const { waitP95, replicaHours } = simulate({ traffic, replica: model, policy: 1 });
    expect(waitP95 / (Math.log(0.5964 / 0.05) / 0.8)).toBeGreaterThan(0.8);
    expect(waitP95 / (Math.log(0.5964 / 0.05) / 0.8)).toBeLessThan(1.25);
    expect(replicaHours).toBeCloseTo(at / 3600, 1);
  });

  it('loses nobody and counts every replica’s time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 6 }), (seed, size) => {
        const traffic = madeUpDay({ seed, rate: 4, length: 120 });
        if (traffic.length === 0) return;
        const fixed = simulate({ traffic, replica, policy: size });
        const scaled = simulate({ traffic, replica, policy: { ...policy, maximum: size } });
        expect([fixed.requests, scaled.requests]).toEqual([traffic.length, traffic.length]);
        expect([fixed.most, fixed.changes]).toEqual([size, 0]);
        expect(scaled.most).toBeLessThanOrEqual(size + 1);
      }),
      { numRuns: 20 },
    );
  });

  it('shows what a day costs: fewer hours than the best fixed number, at waits within the target', () => {
    const traffic = madeUpDay({ seed: 1, rate: 3, length: 7200 });
    const target = 2;
    const quick = { ...replica, load: 5 };
    const scaled = simulate({
      traffic,
      replica: quick,
      policy: { ...policy, minimum: 1, target: 3, up: 5000, down: 60_000 },
    });
    const fixed = bestFixed({ traffic, replica: quick }, target, 8);
    expect(scaled.waitP95).toBeLessThan(target);
    expect(scaled.replicaHours).toBeLessThan(fixed?.result.replicaHours as number);
    expect(scaled.most).toBeGreaterThan(1);
  });
});

describe('traffic', () => {
  it('is read as it was written, and from the server’s own log', () => {
    const day = madeUpDay({ seed: 2, rate: 1, length: 600 });
    const first = day[0]?.at as number;
    expect(readTraffic(writeTraffic(day))).toEqual(day.map((one) => ({ ...one, at: one.at - first })));
    const line = (time: string, ms: number): string =>
      JSON.stringify({ time, level: 'info', message: 'request', ms, prompt_tokens: 5, completion_tokens: 7 });
    const log = [
      line('2026-01-01T00:00:02.500Z', 500),
      '{"time":"2026-01-01T00:00:02.500Z","message":"request","route":"/health","ms":1}',
      line('2026-01-01T00:00:01.000Z', 1000),
    ].join('\n');
    expect(readTraffic(log)).toEqual([
      { at: 0, prompt: 5, answer: 7 },
      { at: 2, prompt: 5, answer: 7 },
    ]);
  });

  it.each([
    '',
    'no',
    '{"at":-1,"prompt":1,"answer":1}',
    '{"at":1}',
    'null',
    '{"time":"x","message":"m","ms":1,"prompt_tokens":1,"completion_tokens":1}',
  ])('refuses %j', (text) => {
    expect(() => readTraffic(text)).toThrowError(
      expect.objectContaining({ code: 'traffic_invalid', kind: 'data' }),
    );
  });

  it('of a made-up day has its peaks at day, and the wanted mean', () => {
    const day = madeUpDay({ seed: 1, rate: 2 });
    expect(day.length / 86_400).toBeGreaterThan(1.7);
    expect(day.length / 86_400).toBeLessThan(2.4);
    const within = (from: number, to: number): number =>
      day.filter(({ at }) => at >= from * 3600 && at < to * 3600).length / (to - from);
    expect(within(10, 12)).toBeGreaterThan(8 * within(1, 4));
    expect(madeUpDay({ seed: 1, rate: 2 })).toEqual(day);
  });
});

/** A replica in simulated time: ready after a while, as many at once as it is given. */
class Timed implements Replica {
  readonly model = scriptedModel('m');
  private readonly clock: Clock;
  private readonly begun: Promise<void>;
  private state: ReplicaState = 'starting';
  private running = 0;
  private idle: (() => void)[] = [];

  constructor(clock: Clock, model: ReplicaModel) {
    this.clock = clock;
    this.begun = new Promise((resolve) =>
      clock.after(1000 * model.load, () => {
        if (this.state === 'starting') this.state = 'ready';
        resolve();
      }),
    );
  }
  status(): ReplicaStatus {
    return { state: this.state, progress: 1, running: this.running, waiting: 0 };
  }
  ready(): Promise<void> {
    return this.begun;
  }
  async countTokens(): Promise<number> {
    return 1;
  }
  async *generate({ prompt }: TextRequest): AsyncGenerator<TextEvent> {
    this.running++;
    await new Promise<void>((resolve) => this.clock.after(Number(prompt), resolve));
    this.running--;
    if (this.running === 0) for (const resolve of this.idle.splice(0)) resolve();
    yield { type: 'end', reason: 'stop', completionTokens: 1 };
  }
  async drain(): Promise<void> {
    this.state = 'draining';
    if (this.running > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
    this.state = 'stopped';
  }
  async stop(): Promise<void> {
    this.state = 'stopped';
  }
}

describe('the real thing', () => {
  it('does what the simulator says: scheduler, set of replicas and autoscaler over one clock', async () => {
    const clock = new ManualClock();
    const traffic = madeUpDay({ seed: 4, rate: 12, length: 240 });
    const own = { ...policy, minimum: 1, target: 3, up: 3000, down: 15_000, panic: 1000 };
    const model = { ...replica, perAnswer: 0.004, load: 2 };
    const set = new ReplicaSet({ start: () => new Timed(clock, model), clock });
    const queue = new Scheduler({ concurrency: 4, capacity: 100_000, clock });
    const autoscaler = new Autoscaler({
      ...{ policy: own, clock, slots: 4, every: 500 },
      sets: () => [['m', set]],
      lanes: () => queue.snapshot().lanes,
      setPlaces: (name, places) => queue.setPlaces(name, places),
    });
    const waits: number[] = [];
    let cost = 0;
    let over = 0;
    for (const one of traffic)
      clock.after(1000 * one.at, () => {
        const entered = clock.now();
        const ticket = queue.enter({ id: 'x', model: 'm' });
        void ticket.turn().then(async () => {
          await set.ready();
          waits.push((clock.now() - entered) / 1000);
          const sampling = { maxTokens: 1, temperature: 0, topK: 0, topP: 1, seed: 0, stop: [] };
          const prompt = String(1000 * serviceTime(model, one));
          for await (const _ of set.generate({ id: 'x', prompt, sampling }, new AbortController().signal));
          ticket.release();
          over++;
        });
      });
    autoscaler.start();
    let before = 0;
    while (over < traffic.length) {
      await new Promise((resolve) => setImmediate(resolve));
      const next = clock.next();
      if (next === undefined) break;
      const there = set.snapshot().replicas.length;
      clock.advance(next - clock.now());
      cost += (there * (clock.now() - before)) / 3_600_000;
      before = clock.now();
    }
    autoscaler.stop();
    waits.sort((a, b) => a - b);
    const p95 = waits[Math.ceil(0.95 * waits.length) - 1] as number;
    const said = simulate({ traffic, replica: model, policy: own, every: 500 });
    expect(over).toBe(traffic.length);
    expect(said.changes).toBeGreaterThan(4);
    expect(cost / said.replicaHours).toBeGreaterThan(0.85);
    expect(cost / said.replicaHours).toBeLessThan(1.15);
    expect(Math.abs(p95 - said.waitP95)).toBeLessThan(0.5);
  });
});
