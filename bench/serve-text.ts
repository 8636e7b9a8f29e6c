/**
 * `inkstone bench serve-text`: tokens a second of one Llama-style model at 1, 8 and 32 streams and at 64 of mixed
 * lengths, beside llama.cpp with the same weights in the same precision; continuous beside static batching; and how
 * long a stream waits for its first token. Greedy, engines without HTTP, prompts included in the time.
 */
import path from 'node:path';
import * as host from '../src/base/host.ts';
import { Random } from '../src/base/rng.ts';
import { bytesOf, type HostTensor, type HostTensors } from '../src/base/tensor.ts';
import { readTokenizer } from '../src/data/tokenizer/read.ts';
import type { Tokenizer } from '../src/data/tokenizer/tokenizer.ts';
import { ggufPieces } from '../src/formats/gguf.ts';
import {
  type TextConfig,
  textConfig,
  textParameterCount,
  textParameters,
} from '../src/models/text/architectures.ts';
import { toGguf } from '../src/models/text/gguf.ts';
import { initialise } from '../src/nn/parameters.ts';
import { compareTokens } from './decode.ts';
import { interleave, type Measured, type Participant } from './interleave.ts';
import { openPeers, PEER_NAMES, startNode } from './peers.ts';
import type { TensorList, Work } from './protocol.ts';
import { absentCase, type BenchCase, type BenchResult, commit, round, scaled } from './report.ts';
import type { BenchOptions } from './train-text.ts';

const CONTEXT = 256;
const SLOTS = 32;
type Request = { prompt: number[]; tokens: number };

const model = (vocabulary: number): TextConfig =>
  textConfig.parse({
    ...{ architecture: 'llama', layers: 6, heads: 6, keyHeads: 2, headWidth: 64, width: 384, hidden: 1024 },
    ...{ context: CONTEXT, vocabulary, tied: true },
  });

/** How weights are kept on our side and in the file of the other. */
const FORMATS = { float32: 'f32', int8: 'q8_0', int4: 'q4_0' } as const;
type Format = keyof typeof FORMATS;

interface Material {
  config: TextConfig;
  parameters: TensorList;
  gguf: Record<Format, string>;
}

interface Setting {
  count: number;
  format: Format;
  mixed: boolean;
}

const SETTINGS: readonly Setting[] = [
  ...[1, 8, 32].map((count) => ({ count, format: 'float32' as const, mixed: false })),
  { count: 64, format: 'float32', mixed: true },
  ...[1, 8, 32].flatMap((count) =>
    (['int8', 'int4'] as const).map((format) => ({ count, format, mixed: false })),
  ),
];
const SMALL: readonly Setting[] = [
  { count: 1, format: 'float32', mixed: false },
  { count: 3, format: 'float32', mixed: true },
  { count: 2, format: 'int8', mixed: false },
];

/** The same random weights for both; larger than a model starts with, so that greedy tokens vary. */
async function writeModel(folder: string, tokenizer: Tokenizer): Promise<Material> {
  const config = model(tokenizer.vocabularySize);
  const specs = textParameters(config);
  const weights: HostTensors = Object.fromEntries(
    Object.entries(initialise(specs, 1)).map(([name, t]) => [
      name,
      t.shape.length < 2 ? t : ({ ...t, data: (t.data as Float32Array).map((v) => 3 * v) } as HostTensor),
    ]),
  );
  const file = path.join(folder, 'llama.f32');
  await host.writeFile(file, Buffer.concat(specs.map(({ name }) => bytesOf(weights[name] as HostTensor))));
  const gguf = {} as Record<Format, string>;
  for (const format of Object.keys(FORMATS) as Format[]) {
    gguf[format] = path.join(folder, `llama-${format}.gguf`);
    const model = toGguf({ name: 'bench', config, weights, tokenizer }, FORMATS[format]);
    await host.writeFile(gguf[format], Buffer.concat(ggufPieces(model)));
  }
  return { config, gguf, parameters: { file, tensors: specs.map(({ name, shape }) => ({ name, shape })) } };
}

/** Mean lengths of prompts and answers in the Alpaca set as Kwon et al. 2023 served it, the most that we take, requests. */
const MIXED = { prompt: { mean: 19, most: 63 }, answer: { mean: 58, most: 192 }, requests: 3 } as const;

/** One request of 32 and 128 new tokens a stream, or three with lengths that fall off exponentially, cut. */
function streamsOf(count: number, mixed: boolean, vocabulary: number, small: boolean): Request[][] {
  const random = new Random(3, 'streams', count);
  const length = ({ mean, most }: { mean: number; most: number }): number =>
    Math.min(most, 1 + Math.floor(-mean * Math.log(1 - random.uniform())));
  const request = (): Request => {
    const prompt = mixed ? length(MIXED.prompt) : 32;
    return {
      prompt: Array.from({ length: prompt }, () => random.integer(vocabulary - 1)),
      tokens: small ? 6 : mixed ? length(MIXED.answer) : 128,
    };
  };
  return Array.from({ length: count }, () => Array.from({ length: mixed ? MIXED.requests : 1 }, request));
}

