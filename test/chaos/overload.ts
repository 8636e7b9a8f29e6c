/**
 * Five times as many requests as the server can answer, in turns with as many as it can: what of its best it still does,
 * and how soon the others are refused. One server with the bundled model, everything on this machine.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Answered, failuresOf, goodput, Load, timesOf, undisturbed } from './load.ts';
import { percentile, rounded } from './part.ts';
import { Served } from './served.ts';
import { stoodStill } from './standstill.ts';

export const MODEL = 'starter';
export const TOKENS = 24;
/** Requests that run at once, and that wait. */
const PLACES = 16;
const QUEUE = 32;
const TIMES = 5;
/** Milliseconds at the beginning of each turn that do not count. */
const RAMP = 1000;

export interface OverloadOptions {
  pairs: number;
  /** Milliseconds of a turn. */
  turn: number;
  tell?(pair: object): void;
}

export interface OverloadReport {
  pairs: number;
  /** Answers a second at the best, and at five times as many requests. */
  peak: number;
  overloaded: number;
  /** Of the second to the first: of all, and of each pair. */
  goodput: number;
  pairwise: number[];
  sent: number;
  refused: number;
  /** Milliseconds from a request to its refusal. */
  refusal: { p50: number; p95: number; p99: number; most: number };
  /** Requests that ended neither answered nor refused, by status. */
  others: Record<string, number>;
  /** Requests that are not counted: everything stood still while they were under way. */
  disturbed: number;
}

export async function overload({ pairs, turn, tell }: OverloadOptions): Promise<OverloadReport> {
  const home = await mkdtemp(path.join(tmpdir(), 'inkstone-overload-'));
  const words = ['--home', home, '--port', '0', '--model', MODEL];
  const server = await Served.start([
    ...['serve', ...words, '--concurrency', String(PLACES), '--queue', String(QUEUE)],
    '--no-log-requests',
  ]);
  const load = new Load({ address: server.address, model: MODEL, tokens: TOKENS, deadline: 60_000 });
  try {
    while ((await load.ask()).status !== 200) await new Promise((resolve) => setTimeout(resolve, 200));
    await load.closed(PLACES, 2 * RAMP);
    const found: { peak: number; overloaded: number }[] = [];
    const all: Answered[] = [];
    for (let i = 1; i <= pairs; i++) {
      const peakBegan = performance.now();
      const best = await load.closed(PLACES + QUEUE / 2, turn);
      const peak = goodput(best, peakBegan + RAMP, peakBegan + turn);
      const began = performance.now();
      const many = await load.open(TIMES * peak, turn);
      const overloaded = goodput(many, began + RAMP, began + turn);
      all.push(...many);
      if (stoodStill(peakBegan, performance.now()) > 0) {
        // What was measured is no peak: once more.
        i--;
        continue;
      }
      found.push({ peak, overloaded });
      tell?.({ pair: i, peak: rounded(peak), overloaded: rounded(overloaded), sent: many.length });
    }
    const sum = (of: 'peak' | 'overloaded'): number => found.reduce((total, one) => total + one[of], 0);
    const counted = undisturbed(all);
    const refused = counted.filter(({ status }) => status === 429);
    const times = timesOf(refused);
    return {
      pairs,
      peak: rounded(sum('peak') / pairs),
      overloaded: rounded(sum('overloaded') / pairs),
      goodput: rounded(sum('overloaded') / sum('peak'), 3),
      pairwise: found.map((one) => rounded(one.overloaded / one.peak, 2)),
      sent: counted.length,
      refused: refused.length,
      refusal: {
        p50: rounded(percentile(times, 0.5)),
        p95: rounded(percentile(times, 0.95)),
        p99: rounded(percentile(times, 0.99)),
        most: rounded(times.reduce((most, one) => Math.max(most, one), 0)),
      },
      others: failuresOf(counted, [200, 429]),
      disturbed: all.length - counted.length,
    };
  } finally {
    load.close();
    await server.stop();
    await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
  }
}
