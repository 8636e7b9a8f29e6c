/**
 * The models of this server: each a set of replicas, started when first asked for. They share one machine by memory,
 * threads and number; the least used is put down for another, and one that idles for long.
 */
import path from 'node:path';
import { type Clock, systemClock } from '../base/clock.ts';
import type { Replica, ReplicaStatus } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';
import { cpuCount, facts, machine } from '../base/host.ts';
import type { WeightFormat } from '../nn/quantise.ts';
import { ChildReplica } from './child-replica.ts';
import { memoryNeed, threadsLeft } from './hosts/budget.ts';
import { ReplicaSet, type ReplicaSetSnapshot } from './hosts/replica-set.ts';
import { RESTARTS } from './hosts/restarts.ts';
import { describe } from './model-info.ts';
import { packagesFolder } from './packages/install.ts';
import { describePictures } from './picture-source.ts';
import type { ModelRegistry, RegisteredModel, RegisteredPictures } from './registry.ts';

/** Changes when a served model's weights do; a run's when the run is over, not at each of its checkpoints. */
async function weightsOf(folder: string): Promise<number> {
  const seen = await Promise.all(
    ['model.safetensors', 'result.json'].map((name) => facts(path.join(folder, name))),
  );
  return Math.max(...seen.map((file) => file?.modified ?? 0));
}

export type StartReplica = (model: RegisteredModel | RegisteredPictures) => Replica;

export interface PoolOptions {
  registry: ModelRegistry;
  /** Models loaded at once. */
  limit?: number;
  /** Replicas of a model at its start; default 1. */
  replicas?: number;
  /** Default: a child process. */
  start?: StartReplica;
  /** Sequences that one replica decodes together. */
  slots?: number;
  /** Bytes that the keys and values of one replica's batch may take. */
  cacheBytes?: number;
  /** Bytes that all model hosts together may take; default four fifths of the machine's. */
  memoryBytes?: number;
  /** Bytes above which one host is ended; default all of `memoryBytes`. */
  hostBytes?: number;
  /** Compute threads of all models that work at once; default the machine's cores. */
  threads?: number;
  /** Milliseconds after which a model that nobody asks for is put down; default never. */
  idleAfter?: number;
  /** How weights are kept where the registry does not say; default `float32`. */
  weights?: WeightFormat;
  clock?: Clock;
  log?(message: string, details: Record<string, unknown>): void;
}

/** A model as its files are, and what changes when they do. */
interface Look {
  model: RegisteredModel | RegisteredPictures;
  version: string;
}

interface Held {
  set: ReplicaSet;
  used: number;
  version: string;
  /** Bytes of one replica, as guessed before it is loaded. */
  need: number;
  threads: number;
  failedAt?: number;
}

export interface PoolSnapshot {
  memoryBytes: number;
  memoryUsed: number;
  threads: number;
  models: Readonly<
    Record<string, ReplicaSetSnapshot & { idleSeconds: number; memoryNeed: number; threads: number }>
  >;
  /** Since the start: models put down for others, for idling; and loads refused for want of memory. */
  evicted: number;
  idled: number;
  refused: number;
}

/** A model that was asked for within so many milliseconds counts as one that works. */
const RECENT = 60_000;
/** Milliseconds for which a look at a model's files counts. */
const LOOK = 500;

export class ReplicaPool {
  private readonly options: PoolOptions;
  private readonly clock: Clock;
  private readonly memoryBytes: number;
  private readonly threads: number;
  private readonly loaded = new Map<string, Held>();
  private readonly looks = new Map<string, { at: number; found: Promise<Look> }>();
  private readonly counts = { evicted: 0, idled: 0, refused: 0 };
  private stopTimer: () => void = () => undefined;

  constructor(options: PoolOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.memoryBytes = options.memoryBytes ?? 0.8 * machine().memory;
    this.threads = options.threads ?? cpuCount();
    this.watchIdle();
  }

