/**
 * `inkstone bench NAME`: measures this machine and prints ratios against peers from one interleaved run. The
 * benchmarks themselves stand in `bench/`, above the package, and are loaded only when one is asked for.
 */
import { pathToFileURL } from 'node:url';
import { InkstoneError } from '../../base/errors.ts';
import { entry, exists } from '../../base/host.ts';
import { z } from '../../base/schema.ts';
import { command } from '../command.ts';

const PEERS = ['pytorch', 'pytorch-compile', 'tfjs', 'jax-js', 'llama.cpp', 'tokenizers'] as const;

const PICTURES = [
  ...([
    'mnist-cgan',
    'mnist-cgan-penalised',
    'stylegan2-32',
    'stylegan2-32-penalised',
    'mnist-ddpm',
  ] as const),
  ...(['tiny-gan', 'tiny-stylegan2', 'tiny-ddpm'] as const),
] as const;

const DIGITS = [
  ...(['mnist-gan', 'mnist-diffusiongan', 'mnist-stylegan1', 'mnist-stylegan2'] as const),
  ...(['mnist-vae', 'mnist-ddpm', 'mnist-cgan'] as const),
] as const;

const schema = z.object({
  benchmark: z
    .enum([
      ...['train-text', 'decode', 'gemm', 'text-quality', 'bert', 'serve-text', 'tokenizer'],
      ...['train-image', 'generate-image', 'image-quality', 'fairness', 'gateway', 'autoscale'],
    ] as const)
    .describe('what to measure'),
  data: z
    .string()
    .optional()
    .describe(
      'folder with tinyshakespeare.txt, made-up text without it; image-quality: MNIST; autoscale: a file of recorded traffic',
    )
    .meta({ environment: false }),
  shape: z
    .array(z.enum(['nanogpt-cpu', 'nanogpt-10m', 'tiny']))
    .optional()
    .describe('only these models; default: nanogpt-cpu and nanogpt-10m (decode: nanogpt-10m)')
    .meta({ environment: false }),
  network: z
    .array(z.enum(PICTURES))
    .optional()
    .describe('only these networks of pictures; default: all but the tiny ones')
    .meta({ environment: false }),
  only: z
    .array(z.enum(DIGITS))
    .optional()
    .describe('image-quality: only these presets; calls at the same time may share the work')
    .meta({ environment: false }),
  seed: z
    .array(z.number().int().min(0))
    .optional()
    .describe('bert, image-quality: these seeds; default: those of the protocol')
    .meta({ environment: false }),
  steps: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe('bert, image-quality: steps of each training; default: those of the protocol')
    .meta({ environment: false }),
  pictures: z
    .number()
    .int()
    .min(64)
    .optional()
    .describe('image-quality: learn from the first so many training pictures only; default: all')
    .meta({ environment: false }),
  peers: z
    .array(z.enum([...PEERS, 'none']))
    .default([...PEERS])
    .describe('only these peers')
    .meta({ environment: false }),
  threads: z
    .number()
    .int()
    .min(1)
    .max(1024)
    .default(2)
    .describe('compute threads of every participant')
    .meta({ environment: false }),
  noInstall: z
    .boolean()
    .default(false)
    .describe('leave out peers that are not installed')
    .meta({ environment: false }),
  installPeers: z
    .boolean()
    .default(false)
    .describe('install PyTorch from PyPI, too, into INKSTONE_HOME/peers/python')
    .meta({ environment: false }),
  effort: z
    .number()
    .gt(0)
    .max(10)
    .default(1)
    .describe('fewer (below 1) or more rounds')
    .meta({ environment: false }),
});

type Result = { cases: readonly { case: string }[] };

async function load<T>(name: string): Promise<T> {
  const file = entry(`bench/${name}`);
  if (!(await exists(file))) {
    throw new InkstoneError(
      'bench_missing',
      'the benchmarks come with the source of Inkstone, not with the installed package',
      {
        kind: 'unsupported',
        hint: 'clone the project and run this there',
      },
    );
  }
  return (await import(pathToFileURL(file).href)) as T;
}

type Run = (options: object) => Promise<Result>;

const FUNCTIONS = {
  'train-text': 'benchTrainText',
  decode: 'benchDecode',
  gemm: 'benchGemm',
  'text-quality': 'benchTextQuality',
  bert: 'benchBert',
  'serve-text': 'benchServeText',
  tokenizer: 'benchTokenizer',
  'train-image': 'benchTrainImage',
  'generate-image': 'benchGenerateImage',
  'image-quality': 'benchImageQuality',
  fairness: 'benchFairness',
  gateway: 'benchGateway',
  autoscale: 'benchAutoscale',
} as const;

/** These look at the signal themselves: what is trained is saved first. */
const TRAINING: ReadonlySet<string> = new Set(['text-quality', 'bert', 'image-quality']);

/** @throws what the signal was aborted with */
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

export const bench = command({
  name: 'bench',
  summary: 'measure this machine beside other libraries, and what models learn on it beside references',
  description:
    'All participants run in turns in one run, with the same shapes, data and number of threads. PyTorch comes from INKSTONE_PYTHON, ' +
    'INKSTONE_HOME/peers/python or python3; TensorFlow.js and jax-js are installed on first use. A peer that is not there is named as absent.',
  schema,
  positionals: ['benchmark'],
  examples: [
    'bench train-text --json',
    'bench decode',
    'bench gemm --peers pytorch',
    'bench image-quality --only mnist-gan --only mnist-diffusiongan --threads 1 --json',
  ],
  async run(settings, { progress, print, signal }): Promise<Result> {
    const { benchmark, data, threads, noInstall, installPeers, effort } = settings;
    const options = {
      data,
      threads,
      effort,
      install: !noInstall,
      installPython: installPeers,
      shapes: settings.shape ?? (benchmark === 'decode' ? ['nanogpt-10m'] : ['nanogpt-cpu', 'nanogpt-10m']),
      ...(settings.network === undefined ? {} : { networks: settings.network }),
      ...(settings.only === undefined ? {} : { only: settings.only }),
      ...(settings.seed === undefined ? {} : { seeds: settings.seed }),
      ...(settings.steps === undefined ? {} : { steps: settings.steps }),
      ...(settings.pictures === undefined ? {} : { pictures: settings.pictures }),
      peers: settings.peers.filter((id) => id !== 'none'),
      show: (text: string) => progress.show(text),
      note: (text: string) => progress.note(text),
      signal,
    };
    const run = (await load<Record<string, Run>>(benchmark))[FUNCTIONS[benchmark]] as Run;
    const result = await (TRAINING.has(benchmark)
      ? run(options)
      : Promise.race([run(options), aborted(signal)]));
    progress.end();
    print((await load<{ show(result: object): string }>('report')).show(result as Result));
    return result as Result;
  },
  show: () => undefined,
});
