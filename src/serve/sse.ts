/**
 * Server-sent events to one client: hang-ups, slow readers, errors after the first byte. Knows no content. A model never
 * waits for a reader: what is not read yet is kept, up to a bound, so that others get their turn in time.
 */
import type { FastifyReply } from 'fastify';
import { answerOf } from './errors.ts';

/** Bytes that a client may be behind: more than any answer has; who is further behind is cut off. */
const FURTHEST = 16 * 2 ** 20;
/** Milliseconds without any progress after which a client that has not read everything is cut off. */
const STALLED = 60_000;

export interface StreamBounds {
  furthest?: number;
  stalled?: number;
}

export class EventStream {
  private readonly reply: FastifyReply;
  private readonly gone: AbortSignal;
  private readonly furthest: number;
  private readonly stalled: number;
  private open = false;

  constructor(reply: FastifyReply, gone: AbortSignal, bounds: StreamBounds = {}) {
    this.furthest = bounds.furthest ?? FURTHEST;
    this.stalled = bounds.stalled ?? STALLED;
    this.reply = reply;
    this.gone = gone;
  }

  start(): void {
    if (this.open) return;
    this.open = true;
    this.reply.hijack();
    const { raw } = this.reply;
    raw.setTimeout(this.stalled, () => {
      if (raw.writableLength > 0) raw.destroy();
    });
    const headers = this.reply.getHeaders() as Record<string, string>;
    raw.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      connection: 'keep-alive',
      'x-accel-buffering': 'no',
    });
  }

  /** Sends without waiting for the reader; does nothing once it is gone. */
  async send(data: unknown, event?: string): Promise<void> {
    this.start();
    const { raw } = this.reply;
    if (this.gone.aborted || raw.destroyed) return;
    const name = event === undefined ? '' : `event: ${event}\n`;
    raw.write(`${name}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
    if (raw.writableLength > this.furthest) raw.destroy();
  }

  /** After the first byte an error is an event; the stream ends behind it. */
  async fail(thrown: unknown): Promise<void> {
    const { body } = answerOf(thrown);
    this.reply.request.failure = body.error.code ?? undefined;
    await this.send(body);
    this.end();
  }

  end(): void {
    if (!this.reply.raw.destroyed) this.reply.raw.end();
  }
}

/** Whether the client hung up before the answer was complete: `close` came, and comes no more. */
export const isGone = ({ raw }: FastifyReply): boolean => raw.destroyed && !raw.writableFinished;

/** Aborts when the client hangs up before the answer is complete. */
export function hangUp(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  if (isGone(reply)) controller.abort();
  reply.raw.on('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
