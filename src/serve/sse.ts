/** Server-sent events to one client: back-pressure, hang-ups, errors after the first byte. Knows no content. */
import type { FastifyReply } from 'fastify';
import { answerOf } from './errors.ts';

export class EventStream {
  private readonly reply: FastifyReply;
  private readonly gone: AbortSignal;
  private open = false;

  constructor(reply: FastifyReply, gone: AbortSignal) {
    this.reply = reply;
    this.gone = gone;
  }

  start(): void {
    if (this.open) return;
    this.open = true;
    this.reply.hijack();
    const headers = this.reply.getHeaders() as Record<string, string>;
    this.reply.raw.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      connection: 'keep-alive',
      'x-accel-buffering': 'no',
    });
  }

  /** Resolves when the client can take more, or is gone. */
  async send(data: unknown): Promise<void> {
    this.start();
    const { raw } = this.reply;
    if (this.gone.aborted || raw.destroyed) return;
    if (raw.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        raw.off('drain', done);
        raw.off('close', done);
        resolve();
      };
      raw.on('drain', done);
      raw.on('close', done);
    });
  }

  /** After the first byte an error is an event; the stream ends behind it. */
  async fail(thrown: unknown): Promise<void> {
    await this.send(answerOf(thrown).body);
    this.end();
  }

  end(): void {
    if (!this.reply.raw.destroyed) this.reply.raw.end();
  }
}

/** Aborts when the client hangs up before the answer is complete. */
export function hangUp(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.on('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
