/** The child process of one training: `inkstone train text|image|chat … --json`, its last words, its orderly end. Knows no rows. */
import {
  type ChildProcess,
  isAlive,
  lowerPriority,
  machine,
  sendSignal,
  spawnCommand,
} from '../base/host.ts';

export interface TrainingOrder {
  /** Becomes the model's name and the run folder's. */
  name: string;
  /** What is trained; left out: text. */
  family?: 'image' | undefined;
  /** Path of the text, or of the pictures. */
  file: string;
  preset: string;
  steps?: number | undefined;
  seed?: number | undefined;
  /** Goes on from this model; the preset then only says how to train. */
  base?: BaseModel | undefined;
  /** Tunes a model on conversations instead of training one from a preset. */
  tune?: TuningOrder | undefined;
}

export interface BaseModel {
  model: string;
  folder: string;
  learningRate?: number | undefined;
  batch?: number | undefined;
  /** Steps between evaluations, samples and checkpoints. */
  every?: number | undefined;
}

export interface TuningOrder {
  /** The model to tune: its name, and its folder. */
  from: string;
  folder: string;
  /** The name under which the result answers. */
  model: string;
  trainingFile: string;
  validationFile?: string | undefined;
  /** Path of what it is judged by. */
  validation?: string | undefined;
  epochs?: number | undefined;
  batch?: number | undefined;
  learningRate?: number | undefined;
  /** Rank of low-rank adapters; without it all weights learn. */
  lora?: number | undefined;
  suffix?: string | undefined;
  metadata?: Record<string, string> | undefined;
}

export interface TrainingEnd {
  status: number | null;
  signal: string | null;
  /** The JSON line of the command: its result, or `{error}`. */
  answer: Record<string, unknown> | undefined;
}

/** Kept of what a child writes; its JSON line is the last. */
const TAIL = 65_536;

export class TrainingProcess {
  readonly end: Promise<TrainingEnd>;
  private readonly child: ChildProcess;
  private asked = false;

  constructor(order: TrainingOrder, folder: string, resume: boolean) {
    const args = order.tune === undefined ? trainArguments(order) : tuneArguments(order.tune);
    args.push('--data', order.file, '--out', folder, '--json');
    if (order.steps !== undefined) args.push('--steps', String(order.steps));
    if (order.seed !== undefined) args.push('--seed', String(order.seed));
    if (resume) args.push('--resume');
    // In a group of its own: Ctrl+C in the server's terminal is for the server, which ends its trainings in order.
    this.child = spawnCommand(args, { detached: machine().platform !== 'win32' });
    // Whoever waits for an answer goes first.
    if (this.child.pid !== undefined) lowerPriority(this.child.pid);
    let output = '';
    this.child.stdout?.on('data', (piece) => {
      output = (output + String(piece)).slice(-TAIL);
    });
    this.child.stderr?.resume();
    this.end = new Promise((resolve) => {
      // `close` comes when the last output was read; `error` alone when the process could not be made.
      this.child.on('close', (status, signal) => resolve({ status, signal, answer: lastJson(output) }));
      this.child.on('error', () => resolve({ status: null, signal: null, answer: lastJson(output) }));
    });
  }

  get id(): number | undefined {
    return this.child.pid;
  }

  /** The command finishes its step, writes the checkpoint and ends. A second signal would cut it short. */
  stop(): void {
    if (this.asked) return;
    this.asked = true;
    this.child.kill('SIGTERM');
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}

/** Flags with their values, those left out that have none. */
const flags = (values: Record<string, string | number | undefined>): string[] =>
  Object.entries(values).flatMap(([flag, value]) => (value === undefined ? [] : [flag, String(value)]));

/** Pictures that a job's final scores are of: a fifth of what the command takes, in a fifth of its time. */
const SCORED = 2000;

function trainArguments({ preset, base, family }: TrainingOrder): string[] {
  if (family === 'image') return ['train', 'image', '--preset', preset, '--samples', String(SCORED)];
  const { folder, learningRate, batch, every } = base ?? {};
  return [
    ...['train', 'text', '--preset', preset],
    ...flags({
      '--from': folder,
      '--learning-rate': learningRate,
      '--batch': batch,
      '--evaluate-every': every,
      '--sample-every': every,
      '--checkpoint-every': every,
    }),
  ];
}

function tuneArguments({ folder, validation, epochs, batch, learningRate, lora }: TuningOrder): string[] {
  return [
    ...['train', 'chat', '--from', folder],
    ...flags({
      '--validation': validation,
      '--epochs': epochs,
      '--batch': batch,
      '--learning-rate': learningRate,
      '--lora': lora,
    }),
  ];
}

/** A training that an earlier server started: only its id is known. */
export class AdoptedProcess {
  readonly end: Promise<TrainingEnd>;
  readonly id: number;
  private asked = false;

  constructor(id: number, every = 500) {
    this.id = id;
    this.end = new Promise((resolve) => {
      const look = setInterval(() => {
        if (isAlive(id)) return;
        clearInterval(look);
        resolve({ status: null, signal: null, answer: undefined });
      }, every);
      look.unref();
    });
  }

  stop(): void {
    if (this.asked) return;
    this.asked = true;
    sendSignal(this.id, 'SIGTERM');
  }

  kill(): void {
    sendSignal(this.id, 'SIGKILL');
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