  /**
   * The replicas of a model as one, started where needed.
   * @throws InkstoneError `model_not_found`, `memory_short`
   */
  async get(id: string): Promise<ReplicaSet> {
    const { model, version } = await this.look(id);
    const held = this.held(id, version);
    if (held !== undefined) return held;
    const need = await this.need(model);
    await this.makeRoom(id, need);
    // Another request may have started it while room was made.
    const other = this.held(id, version);
    if (other !== undefined) return other;
    const threads = threadsLeft(model.info.parameters, this.threads, this.threadsAtWork());
    const set = new ReplicaSet({
      start: () => this.options.start?.(model) ?? this.child(model, threads),
      count: this.options.replicas ?? 1,
      clock: this.clock,
      ...(this.options.log === undefined ? {} : { log: this.options.log }),
    });
    this.loaded.set(id, { set, used: this.clock.now(), version, need, threads });
    return set;
  }

  /** Requests of one moment share a look at the files: under load they came to a hundred small reads an answer. */
  private look(id: string): Promise<Look> {
    const now = this.clock.now();
    const last = this.looks.get(id);
    if (last !== undefined && now - last.at < LOOK) return last.found;
    const look = { at: now, found: this.lookAt(id) };
    this.looks.set(id, look);
    // What is not there is looked for again each time, and under whatever names is not remembered.
    look.found.catch(() => this.looks.get(id) === look && this.looks.delete(id));
    return look.found;
  }

  private async lookAt(id: string): Promise<Look> {
    const model = await this.options.registry.find(id);
    const weights = 'weights' in model ? model.weights : '';
    const version = `${model.folder} ${model.info.created} ${await weightsOf(model.folder)} ${weights ?? ''}`;
    return { model, version };
  }

  /** The replicas that still stand for this version; those that do not are put down. */
  private held(id: string, version: string): ReplicaSet | undefined {
    const held = this.loaded.get(id);
    if (held === undefined) return undefined;
    const { state, error } = held.set.status();
    const now = this.clock.now();
    const same = held.version === version && state !== 'stopped';
    if (same && state === 'failed' && error?.code === 'replica_failed') {
      // It ends again and again: it says so for a while before it is tried anew.
      held.failedAt ??= now;
      if (now - held.failedAt < RESTARTS.coolDown) return held.set;
    }
    if (same && state !== 'failed') {
      held.used = now;
      return held.set;
    }
    this.loaded.delete(id);
    void held.set.drain();
    return undefined;
  }

  private async need({ info, folder, ...model }: RegisteredModel | RegisteredPictures): Promise<number> {
    const weights = ('weights' in model ? model.weights : undefined) ?? this.options.weights;
    const { cacheBytes } = this.options;
    const file = await facts(folder);
    return memoryNeed({
      parameters: info.parameters,
      // A GGUF file's weights are in memory as they are in the file.
      ...(file?.kind === 'file' ? { bytes: file.size } : {}),
      ...(weights === undefined ? {} : { weights }),
      ...(cacheBytes === undefined ? {} : { cacheBytes }),
    });
  }

  private threadsAtWork(): number {
    const now = this.clock.now();
    return [...this.loaded.values()]
      .filter(({ set, used }) => set.status().running > 0 || now - used < RECENT)
      .reduce((sum, { threads, set }) => sum + threads * set.size, 0);
  }

  private child(model: RegisteredModel | RegisteredPictures, threads: number): Replica {
    const { log, slots, cacheBytes, hostBytes } = this.options;
    const weights = ('weights' in model ? model.weights : undefined) ?? this.options.weights;
    return new ChildReplica({
      folder: model.folder,
      model:
        model.info.family === 'image'
          ? describePictures(model.info, model.id)
          : describe(model.info, model.id),
      packages: packagesFolder(this.options.registry.home),
      threads,
      watch: { memory: hostBytes ?? this.memoryBytes },
      ...(log === undefined ? {} : { log }),
      ...(slots === undefined ? {} : { maxBatch: slots }),
      ...(cacheBytes === undefined ? {} : { cacheBytes }),
      ...(weights === undefined ? {} : { weights }),
    });
  }

  /** Bytes: measured where it is known, guessed where it is not. */
  private taken(): number {
    let total = 0;
    for (const { set, need } of this.loaded.values())
      for (const { memory } of set.snapshot().replicas) total += memory ?? need;
    return total;
  }

