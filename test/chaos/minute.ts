/**
 * One model host killed every so often while requests come at four fifths of the measured peak: how many are answered.
 * One server with two hosts of the bundled model; clients send nothing twice.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Random } from '../../src/base/rng.ts';
import { failuresOf, goodput, Load, timesOf, undisturbed } from './load.ts';
import { MODEL, TOKENS } from './overload.ts';
import { percentile, rounded } from './part.ts';
import { Served } from './served.ts';

const HOSTS = 2;
const SHARE = 0.8;
/** As many at once as both hosts can run, and some that wait. */
const PEOPLE = 40;
/** Milliseconds: for the peak, and that an answer may take. */
const PEAK = 10_000;
const DEADLINE = 60_000;

export interface MinuteOptions {
  minutes: number;
  /** Milliseconds from kill to kill. */
  every: number;
  seed: number;
  tell?(kill: object): void;
}

export interface MinuteReport {
  minutes: number;
  /** Answers a second at the peak, and requests a second that were sent. */
  peak: number;
  rate: number;
  kills: number;
  sent: number;
  answered: number;
  success: number;
  /** Requests that were not answered, by status. */
  others: Record<string, number>;
  /** Requests that are not counted: everything stood still while they were under way. */
  disturbed: number;
  /** Milliseconds of those that were answered. */
  times: { p50: number; p99: number; most: number };
}

export async function minute({ minutes, every, seed, tell }: MinuteOptions): Promise<MinuteReport> {
  const home = await mkdtemp(path.join(tmpdir(), 'inkstone-minute-'));
  const server = await Served.start([
    ...['serve', '--home', home, '--port', '0', '--model', MODEL, '--replicas', String(HOSTS)],
    ...['--queue', '2000', '--no-log-requests'],
  ]);
  const load = new Load({ address: server.address, model: MODEL, tokens: TOKENS, deadline: DEADLINE });
  const random = new Random(seed, 'hosts');
  try {
    while ((await load.ask()).status !== 200 || server.hosts().length < HOSTS)
      await new Promise((resolve) => setTimeout(resolve, 200));
    await load.closed(PEOPLE, PEAK / 4);
    const began = performance.now();
    const best = await load.closed(PEOPLE, PEAK);
    const peak = goodput(best, began + PEAK / 10, began + PEAK);
    const rate = SHARE * peak;
    let kills = 0;
    const kill = (): void => {
      const hosts = server.hosts();
      const host = hosts[random.integer(Math.max(1, hosts.length))];
      if (host === undefined) return;
      process.kill(host, 'SIGKILL');
      tell?.({ kill: ++kills, host, of: hosts.length });
    };
    // The first one falls when the load has run for a while, the last one with time to come back.
    let timer = setTimeout(function again() {
      kill();
      timer = setTimeout(again, every);
    }, every / 2);
    const all = await load
      .open(rate, 60_000 * minutes, () => clearTimeout(timer))
      .finally(() => clearTimeout(timer));
    const answers = undisturbed(all);
    const good = answers.filter(({ status }) => status === 200);
    const times = timesOf(good);
    return {
      ...{ minutes, peak: rounded(peak), rate: rounded(rate), kills },
      ...{ sent: answers.length, answered: good.length },
      success: rounded(good.length / answers.length, 6),
      others: failuresOf(answers),
      disturbed: all.length - answers.length,
      times: {
        p50: rounded(percentile(times, 0.5)),
        p99: rounded(percentile(times, 0.99)),
        most: rounded(times.reduce((most, one) => Math.max(most, one), 0)),
      },
    };
  } finally {
    load.close();
    await server.stop();
    await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
  }
}
