/**
 * `inkstone bench generate-image`: pictures a second at batches of 1 and 16 out of a conditional GAN, StyleGAN 2 at
 * 32 × 32 and a denoising U-Net (50 steps with guidance), beside PyTorch eager, from the same weights and seeds. Sides
 * that make other pictures fail the benchmark.
 */
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { makingWork, PICTURE_CASES } from './image-material.ts';
import { openPeers, startNode } from './peers.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';
import { speedCases } from './speed.ts';
import { NETWORKS, type PictureBenchOptions } from './train-image.ts';

const BATCHES = [1, 16];
/** Brightness steps of 255 by which the same picture may differ on average: rounding, carried through 50 steps. */
export const PICTURE_TOLERANCE = 1;

/** @throws InkstoneError `pictures_differ` */
export function comparePictures(
  name: string,
  peer: string,
  ours: readonly number[],
  theirs: readonly number[],
): void {
  const total = ours.reduce((sum, value, i) => sum + Math.abs(value - (theirs[i] ?? Number.NaN)), 0);
  const average = total / ours.length;
  if (ours.length === theirs.length && average <= PICTURE_TOLERANCE) return;
  throw new InkstoneError('pictures_differ', `${name}: ${peer} makes another picture from the same seed`, {
    hint: 'one of the two computes something else; the times mean nothing',
    details: { average_difference: average },
  });
}

/** @throws InkstoneError `pictures_differ`, `peer_failed` */
export async function benchGenerateImage(options: PictureBenchOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const folder = await host.makeTemporaryFolder('inkstone-bench');
  const ours = startNode('ours', host.entry('bench/ours-entry'), options);
  const { open, absent } = await openPeers(
    options.peers.filter((id) => id === 'pytorch'),
    options,
  );
  // Penalties are training's: the pictures are those of the plain case.
  const networks = (options.networks ?? NETWORKS).filter((name) => !name.endsWith('-penalised'));
  try {
    const { version: runtime } = await ours.describe();
    const cases: BenchCase[] = [];
    for (const network of networks) {
      for (const batch of BATCHES) {
        const name = `${network}, batch ${batch}`;
        const work = await makingWork(folder, network, PICTURE_CASES[network].model, batch);
        const found = await speedCases({
          ...{ name, unit: 'images/s', speed: (seconds) => batch / seconds, ours, open, absent, work },
          plan: { rounds: Math.max(1, Math.round(7 * options.effort)), runs: 10, budget: 10, warmup: 4 },
          threads: options.threads,
          check: (peer, own, theirs) => comparePictures(name, peer, own.tokens ?? [], theirs.tokens ?? []),
          ...{ show: options.show, note: options.note },
        });
        cases.push(...found);
      }
    }
    return {
      bench: 'generate-image',
      commit: await commit(),
      machine: { ...host.machine(), threads: options.threads, runtime },
      seconds: round((host.monotonic() - started) / 1000),
      cases,
    };
  } finally {
    await Promise.all([ours, ...open.map(({ peer }) => peer)].map((peer) => peer.end()));
    await host.removeFile(folder);
  }
}
