/** Limits with a clock that is moved by hand, and budgets against a slow store and many requests at once. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { gate } from '../../base/testing.ts';
import { openFileStore } from '../../store/index.ts';
import { Bucket } from './bucket.ts';
import { Ledger, periodOf } from './ledger.ts';
import { Prices } from './prices.ts';
import { Quotas } from './quotas.ts';

let home: string;
let store: Store;
let at = 0;
const clock = (): number => at;
beforeEach(async () => {
  at = Date.UTC(2026, 10, 26, 12);
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-quota-'));
  store = await openFileStore(home);
});
afterEach(async () => {
  await store.close();
  await rm(home, { recursive: true, force: true });
});

/** The store, with other updates of rows. */
function updatedBy(update: Store['rows']['update']): Store {
  const rows = new Proxy(store.rows, {
    get: (target, name) => (name === 'update' ? update : Reflect.get(target, name).bind(target)),
  });
  return { ...store, rows };
}

const open = (prices = new Prices()): Quotas =>
  new Quotas({ ledger: new Ledger(store, clock), prices, clock });
const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (thrown: unknown) => (InkstoneError.is(thrown) ? thrown.code : String(thrown)),
  );

describe('a bucket', () => {
  it('gives a minute’s worth at once, then as time goes by', () => {
    const bucket = new Bucket(60, 0);
    for (let i = 0; i < 60; i++) expect(bucket.take(1, 0)).toBe(true);
    expect(bucket.take(1, 0)).toBe(false);
    expect(bucket.wait(1, 0)).toBe(1000);
    expect(bucket.reset(0)).toBe(60_000);
    expect(bucket.take(1, 999)).toBe(false);
    expect(bucket.take(1, 1000)).toBe(true);
    expect(bucket.wait(61, 1000)).toBe(Number.POSITIVE_INFINITY);
  });

  it('gives nothing for a clock that goes back, and pays debts first', () => {
    const bucket = new Bucket(60, 10_000);
    bucket.force(120, 10_000);
    expect(bucket.remaining(0)).toBe(0);
    expect(bucket.wait(1, 10_000)).toBe(61_000);
    bucket.force(-500, 10_000);
    expect(bucket.remaining(10_000)).toBe(60);
  });

  it('never gives more than a minute’s worth and what time brought', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 50 })), {
          maxLength: 60,
        }),
        (limit, steps) => {
          const bucket = new Bucket(limit, 0);
          let now = 0;
          let taken = 0;
          for (const [pause, units] of steps) {
            now += pause;
            if (bucket.take(units, now)) taken += units;
            expect(taken).toBeLessThanOrEqual(limit + (now * limit) / 60_000 + 1e-3);
          }
        },
      ),
    );
  });
});

describe('prices', () => {
  it('are read from lines, the most exact name first', () => {
    const prices = Prices.parse(['small=0.15/0.60', 'a=b=1/2/3', '*=10/20']);
    expect(prices.cost('small', { prompt: 1e6, completion: 2e6 })).toBeCloseTo(1.35);
    expect(prices.cost('a=b', { prompt: 0, completion: 0, pictures: 2 })).toBe(6);
    expect(prices.cost('other', { prompt: 1e5, completion: 0 })).toBe(1);
    expect(new Prices().cost('m', { prompt: 5e5, completion: 5e5 })).toBe(1);
  });
  it.each([
    'small',
    '=1/2',
    'small=1',
    'small=1/x',
    'small=1/-2',
    'small=1/2/3/4',
    'small=1/',
    'small=1/NaN',
  ])('refuse %s', (line) => expect(() => Prices.parse([line])).toThrowError(/is no price/));
});

