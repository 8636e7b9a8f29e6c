/**
 * Runs a training: steps, evaluations, checkpoints, early stopping, resume. Owns time and files; the
 * arithmetic is the trainable's, the data are handed in as functions of the step.
 *
 * What is written to a checkpoint depends on seed, data and step alone, so a run killed at any moment and
 * resumed ends with the same bytes as one that was never stopped.
 */
import type { StepResult, Trainable } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { monotonic } from '../base/host.ts';
import type { HostTensors } from '../base/tensor.ts';
import type { TrainingConfig } from '../nn/training-config.ts';
import type { Checkpoint, RunFolder, TrainRecord } from './run-folder.ts';

export interface TrainerOptions {
  folder: RunFolder;
  trainable: Trainable;
  config: Pick<TrainingConfig, 'steps' | 'evaluateEvery' | 'checkpointEvery' | 'sampleEvery' | 'patience'>;
  /** @param attempt how often the run went back to an earlier state: what is random takes another course */
  batch(step: number, attempt: number): Promise<HostTensors>;
  /** The lower, the better: mean loss over the whole validation split, in the run's unit; may end with an AbortError at the signal. */
  evaluate(trainable: Trainable): Promise<number>;
  /** The best of up to this step gives way to whatever is judged next: the model was not whole yet. */
  wholeAfter?: number | undefined;
  /** What `evaluate` gives, in the metrics; default `val_loss`. */
  score?: string;
  /** A sample from the model as it is: its text, or the file in the run's folder that holds it. */
  sample?(trainable: Trainable, step: number): Promise<string | { file: string } | undefined>;
  /** Why a step's outcome shows that the run has gone astray, although its numbers are finite. */
  astray?(result: StepResult, step: number): string | undefined;
  /** How often a run that went astray may go back to its last checkpoint; default 0. */
  rollbacks?: number;
  /** Tokens of one step, for the speed. */
  tokensPerStep: number;
  /** Work of all steps before this one, in any unit, for the time that is left; default: every step is as much. */
  work?: ((step: number) => number) | undefined;
  resume: boolean;
  /** Keeps the state that it starts from: it is another model's, and a run that is gone on with could not make it again. */
  keepStart?: boolean;
  /** Told when the run went back. */
  wentBack?(turn: WentBack): void;
  /** Pauses here, judged and saved, though there are more steps to take: a resumed run goes on from it. */
  until?: number | undefined;
  /** Set from outside to stop after the current step. */
  signal?: AbortSignal;
  report?(progress: TrainProgress): void;
}

export interface WentBack {
  /** The step that went astray, and the one that the run goes on from. */
  from: number;
  step: number;
  why: string;
  /** How often until now, this time included; and how often it may. */
  rollbacks: number;
  most: number;
}

export interface TrainProgress {
  step: number;
  steps: number;
  loss: number;
  validationLoss?: number;
  tokensPerSecond: number;
  /** Seconds. */
  remaining: number;
  phase: 'training' | 'evaluating' | 'saving';
}

export interface TrainOutcome {
  state: 'succeeded' | 'stopped';
  /** Why it ended before the last step. */
  early?: 'patience' | 'signal' | 'until';
  steps: number;
  /** Of the weights of the last step; of a stopped run, the newest there is (NaN for none). */
  validationLoss: number;
  bestValidationLoss: number;
  bestStep: number;
  tokensPerSecond: number;
  /** Seconds of training, evaluations included, over all resumed parts. */
  seconds: number;
}

/** @throws InkstoneError `loss_not_finite` (kind `diverged`), `disk_full` */
export async function train(options: TrainerOptions): Promise<TrainOutcome> {
  return new Run(options).run();
}

class Run {
  private readonly options: TrainerOptions;
  private record: TrainRecord = { stale: 0 };
  private step = 0;
  private startSeconds = 0;
  /** Tokens per second of the part before, where this part takes no step. */
  private speedBefore = 0;
  private readonly started = monotonic();
  private stepSeconds = 0;
  private stepsHere = 0;
  private workHere = 0;
  private loss = Number.NaN;
  private lastLine = 0;

  constructor(options: TrainerOptions) {
    this.options = options;
  }

  private seconds(): number {
    return this.startSeconds + (monotonic() - this.started) / 1000;
  }

  async run(): Promise<TrainOutcome> {
    if (this.options.resume) await this.restore();
    try {
      if (this.options.keepStart === true && !(await this.options.folder.has('last'))) await this.save();
      return await this.toTheEnd();
    } catch (thrown) {
      this.recordFailure(thrown);
      throw thrown;
    }
  }