  private async makeRoom(id: string, need: number): Promise<void> {
    const count = this.options.replicas ?? 1;
    for (;;) {
      const many = this.loaded.size >= (this.options.limit ?? 2);
      const large = this.taken() + count * need > this.memoryBytes;
      if ((!many && !large) || this.loaded.size === 0) return;
      const idle = [...this.loaded]
        .filter(([, { set }]) => set.status().running === 0)
        .sort((a, b) => a[1].used - b[1].used)[0];
      if (idle === undefined) {
        if (!large) return;
        this.counts.refused++;
        throw new InkstoneError('memory_short', `there is no memory for ${id} while other models work`, {
          kind: 'resource',
          hint: 'send the request again in a moment, or let models take more: --memory-megabytes',
          details: { need, retryAfter: 2 },
        });
      }
      this.counts.evicted++;
      this.options.log?.('model put down', { model: idle[0], for: id });
      this.loaded.delete(idle[0]);
      await idle[1].set.drain();
    }
  }

  private watchIdle(): void {
    const { idleAfter } = this.options;
    if (idleAfter === undefined) return;
    this.stopTimer = this.clock.after(Math.max(10, idleAfter / 4), () => {
      const now = this.clock.now();
      for (const [id, held] of this.loaded) {
        if (held.set.status().running > 0) held.used = now;
        if (now - held.used < idleAfter) continue;
        this.counts.idled++;
        this.options.log?.('model put down', { model: id, idle: (now - held.used) / 1000 });
        void this.forget(id);
      }
      this.watchIdle();
    });
  }

  /** State of a model as far as it is known here. */
  state(id: string): string {
    return this.loaded.get(id)?.set.status().state ?? 'unloaded';
  }

  /** A model that is on its way; undefined where all that were asked for answer. */
  loading(): { id: string; state: 'starting'; progress: number } | undefined {
    for (const [id, { set }] of this.loaded) {
      const { state, progress } = set.status();
      // One that was scaled down to none is started by who asks for it.
      if (state === 'starting' && set.size > 0) return { id, state, progress };
    }
    return undefined;
  }

  /** All that are held, by model. */
  statuses(): [string, ReplicaStatus][] {
    return [...this.loaded].map(([id, { set }]) => [id, set.status()]);
  }

  /** The sets themselves, for who scales them. */
  sets(): [string, ReplicaSet][] {
    return [...this.loaded].map(([id, { set }]) => [id, set]);
  }

  /** How many more replicas of a model fit into the memory. */
  roomFor(id: string): number {
    const held = this.loaded.get(id);
    if (held === undefined) return 0;
    const known = held.set
      .snapshot()
      .replicas.flatMap(({ memory }) => (memory === undefined ? [] : [memory]));
    const one = known.length === 0 ? held.need : Math.max(...known);
    return Math.max(0, Math.floor((this.memoryBytes - this.taken()) / one));
  }

  /** Numbers for whoever publishes them. */
  snapshot(): PoolSnapshot {
    const now = this.clock.now();
    const models = Object.fromEntries(
      [...this.loaded].map(([id, { set, used, need, threads }]) => [
        id,
        { ...set.snapshot(), idleSeconds: (now - used) / 1000, memoryNeed: need, threads },
      ]),
    );
    const { memoryBytes, threads } = this;
    return { memoryBytes, memoryUsed: this.taken(), threads, models, ...this.counts };
  }

  memory(): number {
    return this.statuses().reduce((total, [, { memory }]) => total + (memory ?? 0), 0);
  }

  async forget(id: string): Promise<void> {
    const held = this.loaded.get(id);
    this.loaded.delete(id);
    this.looks.delete(id);
    await held?.set.drain();
  }

  async drain(): Promise<void> {
    this.stopTimer();
    await Promise.all([...this.loaded.values()].map(({ set }) => set.drain()));
    this.loaded.clear();
  }

  async stop(): Promise<void> {
    this.stopTimer();
    await Promise.all([...this.loaded.values()].map(({ set }) => set.stop()));
    this.loaded.clear();
  }
}
