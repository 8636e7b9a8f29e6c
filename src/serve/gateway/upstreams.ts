/**
 * The servers behind a gateway: looked at now and then, compared with each other, chosen from. Knows models and versions,
 * no requests' contents.
 */
import { type Clock, systemClock } from '../../base/clock.ts';
import { InkstoneError } from '../../base/errors.ts';
import { Random } from '../../base/rng.ts';
import { Balancer } from '../../operate/balance/balancer.ts';
import { ejectOutliers, type OutlierSettings } from '../../operate/balance/outliers.ts';
import { Rollout, type RolloutSnapshot } from '../../operate/balance/rollout.ts';
import { Target, type TargetSnapshot } from '../../operate/balance/target.ts';
import { type Connections, whole } from './call.ts';
import type { GatewaySettings, RolloutRequest, UpstreamSettings } from './config.ts';

export interface Upstream {
  settings: UpstreamSettings;
  /** Ends in `/v1`. */
  base: string;
  target: Target;
  /** Names of clients to names there; undefined before it said. */
  models: Map<string, string> | undefined;
  /** Looks in a row that it did not answer. */
  silent: number;
  /** Gives up what is under way there, one for each request. */
  underWay: Set<() => void>;
}

export interface UpstreamsSnapshot {
  upstreams: readonly (TargetSnapshot & { url: string; tier: number; models: readonly string[] | null })[];
  rollout: RolloutSnapshot | null;
  affine: number;
  chosen: number;
}

export interface UpstreamsOptions {
  settings: GatewaySettings;
  connections: Connections;
  outliers?: Partial<OutlierSettings>;
  clock?: Clock;
  seed?: number;
  log?(message: string, details: Record<string, unknown>): void;
}

/** Looks between two comparisons of the servers with each other. */
const COMPARE = 5;
/** Looks without an answer after which what is under way there is given up: nobody waits for a server that is cut off. */
const LOST = 2;
/** Milliseconds for a look. */
const PATIENCE = 5000;
const LARGEST_LIST = 4 * 2 ** 20;

export class Upstreams {
  readonly all: Upstream[];
  rollout: Rollout | undefined;
  private readonly options: UpstreamsOptions;
  private readonly clock: Clock;
  private readonly balancer: Balancer;
  private looks = 0;
  private stopTimer: () => void = () => undefined;
  private readonly closing = new AbortController();

