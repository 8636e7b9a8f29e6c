/**
 * `inkstone bench gateway`: a thousand chat requests a second through `inkstone gateway` (keys with limits and a
 * budget, metrics and a log line each on) to a replica that answers at once, beside the same straight to the replica. The load is open: requests are
 * sent when they are due, whatever became of those before, and times count from when they were due.
 */
import http from 'node:http';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { Keys } from '../src/serve/keys.ts';
import { openFileStore } from '../src/store/index.ts';
import { percentile } from './percentile.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';

export interface GatewayBenchOptions {
  effort: number;
  /** Requests a second; default 1000. */
  rate?: number;
  show(text: string): void;
}

/** LiteLLM's published figures for its own overhead, on four machines of four cores. */
const LITELLM = { p50: 2, p95: 8, p99: 13 };

interface Slice {
  /** Milliseconds from when each was due. */
  times: number[];
  errors: number;
  seconds: number;
}

/** What a client of a chat sends; a kilobyte or so. */
const BODY = Buffer.from(
  JSON.stringify({
    model: 'instant',
    messages: [
      { role: 'system', content: 'You answer at once. '.repeat(20) },
      { role: 'user', content: 'Say what you have to say about mountains, rivers and ink. '.repeat(8) },
    ],
    max_tokens: 16,
    seed: 1,
  }),
);

async function load(address: string, key: string, rate: number, seconds: number): Promise<Slice> {
  const agent = new http.Agent({
    keepAlive: true,
    maxSockets: 1024,
    maxFreeSockets: 1024,
    scheduling: 'lifo',
  });
  const url = new URL('/v1/chat/completions', address);
  const found: Slice = { times: [], errors: 0, seconds };
  const headers = {
    ...{ 'content-type': 'application/json', 'content-length': BODY.length },
    authorization: `Bearer ${key}`,
  };
  const one = (due: number): Promise<void> =>
    new Promise((resolve) => {
      const request = http.request(url, { method: 'POST', agent, headers }, (response) => {
        let bytes = 0;
        response.on('data', (piece: Buffer) => {
          bytes += piece.length;
        });
        response.on('end', () => {
          found.times.push(host.monotonic() - due);
          if (response.statusCode !== 200 || bytes === 0) found.errors++;
          resolve();
        });
        response.on('error', () => {
          found.errors++;
          resolve();
        });
      });
      request.on('error', () => {
        found.errors++;
        resolve();
      });
      request.end(BODY);
    });
  const began = host.monotonic();
  const total = Math.round(rate * seconds);
  const all: Promise<void>[] = [];
  await new Promise<void>((resolve) => {
    const send = (): void => {
      while (all.length < total) {
        const due = began + (1000 * all.length) / rate;
        if (due > host.monotonic()) break;
        all.push(one(due));
      }
      if (all.length === total) resolve();
      else setTimeout(send, 1);
    };
    send();
  });
  await Promise.all(all);
  found.seconds = (host.monotonic() - began) / 1000;
  agent.destroy();
  return found;
}

const PARTIES = ['load', 'gateway', 'replica'] as const;
type Party = (typeof PARTIES)[number];

/** Milliseconds of processor time so far of each; 0 where this system does not tell. */
function useOf(parties: Record<Party, number | undefined>): Record<Party, number> {
  const of = (id: number | undefined): number => (id === undefined ? 0 : (host.processUse(id)?.cpu ?? 0));
  return { load: of(parties.load), gateway: of(parties.gateway), replica: of(parties.replica) };
}

/** The first line that a child writes, as JSON. */
function firstLine(child: host.ChildProcess): Promise<{ address: string }> {
  return new Promise((resolve, reject) => {
    let text = '';
    (child.stdout as Readable).setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(JSON.parse(text.slice(0, end)) as { address: string });
    });
    child.on('exit', (status) =>
      reject(new InkstoneError('bench_failed', `a server ended with status ${status} before it listened`)),
    );
  });
}

