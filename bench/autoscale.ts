/**
 * `inkstone bench autoscale`: a day of traffic in two minutes over real child processes (scheduler, sets of replicas, the
 * policy), beside what the simulator says of the same, and the whole day simulated at its own length; each against the
 * best fixed number of replicas. The replicas write at a given pace and compute nothing: what is measured is the
 * scaling. Without `--data` the day is made up from a seed.
 */
import * as host from '../src/base/host.ts';
import { Autoscaler } from '../src/operate/autoscale/autoscaler.ts';
import { AUTOSCALE, type AutoscalePolicy } from '../src/operate/autoscale/policy.ts';
import { bestFixed, type ReplicaModel, serviceTime, simulate } from '../src/operate/autoscale/simulator.ts';
import { type Arrival, madeUpDay, readTraffic } from '../src/operate/autoscale/traffic.ts';
import { ChildReplica } from '../src/operate/child-replica.ts';
import { ReplicaSet } from '../src/operate/hosts/replica-set.ts';
import { scriptedModel } from '../src/operate/hosts/scripted-model.ts';
import { Scheduler } from '../src/operate/scheduler/scheduler.ts';
import { percentile } from './percentile.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';

export interface AutoscaleBenchOptions {
  effort: number;
  /** A recording; a day made up from a seed without it. */
  data?: string | undefined;
  show(text: string): void;
}

const DAY = 86_400;
const SLOTS = 4;
/** Milliseconds a token, and tokens of a request on the way to one of the replica's. */
const PACE = 25;
const PER = 10;
/** Seconds that 95 % may wait: of the short day, and of the whole one. */
const TARGET = 0.5;
const WHOLE_TARGET = 2;

/** Windows as short as the day is. A process starts in real time, so they cannot shrink as much as the day does. */
const SHORT: AutoscalePolicy = {
  ...AUTOSCALE,
  ...{ minimum: 1, maximum: 6, target: 3, up: 800, down: 5000, panic: 400, queueAge: 0.5 },
};
const WHOLE: AutoscalePolicy = { ...AUTOSCALE, minimum: 1, maximum: 12, target: 3 };
const WHOLE_REPLICA: ReplicaModel = {
  slots: SLOTS,
  overhead: 0.1,
  perPrompt: 0.001,
  perAnswer: 0.015,
  load: 45,
};

const steps = ({ answer }: Arrival): number => Math.max(1, Math.ceil(answer / PER));

interface Measured {
  waits: number[];
  replicaSeconds: number;
  samples: { replicas: number; load: number }[];
  changes: number;
  failures: number;
  /** Seconds from a start to readiness. */
  load: number;
}

async function real(
  traffic: readonly Arrival[],
  policy: AutoscalePolicy | number,
  show: (text: string) => void,
): Promise<Measured> {
  const starts: number[] = [];
  const start = (): ChildReplica => {
    const began = host.monotonic();
    const one = new ChildReplica({
      ...{ folder: JSON.stringify({ pace: PACE }), model: scriptedModel('paced') },
      entry: 'operate/hosts/scripted-host',
    });
    one.ready().then(
      () => starts.push((host.monotonic() - began) / 1000),
      () => undefined,
    );
    return one;
  };
  const fixed = typeof policy === 'number' ? policy : undefined;
  const set = new ReplicaSet({ start, count: fixed ?? 1 });
  const queue = new Scheduler({ concurrency: SLOTS * (fixed ?? 1), capacity: 1_000_000 });
  const autoscaler = new Autoscaler({
    ...{ policy: fixed === undefined ? (policy as AutoscalePolicy) : SHORT, slots: SLOTS, every: 100 },
    sets: () => [['paced', set]],
    lanes: () => queue.snapshot().lanes,
    setPlaces: (model, places) => queue.setPlaces(model, places),
  });
  const found: Measured = { waits: [], replicaSeconds: 0, samples: [], changes: 0, failures: 0, load: 0 };
  try {
    await set.ready();
    if (fixed === undefined) autoscaler.start();
    const began = host.monotonic();
    const ask = async (one: Arrival): Promise<void> => {
      // From when it was due: a late timer of this process is waiting, too.
      const due = began + 1000 * one.at;
      const ticket = queue.enter({
        id: 'x',
        model: 'paced',
        cost: { prompt: one.prompt, answer: one.answer },
      });
      try {
        await ticket.turn();
        found.waits.push((host.monotonic() - due) / 1000);
        const sampling = { maxTokens: steps(one), temperature: 0, topK: 0, topP: 1, seed: 0, stop: [] };
        const request = { id: 'x', prompt: 'on', sampling };
        for await (const _ of set.generate(request, new AbortController().signal));
      } catch {
        found.failures++;
      } finally {
        ticket.release();
      }
    };
    const all: Promise<void>[] = [];
    let before = began;
    let next = 0;
    const last = traffic.at(-1)?.at ?? 0;
    await new Promise<void>((resolve) => {
      const tick = (): void => {
        const now = host.monotonic();
        const there = set.snapshot().replicas.length;
        found.replicaSeconds += (there * (now - before)) / 1000;
        before = now;
        while (next < traffic.length && 1000 * (traffic[next] as Arrival).at <= now - began)
          all.push(ask(traffic[next++] as Arrival));
        const { running, waiting } = queue.status();
        if (found.samples.length < (now - began) / 500)
          found.samples.push({ replicas: set.size, load: running + waiting });
        show(`${Math.round((now - began) / 1000)} of ${Math.round(last)} s: ${set.size} replicas`);
        if (next >= traffic.length) resolve();
        else setTimeout(tick, 5);
      };
      tick();
    });
    await Promise.all(all);
    found.replicaSeconds += (set.size * (host.monotonic() - before)) / 1000;
    found.changes = autoscaler.snapshot().models.paced?.changes ?? 0;
    found.load = percentile(starts, 0.5);
  } finally {
    autoscaler.stop();
    await set.stop();
  }
  return found;
}

