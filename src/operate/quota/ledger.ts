/**
 * What each key spent, kept in the store. Money is reserved before work and settled after it, in changes of one row, so that
 * requests that come at once can never spend more than is there, in this server or in another on the same store. Each process
 * has one entry in it for all its requests; while there is plenty it holds more than they need (aside.ts), and most requests
 * wait for no write. Changes that come while one is being written go together with the next. Knows no tokens.
 */
import { randomUUID } from 'node:crypto';
import type { Row, Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { Aside, beyond } from './aside.ts';

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

/** What many settlements come to; written as one change. */
interface Booking extends Settlement {
  period: Period;
  requests: number;
  /** The part of it that is in this process's entry. */
  set: number;
  written: Promise<void>;
}

interface Pending {
  urgent: boolean;
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

/** An entry with so much less in it; one with nothing left is none. */
function lessened(
  reserved: SpendRow['reserved'],
  lease: string,
  by: number,
  at: number,
): SpendRow['reserved'] {
  const { [lease]: mine, ...others } = reserved;
  if (mine === undefined || mine.cost - by <= mine.cost * 1e-9) return others;
  return { ...others, [lease]: { cost: mine.cost - by, until: at + ABANDONED } };
}

export class Ledger {
  private readonly store: Store;
  private readonly clock: () => number;
  private readonly asides = new Map<string, Aside>();
  private readonly pending = new Map<string, Pending[]>();
  private readonly bookings = new Map<string, Booking>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly writing = new Map<string, Promise<void>>();
  /** Keys to be written once more when what is being written is. */
  private readonly again = new Set<string>();

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
    const aside = this.aside(key);
    if (aside.budget !== budget) this.giveBack(key);
    aside.budget = budget;
    const before = aside.costOf(lease);
    const need = cost - before;
    // Of what is there no other request takes the same: nothing waits in between.
    const taken = Math.min(Math.max(0, aside.free), need);
    aside.free -= taken;
    aside.hold(lease, cost);
    if (need > taken) {
      try {
        await this.fetch(key, { budget, period, need: need - taken, cost });
      } catch (thrown) {
        aside.free += taken;
        if (before > 0) aside.hold(lease, before);
        else aside.drop(lease);
        if (aside.idle) this.begin(key);
        throw thrown;
      }
    } else if (aside.low) {
      aside.fetching = true;
      const more = this.fetch(key, { budget, period, need: 0, cost });
      // Nobody waits for it; who finds nothing left asks again.
      void more
        .catch(() => undefined)
        .finally(() => {
          aside.fetching = false;
          if (aside.idle) this.begin(key);
        });
    }
    return lease;
  }

  /** Puts more into this process's entry: what is needed, and while there is plenty what the next ones will need. */
  private async fetch(
    key: string,
    { budget, period, need, cost }: { budget: number; period: Period; need: number; cost: number },
  ): Promise<void> {
    const aside = this.aside(key);
    let more = 0;
    const apply = (found: SpendRow): SpendRow | InkstoneError => {
      const at = this.clock();
      const row = this.current(found, period, at);
      const all = Object.values(row.reserved).reduce((sum, one) => sum + one.cost, 0);
      const room = budget - row.spent - all;
      // A sum of many small numbers may be off in its last digits.
      if (need > room + budget * 1e-12)
        return new InkstoneError('insufficient_quota', 'this key’s budget is spent', {
          kind: 'limit',
          hint: 'ask the operator for more',
          details: { retry: false },
        });
      more = beyond(cost, room - need);
      const mine = row.reserved[aside.lease]?.cost ?? 0;
      const entry = { cost: mine + need + more, until: at + ABANDONED };
      return { ...row, reserved: { ...row.reserved, [aside.lease]: entry } };
    };
    await this.change(key, apply, true);
    aside.fill(more);
  }

  private aside(key: string): Aside {
    const known = this.asides.get(key);
    if (known !== undefined) return known;
    const fresh = new Aside();
    this.asides.set(key, fresh);
    return fresh;
  }

  /**
   * Books what was used, and gives back what was set aside for it. Nothing of a request is kept until that is written: what
   * is returned is of many. Whoever does not wait for it need not look after its failure.
   */
  settle(
    key: string,
    used: Settlement,
    { lease, period }: { lease?: string | undefined; period: Period },
  ): Promise<void> {
    const aside = this.aside(key);
    const held = lease === undefined ? 0 : aside.drop(lease);
    // What was used leaves the entry when it is written; until then it is in it.
    if (lease !== undefined) aside.free += held - used.cost;
    const booking = this.booking(key, period);
    booking.cost += used.cost;
    booking.prompt += used.prompt;
    booking.completion += used.completion;
    booking.requests++;
    if (lease !== undefined) booking.set += used.cost;
    return booking.written;
  }

  /** What settlements are added to until it is written; nobody waits for it, and many go together. */
  private booking(key: string, period: Period): Booking {
    const open = this.bookings.get(key);
    if (open?.period === period) return open;
    const fresh = { period, cost: 0, prompt: 0, completion: 0, requests: 0, set: 0 };
    const written = this.change(
      key,
      (found) => {
        const at = this.clock();
        const row = this.current(found, period, at);
        const { cost, prompt, completion, requests, set } = fresh;
        return {
          ...row,
          reserved: set > 0 ? lessened(row.reserved, this.aside(key).lease, set, at) : row.reserved,
          spent: row.spent + cost,
          cost: row.cost + cost,
          prompt: row.prompt + prompt,
          completion: row.completion + completion,
          requests: row.requests + requests,
        };
      },
      false,
    );
    written.catch(() => undefined);
    const made = Object.assign(fresh, { written });
    this.bookings.set(key, made);
    return made;
  }

  /** What is set aside and nobody's is there for others again. */
  private giveBack(key: string): void {
    const aside = this.asides.get(key);
    const back = aside?.empty() ?? 0;
    if (aside === undefined || back === 0) return;
    const waiting = this.pending.get(key) ?? [];
    waiting.push({
      urgent: false,
      apply: (row) => ({ ...row, reserved: lessened(row.reserved, aside.lease, back, this.clock()) }),
      resolve: () => undefined,
      // It counts until it is abandoned.
      reject: () => undefined,
    });
    this.pending.set(key, waiting);
  }

  /** A new period begins with nothing spent; what was set aside goes along. */
  private current(row: SpendRow, period: Period, at: number): SpendRow {
    const now = periodOf(period, at);
    const reserved = Object.fromEntries(Object.entries(row.reserved).filter(([, { until }]) => until > at));
    return { ...row, reserved, ...(row.period === now ? {} : { period: now, spent: 0 }) };
  }

  /** @param urgent somebody waits for it; else it waits a while for others */
  private change(key: string, apply: Pending['apply'], urgent: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.pending.get(key) ?? [];
      waiting.push({ apply, urgent, resolve, reject });
      this.pending.set(key, waiting);
      if (this.writing.has(key)) return;
      if (urgent) this.begin(key);
      else this.beginLater(key);
    });
  }

  private begin(key: string): void {
    clearTimeout(this.timers.get(key));
    this.timers.delete(key);
    if (this.writing.has(key)) {
      this.again.add(key);
      return;
    }
    const writing = this.write(key).finally(() => {
      this.writing.delete(key);
      if (this.again.delete(key) || this.isUrgent(key)) this.begin(key);
      // What came meanwhile waits its while: a busy key would be written without end.
      else if (this.pending.has(key)) this.beginLater(key);
    });
    this.writing.set(key, writing);
  }

  private isUrgent(key: string): boolean {
    return this.pending.get(key)?.some(({ urgent }) => urgent) === true;
  }

  private beginLater(key: string): void {
    if (this.timers.has(key)) return;
    this.timers.set(key, setTimeout(() => this.begin(key), TOGETHER).unref());
  }

  /** What waits now, and what comes meanwhile as long as somebody waits for it. */
  private async write(key: string): Promise<void> {
    do {
      // Nothing of this key's is under way: the next write gives back.
      const aside = this.asides.get(key);
      if (aside?.idle === true && !aside.fetching) this.giveBack(key);
      const batch = this.pending.get(key) ?? [];
      this.pending.delete(key);
      // What is settled from now on is in the next write.
      this.bookings.delete(key);
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
    } while (this.isUrgent(key));
  }

  /** Resolves when everything is written. */
  async flush(): Promise<void> {
    for (const key of this.asides.keys()) this.begin(key);
    while (this.writing.size > 0 || this.pending.size > 0) {
      await Promise.all(this.writing.values());
      for (const key of this.pending.keys()) this.begin(key);
    }
  }
}
