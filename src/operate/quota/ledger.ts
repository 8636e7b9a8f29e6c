/**
 * What each key spent, kept in the store. Money is reserved before work and settled after it, both in one change of one row,
 * so that requests that come at once can never spend more than is there, in this server or in another on the same store.
 * Changes that come while one is being written go together with the next. Knows no tokens.
 */
import { randomUUID } from 'node:crypto';
import type { Row, Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';

export type Period = 'total' | 'month' | 'day';

export interface SpendRow extends Row {
  /** The period that `spent` is of: `2026-11`, `2026-11-26` or `total`. */
  period: string;
  spent: number;
  /** Since ever. */
  cost: number;
  prompt: number;
  completion: number;
  requests: number;
  reserved: Readonly<Record<string, { cost: number; until: number }>>;
  /** The last change, so that one that is sent twice is made once. */
  change?: string;
}

export interface Settlement {
  cost: number;
  prompt: number;
  completion: number;
}

interface Pending {
  apply(row: SpendRow): SpendRow | InkstoneError;
  resolve(): void;
  reject(thrown: unknown): void;
}

const COLLECTION = 'key_spend';
/** Milliseconds after which what a killed server reserved counts no more. */
const ABANDONED = 3_600_000;
/** Milliseconds that what is only booked may wait. */
const TOGETHER = 500;

export const periodOf = (period: Period, at: number): string => {
  const date = new Date(at).toISOString();
  return period === 'total' ? 'total' : date.slice(0, period === 'month' ? 7 : 10);
};

const empty = (id: string): SpendRow => ({
  ...{ id, period: 'total', spent: 0, cost: 0, prompt: 0, completion: 0, requests: 0, reserved: {} },
});

export class Ledger {
  private readonly store: Store;
  private readonly clock: () => number;
  private readonly pending = new Map<string, Pending[]>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly writing = new Map<string, Promise<void>>();

  constructor(store: Store, clock: () => number) {
    this.store = store;
    this.clock = clock;
  }

  /** What is there, without what was reserved and abandoned. */
  async row(key: string): Promise<SpendRow> {
    return (await this.store.rows.get<SpendRow>(COLLECTION, key)) ?? empty(key);
  }

  /**
   * Sets `cost` aside. With `lease` an earlier reservation is replaced, so that it never counts twice.
   * @throws InkstoneError `insufficient_quota`
   */
  async reserve(
    key: string,
    {
      budget,
      period,
      cost,
      lease = randomUUID(),
    }: { budget: number; period: Period; cost: number; lease?: string },
  ): Promise<string> {
    await this.change(key, (found) => {
      const at = this.clock();
      const row = this.current(found, period, at);
      const { [lease]: _, ...others } = row.reserved;
      const aside = Object.values(others).reduce((sum, one) => sum + one.cost, 0);
      // A sum of many small numbers may be off in its last digits.
      if (row.spent + aside + cost > budget * (1 + 1e-12))
        return new InkstoneError('insufficient_quota', 'this key’s budget is spent', {
          kind: 'limit',
          hint: 'ask the operator for more',
          details: { retry: false },
        });
      return { ...row, reserved: { ...others, [lease]: { cost, until: at + ABANDONED } } };
    });
    return lease;
  }

  /** Books what was used, and gives back what was set aside for it. */
  settle(
    key: string,
    used: Settlement,
    { lease, period }: { lease?: string | undefined; period: Period },
  ): Promise<void> {
    return this.change(
      key,
      (found) => {
        const row = this.current(found, period, this.clock());
        const reserved = { ...row.reserved };
        if (lease !== undefined) delete reserved[lease];
        return {
          ...row,
          reserved,
          spent: row.spent + used.cost,
          cost: row.cost + used.cost,
          prompt: row.prompt + used.prompt,
          completion: row.completion + used.completion,
          requests: row.requests + 1,
        };
        // Where nothing was set aside nobody waits for it: many go together.
      },
      lease === undefined ? TOGETHER : 0,
    );
  }

  /** A new period begins with nothing spent; what was set aside goes along. */
  private current(row: SpendRow, period: Period, at: number): SpendRow {
    const now = periodOf(period, at);
    const reserved = Object.fromEntries(Object.entries(row.reserved).filter(([, { until }]) => until > at));
    return { ...row, reserved, ...(row.period === now ? {} : { period: now, spent: 0 }) };
  }

  /** @param delay milliseconds in which others may join */
  private change(key: string, apply: Pending['apply'], delay = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.pending.get(key) ?? [];
      waiting.push({ apply, resolve, reject });
      this.pending.set(key, waiting);
      if (delay === 0) this.begin(key);
      else if (!this.timers.has(key)) this.timers.set(key, setTimeout(() => this.begin(key), delay).unref());
    });
  }

  private begin(key: string): void {
    clearTimeout(this.timers.get(key));
    this.timers.delete(key);
    if (this.writing.has(key)) return;
    const writing = this.write(key).finally(() => this.writing.delete(key));
    this.writing.set(key, writing);
  }

  private async write(key: string): Promise<void> {
    for (;;) {
      const batch = this.pending.get(key) ?? [];
      this.pending.delete(key);
      if (batch.length === 0) return;
      const change = randomUUID();
      let refused = new Map<Pending, InkstoneError>();
      try {
        await this.store.rows.update<SpendRow>(COLLECTION, key, (found) => {
          if (found?.change === change) return undefined;
          refused = new Map();
          let row = found ?? empty(key);
          for (const one of batch) {
            const next = one.apply(row);
            if (InkstoneError.is(next)) refused.set(one, next);
            else row = next;
          }
          return { ...row, change };
        });
        for (const one of batch) {
          const refusal = refused.get(one);
          if (refusal === undefined) one.resolve();
          else one.reject(refusal);
        }
      } catch (thrown) {
        for (const one of batch) one.reject(thrown);
      }
    }
  }

  /** Resolves when everything is written. */
  async flush(): Promise<void> {
    for (const key of [...this.timers.keys()]) this.begin(key);
    while (this.writing.size > 0) await Promise.all(this.writing.values());
  }
}
