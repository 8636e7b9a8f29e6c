/**
 * `inkstone bench text-quality`: how well models of text that are trained here predict held-out text, beside n-grams of
 * the same training text, and whether banded attention costs anything. The protocol is in docs/protocol-text.md.
 */
import path from 'node:path';
import * as host from '../src/base/host.ts';
import { WittenBell } from '../src/evaluate/ngram.ts';
import { type TextPreset, textPreset } from '../src/models/text/presets.ts';
import type { TrainingConfig } from '../src/nn/training-config.ts';
import { createBackend } from '../src/runtime/index.ts';
import { type TextRunResult, trainText } from '../src/train/text-run.ts';
import { dataFile, readZipped } from './data.ts';
import { KeptWork } from './kept.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';
import type { BenchOptions } from './train-text.ts';

/** What a benchmark that trains is told. */
export type QualityOptions = Pick<BenchOptions, 'data' | 'threads' | 'effort' | 'show' | 'note'> & {
  /** Saves the training and ends with the signal's reason. */
  signal?: AbortSignal;
};

interface Trained extends TextRunResult {
  title: string;
}

/** The same network twice, but for the band. */
const compared = (banded: boolean): TextPreset => ({
  id: banded ? 'gpt3-banded' : 'gpt2-dense',
  title: banded ? 'GPT-3, every other layer banded' : 'GPT-2, all layers dense',
  description: 'For the comparison of banded with dense attention.',
  architecture: banded ? 'gpt3' : 'gpt2',
  tokenizer: { name: 'characters' },
  model: {
    ...{ layers: 4, heads: 4, width: 128, context: 128, bias: false },
    ...(banded ? { window: 64 } : {}),
  },
  training: {
    steps: 1500,
    batch: 16,
    context: 128,
    learningRate: 2e-3,
    optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0.1 },
    schedule: { name: 'cosine', warmup: 100, floor: 0.05 },
    evaluateEvery: 1500,
    checkpointEvery: 1500,
  },
});

async function trainOne(
  options: QualityOptions,
  preset: TextPreset,
  data: string,
  settings: { validation: number; training?: Partial<TrainingConfig>; out: string },
): Promise<Trained> {
  const backend = await createBackend('cpu', { threads: options.threads });
  const steps = Math.max(4, Math.round((preset.training.steps as number) * Math.min(1, options.effort)));
  try {
    const result = await trainText({
      preset,
      data,
      out: settings.out,
      resume: true,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      backend,
      validation: settings.validation,
      training: { ...settings.training, steps, evaluateEvery: steps, checkpointEvery: 200, sampleEvery: 0 },
      report: ({ step, loss, remaining }) =>
        options.show(
          `${preset.title}: step ${step}/${steps}, loss ${loss.toFixed(3)}, ${Math.round(remaining)} s left`,
        ),
    });
    options.signal?.throwIfAborted();
    return { ...result, title: preset.title };
  } finally {
    await backend.close();
  }
}

/** Nats per character of an n-gram on the last `part` of the text. */
function ngram(order: number, characters: readonly string[], part: number): number {
  const cut = Math.floor(characters.length * (1 - part));
  const model = new WittenBell(order, new Set(characters));
  model.train(characters.slice(0, cut).join(''));
  return model.score(characters.slice(cut).join(''));
}

function caseOf(name: string, ours: Trained, reference: { name: string; loss: number }): BenchCase {
  return {
    case: name,
    unit: 'nats/character',
    better: 'lower',
    ours: round(ours.validationLoss, 6),
    peer: round(reference.loss, 6),
    peer_name: reference.name,
    peer_version: null,
    ratio: round(ours.validationLoss / reference.loss, 4),
    note: `${ours.parameters} parameters, ${ours.steps} steps, ${Math.round(ours.seconds)} s`,
  };
}

/** Each poem its paragraphs, joined, and one newline. */
export function poems(lines: string): string {
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `${(JSON.parse(line) as { paragraphs: string[] }).paragraphs.join('')}\n`)
    .join('');
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** @throws InkstoneError `data_missing` */
export async function benchTextQuality(options: QualityOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const folder = await host.makeTemporaryFolder('inkstone-quality');
  const cases: BenchCase[] = [];
  const presets = [textPreset('tang-pangu'), compared(true), compared(false)];
  const { effort, threads, data } = options;
  const kept = new KeptWork('text-quality', { presets, effort, threads, data, commit: await commit() });
  try {
    const tang = poems(await readZipped(await dataFile(options.data, 'tang-poems.jsonl.gz')));
    const corpus = path.join(folder, 'tang.txt');
    await host.writeFile(corpus, tang);
    const characters = [...tang];
    options.show('Tang poems: the 3-gram');
    const loss = ngram(3, characters, 0.05);
    const pangu = await kept.result('tang', () =>
      trainOne(options, textPreset('tang-pangu'), corpus, { validation: 0.05, out: kept.run('tang') }),
    );
    cases.push(caseOf('Tang poems, PanGu-α, test', pangu, { name: 'Witten–Bell 3-gram', loss }));

    const plays = await dataFile(options.data, 'tinyshakespeare.txt');
    options.show('tinyshakespeare: the 5-gram');
    const fiveGram = ngram(5, [...(await host.readText(plays))], 0.1);
    const seeds = options.effort < 1 ? [1] : [1, 2];
    const losses: { dense: number[]; banded: number[] } = { dense: [], banded: [] };
    for (const seed of seeds) {
      for (const kind of ['dense', 'banded'] as const) {
        const name = `${kind}-${seed}`;
        const result = await kept.result(name, () =>
          trainOne(options, compared(kind === 'banded'), plays, {
            ...{ validation: 0.1, training: { seed }, out: kept.run(name) },
          }),
        );
        losses[kind].push(result.validationLoss);
        cases.push(
          caseOf(`tinyshakespeare, ${result.title}, seed ${seed}`, result, {
            name: 'Witten–Bell 5-gram',
            loss: fiveGram,
          }),
        );
      }
    }
    const [banded, dense] = [meanOf(losses.banded), meanOf(losses.dense)];
    cases.push({
      case: 'tinyshakespeare, banded against dense, mean over seeds',
      unit: 'nats/character',
      better: 'lower',
      ours: round(banded, 6),
      peer: round(dense, 6),
      peer_name: 'the same network, dense',
      peer_version: null,
      ratio: round(banded / dense, 5),
      note: `difference ${(banded - dense).toFixed(4)} nats`,
    });
    await kept.finish();
  } finally {
    await host.removeFile(folder);
  }
  return {
    bench: 'text-quality',
    commit: await commit(),
    machine: { ...host.machine(), threads: options.threads, runtime: 'onnxruntime-node' },
    seconds: round((host.monotonic() - started) / 1000),
    cases,
  };
}
