/**
 * `inkstone bench fairness`: one greedy key with 50 streams beside four quiet keys with four each, through the whole
 * server (keys, HTTP, scheduler, model host) to the starter model: who got how many tokens, how fast all together, and
 * what the quiet ones waited; beside the same with requests served in order of arrival, in turns. And what the quiet
 * ones wait while the same server trains a model.
 */
import http from 'node:http';
import path from 'node:path';
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { Random } from '../src/base/rng.ts';
import { jain } from '../src/evaluate/jain.ts';
import type { StartReplica } from '../src/operate/pool.ts';
import { isFinal } from '../src/operate/trainings.ts';
import { type RunningServer, startServer } from '../src/serve/index.ts';
import { percentile } from './percentile.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';

export interface FairnessOptions {
  effort: number;
  show(text: string): void;
  /** Other than the starter model; for tests. */
  startReplica?: StartReplica;
}

type Policy = 'fair' | 'first-come';

const QUIET = ['a', 'b', 'c', 'd'];
const GREEDY_STREAMS = 50;
const QUIET_STREAMS = 4;
/** Sequences that the model decodes together. */
const SLOTS = 16;

interface Phase {
  seconds: number;
  /** Pieces (a token each, but for parts of characters) by key, while the phase was measured. */
  pieces: Map<string, number>;
  /** Milliseconds, of requests that began while it was measured: to the first piece, and to the end. */
  firsts: Map<string, number[]>;
  wholes: Map<string, number[]>;
  errors: number;
}

