/**
 * Time as schedulers need it: an instant that only grows, and a call later on. The system's, or one that a simulation
 * or a test moves by hand. Knows nothing of dates.
 */
import { monotonic } from './host.ts';

export interface Clock {
  /** Milliseconds that only grow. */
  now(): number;
  /** Calls once, so many milliseconds from now. Returns a function that takes it back. */
  after(milliseconds: number, react: () => void): () => void;
}

/** The longest that a timer of the system can wait. */
const LONGEST = 2 ** 31 - 1;

/** Its timers keep no process alive. */
export const systemClock: Clock = {
  now: monotonic,
  after(milliseconds, react) {
    const timer = setTimeout(react, Math.min(LONGEST, Math.max(0, milliseconds)));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

interface Planned {
  at: number;
  order: number;
  react(): void;
}

/** Stands still until it is moved; what was planned happens in order of time, then of planning. */
export class ManualClock implements Clock {
  private time = 0;
  private order = 0;
  /** A binary heap: the earliest first. */
  private readonly heap: Planned[] = [];

  now(): number {
    return this.time;
  }

  after(milliseconds: number, react: () => void): () => void {
    const planned: Planned = { at: this.time + Math.max(0, milliseconds), order: this.order++, react };
    this.heap.push(planned);
    this.rise(this.heap.length - 1);
    return () => {
      planned.react = () => undefined;
    };
  }

  /** When the next planned call is due; undefined where none is. */
  next(): number | undefined {
    return this.heap[0]?.at;
  }

  /** Moves to the next planned call and makes it; false where none is left. */
  step(): boolean {
    const first = this.heap[0];
    if (first === undefined) return false;
    const last = this.heap.pop() as Planned;
    if (this.heap.length > 0) {
      this.heap[0] = last;
      this.sink();
    }
    this.time = first.at;
    first.react();
    return true;
  }

  /** Moves on by so many milliseconds, with all that is due on the way. */
  advance(milliseconds: number): void {
    const end = this.time + milliseconds;
    while ((this.next() ?? Number.POSITIVE_INFINITY) <= end) this.step();
    this.time = end;
  }

  private earlier(a: number, b: number): boolean {
    const one = this.heap[a] as Planned;
    const other = this.heap[b] as Planned;
    return one.at < other.at || (one.at === other.at && one.order < other.order);
  }

  private swap(a: number, b: number): void {
    const one = this.heap[a] as Planned;
    this.heap[a] = this.heap[b] as Planned;
    this.heap[b] = one;
  }

  private rise(at: number): void {
    for (let child = at; child > 0; ) {
      const parent = (child - 1) >> 1;
      if (!this.earlier(child, parent)) return;
      this.swap(child, parent);
      child = parent;
    }
  }

  private sink(): void {
    for (let parent = 0; ; ) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2])
        if (child < this.heap.length && this.earlier(child, least)) least = child;
      if (least === parent) return;
      this.swap(parent, least);
      parent = least;
    }
  }
}