  constructor(options: UpstreamsOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    const { upstreams, policy, rollout } = options.settings;
    this.all = upstreams.map((settings) => upstreamOf(settings));
    const names = this.all.map(({ target }) => target.name);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined)
      throw new InkstoneError('upstream_twice', `two servers are called ${twice}`, {
        kind: 'usage',
        hint: 'give each a name of its own',
      });
    this.balancer = new Balancer({ policy, random: new Random(options.seed ?? 1, 'gateway') });
    if (rollout !== undefined) this.startRollout(rollout);
  }

  /** Looks at all of them, and goes on doing so. */
  async start(): Promise<void> {
    await this.look();
    const again = (): void => {
      this.stopTimer = this.clock.after(1000 * this.options.settings.health, () => {
        void this.look().finally(again);
      });
    };
    again();
  }

  stop(): void {
    this.stopTimer();
    this.closing.abort();
  }

  async look(): Promise<void> {
    await Promise.all(this.all.map((one) => this.lookAt(one)));
    if (this.closing.signal.aborted) return;
    const now = this.clock.now();
    if (++this.looks % COMPARE === 0) {
      const out = ejectOutliers(
        this.all.map(({ target }) => target),
        now,
        this.options.outliers,
      );
      for (const { name } of out) this.options.log?.('server left out for a while', { upstream: name });
    }
    const before = this.rollout?.state;
    if (this.rollout?.decide(now) === 'rolled-back' && before === 'running')
      this.options.log?.('roll-out taken back', { ...this.rollout.snapshot() });
  }

  /** What models it has is also the question whether it is there; any OpenAI-compatible server answers it. */
  private async lookAt(one: Upstream): Promise<void> {
    const { target, settings, base } = one;
    let healthy = false;
    const call = this.options.connections.call(
      `${base}/models`,
      { method: 'GET', headers: keyOf(settings) },
      PATIENCE,
    );
    const late = setTimeout(call.cancel, PATIENCE);
    this.closing.signal.addEventListener('abort', call.cancel);
    try {
      const { status, body } = await call.head;
      const text = await whole(body, LARGEST_LIST);
      healthy = status < 500;
      if (settings.models === undefined && status === 200 && text !== undefined) {
        const { data } = JSON.parse(text.toString('utf8')) as { data?: { id?: unknown }[] };
        const names = (data ?? []).flatMap(({ id }) => (typeof id === 'string' ? [id] : []));
        one.models = new Map(names.map((name) => [name, name]));
      }
    } catch {
      healthy = false;
    } finally {
      clearTimeout(late);
      this.closing.signal.removeEventListener('abort', call.cancel);
    }
    if (this.closing.signal.aborted) return;
    if (healthy !== target.healthy) {
      this.options.log?.(healthy ? 'server is back' : 'server does not answer', { upstream: target.name });
      // One that was away may have been started anew.
      if (healthy) this.balancer.forget(target.name);
    }
    target.healthy = healthy;
    one.silent = healthy ? 0 : one.silent + 1;
    if (one.silent < LOST || one.underWay.size === 0) return;
    this.options.log?.('requests given up', { upstream: target.name, requests: one.underWay.size });
    for (const giveUp of [...one.underWay]) giveUp();
  }

  startRollout({ from, to, steps, seconds, requests, failures, slower }: RolloutRequest): void {
    for (const version of [from, to])
      if (!this.all.some(({ target }) => target.version === version))
        throw new InkstoneError('version_missing', `no server has the version "${version}"`, {
          kind: 'missing',
          hint: `there is ${[...new Set(this.all.map(({ target }) => `"${target.version}"`))].join(', ')}`,
        });
    this.rollout = new Rollout(from, to, this.clock.now(), {
      ...{ steps, step: 1000 * seconds, requests, failures, slower },
    });
  }

  /** @throws InkstoneError `upstream_missing` */
  named(name: string): Upstream {
    const found = this.all.find(({ target }) => target.name === name);
    if (found !== undefined) return found;
    throw new InkstoneError('upstream_missing', `there is no server ${name}`, { kind: 'missing' });
  }

  /** Whether anybody has a model, as far as they have said. */
  knows(model: string): boolean {
    return this.all.some(({ models }) => models === undefined || models.has(model));
  }

  /** Whom to ask next. @param version as the roll-out has it; undefined for any */
  choose(
    model: string | undefined,
    version: string | undefined,
    tried: ReadonlySet<Upstream>,
    facts: { tenant: string; prompt: string },
  ): Upstream | undefined {
    const now = this.clock.now();
    const fit = this.all.filter(
      (one) => !tried.has(one) && (model === undefined || one.models === undefined || one.models.has(model)),
    );
    const open = fit.filter(({ target }) => target.open(now));
    // A roll-out decides between two versions; where its choice does not answer, any answer is better than none.
    const wanted = open.filter(({ target }) => version === undefined || target.version === version);
    const those = wanted.length > 0 ? wanted : open;
    const tier = Math.min(...those.map(({ settings }) => settings.tier));
    const among = those.filter(({ settings }) => settings.tier === tier);
    const target = this.balancer.choose({ now, among: among.map((one) => one.target), ...facts });
    return among.find((one) => one.target === target);
  }

  /** Seconds until somebody may be tried again. */
  comeBack(): number {
    const now = this.clock.now();
    const waits = this.all.map(({ target }) =>
      Math.max(target.breaker.wait(now), target.ejectedUntil - now, target.healthy ? 0 : 2000),
    );
    return Math.max(1, Math.min(...waits) / 1000);
  }

  snapshot(): UpstreamsSnapshot {
    const now = this.clock.now();
    return {
      upstreams: this.all.map(({ target, settings, base, models }) => ({
        ...target.snapshot(now),
        ...{ url: base, tier: settings.tier, models: models === undefined ? null : [...models.keys()] },
      })),
      rollout: this.rollout?.snapshot() ?? null,
      ...{ affine: this.balancer.affine, chosen: this.balancer.chosen },
    };
  }
}

export function keyOf({ key }: UpstreamSettings): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}

function upstreamOf(settings: UpstreamSettings): Upstream {
  const url = new URL(settings.url);
  const base = url.href.replace(/\/+$/, '');
  return {
    settings,
    base: base.endsWith('/v1') ? base : `${base}/v1`,
    target: new Target(settings.name ?? url.host, { version: settings.version }),
    models: settings.models === undefined ? undefined : new Map(Object.entries(settings.models)),
    ...{ silent: 0, underWay: new Set() },
  };
}
