/** Choosing, leaving out, breaking off, rolling out: rules alone, in time that is moved by hand. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../base/clock.ts';
import { Random } from '../../base/rng.ts';
import { Balancer, type Policy } from './balancer.ts';
import { Breaker } from './breaker.ts';
import { ejectOutliers } from './outliers.ts';
import { PrefixIndex } from './prefix-index.ts';
import { Rollout } from './rollout.ts';
import { Target } from './target.ts';

const targets = (count: number): Target[] => Array.from({ length: count }, (_, i) => new Target(`t${i}`));

describe('choosing', () => {
  it('takes the one with least to do, and among equal ones all', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5), { minLength: 1, maxLength: 8 }), fc.integer(), (loads, seed) => {
        const among = targets(loads.length);
        for (const [i, one] of among.entries()) one.outstanding = loads[i] as number;
        const balancer = new Balancer({ random: new Random(seed, 'test') });
        expect(balancer.choose({ now: 0, among })?.outstanding).toBe(Math.min(...loads));
      }),
    );
    const among = targets(4);
    const balancer = new Balancer({ random: new Random(1, 'test') });
    const seen = new Set(Array.from({ length: 100 }, () => balancer.choose({ now: 0, among })?.name));
    expect(seen.size).toBe(4);
  });

  it('never takes one that is drained, away, left out or broken', () => {
    const among = targets(5);
    const [a, b, c, d] = among as [Target, Target, Target, Target, Target];
    a.draining = true;
    b.healthy = false;
    c.ejectedUntil = 10;
    for (let i = 0; i < 5; i++) d.breaker.failed(0);
    for (const policy of ['least-outstanding', 'two-choices'] as Policy[]) {
      const balancer = new Balancer({ policy, random: new Random(1, 'test') });
      for (let i = 0; i < 50; i++) expect(balancer.choose({ now: 0, among })?.name).toBe('t4');
      expect(balancer.choose({ now: 0, among: among.slice(0, 4) })).toBeUndefined();
      expect(balancer.choose({ now: 10, among: [c] })?.name).toBe('t2');
    }
  });

  /** Log-normal service, load .8, one of eight four times slow: 99th percentile of times in mean service times. */
  function tail(policy: Policy | 'round-robin'): number {
    const clock = new ManualClock();
    const among = targets(8);
    const random = new Random(5, 'queues');
    const balancer = new Balancer(policy === 'round-robin' ? { random } : { policy, random });
    const queues = new Map(among.map((one) => [one, [] as (() => void)[]]));
    const times: number[] = [];
    let turn = 0;
    const serve = (one: Target): void => {
      const queue = queues.get(one) as (() => void)[];
      const mean = one.name === 't0' ? 4 : 1;
      clock.after(mean * Math.exp(random.normal() - 0.5), () => {
        queue.shift()?.();
        if (queue.length > 0) serve(one);
      });
    };
    const arrive = (): void => {
      if (times.length >= 8000) return;
      const chosen =
        policy === 'round-robin' ? among[turn++ % 8] : balancer.choose({ now: clock.now(), among });
      const one = chosen as Target;
      const at = clock.now();
      one.begin(at);
      const queue = queues.get(one) as (() => void)[];
      queue.push(() => {
        one.end(clock.now(), 'answered', clock.now() - at);
        times.push(clock.now() - at);
      });
      if (queue.length === 1) serve(one);
      clock.after(-Math.log(1 - random.uniform()) / (0.7 * 8), arrive);
    };
    arrive();
    while (times.length < 8000 && clock.step());
    return times.sort((a, b) => a - b)[Math.floor(0.99 * times.length)] as number;
  }

  it('keeps the slowest times short where one server is slow, as turns would not', () => {
    const [least, two, turns] = [tail('least-outstanding'), tail('two-choices'), tail('round-robin')];
    expect(least).toBeLessThan(30);
    expect(two).toBeLessThan(60);
    expect(turns).toBeGreaterThan(2 * two);
  });
});

describe('beginnings of prompts', () => {
  const long = (letter: string, length = 1280): string => letter.repeat(length);

  it('go where they were read, while queues are balanced', () => {
    const among = targets(4);
    const balancer = new Balancer({ random: new Random(3, 'test') });
    const first = balancer.choose({ now: 0, among, tenant: 'k', prompt: long('a') });
    for (let i = 0; i < 20; i++)
      expect(balancer.choose({ now: 0, among, tenant: 'k', prompt: `${long('a')}${i}` })).toBe(first);
    (first as Target).outstanding = 9;
    expect(balancer.choose({ now: 0, among, tenant: 'k', prompt: long('a') })).not.toBe(first);
    expect(balancer.affine).toBe(20);
  });

  it('count from a tenth of the prompt on, and never another tenant’s', () => {
    const index = new PrefixIndex();
    index.add(index.beginningsOf('k', long('a', 256)), 't');
    const match = (tenant: string, text: string): number =>
      index.match(index.beginningsOf(tenant, text)).get('t') ?? 0;
    expect(match('k', long('a', 256))).toBe(1);
    expect(match('k', long('a', 256) + long('b', 256))).toBe(0.5);
    expect(match('k', `b${long('a', 255)}`)).toBe(0);
    expect(match('other', long('a', 256))).toBe(0);
    expect(match('k', long('a', 127))).toBe(0);
    index.forget('t');
    expect(match('k', long('a', 256))).toBe(0);
  });

  it('are found as long as they are, by everybody who read them, within bounds', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(6), fc.nat(6)), { maxLength: 12 }), (reads) => {
        const index = new PrefixIndex();
        const text = (a: number, b: number): string => long('a', 128 * a) + long('b', 128 * b);
        for (const [who, a, b] of reads) index.add(index.beginningsOf('', text(a, b)), `t${who}`);
        for (const [, a, b] of reads) {
          const wanted = Math.max(1, a + b);
          for (let who = 0; who < 4; who++) {
            const shared = reads
              .filter(([one]) => one === who)
              .map(([, x, y]) => (Math.min(x, a) < a || x > a ? Math.min(x, a) : a + Math.min(y, b)));
            const best = Math.max(0, ...shared) / wanted;
            expect(index.match(index.beginningsOf('', text(a, b))).get(`t${who}`) ?? 0).toBeCloseTo(best, 9);
          }
        }
      }),
    );
    const small = new PrefixIndex(10);
    for (let i = 0; i < 100; i++)
      small.add(small.beginningsOf('', long(String.fromCharCode(200 + i), 128)), 't');
    expect((small as unknown as { seen: Map<number, unknown> }).seen.size).toBe(10);
  });
});

