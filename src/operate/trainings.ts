/**
 * Trainings as jobs: each is a child process that runs `inkstone train text`, one at a time, the others wait.
 * Their state is in the store, their progress in the run folder's metrics, so both outlive this process.
 */
import path from 'node:path';
import type { Row, Store } from '../base/contracts/store.ts';
import type { JobState, JobStatus } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { type ChildProcess, exists, isAlive, now, readText, sendSignal, spawnCommand } from '../base/host.ts';

export interface TrainingOrder {
  /** Becomes the model's name and the run folder's. */
  name: string;
  /** Path of the text. */
  file: string;
  preset: string;
  steps?: number | undefined;
  seed?: number | undefined;
}

export interface TrainingRow extends Row {
  name: string;
  file: string;
  preset: string;
  steps?: number | undefined;
  seed?: number | undefined;
  state: JobState;
  created: number;
  folder: string;
  pid?: number;
  error?: { code: string; message: string; hint?: string };
}

export interface MetricLine {
  type: string;
  step: number;
  loss?: number;
  val_loss?: number;
  tokens_per_second?: number;
  remaining?: number;
  text?: string;
}

export interface TrainingStatus extends JobStatus {
  name: string;
  preset: string;
  steps?: number;
}

const FINAL: readonly JobState[] = ['succeeded', 'failed', 'cancelled'];
export const isFinal = (state: JobState): boolean => FINAL.includes(state);

export class Trainings {
  private readonly home: string;
  private readonly store: Store;
  /** Called when a training ends with a model that can be used. */
  private readonly finished: (name: string) => void;
  private readonly children = new Map<string, ChildProcess>();
  private readonly stopping = new Set<string>();
  private closed = false;

  constructor(options: { home: string; store: Store; finished?: (name: string) => void }) {
    this.home = options.home;
    this.store = options.store;
    this.finished = options.finished ?? (() => undefined);
  }

  /** Jobs that another server process left running are looked at: alive, or lost. */
  async recover(): Promise<void> {
    for (const row of await this.rows()) {
      if (row.state !== 'running' || (row.pid !== undefined && isAlive(row.pid))) continue;
      await this.save({
        ...row,
        state: 'failed',
        error: {
          code: 'interrupted',
          message: 'the server ended while this training ran',
          hint: 'resume it: nothing before its last checkpoint is lost',
        },
      });
    }
    await this.startNext();
  }

