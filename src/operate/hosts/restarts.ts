/** When a process that ended is started again: with growing pauses, and no more once it does nothing but end. Knows no processes. */

export interface RestartSettings {
  /** Milliseconds before the first start anew; doubled from then on. */
  first: number;
  most: number;
  /** So many ends within so many milliseconds are a loop; those after steady work are none of them. */
  crashes: number;
  within: number;
  /** Milliseconds of work that are steady: the pauses are short again. */
  steady: number;
  /** Milliseconds for which a loop is left alone. */
  coolDown: number;
}

export const RESTARTS: RestartSettings = {
  first: 100,
  most: 30_000,
  crashes: 5,
  within: 300_000,
  steady: 30_000,
  coolDown: 30_000,
};

export class Restarts {
  private readonly settings: RestartSettings;
  private ends: number[] = [];
  private inRow = 0;

  constructor(settings: Partial<RestartSettings> = {}) {
    this.settings = { ...RESTARTS, ...settings };
  }

  get coolDown(): number {
    return this.settings.coolDown;
  }

  /** @param worked milliseconds that it was ready before it ended. @returns the pause, or undefined for a loop */
  ended(now: number, worked: number): number | undefined {
    const { first, most, crashes, within, steady } = this.settings;
    const well = worked >= steady;
    this.ends = this.ends.filter((at) => now - at < within);
    if (!well) this.ends.push(now);
    this.inRow = well ? 1 : this.inRow + 1;
    if (this.ends.length >= crashes) return undefined;
    return Math.min(most, first * 2 ** (this.inRow - 1));
  }
}
