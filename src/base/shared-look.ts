/**
 * A look that costs much and that many want at once: whoever asks while one is under way shares the next, which begins
 * after they asked, so nobody is told what was so before. At most one runs and one waits. Knows nothing of what is looked at.
 */
export class SharedLook<T> {
  private readonly look: () => Promise<T>;
  private running: Promise<unknown> | undefined;
  private next: Promise<T> | undefined;

  constructor(look: () => Promise<T>) {
    this.look = look;
  }

  /** @throws what the look throws, to all that share it */
  get(): Promise<T> {
    if (this.running === undefined) return this.begin();
    this.next ??= this.running.then(() => {
      this.next = undefined;
      return this.begin();
    });
    return this.next;
  }

  private begin(): Promise<T> {
    const look = this.look();
    const running = look
      .catch(() => undefined)
      .then(() => {
        if (this.running === running) this.running = undefined;
      });
    this.running = running;
    return look;
  }
}
