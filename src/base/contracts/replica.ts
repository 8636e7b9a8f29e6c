/**
 * A replica: one running copy of a model, wherever it lives (a child process here, another machine
 * later). Types only.
 */
import type { Embedder } from './embedder.ts';
import type { Generator, TextEvent, TextRequest } from './generator.ts';
import type { InspectionRequest, TextInspection } from './inspection.ts';
import type { PictureSource } from './pictures.ts';

export type ReplicaState = 'starting' | 'ready' | 'draining' | 'stopped' | 'failed';

/** How a text model's memory for keys and values is used; totals count from the start of its process. */
export interface DecodingStatus {
  /** 0 to 1. */
  cacheUsed: number;
  /** Prompt tokens, and those of them that did not have to be read. */
  promptTokens: number;
  prefixTokens: number;
  /** Sequences that stepped back for want of memory. */
  preempted: number;
}

export interface ReplicaStatus {
  state: ReplicaState;
  /** 0 to 1 while starting. */
  progress: number;
  running: number;
  waiting: number;
  /** Resident memory in bytes, when known. */
  memory?: number;
  /** Bytes that its JavaScript held after the last whole collection, when known. */
  held?: number;
  /** Times that its process was started again. */
  restarts?: number;
  decoding?: DecodingStatus;
  /** Why it failed. */
  error?: { code: string; message: string };
}

export interface ModelDescription {
  /** The name clients use. */
  id: string;
  family: string;
  /** Seconds since 1970. */
  created: number;
  parameters: number;
  /** Longest prompt plus answer, in tokens. */
  context: number;
  /** What it takes and gives: `text`, `image`, `speech`; gives `embedding` where `embed` is there. */
  consumes: readonly string[];
  produces: readonly string[];
  /** True for a model that follows chat templates; a base model gets the turns as plain text. */
  chat: boolean;
  /** Names of the classes that a model of pictures knows. */
  classes?: readonly string[];
  /** How it wants turns to be written (Jinja); without one they are written in our own way. */
  template?: ChatTemplate;
}

export interface ChatTemplate {
  source: string;
  /** The text of the token that begins a prompt, and of the one that ends a turn. */
  bos?: string;
  eos?: string;
}

/** What only some models can. */
type Able<T> = { [K in keyof T]?: T[K] | undefined };

interface Inspector {
  /** Looks inside; only replicas whose weights are at hand can. @throws InkstoneError `text_empty`, `text_too_long` */
  inspect(request: InspectionRequest, signal: AbortSignal): Promise<TextInspection>;
}

export interface Replica
  extends Generator<TextRequest, TextEvent>,
    Able<Embedder>,
    Able<PictureSource>,
    Able<Inspector> {
  readonly model: ModelDescription;
  status(): ReplicaStatus;
  /** Resolves when ready. @throws InkstoneError `replica_failed` */
  ready(): Promise<void>;
  /** How many tokens a text has, in this model's tokens. */
  countTokens(text: string): Promise<number>;
  /** Finishes what runs, takes nothing new, then ends. */
  drain(): Promise<void>;
  /** Ends now; running requests fail. */
  stop(): Promise<void>;
}