describe('a breaker', () => {
  it('opens after failures in a row, tries once, and waits longer each time', () => {
    const breaker = new Breaker({ failures: 3, open: 100, most: 300 });
    breaker.failed(0);
    breaker.failed(0);
    breaker.succeeded();
    for (let i = 0; i < 3; i++) expect([breaker.allows(0), breaker.failed(0)]).toEqual([true, undefined]);
    expect([breaker.allows(99), breaker.state(99), breaker.wait(60)]).toEqual([false, 'open', 40]);
    expect(breaker.state(100)).toBe('half-open');
    breaker.sent(100);
    expect(breaker.allows(100)).toBe(false);
    breaker.failed(110);
    expect([breaker.allows(309), breaker.allows(310)]).toEqual([false, true]);
    breaker.sent(310);
    breaker.abandoned();
    expect(breaker.allows(310)).toBe(true);
    breaker.sent(310);
    breaker.succeeded();
    expect([breaker.state(311), breaker.opens]).toEqual(['closed', 2]);
  });
});

describe('outliers', () => {
  const window = (one: Target, requests: number, failures: number, latency: number): void => {
    one.window = { requests, failures, latency: latency * (requests - failures) };
  };

  it('are those that fail more often or are much slower than the others', () => {
    const [a, b, c, d, e] = targets(5) as [Target, Target, Target, Target, Target];
    const all = [a, b, c, d, e];
    for (const one of [a, b]) window(one, 100, 1, 50);
    window(c, 100, 30, 50);
    window(d, 100, 0, 200);
    window(e, 5, 5, 50);
    expect(ejectOutliers(all, 0).map(({ name }) => name)).toEqual(['t2', 't3']);
    expect([c.open(9_999), c.open(10_000)]).toEqual([false, true]);
    for (const one of [a, b]) window(one, 100, 1, 50);
    window(c, 100, 30, 50);
    ejectOutliers(all, 20_000);
    expect([c.open(39_999), c.open(40_000)]).toEqual([false, true]);
  });

  it('are never more than half of all, nor where all are the same', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(100), fc.nat(500)), { minLength: 1, maxLength: 9 }), (facts) => {
        const all = targets(facts.length);
        for (const [i, [failures, latency]] of facts.entries())
          window(all[i] as Target, 100, failures, latency);
        expect(2 * ejectOutliers(all, 0).length).toBeLessThanOrEqual(all.length);
        for (const one of all) one.ejectedUntil = 0;
        for (const one of all) window(one, 100, 50, 70);
        expect(ejectOutliers(all, 0)).toEqual([]);
      }),
    );
  });
});

describe('a roll-out', () => {
  const settings = { steps: [0.1, 0.5, 1], step: 1000, requests: 40, failures: 0.02, slower: 1.5 };
  function run(failing: { old: number; fresh: number }, times: { old: number; fresh: number }) {
    const rollout = new Rollout('1', '2', 0, settings);
    const random = new Random(9, 'rollout');
    const shares: number[] = [];
    for (let now = 0; now < 60_000 && rollout.state === 'running'; now += 100) {
      let fresh = 0;
      for (let i = 0; i < 50; i++) {
        const version = rollout.next();
        if (version === '2') fresh++;
        const which = version === '2' ? 'fresh' : 'old';
        rollout.seen(version, random.uniform() < failing[which], times[which] * (0.5 + random.uniform()));
      }
      shares.push(fresh / 50);
      rollout.decide(now);
    }
    return { rollout, shares };
  }

  it('takes over step by step where the new version is as good', () => {
    const { rollout, shares } = run({ old: 0.01, fresh: 0.01 }, { old: 100, fresh: 110 });
    expect(rollout.snapshot()).toMatchObject({ state: 'done', share: 1 });
    expect(rollout.next()).toBe('2');
    const steps = [0.1, 0.5].map((share) => shares.filter((one) => Math.abs(one - share) < 0.05).length);
    expect(steps[0]).toBeGreaterThanOrEqual(10);
    expect(steps[1]).toBeGreaterThanOrEqual(9);
  });

  it.each([
    ['fails more often', { old: 0.01, fresh: 0.2 }, { old: 100, fresh: 100 }, /answers failed/],
    ['is slower', { old: 0.01, fresh: 0.01 }, { old: 100, fresh: 200 }, /first bytes/],
  ])('goes back where the new version %s', (_, failing, times, reason) => {
    const { rollout, shares } = run(failing, times);
    expect(rollout.snapshot()).toMatchObject({ state: 'rolled-back', share: 0 });
    expect(rollout.reason).toMatch(reason);
    expect(shares.length).toBeLessThan(40);
    for (let i = 0; i < 20; i++) expect(rollout.next()).toBe('1');
  });
});
