/**
 * How fast a queue moves, measured while it is busy, and from that the time at which it is worth coming back. Knows
 * numbers only.
 */

/** Seconds of busy time after which an observation counts half. */
const HALF_LIFE = 30;
/** Seconds: nobody is sent away for less or for more. */
const SOONEST = 0.05;
const LATEST = 300;
/** Seconds that a request is taken to need before any was seen. */
const FIRST_GUESS = 1;

export class DrainMeter {
  private busy = 0;
  private done = 0;
  private seen = 0;
  /** Smoothed seconds that a request holds its place. */
  private held = FIRST_GUESS;
  private since: number | undefined;
  /** The instant, in milliseconds, that the last one who was sent away was told. */
  private promised = 0;

  /** Time counts while requests wait or all places are taken. */
  watch(busy: boolean, now: number): void {
    if (this.since !== undefined) this.add((now - this.since) / 1000);
    this.since = busy ? now : undefined;
  }

  private add(seconds: number): void {
    const keep = 0.5 ** (seconds / HALF_LIFE);
    this.busy = this.busy * keep + seconds;
    this.done *= keep;
  }

  /** A request gave its place back. @param held milliseconds that it had it */
  finished(held: number): void {
    if (this.since !== undefined) this.done++;
    this.held = this.seen === 0 ? held / 1000 : 0.8 * this.held + (0.2 * held) / 1000;
    this.seen++;
  }

  /** Requests a second that leave while the queue is busy. @param places how many run at once */
  rate(places: number): number {
    // Few observations say little; what one request holds its place for says how fast full places empty.
    const guess = places / Math.max(1e-3, this.held);
    const trust = Math.min(1, this.done / 4);
    const measured = this.busy > 0 ? this.done / this.busy : guess;
    return Math.max(1e-3, trust * measured + (1 - trust) * guess);
  }

  /** Seconds until one of so many in a row has its turn. */
  wait(ahead: number, places: number): number {
    return ahead / this.rate(places);
  }

  /**
   * Seconds after which a place in the queue will be free for this one too: those who were sent away before it come
   * back first.
   * @param excess how many must leave the queue before there is a place, at least 1
   */
  comeBack(excess: number, places: number, now: number): number {
    const rate = this.rate(places);
    const free = now + (1000 * excess) / rate;
    const behind = this.promised + 1000 / rate;
    this.promised = Math.min(now + 1000 * LATEST, Math.max(free, behind));
    return Math.max(SOONEST, (this.promised - now) / 1000);
  }
}
