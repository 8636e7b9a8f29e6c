/** A bounded queue in memory: so many run, so many wait, the rest is told when to come back. */
import type { QueueStatus, RequestQueue, Ticket } from '../base/contracts/queue.ts';
import { InkstoneError } from '../base/errors.ts';
import { monotonic } from '../base/host.ts';

interface Entry {
  id: string;
  priority: number;
  order: number;
  state: 'waiting' | 'running' | 'released';
  started: number;
  resolve?: () => void;
  reject?: (reason: unknown) => void;
  cancelled?: InkstoneError;
}

export class MemoryQueue implements RequestQueue {
  private readonly concurrency: number;
  private readonly capacity: number;
  private readonly waiting: Entry[] = [];
  private running = 0;
  private order = 0;
  private draining = false;
  /** Smoothed seconds that a request takes. */
  private duration = 1;
  private drained: (() => void)[] = [];

  /** @param options how many run at once, and how many may wait */
  constructor(options: { concurrency: number; capacity: number }) {
    this.concurrency = options.concurrency;
    this.capacity = options.capacity;
  }

  enter(options: { id: string; key?: string; priority?: number; signal?: AbortSignal }): Ticket {
    if (this.draining) {
      throw new InkstoneError('shutting_down', 'the server is shutting down', {
        kind: 'resource',
        hint: 'send the request again in a moment',
        details: { retryAfter: 2 },
      });
    }
    if (this.running >= this.concurrency && this.waiting.length >= this.capacity) {
      const retryAfter = Math.max(
        1,
        Math.ceil(((this.waiting.length + 1) / this.concurrency) * this.duration),
      );
      throw new InkstoneError('queue_full', 'too many requests are waiting', {
        kind: 'limit',
        hint: `send the request again in ${retryAfter} s`,
        details: { retryAfter },
      });
    }
    const entry: Entry = {
      id: options.id,
      priority: options.priority ?? 0,
      order: this.order++,
      state: 'waiting',
      started: 0,
    };
    if (this.running < this.concurrency && this.waiting.length === 0) this.begin(entry);
    else this.insert(entry);
    const { signal } = options;
    const cancel = (): void => this.cancel(entry);
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted === true) this.cancel(entry);
    return {
      id: entry.id,
      turn: () => this.turn(entry),
      release: () => {
        signal?.removeEventListener('abort', cancel);
        this.release(entry);
      },
    };
  }

  private insert(entry: Entry): void {
    const at = this.waiting.findIndex((other) => other.priority < entry.priority);
    this.waiting.splice(at < 0 ? this.waiting.length : at, 0, entry);
  }

  private begin(entry: Entry): void {
    entry.state = 'running';
    entry.started = monotonic();
    this.running++;
    entry.resolve?.();
  }

  private turn(entry: Entry): Promise<void> {
    if (entry.state === 'running') return Promise.resolve();
    if (entry.cancelled !== undefined || entry.state === 'released')
      return Promise.reject(entry.cancelled ?? cancelledError());
    return new Promise((resolve, reject) => {
      entry.resolve = resolve;
      entry.reject = reject;
    });
  }

  private cancel(entry: Entry): void {
    if (entry.state !== 'waiting') return;
    this.waiting.splice(this.waiting.indexOf(entry), 1);
    entry.state = 'released';
    entry.cancelled = cancelledError();
    entry.reject?.(entry.cancelled);
    this.settle();
  }

  private release(entry: Entry): void {
    if (entry.state === 'waiting') this.cancel(entry);
    if (entry.state !== 'running') return;
    entry.state = 'released';
    this.running--;
    this.duration = 0.8 * this.duration + (0.2 * (monotonic() - entry.started)) / 1000;
    while (this.running < this.concurrency && this.waiting.length > 0)
      this.begin(this.waiting.shift() as Entry);
    this.settle();
  }

  private settle(): void {
    if (this.running > 0 || this.waiting.length > 0) return;
    for (const resolve of this.drained.splice(0)) resolve();
  }

  status(): QueueStatus {
    return {
      running: this.running,
      waiting: this.waiting.length,
      concurrency: this.concurrency,
      capacity: this.capacity,
    };
  }

  drain(): Promise<void> {
    this.draining = true;
    if (this.running === 0 && this.waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.drained.push(resolve));
  }
}

function cancelledError(): InkstoneError {
  return new InkstoneError('cancelled', 'the request was cancelled', { kind: 'usage' });
}
