/**
 * Whether somebody is asked at all: closed while it answers, open for a while after failures in a row, then half open
 * for one trial. Knows no requests (Nygard, "Release It!", 2007).
 */
export interface BreakerSettings {
  /** Failures in a row that open it. */
  failures: number;
  /** Milliseconds that it stays open; doubled each time that the trial fails. */
  open: number;
  most: number;
}

export const BREAKER: BreakerSettings = { failures: 5, open: 1000, most: 60_000 };

export type BreakerState = 'closed' | 'open' | 'half-open';

export class Breaker {
  private readonly settings: BreakerSettings;
  private inRow = 0;
  private opened: number | undefined;
  private pause: number;
  private trying = false;
  /** Times that it opened, since the start. */
  opens = 0;

  constructor(settings: Partial<BreakerSettings> = {}) {
    this.settings = { ...BREAKER, ...settings };
    this.pause = this.settings.open;
  }

  state(now: number): BreakerState {
    if (this.opened === undefined) return 'closed';
    return now - this.opened >= this.pause ? 'half-open' : 'open';
  }

  /** Whether one more may be sent now. */
  allows(now: number): boolean {
    const state = this.state(now);
    return state === 'closed' || (state === 'half-open' && !this.trying);
  }

  /** One is sent. */
  sent(now: number): void {
    if (this.state(now) === 'half-open') this.trying = true;
  }

  succeeded(): void {
    this.inRow = 0;
    this.trying = false;
    this.opened = undefined;
    this.pause = this.settings.open;
  }

  failed(now: number): void {
    this.inRow++;
    if (this.opened !== undefined) {
      if (!this.trying) return;
      this.trying = false;
      this.pause = Math.min(this.settings.most, 2 * this.pause);
      this.opened = now;
      this.opens++;
    } else if (this.inRow >= this.settings.failures) {
      this.opened = now;
      this.opens++;
    }
  }

  /** What was sent says nothing: it was given up by the client. */
  abandoned(): void {
    this.trying = false;
  }

  /** Milliseconds until a trial. */
  wait(now: number): number {
    return this.opened === undefined ? 0 : Math.max(0, this.pause - (now - this.opened));
  }
}
