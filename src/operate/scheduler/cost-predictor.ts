/** How long an answer will be, from how much of its allowance the key's last ones used. Knows numbers only. */

const REMEMBERED = 1024;
/** Before anything was seen an answer is taken to use this part of what it may. */
const FIRST_GUESS = 0.5;
const SMOOTHING = 0.15;

export class CostPredictor {
  private readonly shares = new Map<string, number>();

  /** Tokens. @param limit most that the answer may have */
  predict(key: string, limit: number): number {
    return Math.max(1, Math.round(limit * (this.shares.get(key) ?? FIRST_GUESS)));
  }

  /** @param tokens what the answer had at its end */
  learn(key: string, limit: number, tokens: number): void {
    if (limit <= 0) return;
    const share = Math.min(1, tokens / limit);
    const before = this.shares.get(key);
    this.shares.delete(key);
    this.shares.set(key, before === undefined ? share : before + SMOOTHING * (share - before));
    if (this.shares.size > REMEMBERED) this.shares.delete(this.shares.keys().next().value as string);
  }
}
