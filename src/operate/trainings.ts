/**
 * Trainings as jobs: each is a child process, one at a time, the others wait. Their state is in the store, their
 * progress in the run folder's metrics, so both outlive this process.
 */
import path from 'node:path';
import type { Row, Store } from '../base/contracts/store.ts';
import type { JobState, JobStatus } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, isAlive, now } from '../base/host.ts';
import { lockHolder, type MetricLine, plannedSteps, RunMetrics, scoreOf } from './run-metrics.ts';
import { AdoptedProcess, type TrainingEnd, type TrainingOrder, TrainingProcess } from './training-process.ts';

export interface TrainingRow extends Row, TrainingOrder {
  state: JobState;
  created: number;
  folder: string;
  pid?: number | undefined;
  /** It waits until somebody lets it go on. */
  paused?: boolean | undefined;
  error?: JobStatus['error'];
  /** Times that its process was killed and started again since it last got further, and the step where it was then. */
  lost?: { times: number; step: number } | undefined;
  /** Whoever asks again with this gets this training; `mark` tells whether it is the same request. */
  once?: { key: string; mark: string } | undefined;
}

export interface TrainingStatus extends JobStatus {
  name: string;
  preset: string;
  steps?: number;
  /** Whom to ask for what came of it. */
  model: string;
  /** The model that it went on from. */
  base?: string;
  /** What its model makes; left out: text. */
  family?: 'image';
  /** The newest judgement of a model of pictures. */
  score?: { name: string; value: number };
}

export interface TrainingsOptions {
  home: string;
  store: Store;
  /** Called when a training ends, before its end is told: what it left can be used. */
  finished?(row: TrainingRow): void | Promise<void>;
  /** Milliseconds that trainings have to write their checkpoint when the server ends. */
  grace?: number;
}

/** Times that a training whose process was killed is started again without getting further. */
const RESTARTS = 5;

const FINAL: readonly JobState[] = ['succeeded', 'failed', 'cancelled'];
export const isFinal = (state: JobState): boolean => FINAL.includes(state);

export class Trainings {
  private readonly options: TrainingsOptions;
  private readonly metricsOf = new RunMetrics();
  /** By row; at most one. */
  private readonly running = new Map<
    string,
    { child: TrainingProcess | AdoptedProcess; done: Promise<void> }
  >();
  private readonly stopping = new Set<string>();
  private readonly pausing = new Set<string>();
  private closed = false;
  /** Changes of rows, one behind the other. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(options: TrainingsOptions) {
    this.options = options;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => undefined);
    return result;
  }

  /** Jobs that another server process left running are looked at: still at work, ended meanwhile, or lost. */
  recover(): Promise<void> {
    return this.inTurn(async () => {
      for (const row of await this.rows()) {
        if (row.state !== 'running') continue;
        if (await this.atWork(row)) this.watch(row, new AdoptedProcess(row.pid as number));
        else await this.save(await this.concluded(row, { status: null, signal: null, answer: undefined }));
      }
      await this.startNext();
    });
  }

  /** The id may by now be another process's; the run's lock tells. */
  private async atWork({ pid, folder }: TrainingRow): Promise<boolean> {
    if (pid === undefined || !isAlive(pid)) return false;
    const holder = await lockHolder(folder);
    return (
      holder === pid || (holder === undefined && lastState(await this.metricsOf.lines(folder)) === undefined)
    );
  }

  /**
   * @param once the same key and mark is the same training
   * @throws InkstoneError `name_invalid`, `run_exists`, `data_missing`, `idempotency_conflict`
   */
  create(order: TrainingOrder, once?: TrainingRow['once']): Promise<TrainingRow> {
    return this.inTurn(async () => {
      const known =
        once === undefined ? undefined : (await this.rows()).find((row) => row.once?.key === once.key);
      if (known !== undefined && known.once?.mark === once?.mark) return known;
      if (known !== undefined)
        throw new InkstoneError('idempotency_conflict', 'this idempotency key was used for another request', {
          kind: 'conflict',
          hint: 'use a new key for a new request',
        });
      await this.check(order);
      const id = `${order.tune === undefined ? 'train' : 'ftjob'}-${now().toString(36)}-${order.name.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '-')}`;
      const folder = this.folderOf(order.name);
      await this.save({
        ...{ ...order, id, state: 'queued', created: Math.floor(now() / 1000), folder },
        ...(once === undefined ? {} : { once }),
      });
      await this.startNext();
      return this.row(id);
    });
  }

