/**
 * `inkstone bench gemm`: float32 matrix products beside PyTorch, TensorFlow.js and jax-js, in turns, and what
 * part of this machine's best each reaches.
 */
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { productFlops } from './flops.ts';
import { interleave, type Measured } from './interleave.ts';
import { productPeak } from './limits.ts';
import { openPeers, PEER_NAMES, startNode } from './peers.ts';
import { absentCase, type BenchCase, type BenchResult, commit, round, scaled } from './report.ts';
import type { BenchOptions } from './train-text.ts';

/** Square, and the three products of a GPT's widest layer. */
const PRODUCTS: readonly (readonly [number, number, number])[] = [
  [1024, 1024, 1024],
  [2048, 384, 1536],
  [2048, 1536, 384],
  [384, 2048, 1536],
];

/** @throws InkstoneError `peer_failed` (ours) */
export async function benchGemm(options: Omit<BenchOptions, 'shapes' | 'data'>): Promise<BenchResult> {
  const started = host.monotonic();
  const ours = startNode('ours', host.entry('bench/ours-entry'), options);
  // Products do not pass through torch.compile.
  const wanted = options.peers.filter((id) => !['pytorch-compile', 'llama.cpp', 'tokenizers'].includes(id));
  const { open, absent } = await openPeers(wanted, options);
  try {
    const { version: runtime } = await ours.describe();
    const products = options.effort < 1 ? ([[64, 64, 64]] as const) : PRODUCTS;
    options.show('measuring the float32 product peak');
    const peak = await productPeak(ours, open, options.effort < 1 ? products : undefined);
    const cases: BenchCase[] = [];
    for (const shape of products) {
      const name = shape.join('×');
      const speed = (seconds: number): number => productFlops(shape) / seconds / 1e9;
      const all = [{ id: 'ours', peer: ours }, ...open];
      for (const { peer } of all) await peer.ask({ do: 'prepare', name, work: 'gemm', shape });
      const measured = await interleave(
        all.map(({ id, peer }) => ({ id, run: (count) => peer.ask({ do: 'run', name, count }) })),
        { rounds: options.effort < 1 ? 2 : 5, runs: options.effort < 1 ? 3 : 20, budget: 10, warmup: 6 },
        {
          show: (text) => options.show(`${name}: ${text}`),
          failed: (id, reason) => {
            if (id === 'ours') throw InkstoneError.from(reason);
            options.note(`${name}: ${id} failed: ${InkstoneError.from(reason).message}`);
          },
        },
      );
      for (const { peer } of all) await peer.ask({ do: 'free', name }).catch(() => undefined);
      const found = (id: string): Measured | undefined => measured.find((one) => one.id === id);
      const own = found('ours') as Measured;
      const common = { unit: 'GFLOP/s', better: 'higher' as const, ours: round(speed(own.time.median)) };
      const share = (seconds: number): number => round(speed(seconds) / peak.value, 3);
      for (const { id, description } of open) {
        const theirs = found(id);
        if (theirs === undefined) continue;
        cases.push({
          case: `${name}, ${PEER_NAMES[id]}`,
          ...common,
          peer: round(speed(theirs.time.median)),
          peer_name: PEER_NAMES[id],
          peer_version: description.version,
          ratio: round(own.time.median === 0 ? 0 : theirs.time.median / own.time.median, 3),
          ours_spread: scaled(own.time, speed),
          peer_spread: scaled(theirs.time, speed),
          share_of_peak: share(own.time.median),
          peer_share_of_peak: share(theirs.time.median),
          threads: { ours: options.threads, peer: description.threads },
          ...(theirs.note === undefined ? {} : { note: theirs.note }),
        });
      }
      for (const one of absent)
        cases.push(
          absentCase(
            `${name}, ${PEER_NAMES[one.id]}`,
            'GFLOP/s',
            'higher',
            common.ours,
            one,
            PEER_NAMES[one.id],
          ),
        );
      if (open.length + absent.length === 0) {
        const nobody = { peer: null, peer_name: null, peer_version: null, ratio: null };
        cases.push({
          case: name,
          ...common,
          ...nobody,
          ours_spread: scaled(own.time, speed),
          share_of_peak: share(own.time.median),
        });
      }
    }
    return {
      bench: 'gemm',
      commit: await commit(),
      machine: {
        ...host.machine(),
        threads: options.threads,
        runtime,
        gemm_peak: round(peak.value),
        gemm_peak_by: peak.by,
        gemm_peaks: peak.each,
      },
      seconds: round((host.monotonic() - started) / 1000),
      cases,
    };
  } finally {
    await Promise.all([ours, ...open.map(({ peer }) => peer)].map((peer) => peer.end()));
  }
}
