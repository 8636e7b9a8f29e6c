/**
 * What this process has set aside of one key's budget: one entry in the key's row for all its requests, larger than they need
 * while there is plenty, so that most of them need no write. Knows no store.
 */
import { randomUUID } from 'node:crypto';

/** More than what is asked for is set aside while the budget has room for so many times as much; of that room so large a part, at most for so many requests. */
const PLENTY = 64;
const PART = 1 / 16;
const MOST = 1024;
/** Part of what was last set aside that is left when more is fetched. */
const LOW = 0.5;

export class Aside {
  /** Names the entry in the row. */
  readonly lease = randomUUID();
  /** In the row, and nobody's yet. */
  free = 0;
  /** What `free` was when it was last filled. */
  private filled = 0;
  /** Cost of each open reservation, by its id. */
  private readonly open = new Map<string, number>();
  /** More is on its way. */
  fetching = false;
  /** What it was set aside of; another one is another matter. */
  budget: number | undefined;

  get idle(): boolean {
    return this.open.size === 0;
  }

  costOf(id: string): number {
    return this.open.get(id) ?? 0;
  }

  hold(id: string, cost: number): void {
    this.open.set(id, cost);
  }

  /** @returns what was held */
  drop(id: string): number {
    const cost = this.costOf(id);
    this.open.delete(id);
    return cost;
  }

  get low(): boolean {
    return this.filled > 0 && this.free < LOW * this.filled && !this.fetching;
  }

  fill(more: number): void {
    this.free += more;
    this.filled = more > 0 ? Math.max(this.free, more) : 0;
  }

  /** What is given back, all of it that is nobody's. */
  empty(): number {
    const { free } = this;
    this.free = 0;
    this.filled = 0;
    return free;
  }
}

/** What to set aside beyond `need`, of `room` in the budget. */
export function beyond(need: number, room: number): number {
  return need > 0 && room > PLENTY * need ? Math.min(PART * room, MOST * need) : 0;
}
