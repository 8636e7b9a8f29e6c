/**
 * The requests of one model: who runs, who waits, who is next. Places are bounded by number and by predicted tokens;
 * batch work gets what nobody else wants. Knows no models and no HTTP.
 */

import type { Clock } from '../../base/clock.ts';
import type { TokenCost } from '../../base/contracts/queue.ts';
import { CostPredictor } from './cost-predictor.ts';
import { DrainMeter } from './drain-meter.ts';
import { cancelled, type Entry, expired, queueFull, unreachable } from './entry.ts';
import type { FairShare } from './fair-share.ts';
import { WaitingLine } from './waiting-line.ts';

export interface LaneOptions {
  clock: Clock;
  fair: FairShare;
  /** `first-come` serves in order of arrival whoever asks. */
  policy: 'fair' | 'first-come';
  /** Requests that run at once, and that may wait; batch work waits beside them, as many again. */
  places: number;
  capacity: number;
  /** Tokens, read and written, that may be inside at once; one request always may. */
  tokens: number;
  /** Part of the places that batch work leaves free for who comes next. */
  reserve: number;
}

export interface LaneSnapshot {
  running: number;
  waiting: number;
  batchRunning: number;
  batchWaiting: number;
  places: number;
  capacity: number;
  /** Predicted tokens of what runs. */
  tokens: number;
  /** Requests a second that leave while the lane is busy. */
  rate: number;
  /** Seconds that the one who waits longest has waited. */
  oldest: number;
  /** Since the start. */
  admitted: number;
  refused: number;
  expired: number;
  cancelled: number;
  finished: number;
}

export class Lane {
  private readonly options: LaneOptions;
  private places: number;
  private readonly line = new WaitingLine();
  private readonly batch = new WaitingLine();
  private readonly running = new Set<Entry>();
  private batchRunning = 0;
  private tokens = 0;
  private readonly meter = new DrainMeter();
  private readonly predictor = new CostPredictor();
  private timer: { at: number; stop(): void } | undefined;
  private readonly counts = { admitted: 0, refused: 0, expired: 0, cancelled: 0, finished: 0 };

  constructor(options: LaneOptions) {
    this.options = options;
    this.places = options.places;
  }

  get idle(): boolean {
    return this.running.size === 0 && this.line.size === 0 && this.batch.size === 0;
  }

  get waitingCount(): number {
    return this.line.size + this.batch.size;
  }

  /** Without batch work. */
  get interactiveWaiting(): number {
    return this.line.size;
  }

  get runningCount(): number {
    return this.running.size;
  }

  setPlaces(places: number): void {
    this.places = places;
    this.dispatch();
  }

  /** @throws InkstoneError `queue_full`, `deadline_unreachable` */
  enter(entry: Entry, prompt: number, full: boolean): void {
    const { clock, capacity, fair } = this.options;
    const line = this.lineOf(entry);
    entry.expected = {
      prompt,
      answer: entry.limit === 0 ? 0 : this.predictor.predict(entry.key, entry.limit),
    };
    const direct = line.size === 0 && this.fits(entry);
    if (!direct) {
      if (line.size >= capacity || full) this.pushOut(entry, line, full);
      this.checkDeadline(entry, line);
    }
    if (line.count(entry.key) === 0) fair.arrive(entry.key, line.active());
    line.add(entry);
    this.counts.admitted++;
    this.dispatch();
    if (entry.state === 'waiting' && entry.dueAt < (this.timer?.at ?? Number.POSITIVE_INFINITY)) this.arm();
    this.watch(clock.now());
  }

  /** Room for one more: the last of whoever waits most goes, if that is somebody who has more places than this one. */
  private pushOut(entry: Entry, line: WaitingLine, full: boolean): void {
    const last = line.last();
    const fairer =
      this.options.policy === 'fair' &&
      last !== undefined &&
      last.priority <= entry.priority &&
      line.count(last.key) > line.count(entry.key) + 1;
    this.counts.refused++;
    const excess = full && line.size < this.options.capacity ? 1 : line.size - this.options.capacity + 1;
    const error = queueFull(this.meter.comeBack(Math.max(1, excess), this.places, this.options.clock.now()));
    if (!fairer) throw error;
    this.drop(last, error);
  }

  private checkDeadline(entry: Entry, line: WaitingLine): void {
    const { clock } = this.options;
    if (entry.dueAt === Number.POSITIVE_INFINITY) return;
    // At most what waits now; under fair shares no more than its own ones ahead times the keys that take turns.
    let keys = line.count(entry.key) === 0 ? 1 : 0;
    for (const _ of line.active()) keys++;
    const ahead =
      this.options.policy === 'fair' ? Math.min(line.size, (line.count(entry.key) + 1) * keys) : line.size;
    const wait = this.meter.wait(Math.max(1, ahead), this.places);
    const deadline = entry.dueAt - clock.now();
    if (1000 * wait <= deadline) return;
    this.counts.refused++;
    throw unreachable(wait, deadline, Math.max(0.05, wait - deadline / 1000));
  }

  private lineOf(entry: Entry): WaitingLine {
    return entry.batch ? this.batch : this.line;
  }

