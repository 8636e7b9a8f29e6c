/**
 * Sends spans to a collector: OTLP over HTTP as JSON, in batches, as OpenTelemetry's environment variables say. What a
 * collector does not take in time is dropped and counted; a request never waits for it.
 */
import { allEnvironment, processId } from '../../base/host.ts';
import { type Attributes, type AttributeValue, type EndedSpan, type SpanKind, Tracer } from './span.ts';

export interface ExporterOptions {
  /** Full address, `/v1/traces` at its end. */
  url: string;
  headers?: Readonly<Record<string, string>>;
  resource?: Attributes;
  /** Milliseconds between batches. */
  every?: number;
  send?: typeof fetch;
}

const KINDS: Record<SpanKind, number> = { internal: 1, server: 2, client: 3 };
/** Spans of one batch, and spans that wait. */
const BATCH = 512;
const MOST_WAITING = 4096;
/** Milliseconds. */
const EVERY = 2000;
const TIMEOUT = 10_000;

const nanoseconds = (at: number): string => String(BigInt(Math.round(at * 1000)) * 1000n);

function attributeValue(value: AttributeValue): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number')
    return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  return { arrayValue: { values: value.map((each) => ({ stringValue: each })) } };
}

const listOf = (attributes: Attributes): object[] =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: attributeValue(value) }));

/** The body of `POST /v1/traces` (opentelemetry-proto 1.x, its JSON form: ids in hexadecimal, 64-bit numbers as text). */
export function otlpBody(spans: readonly EndedSpan[], resource: Attributes): object {
  return {
    resourceSpans: [
      {
        resource: { attributes: listOf(resource) },
        scopeSpans: [
          {
            scope: { name: 'inkstone' },
            spans: spans.map(({ place, parent, name, kind, start, end, attributes, events, error }) => ({
              traceId: place.trace,
              spanId: place.span,
              ...(parent === undefined ? {} : { parentSpanId: parent }),
              ...{ name, kind: KINDS[kind], flags: 1 },
              startTimeUnixNano: nanoseconds(start),
              endTimeUnixNano: nanoseconds(end),
              attributes: listOf(attributes),
              events: events.map((event) => ({
                ...{ name: event.name, timeUnixNano: nanoseconds(event.at) },
                attributes: listOf(event.attributes),
              })),
              status: error === undefined ? {} : { code: 2, message: error },
            })),
          },
        ],
      },
    ],
  };
}

export class SpanExporter {
  dropped = 0;
  private waiting: EndedSpan[] = [];
  private sending: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private readonly options: ExporterOptions;

  constructor(options: ExporterOptions) {
    this.options = options;
  }

  readonly take = (span: EndedSpan): void => {
    if (this.waiting.length >= MOST_WAITING) {
      this.dropped++;
      return;
    }
    this.waiting.push(span);
    if (this.waiting.length >= BATCH) void this.flush();
    else this.timer ??= setTimeout(() => void this.flush(), this.options.every ?? EVERY).unref();
  };

  /** Resolves when everything that waits was sent or dropped. */
  flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.sending = this.sending.then(async () => {
      while (this.waiting.length > 0) await this.send(this.waiting.splice(0, BATCH));
    });
    return this.sending;
  }

  private async send(spans: readonly EndedSpan[]): Promise<void> {
    const { url, headers = {}, resource = {}, send = fetch } = this.options;
    const body = JSON.stringify(otlpBody(spans, resource));
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        const response = await send(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body,
          signal: AbortSignal.timeout(TIMEOUT),
          redirect: 'error',
        });
        await response.arrayBuffer();
        if (response.ok) return;
        if (![429, 502, 503, 504].includes(response.status)) break;
      } catch {
        // Nobody there; once more.
      }
      await new Promise((resolve) => setTimeout(resolve, 200).unref());
    }
    this.dropped += spans.length;
  }
}

/** `a=b,c=d` with percent-encoded values, as OpenTelemetry writes lists. */
function pairs(text: string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const part of (text ?? '').split(',')) {
    const at = part.indexOf('=');
    if (at <= 0) continue;
    try {
      found[part.slice(0, at).trim()] = decodeURIComponent(part.slice(at + 1).trim());
    } catch {
      // A stray percent sign: left out.
    }
  }
  return found;
}

/** A tracer as the environment says; undefined where it names no collector. */
export function tracerFromEnvironment(
  role: string,
  environment: Readonly<Record<string, string | undefined>> = allEnvironment(),
): { tracer: Tracer; exporter: SpanExporter } | undefined {
  const own = environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  const base = environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  const off = environment.OTEL_SDK_DISABLED === 'true' || environment.OTEL_TRACES_EXPORTER === 'none';
  const url = own || (base ? `${base.replace(/\/+$/, '')}/v1/traces` : undefined);
  if (off || url === undefined) return undefined;
  const exporter = new SpanExporter({
    url,
    headers: pairs(environment.OTEL_EXPORTER_OTLP_TRACES_HEADERS ?? environment.OTEL_EXPORTER_OTLP_HEADERS),
    resource: {
      'service.name': environment.OTEL_SERVICE_NAME ?? 'inkstone',
      'service.instance.id': `${role}-${processId()}`,
      'inkstone.role': role,
      ...pairs(environment.OTEL_RESOURCE_ATTRIBUTES),
    },
  });
  const sampler = environment.OTEL_TRACES_SAMPLER ?? '';
  const share = sampler.endsWith('always_off')
    ? 0
    : sampler.endsWith('traceidratio')
      ? Math.min(1, Math.max(0, Number(environment.OTEL_TRACES_SAMPLER_ARG ?? 1) || 0))
      : 1;
  return { tracer: new Tracer(exporter.take, share), exporter };
}