  private async toTheEnd(): Promise<TrainOutcome> {
    const { config, folder } = this.options;
    // What a signal interrupted is made up for first.
    if (this.record.due === true) await this.closeStep();
    let early = this.end();
    while (early === undefined && this.step < config.steps) {
      if (await this.oneStep()) await this.closeStep();
      early = this.end();
    }
    // A stopped run is not judged: it would make its owner wait, and the resumed run judges where it should.
    if (early === 'signal') await this.save();
    const state = early === undefined || early === 'patience' ? 'succeeded' : 'stopped';
    folder.metric({ type: 'state', state, step: this.step, seconds: round(this.seconds()) });
    return {
      state,
      ...(early === undefined ? {} : { early }),
      steps: this.step,
      validationLoss: this.record.lastLoss ?? Number.NaN,
      bestValidationLoss: this.record.bestLoss ?? Number.NaN,
      bestStep: this.record.bestStep ?? 0,
      tokensPerSecond: this.speed(),
      seconds: this.seconds(),
    };
  }

  /** Why the run ends here, before its last step or with an evaluation still due. */
  private end(): TrainOutcome['early'] {
    const { config, signal, until } = this.options;
    const unfinished = this.step < config.steps || this.record.due === true;
    const paused = until !== undefined && this.step >= until && this.record.due !== true;
    if (unfinished && !paused && signal?.aborted === true) return 'signal';
    if (paused && this.step < config.steps) return 'until';
    const patient = config.patience === 0 || this.record.stale < config.patience;
    return this.step < config.steps && !patient ? 'patience' : undefined;
  }

  /** Evaluation, sample and checkpoint, where this step has them. */
  private async closeStep(): Promise<void> {
    const { config, signal, until, trainable, rollbacks = 0 } = this.options;
    const last = this.step === config.steps;
    const judged = last || this.step === until || this.step % config.evaluateEvery === 0;
    const saved = judged || this.step % config.checkpointEvery === 0;
    // A loss is of the weights before its step. Where there is a way back, what must not be judged or kept is seen first.
    const seen = saved && rollbacks > 0 ? await trainable.state() : undefined;
    if (seen !== undefined) {
      const bad = firstNotFinite(seen);
      if (bad !== undefined && (await this.rollBack(notFiniteAfter(bad, this.step), this.step))) return;
    }
    if (judged) {
      try {
        await this.judge();
      } catch (thrown) {
        if (signal?.aborted !== true || (thrown as Error).name !== 'AbortError') throw thrown;
        this.record.due = true;
        return;
      }
    }
    if (config.sampleEvery > 0 && (last || this.step % config.sampleEvery === 0)) await this.sample();
    if (saved) await this.save(seen);
  }

  private async restore(): Promise<void> {
    const { folder, trainable } = this.options;
    const checkpoint = await folder.readCheckpoint('last');
    if (checkpoint === undefined) {
      await folder.rewindMetrics(-1);
      return;
    }
    await trainable.restore(checkpoint.tensors);
    this.step = checkpoint.step;
    this.record = checkpoint.record;
    const { seconds, tokensPerSecond } = await folder.rewindMetrics(checkpoint.step);
    this.startSeconds = seconds;
    this.speedBefore = tokensPerSecond;
  }

  /** So that who reads the run later sees how it ended. */
  private recordFailure(thrown: unknown): void {
    const error = InkstoneError.from(thrown).code;
    try {
      this.options.folder.metric({
        type: 'state',
        state: 'failed',
        step: this.step,
        seconds: round(this.seconds()),
        error,
      });
    } catch {
      // A full disk takes no line either; what went wrong is thrown.
    }
  }

  /** False where the run went back instead. */
  private async oneStep(): Promise<boolean> {
    const { trainable, folder } = this.options;
    const batch = await this.options.batch(this.step, this.record.rollbacks ?? 0);
    const begun = monotonic();
    const result = await trainable.step(batch, this.step);
    const { loss, gradientNorm, metrics } = result;
    this.stepSeconds += (monotonic() - begun) / 1000;
    this.stepsHere++;
    this.workHere += this.work(this.step + 1) - this.work(this.step);
    const wrong = notFinite(loss, gradientNorm) ?? this.options.astray?.(result, this.step);
    if (wrong !== undefined) {
      if (await this.rollBack(wrong)) return false;
      throw await this.diverged(`${wrong} at step ${this.step + 1}`, this.step + 1);
    }
    this.step++;
    this.loss = loss;
    // A line every ten steps: enough for a curve, little enough to read.
    if (this.step % 10 === 0 || this.step === this.options.config.steps || this.step === 1) {
      folder.metric({
        type: 'train',
        step: this.step,
        loss: round(loss),
        ...(gradientNorm === undefined ? {} : { gradient_norm: round(gradientNorm) }),
        ...Object.fromEntries(Object.entries(metrics ?? {}).map(([name, value]) => [name, round(value)])),
        tokens_per_second: Math.round(this.speed()),
        remaining: Math.round(this.remaining()),
        seconds: round(this.seconds()),
      });
    }
    this.report('training');
    return true;
  }

