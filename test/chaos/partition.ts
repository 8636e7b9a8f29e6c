/**
 * A gateway before two servers, one of which is cut off from it now and then: what becomes of the requests meanwhile, and
 * how soon the server is asked again when the way is free. The servers run a small model of random weights.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Keys } from '../../src/serve/keys.ts';
import { openFileStore } from '../../src/store/index.ts';
import { type Answered, failuresOf, Load, timesOf, undisturbed } from './load.ts';
import { percentile, rounded } from './part.ts';
import { Served } from './served.ts';
import { since } from './standstill.ts';
import { openWire, type Wire } from './wire.ts';
import { DEADLINE, makeModel } from './yard.ts';

const PEOPLE = 8;
/** Milliseconds that a cut lasts, at least and at most: some end before anybody can be sure of them. */
const SHORTEST = 1000;
const LONGEST = 16_000;

export interface PartitionOptions {
  cuts: number;
  chance(): number;
  tell?(cut: object): void;
}

export interface PartitionReport {
  kind: Wire['kind'];
  cuts: number;
  requests: number;
  answered: number;
  /** Requests that were not answered, by status; `-1` are those past their deadline. */
  others: Record<string, number>;
  /** Requests that are not counted: everything stood still while they were under way. */
  disturbed: number;
  /** Milliseconds of an answer. */
  times: { p50: number; p99: number; most: number };
  /** Milliseconds after a cut was over until the gateway asked that server again: the longest. */
  back: number;
}

interface UpstreamState {
  name: string;
  healthy: boolean;
  sent: number;
}

export async function partition({ cuts, chance, tell }: PartitionOptions): Promise<PartitionReport> {
  const home = await mkdtemp(path.join(tmpdir(), 'inkstone-partition-'));
  const at = (name: string): string => path.join(home, name);
  const wire = await openWire(1);
  const running: Served[] = [];
  const serve = async (words: string[], before: readonly string[] = []): Promise<Served> => {
    const served = await Served.start([...words, '--no-log-requests'], { before });
    running.push(served);
    return served;
  };
  try {
    for (const name of ['near', 'far']) await makeModel(at(name));
    const { key } = await new Keys(await openFileStore(at('far/store'))).create('gateway');
    const near = await serve(['serve', '--home', at('near'), '--port', '0', '--model', 'bytes']);
    await serve(
      [
        ...['serve', '--home', at('far'), '--host', wire.host, '--port', String(wire.port)],
        ...['--model', 'bytes'],
      ],
      wire.before,
    );
    const upstreams = [
      { name: 'near', url: near.address },
      { name: 'far', url: wire.url, key },
    ];
    await writeFile(at('servers.json'), JSON.stringify({ upstreams }));
    const gateway = await serve([
      ...['gateway', '--servers', at('servers.json'), '--port', '0', '--home', at('gateway')],
    ]);
    const load = new Load({ address: gateway.address, model: 'bytes', tokens: 16, deadline: DEADLINE });
    const far = async (): Promise<UpstreamState> => {
      const status = await fetch(`${gateway.address}/gateway/status`);
      const { upstreams: all } = (await status.json()) as { upstreams: UpstreamState[] };
      return all.find(({ name }) => name === 'far') as UpstreamState;
    };
    /** Until the far one was asked once more. */
    const asked = async (): Promise<number> => {
      const began = performance.now();
      const { sent } = await far();
      for (;;) {
        const now = await far();
        if (now.healthy && now.sent > sent) return since(began);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    while ((await load.ask()).status !== 200) await new Promise((resolve) => setTimeout(resolve, 100));
    const answers: Answered[] = [];
    let stopped = false;
    const people = Array.from({ length: PEOPLE }, async () => {
      while (!stopped) {
        answers.push(await load.ask());
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
    let back = 0;
    for (let i = 1; i <= cuts; i++) {
      await asked();
      const lasts = SHORTEST + chance() * (LONGEST - SHORTEST);
      wire.cut();
      await new Promise((resolve) => setTimeout(resolve, lasts));
      wire.heal();
      const took = await asked();
      back = Math.max(back, took);
      tell?.({ cut: i, lasts: rounded(lasts), back: rounded(took), requests: answers.length });
    }
    stopped = true;
    await Promise.all(people);
    load.close();
    const counted = undisturbed(answers);
    const times = timesOf(counted);
    return {
      ...{ kind: wire.kind, cuts, requests: counted.length },
      answered: counted.filter(({ status }) => status === 200).length,
      others: failuresOf(counted),
      disturbed: answers.length - counted.length,
      times: {
        p50: rounded(percentile(times, 0.5)),
        p99: rounded(percentile(times, 0.99)),
        most: rounded(times.reduce((most, one) => Math.max(most, one), 0)),
      },
      back: rounded(back),
    };
  } finally {
    wire.heal();
    await Promise.all(running.map((one) => one.stop()));
    wire.close();
    await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
  }
}
