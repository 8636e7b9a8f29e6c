/** A token bucket: so much a minute, at once or spread out. Time is given, nothing is read. */

export class Bucket {
  readonly limit: number;
  private level: number;
  private at: number;

  /** @param limit units a minute; the bucket holds a minute's */
  constructor(limit: number, at: number) {
    this.limit = limit;
    this.level = limit;
    this.at = at;
  }

  private refill(at: number): void {
    // A clock that went back gives nothing.
    if (at > this.at) this.level = Math.min(this.limit, this.level + ((at - this.at) * this.limit) / 60_000);
    this.at = Math.max(this.at, at);
  }

  /** Whole units that are there. */
  remaining(at: number): number {
    this.refill(at);
    return Math.max(0, Math.floor(this.level + 1e-9));
  }

  /** Milliseconds until so many are there; Infinity where the bucket never holds them. */
  wait(units: number, at: number): number {
    this.refill(at);
    if (units > this.limit) return Number.POSITIVE_INFINITY;
    return Math.max(0, ((units - this.level) * 60_000) / this.limit);
  }

  /** Takes what is there or nothing. */
  take(units: number, at: number): boolean {
    if (this.wait(units, at) > 1e-6) return false;
    this.level -= units;
    return true;
  }

  /** Takes what was used already, into debt where it must; negative units are given back. */
  force(units: number, at: number): void {
    this.refill(at);
    this.level = Math.min(this.limit, this.level - units);
  }

  /** Milliseconds until it is full. */
  reset(at: number): number {
    this.refill(at);
    return ((this.limit - this.level) * 60_000) / this.limit;
  }
}
