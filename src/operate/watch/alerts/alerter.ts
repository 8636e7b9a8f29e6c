/**
 * Looks at the numbers every few seconds, steps the alerts and tells people. Keeps history, states and silences over restarts in
 * the home folder. Knows no rules by name.
 */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Row, Store } from '../../../base/contracts/store.ts';
import { InkstoneError } from '../../../base/errors.ts';
import { exists, makeFolder, readText, now as wallClock, writeFile } from '../../../base/host.ts';
import type { Metrics } from '../metrics.ts';
import { Overview } from '../overview.ts';
import type { AlertConfig } from './config.ts';
import type { Expression } from './expression.ts';
import { History, sampleOf } from './history.ts';
import { isSilenced, type Notification, Notifier, type Silence } from './notify.ts';
import { type Receiver, tell } from './receivers.ts';
import { type Rule, rulesFor } from './rules.ts';
import { type AlertState, step } from './state.ts';

export interface AlerterOptions {
  home: string;
  store: Store;
  metrics: Metrics;
  config: AlertConfig;
  log?: ((message: string, details: Record<string, unknown>) => void) | undefined;
  clock?: () => number;
  /** Default: by webhook and e-mail. */
  send?: (to: Receiver, notification: Notification) => Promise<void>;
}

interface SilenceRow extends Row, Silence {
  id: string;
}

const COLLECTION = 'silences';
/** Milliseconds between two writes of the history. */
const KEEP_EVERY = 300_000;

/** Silences are rows, so that the command line and several servers share them. */
export class Silences {
  private readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  /** Those that last, and the rows of those that are over removed. */
  async list(now: number): Promise<Silence[]> {
    const rows = await this.store.rows.list<SilenceRow>(COLLECTION);
    for (const { id, until } of rows) if (until <= now) await this.store.rows.remove(COLLECTION, id);
    return rows.filter(({ until }) => until > now);
  }

  async add(given: Omit<Silence, 'id'>): Promise<Silence> {
    const row: SilenceRow = { ...given, id: `silence-${randomBytes(6).toString('hex')}` };
    await this.store.rows.put(COLLECTION, row);
    return row;
  }

  /** @throws InkstoneError `silence_missing` */
  async remove(id: string): Promise<void> {
    if (/^silence-[0-9a-f]{12}$/.test(id) && (await this.store.rows.remove(COLLECTION, id))) return;
    throw new InkstoneError('silence_missing', `there is no silence ${id}`, { kind: 'missing' });
  }
}

export interface ShownAlert extends AlertState {
  silenced: boolean;
}

export class Alerter {
  readonly rules: readonly Rule[];
  readonly silences: Silences;
  readonly history = new History();
  readonly overview = new Overview();
  private readonly options: AlerterOptions;
  private readonly notifier: Notifier;
  private readonly clock: () => number;
  private readonly wanted: readonly Expression[];
  private states: AlertState[] = [];
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();
  private telling: Promise<void> = Promise.resolve();
  private kept = 0;

  constructor(options: AlerterOptions) {
    const { config, store, clock = wallClock } = options;
    this.options = options;
    this.clock = clock;
    this.silences = new Silences(store);
    this.notifier = new Notifier(config.group);
    this.rules = rulesFor(config.objectives).filter(({ id }) => !config.off.includes(id));
    this.wanted = this.rules.flatMap(({ when }) => when.map(({ value }) => value));
  }

  private get file(): string {
    return path.join(this.options.home, 'watch', 'history.json');
  }

  async start(): Promise<void> {
    await this.restore();
    const every = this.options.config.every * 1000;
    const again = (): void => {
      this.timer = setTimeout(() => {
        this.looking = this.look()
          .catch((thrown: unknown) =>
            this.options.log?.('alerts were not evaluated', { error: String(thrown) }),
          )
          .finally(() => {
            if (this.timer !== undefined) again();
          });
      }, every);
      this.timer.unref();
    };
    again();
  }

  private async restore(): Promise<void> {
    try {
      if (await exists(this.file)) this.history.restore(JSON.parse(await readText(this.file)));
    } catch (thrown) {
      // A history that cannot be read is begun anew; alerts must not keep the server from its work.
      this.options.log?.('the alerts’ history was not readable', { error: String(thrown) });
    }
  }

  /** One look: numbers, rules, words. */
  async look(): Promise<void> {
    const at = this.clock();
    const { metrics, config, log } = this.options;
    const readings = await metrics.readings();
    this.history.add(at, sampleOf(readings, this.wanted));
    this.overview.look(at, readings);
    const before = this.states;
    this.states = step(this.rules, before, this.history, at);
    metrics.reset('alerts');
    for (const { rule, severity, state } of this.states)
      if (state === 'firing') metrics.set('alerts', 1, { rule, severity });
    for (const one of this.states) {
      const old = before.find(({ rule }) => rule === one.rule);
      if (one.state !== 'pending' && old?.state !== one.state)
        log?.(`alert ${one.state}`, {
          rule: one.rule,
          severity: one.severity,
          value: one.value,
          summary: one.summary,
        });
    }
    const silences = await this.silences.list(at);
    for (const notification of this.notifier.take(this.states, silences, at))
      this.send(notification, config.receivers);
    if (at - this.kept >= KEEP_EVERY) await this.keep(at);
  }

  private send(notification: Notification, receivers: readonly Receiver[]): void {
    const send = this.options.send ?? tell;
    const told = receivers.map((to) =>
      send(to, notification).catch((thrown: unknown) =>
        this.options.log?.('nobody was told of an alert', {
          receiver: to.type,
          error: InkstoneError.from(thrown).message,
        }),
      ),
    );
    // What it resolves to is dropped: else each would hold all before it.
    this.telling = Promise.all([this.telling, ...told]).then(() => undefined);
  }

  private async keep(at: number): Promise<void> {
    this.kept = at;
    await makeFolder(path.dirname(this.file));
    await writeFile(this.file, JSON.stringify(this.history));
  }

  async alerts(): Promise<ShownAlert[]> {
    const at = this.clock();
    const silences = await this.silences.list(at);
    return this.states.map((one) => ({ ...one, silenced: isSilenced(one.rule, silences, at) }));
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    await this.looking;
    await this.telling;
    if (this.kept > 0) await this.keep(this.clock()).catch(() => undefined);
  }
}
