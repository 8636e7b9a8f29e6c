/**
 * `inkstone bench train-text`: one GPT training step (forward, backward, clipping, AdamW) beside PyTorch eager,
 * torch.compile, TensorFlow.js and jax-js: same shapes, batches, initial parameters and optimiser, in turns.
 * A side whose losses disagree with ours fails the benchmark: fast and wrong is not fast.
 */
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { trainingStepFlops } from './flops.ts';
import { interleave, type Measured, type Participant, type Plan } from './interleave.ts';
import { type Limit, productPeak } from './limits.ts';
import { corpus, OPTIMISER, SHAPES, type ShapeName, writeBatches, writeParameters } from './material.ts';
import type { Peer } from './peer.ts';
import { type OpenPeer, openPeers, PEER_NAMES, PEERS, type PeerId, startNode } from './peers.ts';
import type { Work } from './protocol.ts';
import { absentCase, type BenchCase, type BenchResult, commit, round, scaled } from './report.ts';

export interface BenchOptions {
  data?: string | undefined;
  shapes: readonly ShapeName[];
  peers: readonly PeerId[];
  threads: number;
  install: boolean;
  installPython: boolean;
  /** Factor on rounds and runs: 1 for real, less for tests. */
  effort: number;
  show(text: string): void;
  note(text: string): void;
}

/** Steps whose losses are compared, and how far they may be apart, in nats. */
export const COMPARED_STEPS = 6;
export const TOLERANCE = 2e-3;

const PLANS: Record<ShapeName, Plan> = {
  'nanogpt-cpu': { rounds: 9, runs: 20, budget: 20, warmup: 6 },
  'nanogpt-10m': { rounds: 6, runs: 4, budget: 40, warmup: 4 },
  tiny: { rounds: 2, runs: 3, budget: 5, warmup: 4 },
};

function planOf(shape: ShapeName, effort: number): Plan {
  const plan = PLANS[shape];
  return {
    ...plan,
    rounds: Math.max(1, Math.round(plan.rounds * effort)),
    runs: Math.max(2, Math.round(plan.runs * effort)),
  };
}

/** @throws InkstoneError `losses_differ` */
export function compareLosses(
  shape: string,
  peer: string,
  ours: readonly number[],
  theirs: readonly number[],
): NonNullable<BenchCase['losses']> {
  const steps = Math.min(COMPARED_STEPS, ours.length, theirs.length);
  const differences = Array.from({ length: steps }, (_, i) =>
    Math.abs((ours[i] as number) - (theirs[i] as number)),
  );
  const largest = Math.max(...differences);
  const losses = {
    steps,
    ours: ours.slice(0, steps).map((x) => round(x, 7)),
    peer: theirs.slice(0, steps).map((x) => round(x, 7)),
    largest_difference: round(largest, 3),
  };
  // Not `largest > TOLERANCE`: a NaN must fail, too.
  if (steps === 0 || !(largest <= TOLERANCE)) {
    throw new InkstoneError(
      'losses_differ',
      `${shape}: our losses differ from those of ${peer} by ${largest} nats within ${steps} steps`,
      {
        hint: 'one of the two computes something else; the times mean nothing',
        details: losses,
      },
    );
  }
  return losses;
}

interface Sides {
  ours: Peer;
  runtime: string;
  open: OpenPeer[];
}

async function measureShape(
  shape: ShapeName,
  sides: Sides,
  work: Work,
  options: BenchOptions,
): Promise<{ measured: Measured[]; memory: Map<string, number>; lost: Map<string, string> }> {
  const all = [{ id: 'ours', peer: sides.ours }, ...sides.open];
  const lost = new Map<string, string>();
  const memory = new Map<string, number>();
  const participants: Participant[] = [];
  const failed = (id: string, reason: unknown): void => {
    const { message } = InkstoneError.from(reason);
    if (id === 'ours') throw InkstoneError.from(reason);
    lost.set(id, message);
    options.note(`${shape}: ${id} failed and is left out: ${message}`);
  };
  for (const { id, peer } of all) {
    try {
      await peer.ask({ do: 'prepare', name: shape, ...work, compiled: id === 'pytorch-compile' } as never);
      participants.push({ id, run: (count) => peer.ask({ do: 'run', name: shape, count }) });
    } catch (thrown) {
      failed(id, thrown);
    }
  }
  const measured = await interleave(participants, planOf(shape, options.effort), {
    show: (text) => options.show(`${shape}: ${text}`),
    failed,
  });
  for (const { id, peer } of all) {
    try {
      memory.set(id, (await peer.ask({ do: 'memory' })).peak);
      await peer.ask({ do: 'free', name: shape });
    } catch {
      // It failed before, and that was said.
    }
  }
  return { measured, memory, lost };
}

