/** What a gateway counts, in Prometheus' form: requests, its own time, and each server behind it. Knows names and numbers. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Forwarded } from './forward.ts';
import type { Upstreams } from './upstreams.ts';

/** Seconds; the gateway's own part is to stay below 5 ms. */
const OWN = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1];
const WHOLE = [0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 1, 2.5, 5, 10, 20, 60, 120, 300];

export class GatewayMetrics {
  private readonly registry = new Registry();
  private readonly requests: Counter;
  private readonly retries: Counter;
  private readonly own: Histogram;
  private readonly whole: Histogram;

  constructor(upstreams: Upstreams, outstanding: () => number) {
    const registers = [this.registry];
    this.requests = new Counter({
      name: 'inkstone_gateway_requests_total',
      help: 'Requests by the server that answered and its status',
      labelNames: ['upstream', 'status'],
      registers,
    });
    this.retries = new Counter({
      name: 'inkstone_gateway_retries_total',
      help: 'Requests that were sent to one more server',
      registers,
    });
    this.own = new Histogram({
      name: 'inkstone_gateway_own_seconds',
      help: 'Seconds from a request’s arrival to its sending',
      buckets: OWN,
      registers,
    });
    this.whole = new Histogram({
      name: 'inkstone_gateway_request_seconds',
      help: 'Seconds of a whole request',
      buckets: WHOLE,
      registers,
    });
    new Gauge({
      name: 'inkstone_gateway_outstanding',
      help: 'Requests inside',
      registers,
      collect() {
        this.set(outstanding());
      },
    });
    new Gauge({
      name: 'inkstone_gateway_upstream_outstanding',
      help: 'Requests that a server works on for this gateway',
      labelNames: ['upstream'],
      registers,
      collect() {
        for (const { name, outstanding } of upstreams.snapshot().upstreams)
          this.set({ upstream: name }, outstanding);
      },
    });
    new Gauge({
      name: 'inkstone_gateway_upstream_open',
      help: '1 for a server that is asked now',
      labelNames: ['upstream'],
      registers,
      collect() {
        for (const one of upstreams.snapshot().upstreams) {
          const open = one.healthy && !one.draining && !one.ejected && one.breaker !== 'open';
          this.set({ upstream: one.name }, open ? 1 : 0);
        }
      },
    });
  }

  /** @param own milliseconds from its arrival to its sending */
  count({ status, upstream, attempts }: Forwarded, whole: number, own: number): void {
    this.requests.inc({ upstream: upstream ?? 'none', status: String(status) });
    if (attempts > 1) this.retries.inc(attempts - 1);
    this.own.observe(Math.max(0, own) / 1000);
    this.whole.observe(whole / 1000);
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