/** Pearson's correlation of replicas with the load of a few samples before. */
function follows(samples: readonly { replicas: number; load: number }[], lag = 2): number {
  const pairs = samples
    .slice(lag)
    .map(({ replicas }, i) => [replicas, (samples[i] as { load: number }).load] as const);
  const mean = (of: (pair: readonly [number, number]) => number): number =>
    pairs.reduce((sum, pair) => sum + of(pair), 0) / Math.max(1, pairs.length);
  const [a, b] = [mean(([x]) => x), mean(([, y]) => y)];
  const covariance = mean(([x, y]) => (x - a) * (y - b));
  return covariance / Math.sqrt(mean(([x]) => (x - a) ** 2) * mean(([, y]) => (y - b) ** 2));
}

export async function benchAutoscale(options: AutoscaleBenchOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const length = Math.max(2, 120 * Math.min(1, options.effort));
  const recorded = options.data === undefined ? undefined : readTraffic(await host.readText(options.data));
  const last = recorded?.at(-1)?.at ?? DAY;
  const short =
    recorded?.map((one) => ({ ...one, at: (one.at * length) / Math.max(1, last) })) ??
    madeUpDay({ seed: 1, rate: 9, length });
  const measured = await real(short, SHORT, options.show);
  const model: ReplicaModel = {
    ...{ slots: SLOTS, overhead: 0.004, perPrompt: 0, load: measured.load },
    perAnswer: PACE / 1000 / PER,
  };
  const inSteps = short.map((one) => ({ ...one, answer: PER * steps(one) }));
  options.show('the simulator');
  const said = simulate({ traffic: inSteps, replica: model, policy: SHORT, every: 100 });
  const fixed = bestFixed({ traffic: inSteps, replica: model }, TARGET, 16);
  const day = recorded ?? madeUpDay({ seed: 1, rate: 1.5, length: options.effort < 1 ? 3600 : DAY });
  const whole = simulate({ traffic: day, replica: WHOLE_REPLICA, policy: WHOLE, every: 5000 });
  const wholeFixed = bestFixed({ traffic: day, replica: WHOLE_REPLICA }, WHOLE_TARGET, 24);
  const p95 = percentile(measured.waits, 0.95);
  const hours = measured.replicaSeconds / 3600;
  const one = (
    name: string,
    unit: string,
    ours: number,
    peer: number | null,
    peerName: string | null,
    more: Partial<BenchCase> = {},
  ): BenchCase => ({
    ...{ case: name, unit, better: 'lower', ours: round(ours), peer: peer === null ? null : round(peer) },
    ...{
      peer_name: peerName,
      peer_version: null,
      ratio: peer === null || peer === 0 ? null : round(ours / peer, 3),
    },
    ...more,
  });
  const curve = measured.samples.filter((_, i) => i % Math.ceil(measured.samples.length / 96) === 0);
  const busy =
    short.reduce((sum, arrival) => sum + serviceTime(model, arrival), 0) / SLOTS / measured.replicaSeconds;
  return {
    bench: 'autoscale',
    commit: await commit(),
    machine: { ...host.machine(), threads: host.cpuCount(), runtime: 'child processes without a model' },
    data: `${recorded === undefined ? 'a day made up from a seed' : 'a recording'}, ${short.length} requests in ${round(length)} s; ${day.length} simulated at the day's own length`,
    seconds: round((host.monotonic() - started) / 1000),
    cases: [
      one('waiting, p95', 's', p95, TARGET, 'target', {
        note: `${measured.waits.length} answers, failures: ${measured.failures}; a replica is ready after ${measured.load.toFixed(2)} s`,
      }),
      one(
        'replica-hours',
        'h',
        hours,
        fixed?.result.replicaHours ?? null,
        `best fixed size: ${fixed?.size}`,
        {
          note: `${(100 * busy).toFixed(0)} % of the slots' time was work`,
        },
      ),
      one('replicas against load', 'correlation', follows(measured.samples), null, null, {
        better: 'higher',
        note: `${measured.changes} changes; replicas over the day: ${curve.map(({ replicas }) => replicas).join('')}`,
      }),
      one('waiting, p95, beside the simulator', 's', p95, said.waitP95, 'simulator'),
      one('replica-hours beside the simulator', 'h', hours, said.replicaHours, 'simulator'),
      one('the whole day simulated: waiting, p95', 's', whole.waitP95, WHOLE_TARGET, 'target'),
      one(
        'the whole day simulated: replica-hours',
        'h',
        whole.replicaHours,
        wholeFixed?.result.replicaHours ?? null,
        `best fixed size: ${wholeFixed?.size}`,
        { note: `${whole.changes} changes; replicas over the day: ${whole.curve.join('')}` },
      ),
    ],
  };
}
