/**
 * `inkstone bench decode`: tokens a second while 1, 8 and 32 sequences are decoded together from a prompt of 32
 * tokens, prefill included, beside PyTorch with a cache of its own; and what part of the memory bandwidth that
 * reaches. Greedy on the same random weights: sides that give different tokens fail the benchmark.
 */
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { Random } from '../src/base/rng.ts';
import { decodingStepBytes } from './flops.ts';
import { interleave, type Measured } from './interleave.ts';
import { type Limit, readBandwidth } from './limits.ts';
import { corpus, SEED, SHAPES, writeParameters } from './material.ts';
import { openPeers, PEER_NAMES, startNode } from './peers.ts';
import { absentCase, type BenchCase, type BenchResult, commit, round, scaled } from './report.ts';
import type { BenchOptions } from './train-text.ts';

export const PROMPT = 32;
export const TOKENS = 200;
const SEQUENCES = [1, 8, 32];

/** How many of the first tokens must be the same on both sides; later ones may part where two are nearly as likely. */
const COMPARED = 8;

/** @throws InkstoneError `tokens_differ` */
export function compareTokens(
  name: string,
  peer: string,
  ours: readonly number[],
  theirs: readonly number[],
): void {
  const count = Math.min(COMPARED, Math.max(ours.length, theirs.length));
  const same = count > 0 && Array.from({ length: count }, (_, i) => ours[i] === theirs[i]).every(Boolean);
  if (same) return;
  throw new InkstoneError('tokens_differ', `${name}: greedy decoding gives other tokens than ${peer}`, {
    hint: 'one of the two computes something else; the times mean nothing',
    details: { ours: ours.slice(0, count), peer: theirs.slice(0, count) },
  });
}

/** @throws InkstoneError `tokens_differ`, `data_missing`, `peer_failed` (ours) */
export async function benchDecode(options: BenchOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const folder = await host.makeTemporaryFolder('inkstone-bench');
  const running = { ...options, largePages: true };
  const ours = startNode('ours', host.entry('bench/ours-entry'), running);
  // Only PyTorch has its decoding written here.
  const { open, absent } = await openPeers(
    options.peers.filter((id) => id === 'pytorch'),
    running,
  );
  const small = options.effort < 1;
  try {
    const { version: runtime } = await ours.describe();
    options.show('measuring memory bandwidth');
    const memory = await readBandwidth(ours, open, small ? 2 ** 20 : undefined);
    const text = await corpus(options.data, 65);
    const cases: BenchCase[] = [];
    let cached: Limit | undefined;
    for (const shape of options.shapes) {
      const { model } = SHAPES[shape];
      const parameters = await writeParameters(folder, model);
      const weights = parameters.tensors.reduce(
        (total, one) => total + one.shape.reduce((a, b) => a * b, 1),
        0,
      );
      cached = await readBandwidth(ours, open, weights);
      const limit = Math.max(memory.value, cached.value);
      const prompt = Math.min(PROMPT, model.context / 4);
      const tokens = Math.min(TOKENS, model.context - prompt - 1);
      for (const sequences of small ? [1, 3] : SEQUENCES) {
        const name = `${shape}, ${sequences} ${sequences === 1 ? 'sequence' : 'sequences'}`;
        const random = new Random(SEED, 'bench prompts', sequences);
        const prompts = Array.from({ length: sequences }, () => {
          const start = random.integer(text.ids.length - prompt);
          return Array.from(text.ids.subarray(start, start + prompt));
        });
        const all = [{ id: 'ours', peer: ours }, ...open];
        for (const { peer } of all)
          await peer.ask({ do: 'prepare', name, work: 'decode', model, parameters, prompt: prompts, tokens });
        const measured = await interleave(
          all.map(({ id, peer }) => ({ id, run: (count) => peer.ask({ do: 'run', name, count }) })),
          { rounds: small ? 2 : 7, runs: 2, budget: 40, warmup: 2 },
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
        const speed = (seconds: number): number => (sequences * tokens) / seconds;
        const bytes = decodingStepBytes(model, sequences, prompt + tokens / 2);
        const shareOf = (seconds: number): number => round((bytes * tokens) / seconds / 1e9 / limit, 3);
        const common = {
          unit: 'tokens/s',
          better: 'higher' as const,
          ours: round(speed(own.time.median)),
          ours_spread: scaled(own.time, speed),
          share_of_bandwidth: shareOf(own.time.median),
        };
        for (const { id, description } of open) {
          const theirs = measured.find((one) => one.id === id);
          if (theirs === undefined) continue;
          compareTokens(name, PEER_NAMES[id], own.tokens ?? [], theirs.tokens ?? []);
          cases.push({
            case: `${name}, ${PEER_NAMES[id]}`,
            ...common,
            peer: round(speed(theirs.time.median)),
            peer_name: PEER_NAMES[id],
            peer_version: description.version,
            ratio: round(theirs.time.median / own.time.median, 3),
            peer_spread: scaled(theirs.time, speed),
            peer_share_of_bandwidth: shareOf(theirs.time.median),
            threads: { ours: options.threads, peer: description.threads },
            ...(theirs.note === undefined ? {} : { note: theirs.note }),
          });
        }
        for (const one of absent) {
          cases.push({
            ...absentCase(
              `${name}, ${PEER_NAMES[one.id]}`,
              'tokens/s',
              'higher',
              common.ours,
              one,
              PEER_NAMES[one.id],
            ),
            ...common,
          });
        }
        if (open.length + absent.length === 0) {
          cases.push({ case: name, ...common, peer: null, peer_name: null, peer_version: null, ratio: null });
        }
      }
    }
    return {
      bench: 'decode',
      commit: await commit(),
      machine: {
        ...host.machine(),
        ...{ threads: options.threads, runtime, bandwidth: round(memory.value), bandwidth_by: memory.by },
        ...(cached === undefined ? {} : { bandwidth_cached: round(cached.value) }),
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
