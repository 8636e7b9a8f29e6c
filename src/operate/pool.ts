/** The replicas of this server: one a model, started when first asked for, the least used put down when there are too many. */
import path from 'node:path';
import type { Replica, ReplicaStatus } from '../base/contracts/replica.ts';
import { facts, monotonic } from '../base/host.ts';
import type { WeightFormat } from '../nn/quantise.ts';
import { ChildReplica } from './child-replica.ts';
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
  /** Default: a child process. */
  start?: StartReplica;
  /** Sequences that one model decodes together. */
  slots?: number;
  /** Bytes that the keys and values of one model's batch may take. */
  cacheBytes?: number;
  /** How weights are kept where the registry does not say; default `float32`. */
  weights?: WeightFormat;
  log?(message: string, details: Record<string, unknown>): void;
}

export class ReplicaPool {
  private readonly options: PoolOptions;
  private readonly loaded = new Map<string, { replica: Replica; used: number; version: string }>();

  constructor(options: PoolOptions) {
    this.options = options;
  }

  /** The replica of a model, starting it where needed. @throws InkstoneError `model_not_found` */
  async get(id: string): Promise<Replica> {
    const model = await this.options.registry.find(id);
    const weights = 'weights' in model ? model.weights : '';
    const version = `${model.folder} ${model.info.created} ${await weightsOf(model.folder)} ${weights ?? ''}`;
    const held = this.held(id, version);
    if (held !== undefined) return held;
    await this.makeRoom();
    // Another request may have started it while room was made.
    const other = this.held(id, version);
    if (other !== undefined) return other;
    const replica = this.options.start?.(model) ?? this.child(model);
    this.loaded.set(id, { replica, used: monotonic(), version });
    // Who waits for it learns of a failure; nobody else should.
    replica.ready().catch(() => undefined);
    return replica;
  }

  /** The replica that still stands for this version; one that does not is put down. */
  private held(id: string, version: string): Replica | undefined {
    const held = this.loaded.get(id);
    if (held === undefined) return undefined;
    if (held.version === version && !['failed', 'stopped'].includes(held.replica.status().state)) {
      held.used = monotonic();
      return held.replica;
    }
    this.loaded.delete(id);
    void held.replica.drain();
    return undefined;
  }

  private child(model: RegisteredModel | RegisteredPictures): Replica {
    const { log, slots, cacheBytes } = this.options;
    const weights = ('weights' in model ? model.weights : undefined) ?? this.options.weights;
    return new ChildReplica({
      folder: model.folder,
      model:
        model.info.family === 'image'
          ? describePictures(model.info, model.id)
          : describe(model.info, model.id),
      packages: packagesFolder(this.options.registry.home),
      ...(log === undefined ? {} : { log }),
      ...(slots === undefined ? {} : { maxBatch: slots }),
      ...(cacheBytes === undefined ? {} : { cacheBytes }),
      ...(weights === undefined ? {} : { weights }),
    });
  }

  private async makeRoom(): Promise<void> {
    while (this.loaded.size >= (this.options.limit ?? 2)) {
      const idle = [...this.loaded]
        .filter(([, held]) => held.replica.status().running === 0)
        .sort((a, b) => a[1].used - b[1].used)[0];
      if (idle === undefined) return;
      this.loaded.delete(idle[0]);
      await idle[1].replica.drain();
    }
  }

  /** State of a model as far as it is known here. */
  state(id: string): string {
    return this.loaded.get(id)?.replica.status().state ?? 'unloaded';
  }

  /** A model that is on its way; undefined where all that were asked for answer. */
  loading(): { id: string; state: 'starting'; progress: number } | undefined {
    for (const [id, { replica }] of this.loaded) {
      const { state, progress } = replica.status();
      if (state === 'starting') return { id, state, progress };
    }
    return undefined;
  }

  /** All that are held, by model. */
  statuses(): [string, ReplicaStatus][] {
    return [...this.loaded].map(([id, { replica }]) => [id, replica.status()]);
  }

  memory(): number {
    return [...this.loaded.values()].reduce((total, held) => total + (held.replica.status().memory ?? 0), 0);
  }

  async forget(id: string): Promise<void> {
    const held = this.loaded.get(id);
    this.loaded.delete(id);
    await held?.replica.drain();
  }

  async drain(): Promise<void> {
    await Promise.all([...this.loaded.values()].map((held) => held.replica.drain()));
    this.loaded.clear();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.loaded.values()].map((held) => held.replica.stop()));
    this.loaded.clear();
  }
}
