/** The shapes of the studio's own API, as the server sends them. Types only. */
import type { JobStatus } from '../../base/contracts/trainable.ts';

export type { JobState, JobStatus } from '../../base/contracts/trainable.ts';

export interface SystemInfo {
  version: string;
  node: string;
  machine: unknown;
  home: string;
  /** Seconds. */
  uptime: number;
  memory: unknown;
}

export interface ModelInfo {
  id: string;
  family: string;
  parameters: number;
  context: number;
  /** Seconds since 1970. */
  created: number;
  chat: boolean;
  state: string;
  source: 'starter' | 'run' | 'folder';
  /** Markdown. */
  card: string;
}

export interface PresetInfo {
  id: string;
  title: string;
  description: string;
  parameters: number;
  context: number;
  steps: number;
  tokenizer: string;
}

export interface FileInfo {
  id: string;
  name: string;
  bytes: number;
  /** Seconds since 1970. */
  created: number;
}

export interface MetricPoint {
  step: number;
  loss?: number;
  val_loss?: number;
  tokens_per_second?: number;
}

export interface Sample {
  step: number;
  text: string;
}

export interface TrainingInfo extends JobStatus {
  name: string;
  preset: string;
  steps?: number;
  history?: MetricPoint[];
  samples?: Sample[];
}

export interface TrainingRequest {
  name: string;
  file: string;
  preset: string;
  steps?: number;
  seed?: number;
}

export type TrainingEvent =
  | ({ type: 'metrics'; remaining?: number } & MetricPoint)
  | ({ type: 'sample' } & Sample)
  | { type: 'state'; state: JobStatus['state']; error?: JobStatus['error'] };
