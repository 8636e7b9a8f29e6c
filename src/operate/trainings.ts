/**
 * Trainings as durable jobs: each is a command in a run folder, one at a time in a server, the others wait. Progress is in
 * the run folder's metrics. A training stays with the home folder that has its run; it ends there, whatever is killed.
 */
import path from 'node:path';
import type { Job } from '../base/contracts/jobs.ts';
import type { JobState, JobStatus } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, now } from '../base/host.ts';
import { type CommandStep, interrupted, runCommand } from './jobs/command-run.ts';
import type { Jobs } from './jobs/jobs.ts';
import { type MetricLine, plannedSteps, RunMetrics, scoreOf } from './run-metrics.ts';
import { type TrainingOrder, trainingArguments } from './training-order.ts';

/** What its job keeps of a training. */
export interface TrainingInput extends TrainingOrder {
  /** Of the home folder that has the run. */
  place: string;
  /** Id of the API key that asked. */
  owner?: string | undefined;
}

export interface Training extends TrainingInput {
  id: string;
  state: JobState;
  /** Seconds since 1970. */
  created: number;
  ended?: number | undefined;
  /** 0 to 1, as its job has it. */
  progress: number;
  folder: string;
  error?: JobStatus['error'];
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
  /** Of this home folder. */
  place: string;
  jobs: Jobs;
  /** Called when a run has stopped, before its end is told: what it left can be used. May be called again for one end. */
  finished?(training: Training, succeeded: boolean): void | Promise<void>;
  /** Milliseconds that a training has to write its checkpoint when it is told to stop. */
  grace?: number;
  /** Milliseconds in which one that neither says anything nor computes is taken for hung. */
  silent?: number;
  /** Times that a training whose process was killed is tried again without getting further; default the jobs' own. */
  retries?: number;
}

const KIND = 'training';

const FINAL: readonly JobState[] = ['succeeded', 'failed', 'cancelled'];
export const isFinal = (state: JobState): boolean => FINAL.includes(state);