  /** Back to the last checkpoint, from where chance takes another course; false where that is not to be had. */
  private async rollBack(why: string, from = this.step + 1): Promise<boolean> {
    const { folder, rollbacks = 0 } = this.options;
    const done = this.record.rollbacks ?? 0;
    if (done >= rollbacks || !(await folder.has('last'))) return false;
    const { startSeconds } = this;
    await this.restore();
    // The time that was lost was spent all the same.
    this.startSeconds = startSeconds;
    this.record.rollbacks = done + 1;
    const turn = { step: this.step, from, why, rollbacks: done + 1 };
    folder.metric({ type: 'rollback', ...turn, seconds: round(this.seconds()) });
    this.options.wentBack?.({ ...turn, most: rollbacks });
    // Who resumes from here takes the new course, too.
    await this.save();
    return true;
  }

  /** The run has no future with these settings; what it had before is kept. */
  private async diverged(what: string, step: number): Promise<InkstoneError> {
    const { folder } = this.options;
    const before = await folder.readCheckpoint('last').catch(() => undefined);
    const good =
      before === undefined
        ? 'there is no checkpoint yet'
        : `the last good checkpoint is of step ${before.step}; a new run may go on from it (--from ${folder.path})`;
    return new InkstoneError('loss_not_finite', what, {
      kind: 'diverged',
      hint: `start again with a lower rate (--learning-rate); ${good}`,
      details: { step },
    });
  }

  private async judge(): Promise<void> {
    const { folder, trainable, evaluate, score = 'val_loss', wholeAfter = 0 } = this.options;
    this.report('evaluating');
    const validation = await evaluate(trainable);
    if (!Number.isFinite(validation))
      throw await this.diverged(`the validation loss became ${validation} at step ${this.step}`, this.step);
    const { record } = this;
    delete record.due;
    record.lastLoss = validation;
    const { bestLoss, bestStep = 0 } = record;
    const becameWhole = bestStep <= wholeAfter && this.step > wholeAfter;
    if (bestLoss === undefined || validation < bestLoss || becameWhole) {
      record.bestLoss = validation;
      record.bestStep = this.step;
      record.stale = 0;
      await folder.writeCheckpoint('best', {
        step: this.step,
        tensors: await trainable.parameters(),
        record: { ...record },
      });
    } else record.stale++;
    folder.metric({
      type: 'evaluate',
      step: this.step,
      [score]: round(validation),
      [`best_${score}`]: round(record.bestLoss as number),
      seconds: round(this.seconds()),
    });
    this.report('evaluating');
  }

  private async sample(): Promise<void> {
    const sample = await this.options.sample?.(this.options.trainable, this.step);
    if (sample === undefined) return;
    this.options.folder.metric({
      type: 'sample',
      step: this.step,
      ...(typeof sample === 'string' ? { text: sample } : sample),
      seconds: round(this.seconds()),
    });
  }

  /** @param known the state as it is now, where it has been read already */
  private async save(known?: HostTensors): Promise<void> {
    this.report('saving');
    const tensors = known ?? (await this.options.trainable.state());
    // A loss is of the weights before its step: what the step made of them is seen only here.
    const bad = firstNotFinite(tensors);
    if (bad !== undefined) throw await this.diverged(notFiniteAfter(bad, this.step), this.step);
    const checkpoint: Checkpoint = {
      step: this.step,
      tensors,
      record: { ...this.record },
    };
    await this.options.folder.writeCheckpoint('last', checkpoint);
  }

  private speed(): number {
    return this.stepSeconds === 0
      ? this.speedBefore
      : (this.options.tokensPerStep * this.stepsHere) / this.stepSeconds;
  }

  private work(step: number): number {
    return this.options.work?.(step) ?? step;
  }

  private remaining(): number {
    if (this.workHere === 0) return 0;
    const each = (monotonic() - this.started) / 1000 / this.workHere;
    return each * (this.work(this.options.config.steps) - this.work(this.step));
  }

  private report(phase: TrainProgress['phase']): void {
    const now = monotonic();
    if (phase === 'training' && now - this.lastLine < 100 && this.step !== this.options.config.steps) return;
    this.lastLine = now;
    this.options.report?.({
      step: this.step,
      steps: this.options.config.steps,
      loss: this.loss,
      ...(this.record.lastLoss === undefined ? {} : { validationLoss: this.record.lastLoss }),
      tokensPerSecond: this.speed(),
      remaining: this.remaining(),
      phase,
    });
  }
}

const notFiniteAfter = (name: string, step: number): string =>
  `"${name}" holds values that are not finite after step ${step}`;

function notFinite(loss: number, gradientNorm: number | undefined): string | undefined {
  if (!Number.isFinite(loss)) return `the loss became ${loss}`;
  if (gradientNorm === undefined || Number.isFinite(gradientNorm)) return undefined;
  return `the gradient's norm became ${gradientNorm} (loss ${loss})`;
}

/** Name of the first tensor with NaN or an infinity in it. */
function firstNotFinite(tensors: HostTensors): string | undefined {
  for (const [name, { dtype, data }] of Object.entries(tensors)) {
    if (dtype !== 'f32' && dtype !== 'f64') continue;
    const values = data as Float32Array | Float64Array;
    for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return name;
  }
  return undefined;
}

const round = (value: number): number => Number(value.toPrecision(7));
