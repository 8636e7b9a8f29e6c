/**
 * What comes over a connection, in order, up to where it breaks: a stream's own iterator loses what had come by then.
 * Knows bytes only.
 */
import type { Readable } from 'node:stream';

/** Bytes that wait for their reader before the sender is held back. */
const AHEAD = 8 * 2 ** 20;

export class Intake implements AsyncIterable<Uint8Array> {
  private readonly stream: Readable;
  private readonly pieces: Uint8Array[] = [];
  private waiting = 0;
  private ended = false;
  private failure: Error | undefined;
  private wake: () => void = () => undefined;

  /** To be made in the same turn in which the stream came, so that nothing is missed. */
  constructor(stream: Readable) {
    this.stream = stream;
    stream.on('data', (piece: Uint8Array) => {
      this.pieces.push(piece);
      this.waiting += piece.length;
      if (this.waiting > AHEAD) stream.pause();
      this.wake();
    });
    stream.on('end', () => {
      this.ended = true;
      this.wake();
    });
    stream.on('error', (error) => this.fail(error));
    stream.on('close', () => this.fail(new Error('the connection was closed')));
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.wake();
  }

  /** @throws what broke the stream, after all that came before */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece !== undefined) {
        this.waiting -= piece.length;
        if (this.waiting <= AHEAD && this.stream.isPaused()) this.stream.resume();
        yield piece;
      } else if (this.ended) return;
      else if (this.failure !== undefined) throw this.failure;
      else
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
    }
  }
}
