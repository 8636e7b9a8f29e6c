/**
 * Everything that watches one server: its metrics, its traces, the requests that are on their way. What is asked of the
 * machine and of the replicas comes through `sources`. Knows no HTTP.
 */

import type { ReplicaStatus } from '../../base/contracts/replica.ts';
import type { Rows } from '../../base/contracts/store.ts';
import { diskUse, heldMemory, memoryUse, now } from '../../base/host.ts';
import { Drift } from './drift.ts';
import { Metrics } from './metrics.ts';
import { type SpanExporter, tracerFromEnvironment } from './otlp.ts';
import { type MeterStart, RequestMeter } from './request-meter.ts';
import type { Tracer } from './span.ts';

export interface WatchSources {
  /** Folder whose disk is watched. */
  home: string;
  version: string;
  replicas(): readonly (readonly [string, ReplicaStatus])[];
  /** Keeps what must outlast the process; without them nothing does. */
  rows?: Rows;
  /** Seconds since 1970 of the last backup, where there is one. */
  lastBackup?(): Promise<number | undefined>;
}

export interface WatchOptions {
  sources: WatchSources;
  /** Default: what the environment says. */
  tracing?: { tracer: Tracer; exporter?: SpanExporter } | undefined;
}

export class Watch {
  readonly metrics = new Metrics();
  readonly tracer: Tracer | undefined;
  private readonly exporter: SpanExporter | undefined;
  readonly drift: Drift;
  private readonly open = new Map<string, RequestMeter>();
  private readonly sources: WatchSources;

  constructor({ sources, tracing = tracerFromEnvironment('server') }: WatchOptions) {
    this.sources = sources;
    this.drift = new Drift(sources.rows);
    this.tracer = tracing?.tracer;
    this.exporter = tracing?.exporter;
    this.metrics.set('build', 1, { version: sources.version });
    this.metrics.collect(() => this.lookAtRequests());
    this.metrics.collect(() => this.lookAtReplicas());
    this.metrics.collect(() => this.lookAtMachine());
    this.metrics.collect((metrics) => this.drift.publish(metrics));
  }

  /** The meter of a request; it is forgotten when it closes. */
  begin(start: MeterStart): RequestMeter {
    const meter = new RequestMeter(this.metrics, start);
    this.open.set(start.id, meter);
    meter.onClose(({ id, model, tokens: { prompt, completion }, finish: [finish] }) => {
      this.open.delete(id);
      if (model !== undefined && finish !== undefined) this.drift.add(model, { prompt, completion, finish });
    });
    return meter;
  }

  meter(id: string): RequestMeter | undefined {
    return this.open.get(id);
  }

  /** Requests on their way. */
  get requests(): readonly RequestMeter[] {
    return [...this.open.values()];
  }

  private lookAtRequests(): void {
    const { metrics } = this;
    metrics.reset('running');
    metrics.reset('waiting');
    const counts = new Map<string, { running: number; waiting: number }>();
    for (const [model] of this.sources.replicas()) counts.set(model, { running: 0, waiting: 0 });
    let oldest = 0;
    for (const meter of this.open.values()) {
      if (meter.model === undefined) continue;
      const waited = meter.waited();
      const count = counts.get(meter.model) ?? { running: 0, waiting: 0 };
      counts.set(meter.model, count);
      if (waited === undefined) count.running += meter.running ? 1 : 0;
      else {
        count.waiting++;
        oldest = Math.max(oldest, waited / 1000);
      }
    }
    for (const [model_name, { running, waiting }] of counts) {
      metrics.set('running', running, { model_name });
      metrics.set('waiting', waiting, { model_name });
    }
    metrics.set('queueAge', oldest);
  }

  private lookAtReplicas(): void {
    const { metrics } = this;
    metrics.reset('replicas');
    metrics.reset('cacheUsage');
    metrics.reset('held');
    const states = new Map<string, number>();
    let memory = 0;
    let held: number | undefined;
    for (const [model_name, status] of this.sources.replicas()) {
      memory += status.memory ?? 0;
      if (status.held !== undefined) held = (held ?? 0) + status.held;
      const id = `${status.state} ${model_name}`;
      states.set(id, (states.get(id) ?? 0) + 1);
      metrics.set('replicas', states.get(id) as number, { model_name, state: status.state });
      metrics.total('restarts', status.restarts ?? 0, { model_name });
      if (status.decoding === undefined) continue;
      const { cacheUsed, promptTokens, prefixTokens, preempted } = status.decoding;
      metrics.set('cacheUsage', cacheUsed, { model_name });
      metrics.total('prefixQueries', promptTokens, { model_name });
      metrics.total('prefixHits', prefixTokens, { model_name });
      metrics.total('preemptions', preempted, { model_name });
    }
    metrics.set('memory', memory, { kind: 'models' });
    const own = heldMemory();
    if (own !== undefined) metrics.set('held', own, { kind: 'server' });
    if (held !== undefined) metrics.set('held', held, { kind: 'models' });
  }

  private async lookAtMachine(): Promise<void> {
    const { metrics, sources } = this;
    const { resident, free, total } = memoryUse();
    for (const [kind, value] of Object.entries({ server: resident, free, total }))
      metrics.set('memory', value, { kind });
    metrics.set('memoryUsed', 1 - free / total);
    metrics.total('spansDropped', this.exporter?.dropped ?? 0);
    const disk = await diskUse(sources.home);
    metrics.set('disk', disk.total, { kind: 'total' });
    metrics.set('disk', disk.free, { kind: 'free' });
    metrics.set('diskUsed', disk.total === 0 ? 0 : 1 - disk.free / disk.total);
    const backup = await sources.lastBackup?.();
    metrics.reset('backupAge');
    if (backup !== undefined) metrics.set('backupAge', Math.max(0, now() / 1000 - backup));
  }

  /** Writes what is to be kept and sends what spans are left. */
  async close(): Promise<void> {
    await this.drift.close();
    await this.exporter?.flush();
  }
}
