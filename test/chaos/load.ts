/**
 * Requests for completions: as many at once as there are people, or so many a second whatever became of those before.
 * Times count from when a request was sent. Knows no servers and judges nothing.
 */
import http from 'node:http';
import { since, stoodStill } from './standstill.ts';

export interface Answered {
  /** Milliseconds on this process's clock: sent, and its last byte. */
  sent: number;
  ended: number;
  /** 0 where the connection broke, -1 where the deadline passed. */
  status: number;
}

export interface LoadOptions {
  address: string;
  model: string;
  /** Tokens of an answer. */
  tokens: number;
  key?: string;
  /** Milliseconds that an answer may take. */
  deadline: number;
}

export class Load {
  private readonly options: LoadOptions;
  private readonly url: URL;
  private readonly agent = new http.Agent({ keepAlive: true, maxFreeSockets: 1024, scheduling: 'lifo' });
  private asked = 0;

  constructor(options: LoadOptions) {
    this.options = options;
    this.url = new URL('/v1/completions', options.address);
  }

  ask(): Promise<Answered> {
    const { model, tokens, key, deadline } = this.options;
    const seed = ++this.asked;
    const body = Buffer.from(
      // Never an end of its own: all answers cost the same.
      JSON.stringify({ model, prompt: `Once ${seed % 50}`, max_tokens: tokens, seed, temperature: 0.8 }),
    );
    const headers = {
      ...{ 'content-type': 'application/json', 'content-length': body.length },
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    };
    const sent = performance.now();
    return new Promise((resolve) => {
      let over = false;
      const done = (status: number): void => {
        if (over) return;
        over = true;
        clearTimeout(late);
        resolve({ sent, ended: performance.now(), status });
      };
      const { agent, url } = this;
      const request = http.request(url, { method: 'POST', agent, headers }, (response) => {
        response.resume();
        response.on('end', () => done(response.statusCode ?? 0));
        response.on('error', () => done(0));
      });
      const late = setTimeout(() => {
        done(-1);
        request.destroy();
      }, deadline);
      request.on('error', () => done(0));
      request.end(body);
    });
  }

  /** So many at once until the time is over, and their ends. */
  async closed(people: number, milliseconds: number): Promise<Answered[]> {
    const end = performance.now() + milliseconds;
    const found: Answered[] = [];
    const person = async (): Promise<void> => {
      while (performance.now() < end) found.push(await this.ask());
    };
    await Promise.all(Array.from({ length: people }, person));
    return found;
  }

  /** So many a second until the time is over, and their ends. @param over called when the last one is sent */
  async open(rate: number, milliseconds: number, over?: () => void): Promise<Answered[]> {
    const began = performance.now();
    const all: Promise<Answered>[] = [];
    const total = Math.round((rate * milliseconds) / 1000);
    await new Promise<void>((resolve) => {
      const send = (): void => {
        while (all.length < total && (1000 * all.length) / rate <= since(began)) all.push(this.ask());
        if (all.length === total) resolve();
        else setTimeout(send, 1);
      };
      send();
    });
    over?.();
    return Promise.all(all);
  }

  close(): void {
    this.agent.destroy();
  }
}

/** Those that say something: nothing stood still while they were under way. */
export const undisturbed = (answers: readonly Answered[]): Answered[] =>
  answers.filter(({ sent, ended }) => stoodStill(sent, ended) === 0);

/** How many there are by status, without those that were answered well. */
export function failuresOf(
  answers: readonly Answered[],
  well: readonly number[] = [200],
): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { status } of answers) if (!well.includes(status)) found[status] = (found[status] ?? 0) + 1;
  return found;
}

/** Milliseconds from sending to the last byte of each. */
export const timesOf = (answers: readonly Answered[]): number[] =>
  answers.map(({ sent, ended }) => ended - sent);

/** Good answers a second that ended within a window of milliseconds. */
export function goodput(answers: readonly Answered[], from: number, to: number): number {
  const good = answers.filter(({ status, ended }) => status === 200 && ended >= from && ended < to);
  return (1000 * good.length) / (to - from);
}
