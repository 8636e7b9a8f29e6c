/**
 * One participant of a benchmark as a long-lived child process. Knows how to talk to it and how it ends; not
 * what it computes.
 */
import { InkstoneError } from '../src/base/errors.ts';
import type { ChildProcess } from '../src/base/host.ts';
import type { Answer, AnswerOf, Call, Description } from './protocol.ts';

const TAIL = 2000;

export class Peer {
  readonly id: string;
  private readonly child: ChildProcess;
  private readonly waiting = new Map<
    number,
    { resolve(value: unknown): void; reject(reason: unknown): void }
  >();
  private next = 1;
  private pending = '';
  private complaint = '';
  private ended = false;

  /** @param child with pipes for stdin, stdout and stderr */
  constructor(id: string, child: ChildProcess) {
    this.id = id;
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.take(text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.complaint = (this.complaint + text).slice(-TAIL);
    });
    child.stdin?.on('error', () => undefined);
    child.on('error', (cause) => this.fail(`${id} did not start: ${cause.message}`));
    child.on('exit', (code, signal) => this.fail(`${id} ended (${signal ?? `status ${code}`})`));
  }

  private take(text: string): void {
    const lines = (this.pending + text).split('\n');
    this.pending = lines.pop() ?? '';
    for (const line of lines) {
      let answer: Answer;
      try {
        answer = JSON.parse(line) as Answer;
      } catch {
        continue; // a library's greeting
      }
      const waiter = this.waiting.get(answer.id);
      this.waiting.delete(answer.id);
      if ('error' in answer) waiter?.reject(new InkstoneError('peer_failed', `${this.id}: ${answer.error}`));
      else waiter?.resolve(answer.value);
    }
  }

  private fail(reason: string): void {
    this.ended = true;
    const last = this.complaint.trim().split('\n').at(-1) ?? '';
    const error = new InkstoneError('peer_failed', last === '' ? reason : `${reason}: ${last}`);
    for (const waiter of this.waiting.values()) waiter.reject(error);
    this.waiting.clear();
  }

  /** @throws InkstoneError `peer_failed`, `peer_slow` (after `limit` seconds; the process is then ended) */
  ask<C extends Call>(call: C, limit = 600): Promise<AnswerOf[C['do']]> {
    if (this.ended) return Promise.reject(new InkstoneError('peer_failed', `${this.id} has ended`));
    const id = this.next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(
          new InkstoneError('peer_slow', `${this.id} did not answer within ${limit} s`, { kind: 'resource' }),
        );
        this.waiting.delete(id);
        this.child.kill('SIGKILL');
      }, limit * 1000);
      this.waiting.set(id, {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value as AnswerOf[C['do']]);
        },
        reject: (reason) => {
          clearTimeout(timer);
          reject(reason);
        },
      });
      this.child.stdin?.write(`${JSON.stringify({ id, ...call })}\n`);
    });
  }

  describe(limit = 60): Promise<Description> {
    return this.ask({ do: 'describe' }, limit);
  }

  /** Closes its input, which ends it; kills it where that does not help within two seconds. */
  async end(): Promise<void> {
    if (this.ended) return;
    const gone = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    this.child.stdin?.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 2000);
    await gone;
    clearTimeout(timer);
  }
}