describe('quotas', () => {
  it('count requests and tokens a minute, and give back what was not used', async () => {
    const quotas = open();
    const limits = { requestsPerMinute: 2, tokensPerMinute: 100 };
    const first = await quotas.admit('k', limits, 'm', { prompt: 10, completion: 50 });
    expect(await codeOf(quotas.admit('k', limits, 'm', { prompt: 1, completion: 40 }))).toBe(
      'tokens_limited',
    );
    // What was refused for its tokens took no request.
    expect(quotas.allowances('k', limits)).toMatchObject({
      requests: { limit: 2, remaining: 1 },
      tokens: { limit: 100, remaining: 40, reset: 36_000 },
    });
    await first.settle({ prompt: 10, completion: 5 });
    expect(quotas.allowances('k', limits).tokens?.remaining).toBe(85);
    await first.settle({ prompt: 99, completion: 99 });
    expect(quotas.allowances('k', limits).tokens?.remaining).toBe(85);
    await quotas.admit('k', limits, 'm', { prompt: 1, completion: 1 });
    expect(await codeOf(quotas.admit('k', limits, 'm', { prompt: 1, completion: 1 }))).toBe(
      'requests_limited',
    );
    expect(await codeOf(quotas.admit('other', limits, 'm', { prompt: 1, completion: 1 }))).toBe('none');
    at += 30_000;
    expect(await codeOf(quotas.admit('k', limits, 'm', { prompt: 1, completion: 1 }))).toBe('none');
  });

  it('leave a quarter to requests that somebody waits for', async () => {
    const quotas = open();
    const limits = { requestsPerMinute: 8, tokensPerMinute: 100, concurrency: 4 };
    const batch = (completion: number) =>
      quotas.admit('k', limits, 'm', { prompt: 0, completion }, { batch: true });
    const now = () => quotas.admit('k', limits, 'm', { prompt: 0, completion: 5 });
    expect(await codeOf(batch(60))).toBe('none');
    expect(await codeOf(batch(20))).toBe('tokens_limited');
    expect([await codeOf(batch(1)), await codeOf(batch(1))]).toEqual(['none', 'none']);
    expect(await codeOf(batch(1))).toBe('concurrency_limited');
    expect(await codeOf(now())).toBe('none');
    // What needs more than three quarters waits until all is there, and is not turned away for ever.
    const large = open();
    await large.admit('k', { tokensPerMinute: 100 }, 'm', { prompt: 1, completion: 0 });
    const most = () =>
      large.admit('k', { tokensPerMinute: 100 }, 'm', { prompt: 0, completion: 90 }, { batch: true });
    expect(await codeOf(most())).toBe('tokens_limited');
    at += 1000;
    expect(await codeOf(most())).toBe('none');
  });

  it('refuse what can never fit without sending the client round again', async () => {
    const refused = open().admit('k', { tokensPerMinute: 10 }, 'm', { prompt: 11, completion: 0 });
    await expect(refused).rejects.toMatchObject({ code: 'tokens_limited', details: { retry: false } });
  });

  it('take the true number of tokens when it is known', async () => {
    const quotas = open();
    const limits = { tokensPerMinute: 100 };
    const lease = await quotas.admit('k', limits, 'm', { prompt: 1, completion: 9 });
    await lease.cover({ prompt: 30, completion: 9 });
    expect(quotas.allowances('k', limits).tokens?.remaining).toBe(61);
    expect(await codeOf(lease.cover({ prompt: 300, completion: 9 }))).toBe('tokens_limited');
    await lease.cover({ prompt: 1, completion: 0 });
    expect(quotas.allowances('k', limits).tokens?.remaining).toBe(99);
  });

  it('keep to so many at once', async () => {
    const quotas = open();
    const one = await quotas.admit('k', { concurrency: 1 }, 'm', { prompt: 1, completion: 1 });
    expect(await codeOf(quotas.admit('k', { concurrency: 1 }, 'm', { prompt: 1, completion: 1 }))).toBe(
      'concurrency_limited',
    );
    await one.settle({ prompt: 1, completion: 1 });
    expect(await codeOf(quotas.admit('k', { concurrency: 1 }, 'm', { prompt: 1, completion: 1 }))).toBe(
      'none',
    );
  });

  it('admit no more than the budget of requests that come at once, whatever the store takes', async () => {
    const quotas = open();
    // Each may cost 1; there is room for four.
    const limits = { budget: 4 };
    const leases: Awaited<ReturnType<Quotas['admit']>>[] = [];
    const answers = await Promise.all(
      Array.from({ length: 40 }, () =>
        codeOf(
          quotas
            .admit('k', limits, 'm', { prompt: 5e5, completion: 5e5 })
            .then((lease) => leases.push(lease)),
        ),
      ),
    );
    expect(answers.filter((code) => code === 'none')).toHaveLength(4);
    expect(answers.filter((code) => code === 'insufficient_quota')).toHaveLength(36);
    // Half of what was set aside was used: the rest is there again.
    await Promise.all(leases.map((lease) => lease.settle({ prompt: 5e5, completion: 0 })));
    expect((await quotas.ledger.row('k')).spent).toBeCloseTo(2);
    const more = await Promise.all(
      Array.from({ length: 10 }, () =>
        codeOf(quotas.admit('k', limits, 'm', { prompt: 1e6, completion: 0 })),
      ),
    );
    expect(more.filter((code) => code === 'none')).toHaveLength(2);
  });

  it('never spend more than the budget, in any order of requests and ends', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            ask: fc.integer({ min: 1, max: 40 }),
            use: fc.double({ min: 0, max: 1, noNaN: true }),
          }),
          {
            minLength: 1,
            maxLength: 25,
          },
        ),
        async (requests) => {
          const quotas = open();
          const key = `k${Math.random().toString(36).slice(2)}`;
          await Promise.all(
            requests.map(async ({ ask, use }) => {
              const lease = await quotas
                .admit(key, { budget: 100e-6 }, 'm', { prompt: ask, completion: 0 })
                .catch(() => undefined);
              await new Promise((resolve) => setImmediate(resolve));
              await lease?.settle({ prompt: Math.floor(ask * use), completion: 0 });
            }),
          );
          const row = await quotas.ledger.row(key);
          expect(row.spent).toBeLessThanOrEqual(100e-6 + 1e-12);
          expect(row.reserved).toEqual({});
        },
      ),
      { numRuns: 15 },
    );
  }, 60_000);

  it('write seldom while there is plenty, and set nothing aside once nobody asks', async () => {
    let writes = 0;
    const update: Store['rows']['update'] = (...given) => {
      writes++;
      return store.rows.update(...given);
    };
    const ledger = new Ledger(updatedBy(update), clock);
    const quotas = new Quotas({ ledger, prices: new Prices(), clock });
    for (let i = 0; i < 300; i++) {
      const lease = await quotas.admit('k', { budget: 1e6 }, 'm', { prompt: 1e6, completion: 1e6 });
      await lease.cover({ prompt: 1e6, completion: 5e5 });
      void lease.settle({ prompt: 1e6, completion: 0 });
    }
    expect(writes).toBeLessThan(10);
    await ledger.flush();
    expect(await ledger.row('k')).toMatchObject({ spent: 300, requests: 300, reserved: {} });
  });

  it('write a key that is busy all the time now and then, not without end', async () => {
    let writes = 0;
    const update: Store['rows']['update'] = (...given) => {
      writes++;
      return store.rows.update(...given);
    };
    const ledger = new Ledger(updatedBy(update), clock);
    let settled = 0;
    const began = performance.now();
    // As long as the ledger takes for three of its pauses, whatever the machine does.
    while (writes < 3) {
      void ledger.settle('k', { cost: 1, prompt: 1, completion: 0 }, { period: 'total' });
      settled++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(performance.now() - began).toBeGreaterThan(1200);
    await ledger.flush();
    expect(await ledger.row('k')).toMatchObject({ spent: settled, requests: settled });
  });

  it('set nothing aside once nobody asks, though more was being fetched when the last request ended', async () => {
    let release: (() => void) | undefined;
    let hold = false;
    const update: Store['rows']['update'] = async (...given) => {
      if (hold)
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      return store.rows.update(...given);
    };
    const ledger = new Ledger(updatedBy(update), clock);
    const quotas = new Quotas({ ledger, prices: new Prices(), clock });
    const use = { prompt: 1e6, completion: 0 };
    const limits = { budget: 1e5 };
    let last = await quotas.admit('k', limits, 'm', use);
    hold = true;
    // More is fetched when half is left; what was settled until then goes with it.
    while (release === undefined) {
      void last.settle(use);
      last = await quotas.admit('k', limits, 'm', use);
      await new Promise((resolve) => setImmediate(resolve));
    }
    hold = false;
    const ended = last.settle(use);
    release();
    await ended;
    while (Object.keys((await ledger.row('k')).reserved).length > 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await ledger.row('k')).spent).toBeGreaterThan(100);
  });

  it('book every settlement once, whichever write it meets, in the period that it is of', async () => {
    const { passed: held, open: release } = gate();
    let writes = 0;
    const update: Store['rows']['update'] = async (...given) => {
      if (writes++ === 0) await held;
      return store.rows.update(...given);
    };
    const ledger = new Ledger(updatedBy(update), clock);
    const one = { cost: 1, prompt: 2, completion: 3 };
    const settle = (period: 'total' | 'month') => ledger.settle('k', one, { period });
    const first = [settle('total'), settle('total')];
    const flushed = ledger.flush();
    // The write of those has begun; these meet the next one.
    const second = [settle('total'), settle('month'), settle('month')];
    expect(writes).toBe(1);
    release();
    await Promise.all([...first, flushed]);
    await ledger.flush();
    await Promise.all(second);
    expect(writes).toBe(2);
    expect(await ledger.row('k')).toMatchObject({
      ...{ cost: 5, prompt: 10, completion: 15, requests: 5 },
      ...{ period: '2026-11', spent: 2 },
    });
  });

  it('tell all whose settlement could not be written, and go on with the next', async () => {
    let broken = true;
    const update: Store['rows']['update'] = async (...given) => {
      if (broken) throw new InkstoneError('disk_full', 'full', { kind: 'resource' });
      return store.rows.update(...given);
    };
    const ledger = new Ledger(updatedBy(update), clock);
    const settle = () =>
      codeOf(ledger.settle('k', { cost: 1, prompt: 1, completion: 0 }, { period: 'total' }));
    const lost = [settle(), settle()];
    await ledger.flush();
    expect(await Promise.all(lost)).toEqual(['disk_full', 'disk_full']);
    broken = false;
    const kept = settle();
    await ledger.flush();
    expect(await kept).toBe('none');
    expect(await ledger.row('k')).toMatchObject({ requests: 1, cost: 1 });
  });

  it('keep to a budget that is made smaller while more was set aside', async () => {
    const quotas = open();
    const use = { prompt: 1e6, completion: 0 };
    await (await quotas.admit('k', { budget: 1000 }, 'm', use)).settle(use);
    const held = await quotas.admit('k', { budget: 1000 }, 'm', use);
    expect(await codeOf(quotas.admit('k', { budget: 2 }, 'm', use))).toBe('insufficient_quota');
    await held.settle({ prompt: 0, completion: 0 });
    await quotas.ledger.flush();
    expect(await codeOf(quotas.admit('k', { budget: 2 }, 'm', use))).toBe('none');
  });

  it('are shared by servers on one store, each with its own set aside', async () => {
    const servers = [open(), open(), open()];
    let spent = 0;
    const one = async (quotas: Quotas): Promise<void> => {
      for (let refused = 0; refused < 3; ) {
        const lease = await quotas
          .admit('k', { budget: 400 }, 'm', { prompt: 2e6, completion: 0 })
          .catch(() => undefined);
        if (lease === undefined) refused++;
        else {
          spent++;
          void lease.settle({ prompt: 1e6, completion: 0 });
        }
        if (refused > 0) await new Promise((resolve) => setTimeout(resolve, 700));
      }
    };
    await Promise.all(servers.flatMap((quotas) => [one(quotas), one(quotas), one(quotas)]));
    await Promise.all(servers.map(({ ledger }) => ledger.flush()));
    const row = await store.rows.get<{ id: string; spent: number }>('key_spend', 'k');
    expect(row).toMatchObject({ spent, reserved: {} });
    // All of it could be used, and no more.
    expect(spent).toBeLessThanOrEqual(400);
    expect(spent).toBeGreaterThan(395);
  });

  it('keep what was spent over a restart, and forget what a killed server had set aside after an hour', async () => {
    const quotas = open();
    const spent = await quotas.admit('k', { budget: 3 }, 'm', { prompt: 1e6, completion: 0 });
    await spent.settle({ prompt: 1e6, completion: 0 });
    await quotas.admit('k', { budget: 3 }, 'm', { prompt: 1e6, completion: 0 });
    const next = open();
    const two = { prompt: 1e6, completion: 1e6 };
    expect(await codeOf(next.admit('k', { budget: 3 }, 'm', two))).toBe('insufficient_quota');
    at += 3_600_001;
    expect(await codeOf(next.admit('k', { budget: 3 }, 'm', two))).toBe('none');
  });

  it('begin anew each month', async () => {
    const quotas = open();
    const limits = { budget: 1, period: 'month' as const };
    const lease = await quotas.admit('k', limits, 'm', { prompt: 1e6, completion: 0 });
    await lease.settle({ prompt: 1e6, completion: 0 });
    expect(await codeOf(quotas.admit('k', limits, 'm', { prompt: 1, completion: 0 }))).toBe(
      'insufficient_quota',
    );
    at = Date.UTC(2026, 11, 1);
    expect(await codeOf(quotas.admit('k', limits, 'm', { prompt: 1, completion: 0 }))).toBe('none');
    expect((await quotas.ledger.row('k')).cost).toBe(1);
    expect(['total', 'month', 'day'].map((p) => periodOf(p as 'day', at))).toEqual([
      'total',
      '2026-12',
      '2026-12-01',
    ]);
  });

  it('admit nothing where the store cannot keep it', async () => {
    const broken = {
      ...store,
      rows: {
        ...store.rows,
        get: async () => undefined,
        put: async () => Promise.reject(new InkstoneError('disk_full', 'full', { kind: 'resource' })),
        update: async () => Promise.reject(new InkstoneError('disk_full', 'full', { kind: 'resource' })),
      },
    } as unknown as Store;
    const quotas = new Quotas({ ledger: new Ledger(broken, clock), prices: new Prices(), clock });
    const limits = { budget: 1, concurrency: 1, tokensPerMinute: 100 };
    for (let i = 0; i < 3; i++)
      expect(await codeOf(quotas.admit('k', limits, 'm', { prompt: 60, completion: 0 }))).toBe('disk_full');
  });
});