  private folderOf(name: string): string {
    return path.join(this.options.home, 'runs', name);
  }

  private async check({ name, file }: TrainingOrder): Promise<void> {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name))
      throw new InkstoneError('name_invalid', `"${name}" cannot be a model's name`, {
        kind: 'usage',
        hint: 'use letters, digits, dots, dashes and underscores',
        details: { param: 'name' },
      });
    if (!(await exists(file)))
      throw new InkstoneError('data_missing', 'the file is gone', {
        kind: 'missing',
        hint: 'upload it again',
      });
    const waiting = (await this.rows()).some((row) => row.name === name && !isFinal(row.state));
    if (waiting || (await exists(this.folderOf(name))))
      throw new InkstoneError('run_exists', `there is a model named ${name} already`, {
        kind: 'conflict',
        hint: 'choose another name',
        details: { param: 'name' },
      });
  }

  private rows(): Promise<TrainingRow[]> {
    return this.options.store.rows.list<TrainingRow>('trainings');
  }

  private save(row: TrainingRow): Promise<void> {
    return this.options.store.rows.put('trainings', row);
  }

  /** @throws InkstoneError `training_missing` */
  async row(id: string): Promise<TrainingRow> {
    const row = await this.options.store.rows.get<TrainingRow>('trainings', id);
    if (row !== undefined) return row;
    throw new InkstoneError('training_missing', `there is no training ${id}`, { kind: 'missing' });
  }

  /** Only in turn. */
  private async startNext(): Promise<void> {
    if (this.closed || this.running.size > 0) return;
    const queued = (await this.rows()).filter((row) => row.state === 'queued' && row.paused !== true);
    const row = queued.sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1))[0];
    if (row === undefined) return;
    this.metricsOf.forget(row.folder);
    const child = new TrainingProcess(row, row.folder, await exists(path.join(row.folder, 'config.json')));
    const started: TrainingRow = { ...row, state: 'running', pid: child.id };
    this.watch(started, child);
    await this.save(started);
  }

  private watch(row: TrainingRow, child: TrainingProcess | AdoptedProcess): void {
    const done = child.end.then((end) => this.inTurn(() => this.ended(row.id, end)));
    this.running.set(row.id, { child, done });
    done.catch(() => undefined);
  }

  private async ended(id: string, end: TrainingEnd): Promise<void> {
    this.running.delete(id);
    const row = await this.concluded(await this.row(id), end);
    this.stopping.delete(id);
    this.pausing.delete(id);
    if (!this.closed) await this.options.finished?.(row);
    await this.save(row);
    if (this.closed) return;
    await this.startNext();
  }

  /** What became of a training: by its own last words, else by what it wrote. */
  private async concluded(
    { error: _, pid: __, ...row }: TrainingRow,
    end: TrainingEnd,
  ): Promise<TrainingRow> {
    const line = lastState(await this.metricsOf.lines(row.folder));
    const state = (end.answer?.state as string | undefined) ?? line?.state;
    if (state === 'succeeded') return { ...row, state: 'succeeded' };
    const error = end.answer?.error as JobStatus['error'];
    // Told to end before its first step, the command says so as an error.
    const cut = state !== 'failed' && (error === undefined || error.code === 'interrupted');
    if (this.closed && cut) return { ...row, state: 'queued' };
    if (this.pausing.has(row.id) && !this.stopping.has(row.id) && (cut || state === 'stopped'))
      return { ...row, state: 'queued', paused: true };
    if (state === 'stopped' || (this.stopping.has(row.id) && cut)) return { ...row, state: 'cancelled' };
    if (error !== undefined) return { ...row, state: 'failed', error };
    if (line?.state === 'failed') {
      const code = line.error ?? 'training_failed';
      const message = `the training failed at step ${line.step}: ${code.replaceAll('_', ' ')}`;
      return { ...row, state: 'failed', error: { code, message } };
    }
    const again = await this.again(row, end);
    return again ?? { ...row, state: 'failed', error: lost(end) };
  }

  /** A training whose process was killed goes on from its last checkpoint, unless it is killed again and again. */
  private async again(row: TrainingRow, { status, signal }: TrainingEnd): Promise<TrainingRow | undefined> {
    const begun = await exists(path.join(row.folder, 'config.json'));
    if (status !== null || (signal === null && !begun)) return undefined;
    const lines = await this.metricsOf.lines(row.folder);
    const step = lines.findLast((line) => line.type === 'train')?.step ?? 0;
    const times = row.lost === undefined || step > row.lost.step ? 1 : row.lost.times + 1;
    return times > RESTARTS ? undefined : { ...row, state: 'queued', lost: { times, step } };
  }

  /** Takes effect after the current step; the checkpoint is kept. @throws InkstoneError `training_missing` */
  stop(id: string): Promise<TrainingRow> {
    return this.inTurn(async () => {
      const row = await this.row(id);
      const running = this.running.get(id);
      if (running !== undefined) {
        this.stopping.add(id);
        running.child.stop();
      } else if (row.state === 'queued') await this.save({ ...row, state: 'cancelled', paused: undefined });
      return this.row(id);
    });
  }

  /** Waits after the current step, its checkpoint kept, until it is resumed; others get their turn. */
  pause(id: string): Promise<TrainingRow> {
    return this.inTurn(async () => {
      const row = await this.row(id);
      const running = this.running.get(id);
      if (running !== undefined) {
        this.pausing.add(id);
        running.child.stop();
      } else if (row.state === 'queued') await this.save({ ...row, paused: true });
      return this.row(id);
    });
  }

  /** Goes on with a training that was paused, stopped or lost; others are left as they are. */
  resume(id: string): Promise<TrainingRow> {
    return this.inTurn(async () => {
      const { error: _, paused, ...row } = await this.row(id);
      if (row.state === 'failed' || row.state === 'cancelled' || paused === true) {
        await this.save({ ...row, state: 'queued' });
        await this.startNext();
      }
      return this.row(id);
    });
  }

  /** Tuning jobs, the newest first. */
  async tunings(): Promise<TrainingRow[]> {
    const rows = (await this.rows()).filter((row) => row.tune !== undefined);
    return rows.sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));
  }

  /** The newest first. */
  async list(): Promise<TrainingStatus[]> {
    const rows = (await this.rows()).sort((a, b) => b.created - a.created);
    return Promise.all(rows.map((row) => this.status(row)));
  }

  async status(row: TrainingRow): Promise<TrainingStatus> {
    const lines = await this.metrics(row);
    const last = lines.findLast((line) => line.type === 'train');
    const validation = lines.findLast((line) => line.type === 'evaluate' && line.val_loss !== undefined);
    const judged = row.family === undefined ? undefined : lines.findLast((line) => line.type === 'evaluate');
    const score = judged === undefined ? undefined : scoreOf(judged);
    const steps = row.steps ?? (await plannedSteps(row.folder));
    const part = steps === undefined ? 0 : Math.min(1, (last?.step ?? 0) / steps);
    return {
      id: row.id,
      kind: row.family === undefined ? 'train text' : 'train image',
      state: row.state,
      progress: row.state === 'succeeded' ? 1 : part,
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
      model: row.tune?.model ?? row.name,
      ...baseOf(row),
      ...(row.family === undefined ? {} : { family: row.family }),
      ...(score === undefined ? {} : { score }),
      ...(steps === undefined ? {} : { steps }),
    };
  }

  /** All lines written so far; a half-written last line is left out. */
  metrics(row: TrainingRow): Promise<readonly MetricLine[]> {
    return this.metricsOf.lines(row.folder);
  }

  /** Trainings write their checkpoint, end, and go on at the next start. */
  async close(): Promise<void> {
    this.closed = true;
    await this.last;
    for (const { child, done } of [...this.running.values()]) {
      child.stop();
      const late = setTimeout(() => child.kill(), this.options.grace ?? 30_000);
      await done.catch(() => undefined);
      clearTimeout(late);
    }
    await this.last;
  }
}

/** The line with which a run said how it ended; a run that is resumed takes it back. */
function lastState(lines: readonly MetricLine[]): MetricLine | undefined {
  const last = lines.at(-1);
  return last?.type === 'state' ? last : undefined;
}

function baseOf({ tune, base }: TrainingRow): { base?: string } {
  const model = tune?.from ?? base?.model;
  return model === undefined ? {} : { base: model };
}

function lost({ status, signal }: TrainingEnd): NonNullable<JobStatus['error']> {
  const hint = 'resume it: nothing before its last checkpoint is lost';
  if (status === null && signal === null)
    return { code: 'interrupted', message: 'it ended while no server watched it', hint };
  const how = signal === null ? `with status ${status}` : `by ${signal}`;
  return { code: 'training_failed', message: `the training's process ended ${how}`, hint };
}
