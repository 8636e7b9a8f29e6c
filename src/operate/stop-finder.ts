/** Finds stop strings in text that arrives in pieces, and holds back an end that may become one. */

export class StopFinder {
  stopped = false;
  private readonly stops: readonly string[];
  private held = '';

  constructor(stops: readonly string[]) {
    this.stops = stops.filter((s) => s !== '');
  }

  /** Text that is safe to show; after a stop, what stood before it. */
  push(piece: string): { text: string; stopped: boolean } {
    if (this.stopped) return { text: '', stopped: true };
    const text = this.held + piece;
    let first = -1;
    for (const stop of this.stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    if (first >= 0) {
      this.stopped = true;
      this.held = '';
      return { text: text.slice(0, first), stopped: true };
    }
    const keep = this.openEnd(text);
    this.held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stopped: false };
  }

  /** Length of the longest end of `text` that begins a stop string. */
  private openEnd(text: string): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (text.endsWith(stop.slice(0, n))) {
          longest = n;
          break;
        }
      }
    }
    return longest;
  }

  /** What was held back, and a last piece. */
  end(piece: string): string {
    const { text, stopped } = this.push(piece);
    const rest = stopped ? '' : this.held;
    this.held = '';
    return text + rest;
  }
}
