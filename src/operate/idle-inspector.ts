/** An inspector that is opened when first asked for and put down when nobody has asked for a while. Knows no messages. */
import type { InspectionRequest, TextInspection } from '../base/contracts/inspection.ts';
import type { TextInspector } from './text-inspector.ts';

/** It holds the weights once more, so it does not stay for nothing. Milliseconds. */
const IDLE = 60_000;

export class IdleInspector {
  private readonly open: () => Promise<TextInspector>;
  private made: Promise<TextInspector> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private running = 0;

  constructor(open: () => Promise<TextInspector>) {
    this.open = open;
  }

  async inspect(request: InspectionRequest, signal: AbortSignal): Promise<TextInspection> {
    clearTimeout(this.timer);
    this.running++;
    try {
      // A failure is not kept: memory may be there the next time.
      this.made ??= this.open().catch((thrown: unknown) => {
        this.made = undefined;
        throw thrown;
      });
      return await (await this.made).inspect(request, signal);
    } finally {
      this.running--;
      if (this.running === 0) this.timer = setTimeout(() => void this.close(), IDLE).unref();
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    const { made } = this;
    this.made = undefined;
    await made?.then((one) => one.close()).catch(() => undefined);
  }
}
