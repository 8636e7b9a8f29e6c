/** The shapes of the studio's own API, as the server sends them. Types only. */
import type { PictureTraits } from '../../base/contracts/pictures.ts';
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
  /** What it gives; left out by older servers: text. */
  produces?: readonly string[];
  state: string;
  source: 'starter' | 'run' | 'folder';
  /** Markdown. */
  card: string;
  /** Of a model that makes pictures. */
  pictures?: PictureTraits;
}

export type PictureModel = ModelInfo & { pictures: PictureTraits };

export interface PresetInfo {
  id: string;
  title: string;
  description: string;
  /** Left out by older servers: text. */
  family?: 'text' | 'image';
  parameters: number;
  steps: number;
  /** Of a text model. */
  context?: number;
  tokenizer?: string;
  /** Of a model of pictures: pixels a side, and 1 for grey. */
  size?: number;
  channels?: number;
  /** Of two networks: the games that they can play, its own first. */
  losses?: string[];
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
  /** Pictures a second, where pictures are trained. */
  tokens_per_second?: number;
  /** The judgement of a model of pictures, and on which features: `fid_lenet`. */
  score?: number;
  score_name?: string;
  /** Of the state that is kept as the best. */
  best_score?: number;
  /** Pixels a side, of pictures that grow. */
  size?: number;
}

/** A text, or the address of a sheet of pictures. */
export interface Sample {
  step: number;
  text?: string;
  picture?: string;
}

/** A training that went astray and back. */
export interface WentBack {
  /** The step it went on from, and the one that went astray. */
  step: number;
  from: number;
  /** How often until then. */
  rollbacks: number;
  why?: string;
}

export interface TrainingInfo extends JobStatus {
  name: string;
  preset: string;
  steps?: number;
  /** Whom to ask for what came of it; left out by older servers: the name. */
  model?: string;
  /** The model that it went on from. */
  base?: string;
  /** What its model makes; left out: text. */
  family?: 'image';
  history?: MetricPoint[];
  samples?: Sample[];
  /** Left out by older servers. */
  rollbacks?: WentBack[];
}

/** What a file holds for a model that is to be tuned on it. */
export type FileCheck = {
  id: string;
  name: string;
  context: number;
  tokens: number;
  unknown_characters: readonly string[];
  error_count: number;
  errors: readonly { line: number; message: string }[];
} & (
  | {
      kind: 'conversations';
      lines: number;
      conversations: number;
      turns: number;
      answer_tokens: number;
      longest: number;
      too_long: number;
      /** Characters of the words that mark who speaks, which the model cannot write. */
      template_missing: readonly string[];
      sample: readonly { role: string; content: string }[][];
    }
  | { kind: 'text'; characters: number; sample: string }
);

/** Of `/v1/fine_tuning/jobs/ID/events`. */
export interface TuningEvent {
  id: string;
  message: string;
  data?: { step?: number; train_loss?: number; valid_loss?: number };
}

export interface InspectedToken {
  id: number;
  token: string;
  bytes: readonly number[];
  /** What it adds to the text; empty for all but the last part of a character. */
  text: string;
  /** Nats; null where nothing was predicted. */
  surprise: number | null;
  rank: number | null;
  top_logprobs: readonly { token: string; logprob: number; bytes: readonly number[] }[];
}

export interface Inspection {
  model: string;
  kind: 'causal' | 'masked';
  tokens: readonly InspectedToken[];
  nats: number;
  predictions: number;
  bytes: number;
  mean_nats: number | null;
  perplexity: number | null;
  bits_per_byte: number | null;
  /** `weights`: base64 of little-endian float32, `[heads, tokens, tokens]`. */
  attention: { layers: readonly { layer: number; heads: number; weights: string }[] } | null;
}

export interface Contender {
  name: string;
  model: string;
  prompt?: string;
  settings?: Record<string, unknown>;
  text?: string;
}

export interface Ballot {
  a: Contender;
  b: Contender;
  winner: 'a' | 'b' | 'tie';
  blind: boolean;
  input?: string;
}

/** Of `/api/votes`. */
export interface Votes {
  total: number;
  table: readonly {
    a: string;
    b: string;
    wins: { a: number; b: number };
    ties: number;
    votes: number;
    blind: number;
    preferred: { value: number | null; lower: number; upper: number; count: number };
  }[];
}

export interface TrainingRequest {
  name: string;
  file: string;
  preset: string;
  steps?: number;
  seed?: number;
  /** Of pictures. */
  size?: number;
  colour?: boolean;
  loss?: string;
  flip?: boolean;
  /** At most so much of a side, and of a value, from 0 to 1. */
  crop?: number;
  jitter?: number;
}

export type TrainingEvent =
  | ({ type: 'metrics'; remaining?: number } & MetricPoint)
  | ({ type: 'sample' } & Sample)
  | ({ type: 'rollback' } & WentBack)
  | { type: 'state'; state: JobStatus['state']; error?: JobStatus['error'] };