export class Trainings {
  private readonly options: TrainingsOptions;
  private readonly metricsOf = new RunMetrics();
  /** New ones, one behind the other: a name is taken once. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(options: TrainingsOptions) {
    this.options = options;
    options.jobs.register<TrainingInput, CommandStep, object>({
      kind: KIND,
      // They are the history of the models that they made.
      kept: Number.POSITIVE_INFINITY,
      ...(options.retries === undefined ? {} : { retries: options.retries }),
      takes: ({ place }) => place === options.place,
      run: async (work) => {
        const { id, input } = work;
        const folder = this.folderOf(input.name);
        this.metricsOf.forget(folder);
        const training: Training = { ...input, id, folder, state: 'running', created: 0, progress: 0 };
        try {
          const answer = await runCommand(work, {
            folder,
            ...{ mark: 'config.json', trace: input.trace },
            args: (resume) => trainingArguments(input, folder, resume),
            progress: () => this.part(input, folder),
            ...(options.grace === undefined ? {} : { grace: options.grace }),
            silent: options.silent,
          });
          // From here on it has succeeded: no model comes of one that was cancelled.
          if (!(await work.seal())) throw interrupted();
          await options.finished?.(training, true);
          return answer;
        } catch (thrown) {
          await options.finished?.(training, false);
          throw thrown;
        }
      },
    });
  }

  /**
   * @param asked.once the same key and mark is the same training
   * @throws InkstoneError `name_invalid`, `run_exists`, `data_missing`, `idempotency_conflict`
   */
  create(
    order: TrainingOrder,
    asked: { owner?: string | undefined; once?: { key: string; mark: string } | undefined } = {},
  ): Promise<Training> {
    const { owner, once } = asked;
    const { jobs, place } = this.options;
    const kind = order.tune === undefined ? 'train' : 'ftjob';
    const name = order.name.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '-');
    const made = this.last.then(() =>
      jobs.create<TrainingInput>({
        ...{ kind: KIND, id: `${kind}-${now().toString(36)}-${name}` },
        input: { ...order, place, ...(owner === undefined ? {} : { owner }) },
        check: () => this.check(order),
        ...(once === undefined ? {} : { key: once.key, same: once.mark }),
      }),
    );
    this.last = made.catch(() => undefined);
    return made.then((job) => this.of(job));
  }

  private of(job: Job): Training {
    const input = job.input as TrainingInput;
    const { id, state, created, ended, progress, error } = job;
    return {
      ...{ ...input, id, state, progress, folder: this.folderOf(input.name) },
      created: Math.floor(created / 1000),
      ended: ended === undefined ? undefined : Math.floor(ended / 1000),
      ...(state === 'failed' && error !== undefined ? { error } : {}),
    };
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
    const waiting = (await this.all()).some((row) => row.name === name && !isFinal(row.state));
    if (waiting || (await exists(this.folderOf(name))))
      throw new InkstoneError('run_exists', `there is a model named ${name} already`, {
        kind: 'conflict',
        hint: 'choose another name',
        details: { param: 'name' },
      });
  }

  /** The newest first. */
  private async all(): Promise<Training[]> {
    return (await this.options.jobs.list(KIND)).map((job) => this.of(job));
  }

  /** @throws InkstoneError `training_missing` */
  async get(id: string): Promise<Training> {
    const job = await this.options.jobs.find(KIND, id);
    if (job !== undefined) return this.of(job);
    throw new InkstoneError('training_missing', `there is no training ${id}`, { kind: 'missing' });
  }

  private async asked(id: string, what: 'cancel' | 'pause' | 'resume'): Promise<Training> {
    await this.get(id);
    return this.of(await this.options.jobs[what](id));
  }

  /** Takes effect after the current step; the checkpoint is kept. @throws InkstoneError `training_missing` */
  stop(id: string): Promise<Training> {
    return this.asked(id, 'cancel');
  }

  /** Waits after the current step, its checkpoint kept, until it is resumed; others get their turn. */
  pause(id: string): Promise<Training> {
    return this.asked(id, 'pause');
  }

  /** Goes on with a training that was paused, stopped or has failed; others are left as they are. */
  resume(id: string): Promise<Training> {
    return this.asked(id, 'resume');
  }

  /** Tuning jobs, the newest first. */
  async tunings(): Promise<Training[]> {
    return (await this.all()).filter((row) => row.tune !== undefined);
  }

  /** The newest first. */
  async list(): Promise<TrainingStatus[]> {
    return Promise.all((await this.all()).map((row) => this.status(row)));
  }

  async status(row: Training): Promise<TrainingStatus> {
    const lines = await this.metrics(row);
    const last = lines.findLast((line) => line.type === 'train');
    const validation = lines.findLast((line) => line.type === 'evaluate' && line.val_loss !== undefined);
    const judged = row.family === undefined ? undefined : lines.findLast((line) => line.type === 'evaluate');
    const score = judged === undefined ? undefined : scoreOf(judged);
    const steps = row.steps ?? (await plannedSteps(row.folder));
    // Of a run on another machine only its job tells.
    const part =
      steps === undefined || lines.length === 0 ? row.progress : Math.min(1, (last?.step ?? 0) / steps);
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
  metrics(row: Training): Promise<readonly MetricLine[]> {
    return this.metricsOf.lines(row.folder);
  }

  /** How much of it is done, by its own words. */
  private async part({ steps }: TrainingInput, folder: string): Promise<number> {
    const planned = steps ?? (await plannedSteps(folder));
    const last = (await this.metricsOf.lines(folder)).findLast((line) => line.type === 'train');
    return planned === undefined ? 0 : Math.min(1, (last?.step ?? 0) / planned);
  }
}

function baseOf({ tune, base }: Training): { base?: string } {
  const model = tune?.from ?? base?.model;
  return model === undefined ? {} : { base: model };
}