/** @throws InkstoneError `tokens_differ`, `peer_failed` (ours) */
export async function benchServeText(options: BenchOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const small = options.effort < 1;
  const folder = await host.makeTemporaryFolder('inkstone-bench');
  const running = { ...options, largePages: true };
  const ours = startNode('ours', host.entry('bench/ours-entry'), running);
  const { open, absent } = await openPeers(
    options.peers.filter((id) => id === 'llama.cpp'),
    running,
  );
  const cases: BenchCase[] = [];
  try {
    const { version: runtime } = await ours.describe();
    const starter = path.join(host.packageFolder, 'models', 'starter', 'tokenizer.json');
    const material = await writeModel(folder, readTokenizer(await host.readText(starter)));
    const { vocabulary } = material.config;
    const workOf = (
      streams: readonly Request[][],
      batching: 'continuous' | 'static',
      format: Format,
    ): Work => ({
      ...{ work: 'serve', model: material.config as unknown as Record<string, unknown>, format },
      gguf: material.gguf[format],
      ...{ parameters: material.parameters, context: CONTEXT, slots: SLOTS, streams, batching },
    });
    for (const { count, format, mixed } of small ? SMALL : SETTINGS) {
      const plan = { rounds: small ? 1 : 3, runs: small ? 1 : 2, budget: 8, warmup: 1 };
      const name = `${count} ${count === 1 ? 'stream' : 'streams'}${mixed ? ' of mixed lengths' : ''}${format === 'float32' ? '' : `, ${format} weights`}`;
      const streams = streamsOf(count, mixed, vocabulary, small);
      const total = streams.flat().reduce((sum, { tokens }) => sum + tokens, 0);
      const waits = new Map<string, number[]>();
      const threadsOf = new Map<string, number>();
      const sides = [
        { id: 'ours', peer: ours, work: workOf(streams, 'continuous', format) },
        ...(mixed ? [{ id: 'static', peer: ours, work: workOf(streams, 'static', format) }] : []),
        ...open.map(({ id, peer }) => ({ id, peer, work: workOf(streams, 'continuous', format) })),
      ];
      for (const { id, peer, work } of sides)
        await peer.ask({ do: 'prepare', name: `${id} ${name}`, ...work });
      const participants: Participant[] = sides.map(({ id, peer }) => ({
        id,
        run: async (runs) => {
          const answer = await peer.ask({ do: 'run', name: `${id} ${name}`, count: runs });
          waits.set(id, answer.waits ?? []);
          if (answer.threads !== undefined) threadsOf.set(id, answer.threads);
          return answer;
        },
      }));
      const measured = await interleave(participants, plan, {
        show: (text) => options.show(`${name}: ${text}`),
        failed: (id, reason) => {
          if (id === 'ours') throw reason;
          options.note(`${name}: ${id} failed: ${String(reason)}`);
        },
      });
      for (const { id, peer } of sides)
        await peer.ask({ do: 'free', name: `${id} ${name}` }).catch(() => undefined);
      const found = (id: string): Measured | undefined => measured.find((one) => one.id === id);
      const own = found('ours') as Measured;
      const speed = (seconds: number): number => total / seconds;
      const wait = (id: string): number => {
        const all = [...(waits.get(id) ?? [])].sort((a, b) => a - b);
        return 1000 * (all[Math.min(all.length - 1, Math.floor(0.95 * all.length))] ?? Number.NaN);
      };
      const common = {
        unit: 'tokens/s',
        better: 'higher' as const,
        ours: round(speed(own.time.median)),
        ours_spread: scaled(own.time, speed),
      };
      const against = (theirs: Measured, peer: string, version: string | null): BenchCase => ({
        case: `${name}, ${peer}`,
        ...common,
        peer: round(speed(theirs.time.median)),
        peer_name: peer,
        peer_version: version,
        ratio: round(theirs.time.median / own.time.median, 3),
        peer_spread: scaled(theirs.time, speed),
        threads: { ours: options.threads, peer: threadsOf.get(theirs.id) ?? options.threads },
        note: [
          `95 % of the first tokens within ${wait('ours').toFixed(0)} ms, ${peer} ${wait(theirs.id).toFixed(0)} ms`,
          ...(theirs.note === undefined ? [] : [`${peer}: ${theirs.note}`]),
        ].join('; '),
      });
      const still = found('static');
      if (still !== undefined) cases.push(against(still, 'ours with static batching', null));
      for (const { id, description } of open) {
        const theirs = found(id);
        if (theirs === undefined) continue;
        // Rounded weights are rounded by each in its own way: other tokens are no fault then.
        if (format === 'float32') compareTokens(name, PEER_NAMES[id], own.tokens ?? [], theirs.tokens ?? []);
        cases.push(against(theirs, PEER_NAMES[id], description.version));
      }
      for (const one of absent)
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
    return {
      bench: 'serve-text',
      commit: await commit(),
      machine: { ...host.machine(), threads: options.threads, runtime },
      data: `${textParameterCount(material.config)} parameters, random weights; int8 beside q8_0, int4 beside q4_0`,
      seconds: round((host.monotonic() - started) / 1000),
      cases,
    };
  } finally {
    await Promise.all([ours, ...open.map(({ peer }) => peer)].map((peer) => peer.end()));
    await host.removeFile(folder);
  }
}
