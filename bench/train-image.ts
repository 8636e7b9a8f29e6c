/**
 * `inkstone bench train-image`: one whole training step of a conditional GAN (critic and generator), of StyleGAN 2 at
 * 32 × 32 and of a denoising U-Net, beside PyTorch eager: same shapes, pictures, random numbers, initial parameters and
 * optimiser, in turns. A side whose losses disagree with ours fails the benchmark.
 */
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import {
  PICTURE_CASES,
  type PictureCase,
  type PictureCaseName,
  writePictureParameters,
  writeTrainingSteps,
} from './image-material.ts';
import { interleave, type Measured, type Participant } from './interleave.ts';
import { openPeers, PEER_NAMES, startNode } from './peers.ts';
import { absentCase, type BenchCase, type BenchResult, commit, round, scaled } from './report.ts';
import type { BenchOptions } from './train-text.ts';

export type PictureBenchOptions = Omit<BenchOptions, 'data' | 'shapes'> & {
  networks?: readonly PictureCaseName[] | undefined;
};

/** What is measured where nobody says. */
export const NETWORKS: readonly PictureCaseName[] = [
  'mnist-cgan',
  'mnist-cgan-penalised',
  'stylegan2-32',
  'stylegan2-32-penalised',
  'mnist-ddpm',
];

/**
 * Losses that are compared, and how far they may be apart, as a part of the larger. Adam's first steps go by the sign of
 * each gradient, so that rounding moves single weights by a whole step: later losses part by more than the first.
 */
const COMPARED = 6;
const FIRST_TOLERANCE = 1e-4;
const LATER_TOLERANCE = 2e-3;

/** Losses that the starting parameters alone decide: of a pair, the critic's; the generator's comes after a step of the critic. */
const FIRST = 1;

/** Steps that the others get random numbers for; they take them round and round. */
const STEPS = 12;

/** @throws InkstoneError `losses_differ` */
export function comparePictureLosses(
  name: string,
  peer: string,
  ours: readonly number[],
  theirs: readonly number[],
): NonNullable<BenchCase['losses']> {
  const steps = Math.min(COMPARED, ours.length, theirs.length);
  const parts = Array.from({ length: steps }, (_, i) => {
    const [a, b] = [ours[i] as number, theirs[i] as number];
    return Math.abs(a - b) / Math.max(1e-2, Math.abs(a), Math.abs(b));
  });
  const losses = {
    steps,
    ours: ours.slice(0, steps).map((x) => round(x, 7)),
    peer: theirs.slice(0, steps).map((x) => round(x, 7)),
    largest_difference: round(Math.max(...parts), 3),
  };
  // Not `part > limit`: a NaN must fail, too.
  if (steps > FIRST && parts.every((part, i) => part <= (i < FIRST ? FIRST_TOLERANCE : LATER_TOLERANCE)))
    return losses;
  throw new InkstoneError('losses_differ', `${name}: our losses differ from those of ${peer}`, {
    hint: 'one of the two computes something else; the times mean nothing',
    details: losses,
  });
}

/** @throws InkstoneError `losses_differ`, `peer_failed` (ours) */
export async function benchTrainImage(options: PictureBenchOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const folder = await host.makeTemporaryFolder('inkstone-bench');
  const ours = startNode('ours', host.entry('bench/ours-entry'), options);
  const { open, absent } = await openPeers(
    options.peers.filter((id) => id === 'pytorch'),
    options,
  );
  try {
    const { version: runtime } = await ours.describe();
    const cases: BenchCase[] = [];
    for (const name of options.networks ?? NETWORKS) {
      const one: PictureCase = PICTURE_CASES[name];
      const work = {
        work: 'train-image' as const,
        model: one.model as Record<string, unknown>,
        batch: one.batch,
        parameters: await writePictureParameters(folder, name, one.model),
        inputs: await writeTrainingSteps(folder, name, one, STEPS),
        settings: one.settings,
      };
      const all = [{ id: 'ours', peer: ours }, ...open];
      const participants: Participant[] = [];
      for (const { id, peer } of all) {
        await peer.ask({ do: 'prepare', name, ...work });
        participants.push({ id, run: (count) => peer.ask({ do: 'run', name, count }) });
      }
      const lost = new Map<string, string>();
      const measured = await interleave(
        participants,
        { rounds: Math.max(1, Math.round(8 * options.effort)), runs: 8, budget: 20, warmup: 4 },
        {
          show: (text) => options.show(`${name}: ${text}`),
          failed: (id, reason) => {
            if (id === 'ours') throw InkstoneError.from(reason);
            lost.set(id, InkstoneError.from(reason).message);
            options.note(`${name}: ${id} failed and is left out: ${lost.get(id)}`);
          },
        },
      );
      for (const { peer } of all) await peer.ask({ do: 'free', name }).catch(() => undefined);
      const own = measured.find(({ id }) => id === 'ours') as Measured;
      const milliseconds = (seconds: number): number => seconds * 1e3;
      const common = {
        unit: 'ms/step',
        better: 'lower' as const,
        ours: round(own.time.median * 1e3),
        ours_spread: scaled(own.time, milliseconds),
      };
      for (const { id, description } of open) {
        const peerName = PEER_NAMES[id];
        const theirs = measured.find((found) => found.id === id);
        if (theirs === undefined) {
          const reason = { id, reason: `failed: ${lost.get(id)}`, install: 'see the reason' };
          cases.push(absentCase(`${name}, ${peerName}`, 'ms/step', 'lower', common.ours, reason, peerName));
          continue;
        }
        cases.push({
          case: `${name}, ${peerName}`,
          ...common,
          peer: round(theirs.time.median * 1e3),
          peer_name: peerName,
          peer_version: description.version,
          ratio: round(own.time.median / theirs.time.median, 3),
          peer_spread: scaled(theirs.time, milliseconds),
          losses: comparePictureLosses(name, peerName, own.losses, theirs.losses),
          threads: { ours: options.threads, peer: description.threads },
          ...(theirs.note === undefined ? {} : { note: theirs.note }),
        });
      }
      for (const gone of absent) {
        const peerName = PEER_NAMES[gone.id];
        cases.push(absentCase(`${name}, ${peerName}`, 'ms/step', 'lower', common.ours, gone, peerName));
      }
      if (open.length + absent.length === 0) {
        const note = 'no peer takes part: losses are not checked and nothing is claimed';
        cases.push({
          ...{ case: name, ...common },
          ...{ peer: null, peer_name: null, peer_version: null, ratio: null, note },
        });
      }
    }
    return {
      bench: 'train-image',
      commit: await commit(),
      machine: { ...host.machine(), threads: options.threads, runtime },
      data: 'made-up pictures',
      seconds: round((host.monotonic() - started) / 1000),
      cases,
    };
  } finally {
    await Promise.all([ours, ...open.map(({ peer }) => peer)].map((peer) => peer.end()));
    await host.removeFile(folder);
  }
}
