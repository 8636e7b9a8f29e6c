/**
 * Counts what happens and writes it in Prometheus' text form. Values that are states (queue, memory, replicas) are asked for
 * when somebody looks. Knows names and numbers, no requests.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { METRICS, type MetricKey } from './definitions.ts';

export type Labels = Readonly<Record<string, string>>;

/** One number with its name and labels, as `/metrics` shows it. */
export interface Reading {
  name: string;
  labels: Labels;
  value: number;
}

/** The process and its event loop are one, however many servers run in it (tests). */
let ofProcess: Registry | undefined;
function processRegistry(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return ofProcess;
}

export class Metrics {
  private readonly registry = new Registry();
  private readonly counters = new Map<MetricKey, Counter>();
  private readonly gauges = new Map<MetricKey, Gauge>();
  private readonly histograms = new Map<MetricKey, Histogram>();
  private readonly sources: ((metrics: Metrics) => void | Promise<void>)[] = [];
  /** Last totals of counters that are kept elsewhere. */
  private readonly totals = new Map<string, number>();

  constructor() {
    for (const [key, { name, kind, help, labels, ...more }] of Object.entries(METRICS) as [
      MetricKey,
      (typeof METRICS)[MetricKey],
    ][]) {
      const common = { name, help, labelNames: [...labels], registers: [this.registry] };
      if (kind === 'counter') this.counters.set(key, new Counter(common));
      else if (kind === 'gauge') this.gauges.set(key, new Gauge(common));
      else this.histograms.set(key, new Histogram({ ...common, buckets: [...(more.buckets ?? [])] }));
    }
  }

  add(key: MetricKey, value = 1, labels: Labels = {}): void {
    if (value > 0) this.counters.get(key)?.inc(labels, value);
  }

  set(key: MetricKey, value: number, labels: Labels = {}): void {
    this.gauges.get(key)?.set(labels, value);
  }

  /** Forgets all series of a gauge: what is gone must not be shown any more. */
  reset(key: MetricKey): void {
    const gauge = this.gauges.get(key);
    // Without labels a reset would say 0, which is a value.
    if (METRICS[key].labels.length > 0) gauge?.reset();
    else gauge?.remove();
  }

  observe(key: MetricKey, value: number, labels: Labels = {}): void {
    this.histograms.get(key)?.observe(labels, value);
  }

  /**
   * A total that another process counts: what it rose by since the last look is added. A smaller total is one that began
   * anew.
   */
  total(key: MetricKey, total: number, labels: Labels = {}): void {
    const id = `${key} ${JSON.stringify(labels)}`;
    const before = this.totals.get(id) ?? 0;
    this.totals.set(id, total);
    this.add(key, total >= before ? total - before : total, labels);
  }

  /** Called before each look, to set what is a state. */
  collect(source: (metrics: Metrics) => void | Promise<void>): void {
    this.sources.push(source);
  }

  private async refresh(): Promise<void> {
    // One that fails must not hide the others.
    await Promise.allSettled(this.sources.map(async (source) => source(this)));
  }

  /** Prometheus' text form, 0.0.4. */
  async text(): Promise<string> {
    await this.refresh();
    return `${await this.registry.metrics()}\n${await processRegistry().metrics()}\n`;
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** All own numbers, for rules and the studio; buckets of histograms too. */
  async readings(): Promise<Reading[]> {
    await this.refresh();
    const found: Reading[] = [];
    for (const { name, values } of await this.registry.getMetricsAsJSON())
      for (const { value, labels, metricName } of values as {
        value: number;
        labels: Record<string, string | number>;
        metricName?: string;
      }[])
        found.push({
          name: metricName ?? name,
          labels: Object.fromEntries(Object.entries(labels).map(([key, label]) => [key, String(label)])),
          value,
        });
    return found;
  }
}