function casesOf(
  shape: ShapeName,
  sides: Sides,
  found: Awaited<ReturnType<typeof measureShape>>,
  peak: Limit,
  threads: number,
): BenchCase[] {
  const { model, batch } = SHAPES[shape];
  const flops = trainingStepFlops(model, batch, model.context);
  const shareOf = (seconds: number): number => round(flops / seconds / 1e9 / peak.value, 3);
  const ours = found.measured.find(({ id }) => id === 'ours') as Measured;
  const common = { unit: 'ms/step', better: 'lower' as const, ours: round(ours.time.median * 1e3) };
  const milliseconds = (seconds: number): number => seconds * 1e3;
  const cases: BenchCase[] = [];
  for (const { id, description } of sides.open) {
    const name = PEER_NAMES[id];
    const theirs = found.measured.find((one) => one.id === id);
    if (theirs === undefined) {
      const absent = { id, reason: `failed: ${found.lost.get(id)}`, install: 'see the reason' };
      cases.push(absentCase(`${shape}, ${name}`, common.unit, 'lower', common.ours, absent, name));
      continue;
    }
    const [oursMemory, peerMemory] = [found.memory.get('ours'), found.memory.get(id)];
    cases.push({
      case: `${shape}, ${name}`,
      ...common,
      peer: round(theirs.time.median * 1e3),
      peer_name: name,
      peer_version: description.version,
      ratio: round(ours.time.median / theirs.time.median, 3),
      ours_spread: scaled(ours.time, milliseconds),
      peer_spread: scaled(theirs.time, milliseconds),
      share_of_peak: shareOf(ours.time.median),
      peer_share_of_peak: shareOf(theirs.time.median),
      losses: compareLosses(shape, name, ours.losses, theirs.losses),
      ...(oursMemory === undefined ? {} : { ours_memory: oursMemory }),
      ...(peerMemory === undefined ? {} : { peer_memory: peerMemory }),
      threads: { ours: threads, peer: description.threads },
      ...(theirs.note === undefined ? {} : { note: theirs.note }),
    });
  }
  if (cases.length > 0) return cases;
  const memory = found.memory.get('ours');
  return [
    {
      case: shape,
      ...common,
      peer: null,
      peer_name: null,
      peer_version: null,
      ratio: null,
      ours_spread: scaled(ours.time, milliseconds),
      share_of_peak: shareOf(ours.time.median),
      ...(memory === undefined ? {} : { ours_memory: memory }),
      note: 'no peer is installed: losses are not checked and nothing is claimed',
    },
  ];
}

/** @throws InkstoneError `losses_differ`, `data_missing`, `peer_failed` (ours) */
export async function benchTrainText(options: BenchOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const folder = await host.makeTemporaryFolder('inkstone-bench');
  const ours = startNode('ours', host.entry('bench/ours-entry'), options);
  const { open, absent } = await openPeers(
    options.peers.length === 0
      ? []
      : PEERS.filter((id) => !['llama.cpp', 'tokenizers'].includes(id) && options.peers.includes(id)),
    options,
  );
  try {
    const { version: runtime } = await ours.describe();
    const sides = { ours, runtime, open };
    options.show('measuring the float32 product peak');
    const peak = await productPeak(ours, open, options.effort < 1 ? [[256, 256, 256]] : undefined);
    const text = await corpus(options.data, 65);
    const cases: BenchCase[] = [];
    for (const shape of options.shapes) {
      const { model, batch } = SHAPES[shape];
      const work: Work = {
        work: 'train-text',
        model,
        batch,
        time: model.context,
        parameters: await writeParameters(folder, model),
        batches: await writeBatches(folder, text, { batch, time: model.context, count: 32 }),
        optimiser: OPTIMISER,
      };
      const found = await measureShape(shape, sides, work, options);
      cases.push(...casesOf(shape, sides, found, peak, options.threads));
      for (const one of absent) {
        const time = round((found.measured.find(({ id }) => id === 'ours') as Measured).time.median * 1e3);
        cases.push(
          absentCase(`${shape}, ${PEER_NAMES[one.id]}`, 'ms/step', 'lower', time, one, PEER_NAMES[one.id]),
        );
      }
    }
    return {
      bench: 'train-text',
      commit: await commit(),
      machine: {
        ...host.machine(),
        threads: options.threads,
        runtime,
        gemm_peak: round(peak.value),
        gemm_peak_by: peak.by,
        gemm_peaks: peak.each,
      },
      data: text.name,
      seconds: round((host.monotonic() - started) / 1000),
      cases,
    };
  } finally {
    await Promise.all([ours, ...open.map(({ peer }) => peer)].map((peer) => peer.end()));
    await host.removeFile(folder);
  }
}