/** One request; calls back for each piece. */
function ask(
  address: string,
  key: string,
  body: object,
  agent: http.Agent,
  piece: () => void,
): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.request(`${address}/v1/completions`, {
      ...{ method: 'POST', agent },
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    });
    request.on('error', () => resolve(false));
    request.on('response', (response) => {
      let rest = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.startsWith('data: {') && /"text":"[^"]/.test(line)) piece();
      });
      response.on('end', () => resolve(response.statusCode === 200));
      response.on('error', () => resolve(false));
    });
    request.end(JSON.stringify(body));
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function phase(
  options: FairnessOptions,
  policy: Policy,
  streams: Readonly<Record<string, number>>,
  seconds: number,
  beside: 'training' | 'nothing' = 'nothing',
): Promise<Phase> {
  const home = await host.makeTemporaryFolder('inkstone-fairness');
  const server = await startServer({
    ...{ port: 0, home, model: 'starter', concurrency: SLOTS, queue: 128, policy },
    ...(options.startReplica === undefined ? {} : { startReplica: options.startReplica }),
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
  const found: Phase = { seconds, pieces: new Map(), firsts: new Map(), wholes: new Map(), errors: 0 };
  try {
    await (await server.context.pool.get('starter')).ready();
    const stopTraining =
      beside === 'training'
        ? await train(server, home, options.effort < 1 ? 'tiny' : 'nanogpt-cpu')
        : undefined;
    const random = new Random(11, 'fairness');
    let measuring = false;
    let going = true;
    const add = (map: Map<string, number[]>, name: string, value: number): void => {
      const list = map.get(name) ?? [];
      list.push(value);
      map.set(name, list);
    };
    const stream = async (name: string, key: string): Promise<void> => {
      while (going) {
        const began = host.monotonic();
        const counts = measuring;
        let first = true;
        const body = {
          ...{ model: 'starter', prompt: 'To be, or not to be', stream: true },
          ...{ max_tokens: 16 + random.integer(49), seed: random.integer(1 << 30) },
        };
        const ok = await ask(server.address, key, body, agent, () => {
          if (measuring) found.pieces.set(name, (found.pieces.get(name) ?? 0) + 1);
          if (first && counts && measuring) add(found.firsts, name, host.monotonic() - began);
          first = false;
        });
        if (!ok && going) found.errors++;
        if (counts && measuring) add(found.wholes, name, host.monotonic() - began);
      }
    };
    const keys = new Map<string, string>();
    for (const name of Object.keys(streams)) keys.set(name, (await server.context.keys.create(name)).key);
    const all = Object.entries(streams).flatMap(([name, count]) =>
      Array.from({ length: count }, () => stream(name, keys.get(name) as string)),
    );
    await pause(Math.min(2000, 250 * seconds));
    const began = host.monotonic();
    measuring = true;
    await pause(1000 * seconds);
    measuring = false;
    found.seconds = (host.monotonic() - began) / 1000;
    going = false;
    await Promise.all(all);
    await stopTraining?.();
  } finally {
    agent.destroy();
    await server.close();
    await host.removeFile(home);
  }
  return found;
}

/** A training of the server's own that is at its steps, without an end. @returns stops it, and waits until it is over */
async function train(server: RunningServer, home: string, preset: string): Promise<() => Promise<void>> {
  const { trainings } = server.context;
  const file = path.join(home, 'text.txt');
  await host.writeFile(file, 'The reeds bend and the boats come home. '.repeat(2000));
  const { id } = await trainings.create({ name: 'beside', file, preset, steps: 1_000_000 });
  for (;;) {
    const { state, metrics, error } = await trainings.status(await trainings.get(id));
    if (isFinal(state))
      throw new InkstoneError('training_ended', `the training beside ended: ${error?.message ?? state}`, {
        kind: 'internal',
        hint: 'see the log of the server',
      });
    if ((metrics.step ?? 0) > 0) break;
    await pause(100);
  }
  return async () => {
    await trainings.stop(id);
    while (!isFinal((await trainings.get(id)).state)) await pause(50);
  };
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, one) => total + one, 0);

/** Of several rounds, as one. */
function together(rounds: readonly Phase[]): Phase {
  const all: Phase = { seconds: 0, pieces: new Map(), firsts: new Map(), wholes: new Map(), errors: 0 };
  for (const one of rounds) {
    all.seconds += one.seconds;
    all.errors += one.errors;
    for (const [key, value] of one.pieces) all.pieces.set(key, (all.pieces.get(key) ?? 0) + value);
    for (const name of ['firsts', 'wholes'] as const)
      for (const [key, list] of one[name]) all[name].set(key, [...(all[name].get(key) ?? []), ...list]);
  }
  return all;
}

const quietOf = (map: ReadonlyMap<string, readonly number[]>): number[] =>
  QUIET.flatMap((key) => map.get(key) ?? []);

export async function benchFairness(options: FairnessOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const seconds = Math.max(0.5, 8 * options.effort);
  const rounds = options.effort < 1 ? 1 : 3;
  const quiet = Object.fromEntries(QUIET.map((key) => [key, QUIET_STREAMS]));
  const crowd = { greedy: GREEDY_STREAMS, ...quiet };
  const alone: Phase[] = [];
  const fair: Phase[] = [];
  const first: Phase[] = [];
  const training: Phase[] = [];
  for (let i = 1; i <= rounds; i++) {
    options.show(`round ${i} of ${rounds}: quiet keys alone`);
    alone.push(await phase(options, 'fair', quiet, seconds));
    options.show(`round ${i} of ${rounds}: fair shares`);
    fair.push(await phase(options, 'fair', crowd, seconds));
    options.show(`round ${i} of ${rounds}: in order of arrival`);
    first.push(await phase(options, 'first-come', crowd, seconds));
    options.show(`round ${i} of ${rounds}: quiet keys beside a training`);
    training.push(await phase(options, 'fair', quiet, seconds, 'training'));
  }
  const [a, f, o, t] = [together(alone), together(fair), together(first), together(training)];
  const shares = (one: Phase): number[] => Object.keys(crowd).map((key) => one.pieces.get(key) ?? 0);
  const speed = (one: Phase): number => sum(one.pieces.values()) / one.seconds;
  const p95 = (map: ReadonlyMap<string, readonly number[]>): number => percentile(quietOf(map), 0.95);
  const errors = `errors: ${a.errors + f.errors + o.errors + t.errors}`;
  const against = (
    name: string,
    unit: string,
    better: BenchCase['better'],
    ours: number,
    peer: number,
    peerName: string,
    note?: string,
  ): BenchCase => ({
    ...{ case: name, unit, better, ours: round(ours), peer: round(peer), peer_name: peerName },
    ...{ peer_version: null, ratio: round(ours / peer, 4) },
    ...(note === undefined ? {} : { note }),
  });
  const order = 'order of arrival';
  const share = (one: Phase): string =>
    `greedy ${((100 * (one.pieces.get('greedy') ?? 0)) / Math.max(1, sum(one.pieces.values()))).toFixed(0)} %`;
  return {
    bench: 'fairness',
    commit: await commit(),
    machine: { ...host.machine(), threads: host.cpuCount(), runtime: 'the whole server and its model host' },
    data: `starter model, ${SLOTS} slots; one key with ${GREEDY_STREAMS} streams, ${QUIET.length} with ${QUIET_STREAMS}; ${rounds} rounds of ${seconds} s`,
    seconds: round((host.monotonic() - started) / 1000),
    cases: [
      against(
        'Jain index of five keys',
        'index',
        'higher',
        jain(shares(f)),
        jain(shares(o)),
        order,
        `${share(f)}; in order of arrival ${share(o)}; ${errors}`,
      ),
      against('throughput', 'tokens/s', 'higher', speed(f), speed(o), order),
      against("quiet keys' first token, p95", 'ms', 'lower', p95(f.firsts), p95(o.firsts), order),
      against("quiet keys' whole answer, p95", 'ms', 'lower', p95(f.wholes), p95(o.wholes), order),
      against(
        "quiet keys' whole answer with the greedy one, p95",
        'ms',
        'lower',
        p95(f.wholes),
        p95(a.wholes),
        'without the greedy one',
      ),
      against(
        "quiet keys' first token with the greedy one, p95",
        'ms',
        'lower',
        p95(f.firsts),
        p95(a.firsts),
        'without the greedy one',
      ),
      ...(['firsts', 'wholes'] as const).map((what) =>
        against(
          `quiet keys' ${what === 'firsts' ? 'first token' : 'whole answer'} beside a training, p95`,
          'ms',
          'lower',
          p95(t[what]),
          p95(a[what]),
          'without the training',
        ),
      ),
      against(
        'throughput beside a training',
        'tokens/s',
        'higher',
        speed(t),
        speed(a),
        'without the training',
      ),
    ],
  };
}
