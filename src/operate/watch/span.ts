/**
 * Spans: named stretches of work with attributes, children and a place in a trace, and the W3C `traceparent` that carries
 * the trace into another process. Knows no exporter but a function that takes what ended.
 */
import { randomBytes } from 'node:crypto';
import { monotonic, now } from '../../base/host.ts';

export type AttributeValue = string | number | boolean | readonly string[];
export type Attributes = Readonly<Record<string, AttributeValue>>;
export type SpanKind = 'internal' | 'server' | 'client';

/** Where in which trace. */
export interface SpanPlace {
  /** 32 and 16 hexadecimal digits. */
  trace: string;
  span: string;
  sampled: boolean;
}

export interface EndedSpan {
  place: SpanPlace;
  parent: string | undefined;
  name: string;
  kind: SpanKind;
  /** Milliseconds since 1970, with fractions. */
  start: number;
  end: number;
  attributes: Attributes;
  events: readonly { name: string; at: number; attributes: Attributes }[];
  /** What went wrong. */
  error: string | undefined;
}

export interface SpanStart {
  kind?: SpanKind;
  attributes?: Attributes;
  parent?: SpanPlace | undefined;
}

/** @returns undefined for anything but a well-formed version 00 header (later versions are read as 00) */
export function readTraceparent(text: string | undefined): SpanPlace | undefined {
  const [, version, trace, span, flags] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/.exec(text?.trim() ?? '') ?? [];
  if (trace === undefined || span === undefined || flags === undefined || version === 'ff') return undefined;
  if (/^0+$/.test(trace) || /^0+$/.test(span)) return undefined;
  return { trace, span, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function writeTraceparent({ trace, span, sampled }: SpanPlace): string {
  return `00-${trace}-${span}-${sampled ? '01' : '00'}`;
}

/** Attributes of one span, and events: what is beyond is left out. */
const MOST = 128;

export class Span {
  readonly place: SpanPlace;
  readonly name: string;
  private readonly tracer: Tracer;
  private readonly parent: string | undefined;
  private readonly kind: SpanKind;
  private readonly start = now();
  private readonly ticks = monotonic();
  private readonly attributes: Record<string, AttributeValue>;
  private readonly events: { name: string; at: number; attributes: Attributes }[] = [];
  private error: string | undefined;
  private ended = false;

  constructor(
    tracer: Tracer,
    name: string,
    { kind = 'internal', attributes = {}, parent }: SpanStart,
    sampled: boolean,
  ) {
    this.tracer = tracer;
    this.name = name;
    this.kind = kind;
    this.parent = parent?.span;
    this.attributes = { ...attributes };
    this.place = {
      trace: parent?.trace ?? randomBytes(16).toString('hex'),
      span: randomBytes(8).toString('hex'),
      sampled,
    };
  }

  get traceparent(): string {
    return writeTraceparent(this.place);
  }

  child(name: string, start: Omit<SpanStart, 'parent'> = {}): Span {
    return this.tracer.start(name, { ...start, parent: this.place });
  }

  set(attributes: Attributes): void {
    for (const [key, value] of Object.entries(attributes))
      if (key in this.attributes || Object.keys(this.attributes).length < MOST) this.attributes[key] = value;
  }

  event(name: string, attributes: Attributes = {}): void {
    if (this.events.length < MOST) this.events.push({ name, at: this.at(), attributes });
  }

  fail(error: string): void {
    this.error = error;
    this.set({ 'error.type': error });
  }

  /** A clock that is set while the span lasts does not stretch it. */
  private at(): number {
    return this.start + monotonic() - this.ticks;
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    if (!this.place.sampled) return;
    const { place, parent, name, kind, start, attributes, events, error } = this;
    this.tracer.take({ place, parent, name, kind, start, end: this.at(), attributes, events, error });
  }
}

export class Tracer {
  readonly take: (span: EndedSpan) => void;
  private readonly share: number;

  /** @param share of the traces that begin here and are kept, 0 to 1; one that began elsewhere is kept as it says */
  constructor(take: (span: EndedSpan) => void, share = 1) {
    this.take = take;
    this.share = share;
  }

  start(name: string, start: SpanStart = {}): Span {
    const span = new Span(this, name, start, start.parent?.sampled ?? true);
    if (start.parent === undefined && this.share < 1) {
      // OpenTelemetry's TraceIdRatioBased: every process decides the same.
      const draw = Number.parseInt(span.place.trace.slice(-13), 16) / 2 ** 52;
      span.place.sampled = draw < this.share;
    }
    return span;
  }
}
