/**
 * A replica in a child process: started, watched, started again after a crash. A crash costs only the
 * requests inside it, and they are told.
 */
import { type Clock, systemClock } from '../base/clock.ts';
import type { EmbeddingRequest, TextEmbedding } from '../base/contracts/embedder.ts';
import type { TextEvent, TextRequest } from '../base/contracts/generator.ts';
import type { InspectionRequest, TextInspection } from '../base/contracts/inspection.ts';
import type { PictureFile, PictureRequest } from '../base/contracts/pictures.ts';
import type {
  DecodingStatus,
  ModelDescription,
  Replica,
  ReplicaState,
  ReplicaStatus,
} from '../base/contracts/replica.ts';
import { type ErrorKind, InkstoneError } from '../base/errors.ts';
import { type ChildProcess, cpuCount, forkEntry, withLargePages } from '../base/host.ts';
import type { WeightFormat } from '../nn/quantise.ts';
import type { FromHost, SentError, ToHost } from './host-messages.ts';
import { HostWatch, type WatchSettings } from './hosts/host-watch.ts';
import { type RestartSettings, Restarts } from './hosts/restarts.ts';
import { threadsFor } from './threads.ts';

/** Parameters from which speed is worth memory: large pages, and garbage collected less often. */
const LARGE = 8_000_000;
/** Cores up to which V8's helpers at collecting take them from the server: refusals at overload then wait a third longer. */
const FEW_CORES = 2;

export interface ChildReplicaOptions {
  folder: string;
  model: ModelDescription;
  /** Sequences decoded together. */
  maxBatch?: number;
  threads?: number;
  /** Where engines that were fetched lie. */
  packages?: string;
  /** How the weights are kept; default `float32`. */
  weights?: WeightFormat;
  /** Bytes that the keys and values of its batch may take. */
  cacheBytes?: number;
  /** The built file that the process runs; for tests. */
  entry?: string;
  /** When it counts as hung, late or too large, and when it is started again. */
  watch?: Partial<WatchSettings>;
  restarts?: Partial<RestartSettings>;
  clock?: Clock;
  /** Told of crashes and restarts. */
  log?(message: string, details: Record<string, unknown>): void;
}

interface Call {
  event(event: TextEvent): void;
  end(): void;
  fail(error: InkstoneError): void;
  /** Of a call that is answered at once. */
  answer(value: unknown): void;
}

export class ChildReplica implements Replica {
  model: ModelDescription;
  private readonly options: ChildReplicaOptions;
  private child: ChildProcess | undefined;
  private state: ReplicaState = 'starting';
  private progress = 0;
  private memory: number | undefined;
  private held: number | undefined;
  private decoding: DecodingStatus | undefined;
  private restarts = 0;
  private failure: InkstoneError | undefined;
  private readonly calls = new Map<number, Call>();
  private nextCall = 1;
  private readonly clock: Clock;
  private readonly pauses: Restarts;
  private watch: HostWatch | undefined;
  /** Why the process was ended from here. */
  private condemned: InkstoneError | undefined;
  private readySince: number | undefined;
  private readonly waiters: { resolve(): void; reject(reason: unknown): void }[] = [];
  private idle: (() => void)[] = [];

  constructor(options: ChildReplicaOptions) {
    this.options = options;
    this.model = options.model;
    this.clock = options.clock ?? systemClock;
    this.pauses = new Restarts(options.restarts);
    this.start();
  }

