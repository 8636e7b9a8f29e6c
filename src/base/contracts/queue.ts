/** A queue of requests in front of replicas. Bounded; a place is taken before any work is done. Types only. */

/** What a request costs, in tokens: what is read, and what is written. */
export interface TokenCost {
  prompt: number;
  answer: number;
}

export interface EnterOptions {
  id: string;
  key?: string;
  /** Higher goes first; default 0. */
  priority?: number;
  /** Gives the place back at once when it aborts. */
  signal?: AbortSignal;
  /** Each model has a queue of its own. */
  model?: string;
  /** As far as it is known: tokens of the prompt, and the most that the answer may have. */
  cost?: Partial<TokenCost>;
  /** Milliseconds within which its turn must come. */
  deadline?: number;
  /** Runs only where nobody waits for an answer. */
  batch?: boolean;
}

export interface Ticket {
  readonly id: string;
  /** Resolves when it is this ticket's turn. @throws InkstoneError `cancelled`, `deadline_exceeded`, `queue_full` */
  turn(): Promise<void>;
  /** Better known than when it entered. */
  expect(cost: Partial<TokenCost>): void;
  /** What it has really cost so far. */
  spent(cost: TokenCost): void;
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
  /** @throws InkstoneError `queue_full`, `deadline_unreachable` (kind `limit`, `details.retryAfter` in seconds) */
  enter(options: EnterOptions): Ticket;
  status(): QueueStatus;
  /** Refuses new tickets and resolves when the last one is released. */
  drain(): Promise<void>;
}
