/** Fair shares, deadlines, predicted cost, batch work and honest times to come back, in simulated time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../base/clock.ts';
import type { EnterOptions, Ticket } from '../../base/contracts/queue.ts';
import { Random } from '../../base/rng.ts';
import { jain } from '../../evaluate/jain.ts';
import { Scheduler, type SchedulerOptions } from './scheduler.ts';

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A model that needs a millisecond a token; streams come back at once. */
class Load {
  readonly clock = new ManualClock();
  readonly queue: Scheduler;
  readonly served = new Map<string, number>();
  readonly waits = new Map<string, number[]>();
  refused = 0;

  constructor(options: Partial<SchedulerOptions> = {}) {
    this.queue = new Scheduler({ concurrency: 4, capacity: 100, clock: this.clock, ...options });
  }

  /** One stream of a key: asks again as soon as it has its answer. */
  stream(key: string, tokens: () => number, more: Partial<EnterOptions> = {}): void {
    const entered = this.clock.now();
    const answer = tokens();
    const ticket = this.queue.enter({ id: key, key, cost: { prompt: 10, answer }, ...more });
    void ticket.turn().then(() => {
      this.waits.set(key, [...(this.waits.get(key) ?? []), this.clock.now() - entered]);
      this.clock.after(answer, () => {
        ticket.spent({ prompt: 10, answer });
        this.served.set(key, (this.served.get(key) ?? 0) + answer);
        ticket.release();
        this.stream(key, tokens, more);
      });
    });
  }

  /** Lets so many milliseconds pass; promises have their say between events. */
  async run(milliseconds: number): Promise<void> {
    const end = this.clock.now() + milliseconds;
    for (;;) {
      await settle();
      const next = this.clock.next();
      if (next === undefined || next > end) break;
      this.clock.advance(next - this.clock.now());
    }
  }

  total(): number {
    return [...this.served.values()].reduce((sum, one) => sum + one, 0);
  }
}

const crowd = async (policy: 'fair' | 'first-come'): Promise<Load> => {
  const load = new Load({ policy, concurrency: 8 });
  const random = new Random(7, 'crowd');
  const tokens = (): number => 20 + random.integer(81);
  for (let i = 0; i < 50; i++) load.stream('greedy', tokens);
  for (const key of ['a', 'b', 'c', 'd']) for (let i = 0; i < 3; i++) load.stream(key, tokens);
  await load.run(4000);
  return load;
};

