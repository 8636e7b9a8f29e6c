/**
 * Who has had how much: the virtual token counter of Sheng et al. 2024, "Fairness in Serving Large Language Models"
 * (OSDI 24), algorithm 2 with weights and with predicted lengths (section 4.4). Knows keys and numbers, no requests.
 */
import type { TokenCost } from '../../base/contracts/queue.ts';

export interface FairShareOptions {
  /** What a token of a prompt and one of an answer weigh; the paper's are 1 and 2. */
  prompt?: number;
  answer?: number;
  /** How much of the machine a key is due beside the others; default 1 each. */
  weight?(key: string): number;
}

/** Keys whose counters are remembered while they have no request. */
const REMEMBERED = 4096;

export class FairShare {
  private readonly options: FairShareOptions;
  private readonly counters = new Map<string, number>();
  /** The counter of the key that was the last to leave the queue: where a new beginning stands. */
  private last = 0;

  constructor(options: FairShareOptions = {}) {
    this.options = options;
  }

  /** Service, in weighted tokens. */
  cost({ prompt, answer }: TokenCost): number {
    return prompt * (this.options.prompt ?? 1) + answer * (this.options.answer ?? 2);
  }

  counter(key: string): number {
    return this.counters.get(key) ?? 0;
  }

  /**
   * A key that had nothing waiting comes back: what it left unused is no credit.
   * @param active the keys that have something waiting now
   */
  arrive(key: string, active: Iterable<string>): void {
    let least = Number.POSITIVE_INFINITY;
    for (const other of active) least = Math.min(least, this.counter(other));
    const level = least === Number.POSITIVE_INFINITY ? this.last : least;
    this.put(key, Math.max(this.counter(key), level));
  }

  /** The key's last waiting request was taken. */
  leave(key: string): void {
    this.last = this.counter(key);
  }

  /** @param service weighted tokens; negative where more was charged than was used */
  charge(key: string, service: number): void {
    const weight = Math.max(1e-6, this.options.weight?.(key) ?? 1);
    this.put(key, this.counter(key) + service / weight);
  }

  private put(key: string, value: number): void {
    this.counters.delete(key);
    this.counters.set(key, value);
    if (this.counters.size > REMEMBERED) this.counters.delete(this.counters.keys().next().value as string);
  }
}