  private start(): void {
    this.state = 'starting';
    this.progress = 0;
    const child = forkEntry(this.options.entry ?? 'operate/host-process', [], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      ...(this.model.parameters < LARGE
        ? {
            execArgv: [
              '--max-semi-space-size=4',
              ...(cpuCount() > FEW_CORES ? [] : ['--single-threaded-gc']),
            ],
          }
        : { env: withLargePages() as NodeJS.ProcessEnv }),
    });
    this.child = child;
    this.condemned = undefined;
    this.readySince = undefined;
    this.watch?.stop();
    if (child.pid !== undefined)
      this.watch = new HostWatch({
        process: child.pid,
        name: this.model.id,
        settings: this.options.watch ?? {},
        clock: this.clock,
        condemn: (reason) => {
          this.condemned = reason;
          this.options.log?.('model host ended from here', { model: this.model.id, why: reason.code });
          child.kill('SIGKILL');
        },
      });
    child.on('message', (message) => {
      if (child !== this.child) return;
      this.watch?.alive();
      this.receive(message as FromHost);
    });
    child.on('error', () => undefined);
    child.on('exit', (status, signal) => this.ended(child, status, signal));
    this.send({
      type: 'open',
      folder: this.options.folder,
      id: this.model.id,
      maxBatch: this.options.maxBatch ?? 8,
      ...(this.options.packages === undefined ? {} : { packages: this.options.packages }),
      ...(this.options.weights === undefined ? {} : { weights: this.options.weights }),
      ...(this.options.cacheBytes === undefined ? {} : { cacheBytes: this.options.cacheBytes }),
      threads: this.options.threads ?? threadsFor(this.model.parameters),
    });
  }

  private send(message: ToHost): void {
    this.child?.send(message, () => undefined);
  }

  private receive(message: FromHost): void {
    switch (message.type) {
      case 'progress':
        this.progress = message.progress;
        break;
      case 'ready':
        this.state = 'ready';
        this.progress = 1;
        this.model = message.model;
        this.readySince = this.clock.now();
        this.watch?.started();
        for (const waiter of this.waiters.splice(0)) waiter.resolve();
        break;
      case 'failed':
        this.giveUp(restored(message.error));
        break;
      case 'alive':
        this.memory = message.memory;
        this.held = message.held;
        this.watch?.reported(message.memory);
        this.decoding = message.decoding;
        break;
      case 'events':
        for (const { call, event } of message.events) this.calls.get(call)?.event(event);
        break;
      case 'counted':
        this.calls.get(message.call)?.answer(message.count);
        break;
      case 'inspected':
        this.calls.get(message.call)?.answer(message.inspection);
        break;
      case 'embedded':
        this.calls.get(message.call)?.answer(message.embeddings);
        break;
      case 'measured':
        this.calls.get(message.call)?.answer(message.lengths);
        break;
      case 'pictured':
        this.calls.get(message.call)?.answer(message.files);
        break;
      case 'done':
        this.calls.get(message.call)?.end();
        break;
      case 'error':
        this.calls.get(message.call)?.fail(restored(message.error));
        break;
    }
  }

  private giveUp(error: InkstoneError): void {
    this.state = 'failed';
    this.failure = error;
    for (const waiter of this.waiters.splice(0)) waiter.reject(error);
    this.child?.kill();
  }

  private ended(child: ChildProcess, status: number | null, signal: string | null): void {
    if (child !== this.child) return;
    this.child = undefined;
    this.watch?.stop();
    const gone = this.condemned ?? crashed(this.model.id, status, signal);
    for (const call of [...this.calls.values()]) call.fail(gone);
    if (this.state === 'stopped' || this.state === 'draining' || this.state === 'failed') {
      if (this.state !== 'failed') this.state = 'stopped';
      return;
    }
    const now = this.clock.now();
    const pause = this.pauses.ended(now, this.readySince === undefined ? 0 : now - this.readySince);
    const facts = { model: this.model.id, status, signal, why: gone.code };
    if (pause === undefined) {
      this.options.log?.('model host ends again and again', facts);
      this.giveUp(looping(this.model.id, gone, this.pauses.coolDown));
      return;
    }
    this.options.log?.('model host ended', { ...facts, startsIn: pause / 1000 });
    this.state = 'starting';
    this.clock.after(pause, () => {
      if (this.state !== 'starting') return;
      this.restarts++;
      this.start();
    });
  }

  status(): ReplicaStatus {
    return {
      state: this.state,
      progress: this.progress,
      running: this.calls.size,
      waiting: 0,
      ...(this.memory === undefined ? {} : { memory: this.memory }),
      ...(this.held === undefined ? {} : { held: this.held }),
      restarts: this.restarts,
      ...(this.decoding === undefined ? {} : { decoding: this.decoding }),
      ...(this.failure === undefined
        ? {}
        : { error: { code: this.failure.code, message: this.failure.message } }),
    };
  }

  private unloaded(): InkstoneError {
    return new InkstoneError('replica_stopped', `${this.model.id} was unloaded`, {
      kind: 'resource',
      hint: 'send the request again',
      details: { retryAfter: 1 },
    });
  }

  /** The host's process; for tests and for memory reports. */
  get processId(): number | undefined {
    return this.child?.pid;
  }

  ready(): Promise<void> {
    if (this.state === 'ready') return Promise.resolve();
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.state === 'stopped' || this.state === 'draining') return Promise.reject(this.unloaded());
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  private requireReady(): void {
    if (this.state === 'ready') return;
    if (this.failure !== undefined) throw this.failure;
    if (this.state === 'stopped' || this.state === 'draining') throw this.unloaded();
    throw new InkstoneError('model_loading', `${this.model.id} is being loaded`, {
      kind: 'resource',
      hint: 'try again in a moment',
      details: { progress: this.progress, retryAfter: 1 },
    });
  }

  /** @throws InkstoneError `model_loading`, `replica_crashed`, `replica_stopped`, and what the host throws */
  async *generate(request: TextRequest, signal: AbortSignal): AsyncGenerator<TextEvent> {
    this.requireReady();
    const id = this.nextCall++;
    const events: TextEvent[] = [];
    let failure: InkstoneError | undefined;
    let ended = false;
    let wake: (() => void) | undefined;
    const change = (apply: () => void): void => {
      apply();
      wake?.();
    };
    this.calls.set(id, {
      event: (event) => change(() => events.push(event)),
      end: () => change(() => (ended = true)),
      fail: (error) => change(() => (failure = error)),
      answer: () => undefined,
    });
    const cancel = (): void => this.send({ type: 'cancel', call: id });
    signal.addEventListener('abort', cancel, { once: true });
    this.send({ type: 'generate', call: id, request });
    if (signal.aborted) cancel();
    try {
      for (;;) {
        while (events.length > 0) yield events.shift() as TextEvent;
        if (failure !== undefined) throw failure;
        if (ended) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      if (!ended && failure === undefined) cancel();
      this.finish(id);
    }
  }

  async countTokens(text: string): Promise<number> {
    return (await this.ask((call) => ({ type: 'count', call, text }))) as number;
  }

  /** @throws InkstoneError `model_loading`, `replica_crashed`, `replica_stopped`, and what the host throws */
  async embed(request: EmbeddingRequest, signal: AbortSignal): Promise<TextEmbedding[]> {
    return (await this.ask((call) => ({ type: 'embed', call, request }), signal)) as TextEmbedding[];
  }

  async lengths(texts: readonly string[]): Promise<number[]> {
    return (await this.ask((call) => ({ type: 'measure', call, texts }))) as number[];
  }

  /** @throws InkstoneError `label_unknown`, `picture_invalid`, `unsupported_setting`, and as `embed` */
  async pictures(request: PictureRequest, signal: AbortSignal): Promise<PictureFile[]> {
    return (await this.ask((call) => ({ type: 'pictures', call, request }), signal)) as PictureFile[];
  }

  /** @throws InkstoneError `text_empty`, `text_too_long`, and as `embed` */
  async inspect(request: InspectionRequest, signal: AbortSignal): Promise<TextInspection> {
    return (await this.ask((call) => ({ type: 'inspect', call, request }), signal)) as TextInspection;
  }

  /** A call with one answer. */
  private async ask(message: (call: number) => ToHost, signal?: AbortSignal): Promise<unknown> {
    this.requireReady();
    const id = this.nextCall++;
    const cancel = (): void => this.send({ type: 'cancel', call: id });
    try {
      return await new Promise((resolve, reject) => {
        this.calls.set(id, { event: () => undefined, end: () => undefined, fail: reject, answer: resolve });
        signal?.addEventListener('abort', cancel, { once: true });
        this.send(message(id));
        if (signal?.aborted === true) cancel();
      });
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.finish(id);
    }
  }

  private finish(call: number): void {
    this.calls.delete(call);
    if (this.calls.size === 0) for (const resolve of this.idle.splice(0)) resolve();
  }

  async drain(): Promise<void> {
    if (this.state === 'stopped' || this.state === 'failed') return;
    this.state = 'draining';
    if (this.calls.size > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
    await this.stop();
  }

  async stop(): Promise<void> {
    const { child } = this;
    this.watch?.stop();
    if (this.state !== 'failed') this.state = 'stopped';
    for (const waiter of this.waiters.splice(0)) waiter.reject(this.unloaded());
    if (child === undefined || child.exitCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGKILL');
    await gone;
  }
}

function crashed(name: string, status: number | null, signal: string | null): InkstoneError {
  return new InkstoneError('replica_crashed', `the process that runs ${name} ended unexpectedly`, {
    kind: 'resource',
    hint: 'send the request again; the model is being started anew',
    details: { status, signal, retryAfter: 1 },
  });
}

function looping(name: string, last: InkstoneError, coolDown: number): InkstoneError {
  return new InkstoneError(
    'replica_failed',
    `the process that runs ${name} ends again and again; the last time: ${last.message}`,
    {
      kind: 'resource',
      hint: 'look at the log; memory may be short',
      details: { retryAfter: coolDown / 1000 },
    },
  );
}

function restored({ code, message, kind, hint, details }: SentError): InkstoneError {
  return new InkstoneError(code, message, {
    kind: kind as ErrorKind,
    details,
    ...(hint === undefined ? {} : { hint }),
  });
}
