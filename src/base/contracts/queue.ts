/** A queue of requests in front of replicas. Bounded; a place is taken before any work is done. Types only. */

export interface Ticket {
  readonly id: string;
  /** Resolves when it is this ticket's turn. @throws InkstoneError `cancelled` */
  turn(): Promise<void>;
  /** Gives the place back; safe to call twice. */
  release(): void;
}

export interface QueueStatus {
  running: number;
  waiting: number;
  /** Most that may run at once, and most that may wait. */
  concurrency: number;
  capacity: number;
}

export interface RequestQueue {
  /** @throws InkstoneError `queue_full` (kind `limit`, `details.retryAfter` in seconds) */
  enter(options: { id: string; key?: string; priority?: number; signal?: AbortSignal }): Ticket;
  status(): QueueStatus;
  /** Refuses new tickets and resolves when the last one is released. */
  drain(): Promise<void>;
}
