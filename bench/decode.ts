/**
 * `inkstone bench decode`: tokens a second while 1, 8 and 32 sequences are decoded together from a prompt of 32
 * tokens, prefill included, beside PyTorch with a cache of its own; and what part of the memory bandwidth that
 * reaches. Greedy on the same random weights: sides that give different tokens fail the benchmark.
 */
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { Random } from '../src/base/rng.ts';
import { decodingStepBytes } from './flops.ts';
import type { Measured } from './interleave.ts';
import { type Limit, readBandwidth } from './limits.ts';
import { corpus, SEED, SHAPES, writeParameters } from './material.ts';
import { openPeers, startNode } from './peers.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';
import { speedCases } from './speed.ts';
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
        const bytes = decodingStepBytes(model, sequences, prompt + tokens / 2);
        const shareOf = ({ time }: Measured): number =>
          round((bytes * tokens) / time.median / 1e9 / limit, 3);
        const found = await speedCases({
          ...{
            name,
            unit: 'tokens/s',
            speed: (seconds) => (sequences * tokens) / seconds,
            ours,
            open,
            absent,
          },
          work: { work: 'decode', model, parameters, prompt: prompts, tokens },
          plan: { rounds: small ? 2 : 7, runs: 2, budget: 40, warmup: 2 },
          threads: options.threads,
          check: (peer, own, theirs) => compareTokens(name, peer, own.tokens ?? [], theirs.tokens ?? []),
          beside: (own) => ({ share_of_bandwidth: shareOf(own) }),
          besideTheirs: (theirs) => ({ peer_share_of_bandwidth: shareOf(theirs) }),
          ...{ show: options.show, note: options.note },
        });
        cases.push(...found);
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
