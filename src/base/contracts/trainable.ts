/**
 * A trainable: what a trainer needs of a model, whatever its family. The trainer owns time, data order,
 * checkpoints and metrics; the trainable owns arithmetic. Types only.
 */
import type { HostTensors } from '../tensor.ts';

export interface StepResult {
  /** Mean loss over the batch, in the family's unit (nats per token for text). */
  loss: number;
  /** Global gradient norm before clipping, when it was measured. */
  gradientNorm?: number;
  /** Further scalars by name. */
  metrics?: Record<string, number>;
}

export interface Trainable {
  /** Every number that must survive a restart: parameters, moments, averages. */
  state(): Promise<HostTensors>;
  restore(state: HostTensors): Promise<void>;
  /** Parameters only, as they are served (the average where one is kept). */
  parameters(): Promise<HostTensors>;
  /** One optimiser step. `step` counts from 0 and decides the learning rate. */
  step(batch: HostTensors, step: number): Promise<StepResult>;
  /** Sum of the loss and the number of predictions over a batch, without learning. */
  evaluate(batch: HostTensors): Promise<{ total: number; count: number }>;
  close(): Promise<void>;
}

export type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

/** Long work that can be watched and stopped: a training, an evaluation. */
export interface JobStatus {
  id: string;
  kind: string;
  state: JobState;
  /** 0 to 1. */
  progress: number;
  /** Seconds since 1970. */
  created: number;
  /** Seconds still to go, when it can be told. */
  remaining?: number;
  metrics: Record<string, number>;
  error?: { code: string; message: string; hint?: string };
  /** Where the result is: a run folder. */
  result?: string;
}