  private fits(entry: Entry): boolean {
    const { reserve, tokens } = this.options;
    const places = entry.batch ? Math.max(1, this.places - Math.floor(reserve * this.places)) : this.places;
    if (this.running.size >= places || this.places === 0) return false;
    if (entry.batch && this.line.size > 0) return false;
    return this.running.size === 0 || this.tokens + total(entry.expected) <= tokens;
  }

  private dispatch(): void {
    for (;;) {
      const line = this.line.size > 0 ? this.line : this.batch;
      const next =
        this.options.policy === 'fair'
          ? line.fair((key) => this.options.fair.counter(key))
          : line.firstCome();
      if (next === undefined || !this.fits(next)) return;
      line.remove(next);
      if (line.count(next.key) === 0) this.options.fair.leave(next.key);
      this.begin(next);
    }
  }

  private begin(entry: Entry): void {
    entry.state = 'running';
    entry.startedAt = this.options.clock.now();
    this.running.add(entry);
    if (entry.batch) this.batchRunning++;
    this.tokens += total(entry.expected);
    this.charge(entry, entry.expected);
    entry.resolve?.();
  }

  private charge(entry: Entry, cost: TokenCost): void {
    const due = this.options.fair.cost(cost);
    this.options.fair.charge(entry.key, due - entry.charged);
    entry.charged = due;
  }

  /** Better known: changes what is predicted of it, before and after its turn. */
  expect(entry: Entry, { prompt, answer }: Partial<TokenCost>): void {
    if (entry.state === 'released') return;
    if (answer !== undefined) entry.limit = answer;
    const expected = {
      prompt: prompt ?? entry.expected.prompt,
      answer: answer === undefined ? entry.expected.answer : this.predictor.predict(entry.key, answer),
    };
    this.replace(entry, expected);
  }

  private replace(entry: Entry, expected: TokenCost): void {
    const before = total(entry.expected);
    entry.expected = expected;
    if (entry.state !== 'running') return;
    this.tokens += total(expected) - before;
    this.charge(entry, expected);
    if (total(expected) < before) this.dispatch();
  }

  /** What it has cost so far; an answer that is longer than predicted is charged as it grows. */
  spent(entry: Entry, used: TokenCost): void {
    if (entry.state !== 'running') return;
    entry.used = used;
    const { prompt, answer } = entry.expected;
    if (used.prompt !== prompt || used.answer > answer)
      this.replace(entry, { prompt: used.prompt, answer: Math.max(used.answer, answer) });
  }

  /** Takes it out whatever it does; an error is told to who waits for its turn. */
  leave(entry: Entry): void {
    if (entry.state === 'waiting') {
      this.counts.cancelled++;
      this.drop(entry, cancelled());
    } else if (entry.state === 'running') this.finish(entry);
  }

  private drop(entry: Entry, error: Entry['failure'] & object): void {
    this.lineOf(entry).remove(entry);
    if (this.lineOf(entry).count(entry.key) === 0) this.options.fair.leave(entry.key);
    entry.state = 'released';
    entry.failure = error;
    entry.reject?.(error);
    this.dispatch();
    this.watch(this.options.clock.now());
  }

  private finish(entry: Entry): void {
    const now = this.options.clock.now();
    entry.state = 'released';
    this.running.delete(entry);
    if (entry.batch) this.batchRunning--;
    this.tokens -= total(entry.expected);
    if (entry.used !== undefined) {
      this.charge(entry, entry.used);
      this.predictor.learn(entry.key, entry.limit, entry.used.answer);
    }
    this.counts.finished++;
    this.meter.watch(this.busy(1), now);
    this.meter.finished(now - entry.startedAt);
    this.dispatch();
    this.watch(now);
  }

  /** All places are taken, or somebody waits. @param more places that were taken a moment ago */
  private busy(more = 0): boolean {
    return this.line.size > 0 || this.batch.size > 0 || this.running.size + more >= this.places;
  }

  private watch(now: number): void {
    this.meter.watch(this.busy(), now);
  }

  private arm(): void {
    let at = Number.POSITIVE_INFINITY;
    for (const line of [this.line, this.batch]) for (const one of line.all()) at = Math.min(at, one.dueAt);
    this.timer?.stop();
    this.timer = undefined;
    if (at === Number.POSITIVE_INFINITY) return;
    const stop = this.options.clock.after(at - this.options.clock.now(), () => this.expire());
    this.timer = { at, stop };
  }

  private expire(): void {
    const now = this.options.clock.now();
    this.timer = undefined;
    for (const line of [this.line, this.batch])
      for (const entry of [...line.all()]) {
        // One that was dropped may have let another begin.
        if (entry.state !== 'waiting' || entry.dueAt > now) continue;
        this.counts.expired++;
        this.drop(entry, expired(this.meter.comeBack(1, this.places, now)));
      }
    this.arm();
  }

  snapshot(): LaneSnapshot {
    const now = this.options.clock.now();
    let oldest = 0;
    for (const line of [this.line, this.batch])
      for (const entry of line.all()) oldest = Math.max(oldest, (now - entry.enteredAt) / 1000);
    return {
      running: this.running.size - this.batchRunning,
      waiting: this.line.size,
      batchRunning: this.batchRunning,
      batchWaiting: this.batch.size,
      places: this.places,
      capacity: this.options.capacity,
      tokens: this.tokens,
      rate: this.meter.rate(this.places),
      oldest,
      ...this.counts,
    };
  }
}

const total = ({ prompt, answer }: TokenCost): number => prompt + answer;
