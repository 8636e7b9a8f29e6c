/**
 * Watches one process from outside: that it starts in time, that its heart beats, that it stays within its memory. One
 * that is silent because it computes is given longer than one that does nothing. Knows no models; ends nothing itself.
 */
import { type Clock, systemClock } from '../../base/clock.ts';
import { InkstoneError } from '../../base/errors.ts';
import { type ProcessUse, processUse } from '../../base/machine.ts';

export interface WatchSettings {
  /** Milliseconds until it must be ready; progress starts them anew. */
  startWithin: number;
  /** Milliseconds of silence after which one that uses no processor time is hung. */
  silent: number;
  /** The same for one that computes, and where nobody can tell. */
  busy: number;
  /** Bytes of resident memory. */
  memory: number;
  /** Milliseconds between looks. */
  every: number;
}

export const WATCH: WatchSettings = {
  startWithin: 300_000,
  silent: 8_000,
  busy: 120_000,
  memory: Number.POSITIVE_INFINITY,
  every: 1_000,
};

export interface HostWatchOptions {
  /** The process, and what it is called. */
  process: number;
  name: string;
  settings?: Partial<WatchSettings>;
  clock?: Clock;
  use?(id: number): ProcessUse | undefined;
  /** Called once, with why it must end. */
  condemn(reason: InkstoneError): void;
}

export class HostWatch {
  private readonly options: HostWatchOptions;
  private readonly settings: WatchSettings;
  private readonly clock: Clock;
  private ready = false;
  private sign: number;
  private cpu = 0;
  /** When it was last seen to compute. */
  private computed: number;
  private cancel: () => void;
  private resident: number | undefined;
  private looked: number;

  constructor(options: HostWatchOptions) {
    this.options = options;
    this.settings = { ...WATCH, ...options.settings };
    this.clock = options.clock ?? systemClock;
    this.sign = this.clock.now();
    this.computed = this.sign;
    this.looked = this.sign;
    this.cancel = this.clock.after(this.settings.every, () => this.look());
  }

  /** Bytes, as the system says; undefined where it does not. */
  get memory(): number | undefined {
    return this.resident;
  }

  /** It said something. */
  alive(): void {
    this.sign = this.clock.now();
  }

  started(): void {
    this.ready = true;
    this.alive();
  }

  /** Its own word for its memory, where the system says nothing. */
  reported(memory: number): void {
    this.alive();
    if (this.resident === undefined) this.judgeMemory(memory);
  }

  stop(): void {
    this.cancel();
    this.cancel = () => undefined;
  }

  private look(): void {
    const now = this.clock.now();
    // This process slept or was held up itself: what the other said meanwhile has not been read yet.
    if (now - this.looked > 3 * this.settings.every) this.sign = now;
    this.looked = now;
    const use = (this.options.use ?? processUse)(this.options.process);
    this.cancel = this.clock.after(this.settings.every, () => this.look());
    if (use !== undefined) {
      // A beat and what it costs is no work: a twentieth of a processor is.
      if (use.cpu - this.cpu >= this.settings.every / 20) this.computed = now;
      this.cpu = use.cpu;
      this.resident = use.resident;
      if (this.judgeMemory(use.resident)) return;
    } else this.computed = now;
    const silence = now - this.sign;
    if (!this.ready) {
      if (silence >= this.settings.startWithin)
        this.end('replica_start_late', `did not start within ${seconds(this.settings.startWithin)} s`);
      else if (use?.running === false && silence >= this.settings.silent) this.hung(silence);
      return;
    }
    const idle = now - this.computed >= this.settings.silent || use?.running === false;
    if (silence >= (idle ? this.settings.silent : this.settings.busy)) this.hung(silence);
  }

  private hung(silence: number): void {
    this.end('replica_hung', `said nothing for ${seconds(silence)} s`);
  }

  private judgeMemory(bytes: number): boolean {
    const over = bytes > this.settings.memory;
    if (over)
      this.end(
        'replica_out_of_memory',
        `took ${megabytes(bytes)} MB of memory, and may take ${megabytes(this.settings.memory)}`,
      );
    return over;
  }

  private end(code: string, what: string): void {
    this.stop();
    this.options.condemn(
      new InkstoneError(code, `the process that runs ${this.options.name} ${what}`, {
        kind: 'resource',
        hint: 'send the request again; the model is being started anew',
        details: { retryAfter: 1 },
      }),
    );
  }
}

const seconds = (milliseconds: number): string => (milliseconds / 1000).toFixed(1).replace(/\.0$/, '');
const megabytes = (bytes: number): number => Math.round(bytes / 2 ** 20);
