/** A run's folder: what lies where, its lock, its metrics. Knows no model. */
import { InkstoneError } from '../base/errors.ts';
import {
  appendTextNow,
  exists,
  facts,
  freeSpace,
  listFiles,
  makeFolder,
  readBytes,
  readText,
  removeFile,
  truncateFile,
  writeAtomically,
  writeFile,
} from '../base/host.ts';
import type { HostTensor, HostTensors } from '../base/tensor.ts';
import { readSafetensors, safetensorsPieces } from '../formats/safetensors.ts';
import { lockRun } from './run-lock.ts';

export interface Checkpoint {
  /** Steps done. */
  step: number;
  tensors: HostTensors;
  /** What the trainer must remember besides: strings only, equal bytes for equal runs. */
  record: TrainRecord;
}

export interface TrainRecord {
  bestLoss?: number;
  bestStep?: number;
  /** Evaluations since the best. */
  stale: number;
  lastLoss?: number;
  /** How often the run went back to an earlier state. */
  rollbacks?: number;
  /** The evaluation of this step was interrupted. */
  due?: boolean;
}

export type MetricLine = {
  type: 'train' | 'evaluate' | 'sample' | 'state' | 'rollback';
  step: number;
  seconds: number;
  [field: string]: unknown;
};

export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path.replace(/[\\/]+$/, '');
  }

  file(name: string): string {
    return `${this.path}/${name}`;
  }

  async open(): Promise<void> {
    await makeFolder(this.file('checkpoints'));
  }

  exists(): Promise<boolean> {
    return exists(this.file('config.json'));
  }

  /** @throws InkstoneError `run_locked` while another trainer is at work here */
  async lock(): Promise<() => Promise<void>> {
    const unlock = await lockRun(this.path);
    await this.sweep();
    return unlock;
  }

  /** Removes what a kill left half written; only under the lock, when nobody else writes. */
  private async sweep(): Promise<void> {
    for (const folder of [this.path, this.file('checkpoints'), this.file('data')]) {
      if (!(await exists(folder))) continue;
      for (const name of await listFiles(folder))
        if (/\.\d+\.\d+\.tmp$/.test(name)) await removeFile(`${folder}/${name}`);
    }
  }

  /** @throws InkstoneError `run_corrupt` */
  async readJson<T>(name: string): Promise<T | undefined> {
    const file = this.file(name);
    if (!(await exists(file))) return undefined;
    try {
      return JSON.parse(await readText(file)) as T;
    } catch (cause) {
      throw InkstoneError.is(cause) ? cause : corrupt(file, 'it is not JSON', cause);
    }
  }

  async writeJson(name: string, value: unknown): Promise<void> {
    await writeFile(this.file(name), `${JSON.stringify(value, null, 2)}\n`);
  }

  /** The text of the newest sample in the metrics. */
  async lastSample(): Promise<string | undefined> {
    const file = this.file('metrics.jsonl');
    if (!(await exists(file))) return undefined;
    const lines = (await readText(file)).split('\n').filter((line) => line.startsWith('{"type":"sample"'));
    const last = lines.at(-1);
    return last === undefined ? undefined : (JSON.parse(last) as { text?: string }).text;
  }

  /** Forgets an earlier run, its prepared data excepted. */
  async clear(): Promise<void> {
    for (const name of ['config.json', 'result.json', 'card.md', 'metrics.jsonl', 'checkpoints']) {
      await removeFile(this.file(name));
    }
    await this.open();
  }

  metric(line: MetricLine): void {
    appendTextNow(this.file('metrics.jsonl'), `${JSON.stringify(line)}\n`);
  }

  /** Forgets metrics after a step: they will be made again. Returns what the kept ones end with. */
  async rewindMetrics(step: number): Promise<{ seconds: number; tokensPerSecond: number }> {
    const file = this.file('metrics.jsonl');
    const kept = { seconds: 0, tokensPerSecond: 0 };
    if (!(await exists(file))) return kept;
    const text = await readText(file);
    let keep = 0;
    for (const line of text.split('\n')) {
      let read: MetricLine | undefined;
      try {
        read = line === '' ? undefined : (JSON.parse(line) as MetricLine);
      } catch {
        break; // A line that a kill cut short; nothing after it counts.
      }
      // A state line ended an earlier part of the run; the next part writes its own.
      if (read === undefined || read.step > step || read.type === 'state') break;
      keep += Buffer.byteLength(line) + 1;
      kept.seconds = read.seconds;
      if (typeof read.tokens_per_second === 'number') kept.tokensPerSecond = read.tokens_per_second;
    }
    await truncateFile(file, keep);
    return kept;
  }

  /** @throws InkstoneError `disk_full` before anything is written */
  async writeCheckpoint(name: 'last' | 'best', checkpoint: Checkpoint): Promise<void> {
    const pieces = safetensorsPieces(checkpoint.tensors, {
      step: String(checkpoint.step),
      record: JSON.stringify(checkpoint.record),
    });
    const size = pieces.reduce((total, piece) => total + piece.length, 0);
    const free = await freeSpace(this.file('checkpoints'));
    if (free < size * 1.05 + 2 ** 20) {
      throw new InkstoneError(
        'disk_full',
        `a checkpoint takes ${Math.ceil(size / 2 ** 20)} MiB, the disk has ${Math.floor(free / 2 ** 20)}`,
        {
          kind: 'resource',
          hint: 'free some space, then go on with --resume; the checkpoint before this one is intact',
        },
      );
    }
    await writeAtomically(this.file(`checkpoints/${name}.safetensors`), async (write) => {
      for (const piece of pieces) await write(piece);
    });
  }

  /** @throws InkstoneError `run_corrupt` */
  async readCheckpoint(name: 'last' | 'best'): Promise<Checkpoint | undefined> {
    const file = this.file(`checkpoints/${name}.safetensors`);
    if ((await facts(file)) === undefined) return undefined;
    const bytes = await readBytes(file);
    try {
      const { tensors, metadata } = readSafetensors(bytes);
      const step = Number(metadata.step);
      if (!Number.isInteger(step) || metadata.record === undefined) throw corrupt(file, 'it names no step');
      return { step, tensors, record: JSON.parse(metadata.record) as TrainRecord };
    } catch (cause) {
      throw corrupt(file, cause instanceof Error ? cause.message : 'it cannot be read', cause);
    }
  }

  has(name: 'last' | 'best'): Promise<boolean> {
    return exists(this.file(`checkpoints/${name}.safetensors`));
  }
}

function corrupt(file: string, why: string, cause?: unknown): InkstoneError {
  return new InkstoneError('run_corrupt', `${file} is damaged: ${why}`, {
    kind: 'data',
    hint: 'put a copy back, or start the run again with --force',
    cause,
  });
}

/** Those tensors alone. */
export function onlyNamed(tensors: HostTensors, names: readonly string[]): HostTensors {
  return Object.fromEntries(names.map((name) => [name, tensors[name] as HostTensor]));
}
