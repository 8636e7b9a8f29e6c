/** The queue: order, limits, cancelling, draining, and its books under random histories. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Ticket } from '../../base/contracts/queue.ts';
import { Scheduler } from './scheduler.ts';

const settled = async (work: Promise<unknown>): Promise<boolean> => {
  let done = false;
  void work.then(
    () => (done = true),
    () => (done = true),
  );
  await new Promise((resolve) => setImmediate(resolve));
  return done;
};

describe('the queue', () => {
  it('lets so many run, so many wait, and tells the rest when to come back', async () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 1 });
    const first = queue.enter({ id: 'a' });
    const second = queue.enter({ id: 'b' });
    await first.turn();
    expect(queue.status()).toEqual({ running: 1, waiting: 1, concurrency: 1, capacity: 1 });
    expect(() => queue.enter({ id: 'c' })).toThrowError(
      expect.objectContaining({
        code: 'queue_full',
        kind: 'limit',
        details: { retryAfter: expect.any(Number) },
      }),
    );
    expect(await settled(second.turn())).toBe(false);
    first.release();
    await second.turn();
    second.release();
    second.release();
    expect(queue.status().running).toBe(0);
  });

  it('serves higher priorities first, equal ones in order', async () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 9 });
    const running = queue.enter({ id: 'now' });
    const order: string[] = [];
    const tickets = [
      ['low', 0],
      ['high', 2],
      ['low too', 0],
      ['high too', 2],
      ['middle', 1],
    ].map(([id, priority]) => queue.enter({ id: id as string, priority: priority as number }));
    const all = tickets.map((ticket) =>
      ticket.turn().then(() => {
        order.push(ticket.id);
        ticket.release();
      }),
    );
    running.release();
    await Promise.all(all);
    expect(order).toEqual(['high', 'high too', 'middle', 'low', 'low too']);
  });

  it('frees the place of who goes away while waiting, before and after asking for its turn', async () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 2 });
    const running = queue.enter({ id: 'now' });
    const early = new AbortController();
    const late = new AbortController();
    const one = queue.enter({ id: 'one', signal: early.signal });
    const two = queue.enter({ id: 'two', signal: late.signal });
    early.abort();
    const turn = two.turn();
    late.abort();
    await expect(one.turn()).rejects.toMatchObject({ code: 'cancelled' });
    await expect(turn).rejects.toMatchObject({ code: 'cancelled' });
    expect(queue.status().waiting).toBe(0);
    running.release();
    await queue.enter({ id: 'next' }).turn();
    const gone = queue.enter({ id: 'gone', signal: AbortSignal.abort() });
    await expect(gone.turn()).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('drains: takes nothing new, ends when the last is released', async () => {
    const queue = new Scheduler({ concurrency: 1, capacity: 2 });
    const running = queue.enter({ id: 'a' });
    const waiting = queue.enter({ id: 'b' });
    const drained = queue.drain();
    expect(() => queue.enter({ id: 'c' })).toThrowError(expect.objectContaining({ code: 'shutting_down' }));
    running.release();
    await waiting.turn();
    expect(await settled(drained)).toBe(false);
    waiting.release();
    await drained;
    await new Scheduler({ concurrency: 1, capacity: 0 }).drain();
  });

  it('never runs more than it may, loses nobody, and ends empty', async () => {
    const act = fc.record({
      act: fc.constantFrom('enter', 'leave', 'abort'),
      who: fc.nat(20),
      priority: fc.nat(3),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(act),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(4),
        async (acts, concurrency, capacity) => {
          const queue = new Scheduler({ concurrency, capacity });
          const inside: { ticket: Ticket; abort: AbortController; outcome: Promise<string> }[] = [];
          for (const { act, who, priority } of acts) {
            if (act === 'enter') {
              const abort = new AbortController();
              try {
                const ticket = queue.enter({ id: String(inside.length), priority, signal: abort.signal });
                const outcome = ticket.turn().then(
                  () => 'ran',
                  () => 'left',
                );
                inside.push({ ticket, abort, outcome });
              } catch {
                expect(queue.status()).toMatchObject({ running: concurrency, waiting: capacity });
              }
            } else if (inside.length > 0) {
              const one = inside[who % inside.length];
              if (act === 'leave') one?.ticket.release();
              else one?.abort.abort();
            }
            const { running, waiting } = queue.status();
            expect(running).toBeLessThanOrEqual(concurrency);
            expect(waiting).toBeLessThanOrEqual(capacity);
            if (waiting > 0) expect(running).toBe(concurrency);
          }
          for (const { ticket } of inside) ticket.release();
          await queue.drain();
          expect(queue.status()).toMatchObject({ running: 0, waiting: 0 });
          await Promise.all(inside.map(({ outcome }) => outcome));
        },
      ),
    );
  });
});