  /** @throws InkstoneError `name_invalid`, `run_exists`, `data_missing` */
  async create(order: TrainingOrder): Promise<TrainingRow> {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(order.name)) {
      throw new InkstoneError('name_invalid', `"${order.name}" cannot be a model's name`, {
        kind: 'usage',
        hint: 'use letters, digits, dots, dashes and underscores',
      });
    }
    if (!(await exists(order.file)))
      throw new InkstoneError('data_missing', 'the file is gone', {
        kind: 'missing',
        hint: 'upload it again',
      });
    const folder = path.join(this.home, 'runs', order.name);
    if (
      (await exists(folder)) ||
      (await this.rows()).some((row) => row.name === order.name && !isFinal(row.state))
    ) {
      throw new InkstoneError('run_exists', `there is a model named ${order.name} already`, {
        kind: 'conflict',
        hint: 'choose another name',
      });
    }
    const row: TrainingRow = {
      ...order,
      id: `train-${now().toString(36)}-${order.name.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '-')}`,
      state: 'queued',
      created: Math.floor(now() / 1000),
      folder,
    };
    await this.save(row);
    await this.startNext();
    return this.row(row.id);
  }

  private rows(): Promise<TrainingRow[]> {
    return this.store.rows.list<TrainingRow>('trainings');
  }

  private save(row: TrainingRow): Promise<void> {
    return this.store.rows.put('trainings', row);
  }

  /** @throws InkstoneError `training_missing` */
  async row(id: string): Promise<TrainingRow> {
    const row = await this.store.rows.get<TrainingRow>('trainings', id);
    if (row === undefined)
      throw new InkstoneError('training_missing', `there is no training ${id}`, { kind: 'missing' });
    return row;
  }

  private starting: Promise<void> = Promise.resolve();

  private startNext(): Promise<void> {
    this.starting = this.starting.then(() => this.startOne());
    return this.starting;
  }

  private async startOne(): Promise<void> {
    if (this.closed || this.children.size > 0) return;
    const rows = await this.rows();
    if (rows.some((row) => row.state === 'running' && row.pid !== undefined && isAlive(row.pid))) return;
    const next = rows.filter((row) => row.state === 'queued').sort((a, b) => a.created - b.created)[0];
    if (next === undefined) return;
    const resume = await exists(path.join(next.folder, 'config.json'));
    const args = [
      'train',
      'text',
      '--preset',
      next.preset,
      '--data',
      next.file,
      '--out',
      next.folder,
      '--json',
    ];
    if (next.steps !== undefined) args.push('--steps', String(next.steps));
    if (next.seed !== undefined) args.push('--seed', String(next.seed));
    if (resume) args.push('--resume');
    const child = spawnCommand(args);
    this.children.set(next.id, child);
    let output = '';
    child.stdout?.on('data', (piece) => {
      output = (output + String(piece)).slice(-65536);
    });
    child.stderr?.resume();
    child.on('error', () => undefined);
    child.on('exit', (status) => void this.ended(next.id, status, output));
    await this.save({ ...next, state: 'running', ...(child.pid === undefined ? {} : { pid: child.pid }) });
  }

  private async ended(id: string, status: number | null, output: string): Promise<void> {
    await this.starting;
    const row = await this.row(id);
    const answer = lastJson(output);
    const stopped = this.stopping.delete(id);
    this.children.delete(id);
    const error = (answer?.error as TrainingRow['error']) ?? {
      code: 'training_failed',
      message: `the training ended with status ${status ?? 'a signal'}`,
    };
    if (this.closed) await this.save({ ...row, state: 'queued' });
    else if (stopped) await this.save({ ...row, state: 'cancelled' });
    else if (status === 0) await this.save({ ...row, state: 'succeeded' });
    else await this.save({ ...row, state: 'failed', error });
    if (!this.closed) this.finished(row.name);
    await this.startNext();
  }

  async stop(id: string): Promise<TrainingRow> {
    const row = await this.row(id);
    if (row.state === 'queued') await this.save({ ...row, state: 'cancelled' });
    else if (row.state === 'running' && row.pid !== undefined) {
      this.stopping.add(id);
      // The command finishes its step, writes the checkpoint and ends.
      if (!sendSignal(row.pid, 'SIGTERM')) await this.save({ ...row, state: 'cancelled' });
    }
    return this.row(id);
  }

  /** Goes on with a training that was stopped or lost. */
  async resume(id: string): Promise<TrainingRow> {
    const row = await this.row(id);
    if (row.state === 'failed' || row.state === 'cancelled') {
      const { error: _, ...rest } = row;
      await this.save({ ...rest, state: 'queued' });
      await this.startNext();
    }
    return this.row(id);
  }

  async list(): Promise<TrainingStatus[]> {
    const rows = await this.rows();
    return Promise.all(rows.sort((a, b) => b.created - a.created).map((row) => this.status(row)));
  }

  async status(row: TrainingRow): Promise<TrainingStatus> {
    const lines = await this.metrics(row);
    const last = lines.findLast((line) => line.type === 'train');
    const validation = lines.findLast((line) => line.type === 'evaluate');
    const steps = row.steps ?? (await this.stepsOf(row));
    return {
      id: row.id,
      kind: 'train text',
      state: row.state,
      progress:
        row.state === 'succeeded' ? 1 : steps === undefined ? 0 : Math.min(1, (last?.step ?? 0) / steps),
      created: row.created,
      ...(row.state === 'running' && last?.remaining !== undefined ? { remaining: last.remaining } : {}),
      metrics: {
        ...(last === undefined
          ? {}
          : { step: last.step, loss: last.loss ?? 0, tokens_per_second: last.tokens_per_second ?? 0 }),
        ...(validation?.val_loss === undefined ? {} : { val_loss: validation.val_loss }),
      },
      ...(row.error === undefined ? {} : { error: row.error }),
      result: row.folder,
      name: row.name,
      preset: row.preset,
      ...(steps === undefined ? {} : { steps }),
    };
  }

  private async stepsOf(row: TrainingRow): Promise<number | undefined> {
    const file = path.join(row.folder, 'config.json');
    if (!(await exists(file))) return undefined;
    return (JSON.parse(await readText(file)) as { training?: { steps?: number } }).training?.steps;
  }

  /** All lines written so far; a half-written last line is left out. */
  async metrics(row: TrainingRow): Promise<MetricLine[]> {
    const file = path.join(row.folder, 'metrics.jsonl');
    if (!(await exists(file))) return [];
    const lines: MetricLine[] = [];
    for (const line of (await readText(file)).split('\n')) {
      try {
        if (line !== '') lines.push(JSON.parse(line) as MetricLine);
      } catch {
        break;
      }
    }
    return lines;
  }

  /** Trainings go on from their checkpoints at the next start. */
  async close(): Promise<void> {
    this.closed = true;
    const ends = [...this.children.values()].map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null) resolve();
          child.once('exit', () => resolve());
          child.kill('SIGTERM');
        }),
    );
    await Promise.all(ends);
    await this.starting;
  }
}

function lastJson(output: string): Record<string, unknown> | undefined {
  const line = output.trim().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