describe('fair shares', () => {
  it('give a greedy key with 50 streams no more than four quiet ones, at the same throughput', async () => {
    const fair = await crowd('fair');
    const first = await crowd('first-come');
    expect(jain([...fair.served.values()])).toBeGreaterThan(0.99);
    expect(jain([...first.served.values()])).toBeLessThan(0.5);
    expect(fair.total()).toBeGreaterThan(0.95 * first.total());
  });

  it('count tokens, not requests', async () => {
    const load = new Load();
    for (let i = 0; i < 8; i++) load.stream('long', () => 90);
    for (let i = 0; i < 40; i++) load.stream('short', () => 10);
    await load.run(4000);
    // The paper's weights: a token read counts 1, one written 2.
    const service = (key: string, one: number): number =>
      ((load.served.get(key) as number) / one) * (10 + 2 * one);
    expect(jain([service('long', 90), service('short', 10)])).toBeGreaterThan(0.99);
  });

  it('follow weights', async () => {
    const load = new Load({ shares: { weight: (key) => (key === 'paid' ? 3 : 1) } });
    for (const key of ['paid', 'free']) for (let i = 0; i < 10; i++) load.stream(key, () => 25);
    await load.run(4000);
    const ratio = (load.served.get('paid') as number) / (load.served.get('free') as number);
    expect(ratio).toBeGreaterThan(2.7);
    expect(ratio).toBeLessThan(3.3);
  });

  it('give no credit for a time of silence', async () => {
    const load = new Load();
    for (let i = 0; i < 10; i++) load.stream('busy', () => 20);
    await load.run(2000);
    const before = load.served.get('busy') as number;
    for (let i = 0; i < 10; i++) load.stream('late', () => 20);
    await load.run(1000);
    const busy = (load.served.get('busy') as number) - before;
    expect(jain([busy, load.served.get('late') as number])).toBeGreaterThan(0.98);
  });

  it('bound how far two keys that both always wait may drift apart', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 2, maxLength: 5 }),
        fc.integer({ min: 1, max: 6 }),
        async (lengths, concurrency) => {
          const load = new Load({ concurrency });
          const keys = lengths.map((_, i) => `key ${i}`);
          for (const [i, key] of keys.entries())
            for (let s = 0; s < concurrency + 2; s++) load.stream(key, () => lengths[i] as number);
          await load.run(3000);
          const service = keys.map((key, i) => {
            const one = lengths[i] as number;
            return ((load.served.get(key) ?? 0) / one) * (10 + 2 * one);
          });
          // Theorem 4.4 of the paper: 2 max(prompt weight, answer weight × tokens inside); one more for those under way.
          const bound = 3 * concurrency * (10 + 2 * Math.max(...lengths));
          expect(Math.max(...service) - Math.min(...service)).toBeLessThanOrEqual(bound);
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('a full queue', () => {
  it('makes room for a key that has fewer places, and tells the other when to come back', async () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 3, clock: new ManualClock() });
    const running = queue.enter({ id: 'r', key: 'greedy' });
    const waiting = [1, 2, 3].map((id) => queue.enter({ id: String(id), key: 'greedy' }));
    expect(() => queue.enter({ id: '4', key: 'greedy' })).toThrowError(
      expect.objectContaining({ code: 'queue_full' }),
    );
    const quiet = queue.enter({ id: 'q', key: 'quiet' });
    await expect((waiting[2] as Ticket).turn()).rejects.toMatchObject({
      code: 'queue_full',
      details: { retryAfter: expect.any(Number) },
    });
    running.release();
    await quiet.turn();
    expect(queue.snapshot().lanes['']).toMatchObject({ running: 1, waiting: 2, refused: 2 });
  });

  it('is honest about when to come back: who obeys finds a place', async () => {
    const load = new Load({ concurrency: 2, capacity: 4 });
    let asked = 0;
    let again = 0;
    let served = 0;
    const ask = (attempt: number): void => {
      asked++;
      try {
        const ticket = load.queue.enter({ id: String(asked), key: 'one' });
        void ticket.turn().then(() =>
          load.clock.after(100, () => {
            served++;
            ticket.release();
          }),
        );
      } catch (thrown) {
        const { details } = thrown as { details: { retryAfter: number } };
        if (attempt > 1) again++;
        load.clock.after(1000 * details.retryAfter, () => ask(attempt + 1));
      }
    };
    // Some experience first, then sixty at once for six places: the last of them have their turn after 3 s.
    for (let i = 0; i < 6; i++) ask(1);
    await load.run(1000);
    const start = load.clock.now();
    for (let i = 0; i < 60; i++) ask(1);
    await load.run(20_000);
    expect(served).toBe(66);
    expect(again).toBeLessThanOrEqual(6);
    expect(asked).toBeLessThan(66 + 54 + 7);
    expect(load.queue.snapshot().lanes['']?.rate).toBeGreaterThan(15);
    expect(load.queue.snapshot().lanes['']?.rate).toBeLessThan(25);
    expect(load.clock.now() - start).toBeLessThanOrEqual(20_000);
  });

  it('is one for each model, with a bound for all', () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 2, total: 3, clock: new ManualClock() });
    for (const model of ['a', 'b']) queue.enter({ id: 'r', model });
    for (const model of ['a', 'a', 'b']) queue.enter({ id: 'w', model });
    expect(queue.status()).toMatchObject({ running: 2, waiting: 3 });
    expect(() => queue.enter({ id: 'x', model: 'b' })).toThrowError(
      expect.objectContaining({ code: 'queue_full' }),
    );
    for (let i = 0; i < 500; i++) queue.enter({ id: 'x', model: `made up ${i}` }).release();
    expect(Object.keys(queue.snapshot().lanes).length).toBeLessThanOrEqual(64);
  });
});

describe('deadlines', () => {
  it('end a wait that took too long, and let the next go', async () => {
    const clock = new ManualClock();
    const queue = new Scheduler({ concurrency: 1, capacity: 9, clock });
    queue.enter({ id: 'stays' });
    const short = queue.enter({ id: 'short', deadline: 2000 });
    const long = queue.enter({ id: 'long', deadline: 9000 });
    const failed = expect(short.turn()).rejects.toMatchObject({ code: 'deadline_exceeded' });
    clock.advance(1999);
    expect(queue.status().waiting).toBe(2);
    clock.advance(1);
    await failed;
    expect(queue.status().waiting).toBe(1);
    clock.advance(7000);
    await expect(long.turn()).rejects.toMatchObject({ code: 'deadline_exceeded' });
    expect(queue.snapshot().lanes['']).toMatchObject({ expired: 2, waiting: 0 });
  });

  it('that cannot be kept are refused at the door', async () => {
    const load = new Load({ concurrency: 1 });
    for (let i = 0; i < 10; i++) load.stream('one', () => 500);
    await load.run(5000);
    expect(() => load.queue.enter({ id: 'x', key: 'one', deadline: 100 })).toThrowError(
      expect.objectContaining({ code: 'deadline_unreachable', kind: 'limit' }),
    );
    // A key that has had nothing is next: half a second is enough for it.
    load.queue.enter({ id: 'y', key: 'new', deadline: 1500 });
  });

  it('of one key are served the earliest first', async () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 9, clock: new ManualClock() });
    const running = queue.enter({ id: 'r' });
    const order: string[] = [];
    const tickets = [900_000, 300_000, 600_000].map((deadline) =>
      queue.enter({ id: String(deadline), deadline }),
    );
    const all = tickets.map((ticket) =>
      ticket.turn().then(() => {
        order.push(ticket.id);
        ticket.release();
      }),
    );
    running.release();
    await Promise.all(all);
    expect(order).toEqual(['300000', '600000', '900000']);
  });
});