export async function benchGateway(options: GatewayBenchOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const home = await host.makeTemporaryFolder('inkstone-gateway');
  const { rate = 1000 } = options;
  const rounds = options.effort < 1 ? 2 : 6;
  const seconds = Math.max(1, (60 * options.effort) / rounds);
  const replica = host.spawnProcess(process.execPath, [host.entry('bench/instant-replica')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const children: host.ChildProcess[] = [replica];
  try {
    // Every limit is there and none is reached: what is measured is their cost.
    const limits = { requestsPerMinute: 1e6, tokensPerMinute: 1e9, concurrency: 10_000, budget: 1e9 };
    const { key } = await new Keys(await openFileStore(path.join(home, 'store'))).create('load', { limits });
    const { address: direct } = await firstLine(replica);
    const gateway = host.spawnCommand([
      ...['gateway', '--upstreams', direct, '--port', '0', '--home', home, '--json'],
    ]);
    children.push(gateway);
    let lines = 0;
    gateway.stderr?.on('data', (piece: Buffer) => {
      for (const byte of piece) if (byte === 10) lines++;
    });
    const { address } = await firstLine(gateway);
    options.show('warming up');
    await load(address, key, rate / 2, Math.min(3, seconds));
    await load(direct, key, rate / 2, Math.min(2, seconds));
    const through: Slice[] = [];
    const straight: Slice[] = [];
    const parties = { load: host.processId(), gateway: gateway.pid, replica: replica.pid };
    const used = { load: 0, gateway: 0, replica: 0 };
    for (let i = 1; i <= rounds; i++) {
      options.show(`round ${i} of ${rounds}: through the gateway`);
      const before = useOf(parties);
      through.push(await load(address, key, rate, seconds));
      const after = useOf(parties);
      for (const name of PARTIES) used[name] += after[name] - before[name];
      options.show(`round ${i} of ${rounds}: straight`);
      straight.push(await load(direct, key, rate, Math.max(1, seconds / 3)));
    }
    const metrics = await (await fetch(`${address}/metrics`)).text();
    const counted = Number(/requests_total\{[^}]*status="200"\} (\d+)/.exec(metrics)?.[1] ?? 0);
    // A line waits a moment for others.
    for (let i = 0; i < 100 && lines < counted; i++) await new Promise((resolve) => setTimeout(resolve, 50));
    const times = (slices: readonly Slice[]): number[] => slices.flatMap((one) => one.times);
    const [t, s] = [times(through), times(straight)];
    const errors = through.reduce((sum, one) => sum + one.errors, 0);
    const reached = t.length / through.reduce((sum, one) => sum + one.seconds, 0);
    const each = PARTIES.map((name) => `${name} ${round(used[name] / t.length, 3)}`).join(', ');
    const added = (part: number): number => percentile(t, part) - percentile(s, part);
    const row = (name: 'p50' | 'p95' | 'p99', part: number): BenchCase => ({
      ...{ case: `added latency ${name}`, unit: 'ms', better: 'lower', ours: round(added(part), 3) },
      ...{ peer: LITELLM[name], peer_name: 'LiteLLM, as published, 4 × 4 cores', peer_version: null },
      ratio: round(added(part) / LITELLM[name], 3),
      note: `through ${round(percentile(t, part), 3)} ms, straight ${round(percentile(s, part), 3)} ms, this machine has ${host.cpuCount()} cores for all; ms of a core a request: ${each}`,
    });
    return {
      bench: 'gateway',
      commit: await commit(),
      machine: {
        ...{ ...host.machine(), threads: host.cpuCount() },
        runtime: 'load, gateway and replica in three processes',
      },
      data: `${BODY.length} bytes a request, ${rate} requests/s due, ${rounds} rounds of ${round(seconds)} s; a key with limits and a budget, metrics and a log line each`,
      seconds: round((host.monotonic() - started) / 1000),
      cases: [
        row('p50', 0.5),
        row('p95', 0.95),
        row('p99', 0.99),
        {
          ...{ case: 'requests a second', unit: 'requests/s', better: 'higher', ours: round(reached) },
          ...{ peer: rate, peer_name: 'due', peer_version: null, ratio: round(reached / rate, 4) },
          note: `${t.length} answers, errors: ${errors}; the gateway counted ${counted} answers and wrote ${lines} lines`,
        },
      ],
    };
  } finally {
    for (const child of children) child.kill();
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode === null && child.signalCode === null)
          await new Promise((resolve) => child.once('exit', resolve));
      }),
    );
    await host.removeFile(home);
  }
}
