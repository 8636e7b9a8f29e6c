/**
 * `inkstone bench generate-image`: pictures a second at batches of 1 and 16 out of a conditional GAN, StyleGAN 2 at
 * 32 × 32 and a denoising U-Net (50 steps with guidance), beside PyTorch eager, from the same weights and seeds. Sides
 * that make other pictures fail the benchmark.
 */
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { makingWork, PICTURE_CASES } from './image-material.ts';
import { interleave, type Measured } from './interleave.ts';
import { openPeers, PEER_NAMES, startNode } from './peers.ts';
import { absentCase, type BenchCase, type BenchResult, commit, round, scaled } from './report.ts';
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
        const all = [{ id: 'ours', peer: ours }, ...open];
        for (const { peer } of all) await peer.ask({ do: 'prepare', name, ...work });
        const measured = await interleave(
          all.map(({ id, peer }) => ({ id, run: (count) => peer.ask({ do: 'run', name, count }) })),
          { rounds: Math.max(1, Math.round(7 * options.effort)), runs: 10, budget: 10, warmup: 4 },
          {
            show: (said) => options.show(`${name}: ${said}`),
            failed: (id, reason) => {
              if (id === 'ours') throw InkstoneError.from(reason);
              options.note(`${name}: ${id} failed: ${InkstoneError.from(reason).message}`);
            },
          },
        );
        for (const { peer } of all) await peer.ask({ do: 'free', name }).catch(() => undefined);
        const own = measured.find(({ id }) => id === 'ours') as Measured;
        const speed = (seconds: number): number => batch / seconds;
        const common = {
          unit: 'images/s',
          better: 'higher' as const,
          ours: round(speed(own.time.median)),
          ours_spread: scaled(own.time, speed),
        };
        for (const { id, description } of open) {
          const theirs = measured.find((one) => one.id === id);
          if (theirs === undefined) continue;
          comparePictures(name, PEER_NAMES[id], own.tokens ?? [], theirs.tokens ?? []);
          cases.push({
            case: `${name}, ${PEER_NAMES[id]}`,
            ...common,
            peer: round(speed(theirs.time.median)),
            peer_name: PEER_NAMES[id],
            peer_version: description.version,
            ratio: round(theirs.time.median / own.time.median, 3),
            peer_spread: scaled(theirs.time, speed),
            threads: { ours: options.threads, peer: description.threads },
            ...(theirs.note === undefined ? {} : { note: theirs.note }),
          });
        }
        for (const one of absent) {
          const peerName = PEER_NAMES[one.id];
          cases.push(absentCase(`${name}, ${peerName}`, 'images/s', 'higher', common.ours, one, peerName));
        }
        if (open.length + absent.length === 0)
          cases.push({ case: name, ...common, peer: null, peer_name: null, peer_version: null, ratio: null });
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