describe('predicted cost', () => {
  it('bounds the tokens inside, and learns how long answers are', async () => {
    const queue = new Scheduler({ concurrency: 9, capacity: 9, tokens: 1000, clock: new ManualClock() });
    const enter = (): Ticket => queue.enter({ id: 'x', key: 'k', cost: { prompt: 100, answer: 800 } });
    // Half of what it may have is the first guess: 500 each.
    const first = [enter(), enter(), enter()];
    expect(queue.status()).toMatchObject({ running: 2, waiting: 1 });
    for (const ticket of first) ticket.spent({ prompt: 100, answer: 80 });
    for (const ticket of first) ticket.release();
    const second = [1, 2, 3, 4, 5].map(enter);
    expect(queue.status().running).toBe(5);
    second[0]?.spent({ prompt: 100, answer: 700 });
    expect(queue.snapshot().lanes['']?.tokens).toBe(4 * 180 + 800);
    for (const ticket of second) ticket.release();
    expect(queue.snapshot().lanes['']?.tokens).toBe(0);
  });

  it('never shuts one out that is larger than all', async () => {
    const queue = new Scheduler({ concurrency: 2, capacity: 9, tokens: 10, clock: new ManualClock() });
    const large = queue.enter({ id: 'large', cost: { prompt: 5000 } });
    await large.turn();
    const next = queue.enter({ id: 'next', cost: { prompt: 1 } });
    expect(queue.status()).toMatchObject({ running: 1, waiting: 1 });
    large.expect({ prompt: 2 });
    await next.turn();
  });
});

describe('batch work', () => {
  it('runs in the gaps only and leaves places for who comes next', async () => {
    const queue = new Scheduler({ concurrency: 4, capacity: 9, clock: new ManualClock() });
    const batch = Array.from({ length: 6 }, () => queue.enter({ id: 'b', batch: true }));
    expect(queue.snapshot().lanes['']).toMatchObject({ batchRunning: 3, batchWaiting: 3, running: 0 });
    const now = queue.enter({ id: 'i' });
    await now.turn();
    const next = queue.enter({ id: 'j' });
    batch[0]?.release();
    // The place goes to the one who waits for an answer.
    await next.turn();
    expect(queue.snapshot().lanes['']).toMatchObject({ batchRunning: 2, batchWaiting: 3, running: 2 });
    now.release();
    next.release();
    expect(queue.snapshot().lanes['']).toMatchObject({ batchRunning: 3, batchWaiting: 2 });
  });

  it('that waits for other models keeps nobody out who wants an answer now', () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 2, total: 2, clock: new ManualClock() });
    for (const model of ['a', 'b']) for (let i = 0; i < 2; i++) queue.enter({ id: 'b', batch: true, model });
    expect(() => queue.enter({ id: 'b', batch: true, model: 'a' })).toThrow(/too many requests are waiting/);
    queue.enter({ id: 'i', model: 'a' });
    expect(queue.snapshot().lanes.a).toMatchObject({ batchRunning: 1, batchWaiting: 1, waiting: 1 });
  });
});

describe('hanging up', () => {
  it('frees a running place at once', async () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 1, clock: new ManualClock() });
    const abort = new AbortController();
    const first = queue.enter({ id: 'a', signal: abort.signal });
    await first.turn();
    const second = queue.enter({ id: 'b' });
    abort.abort();
    await second.turn();
    first.release();
    expect(queue.status()).toMatchObject({ running: 1, waiting: 0 });
    await expect(first.turn()).rejects.toMatchObject({ code: 'cancelled' });
  });
});

it('follows the number of places as replicas come and go', async () => {
  const queue = new Scheduler({ concurrency: 1, capacity: 9, clock: new ManualClock() });
  const tickets = [1, 2, 3].map((id) => queue.enter({ id: String(id), model: 'm' }));
  queue.setPlaces('m', 3);
  await Promise.all(tickets.map((ticket) => ticket.turn()));
  queue.setPlaces('m', 0);
  for (const ticket of tickets) ticket.release();
  queue.enter({ id: 'held', model: 'm' });
  expect(queue.snapshot().lanes.m).toMatchObject({ running: 0, waiting: 1, places: 0 });
  queue.setPlaces('m', undefined);
  expect(queue.snapshot().lanes.m).toMatchObject({ running: 1, waiting: 0, places: 1 });
});
