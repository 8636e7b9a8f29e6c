/**
 * Several replicas of one model as one: each request goes to the one with least outstanding work; one that a crash
 * cost is sent once more, to another where there is one, and its text goes on where it was. Knows no processes.
 */
import { type Clock, systemClock } from '../../base/clock.ts';
import type { EmbeddingRequest, TextEmbedding } from '../../base/contracts/embedder.ts';
import type { TextEvent, TextRequest } from '../../base/contracts/generator.ts';
import type { InspectionRequest, TextInspection } from '../../base/contracts/inspection.ts';
import type { PictureFile, PictureRequest } from '../../base/contracts/pictures.ts';
import type { ModelDescription, Replica, ReplicaStatus } from '../../base/contracts/replica.ts';
import { InkstoneError } from '../../base/errors.ts';
import { Said } from './said.ts';
import { together } from './set-status.ts';

export interface ReplicaSetOptions {
  start(): Replica;
  /** Replicas at the beginning; default 1. */
  count?: number;
  /** Milliseconds that a request waits for a place to be sent again. */
  retryWithin?: number;
  /** Milliseconds after which one that gave up is replaced. */
  mendAfter?: number;
  clock?: Clock;
  log?(message: string, details: Record<string, unknown>): void;
}

/** What says that a request's process is gone, not that the request was bad. */
const LOST = new Set([
  'replica_crashed',
  'replica_hung',
  'replica_out_of_memory',
  'replica_start_late',
  'replica_stopped',
  'model_loading',
]);

export interface ReplicaSetSnapshot {
  wanted: number;
  replicas: readonly ReplicaStatus[];
  /** Requests that were sent a second time, since the start. */
  retried: number;
  /** Requests that wait for a replica to be started. */
  held: number;
}

export class ReplicaSet implements Replica {
  private readonly options: ReplicaSetOptions;
  private readonly clock: Clock;
  private members: Replica[] = [];
  /** Those that finish what they have. */
  private readonly leaving = new Set<Replica>();
  private readonly busy = new Map<Replica, number>();
  private last: ModelDescription | undefined;
  private state: 'open' | 'draining' | 'stopped' = 'open';
  private retried = 0;
  private held = 0;
  /** When a failed one was first seen to be. */
  private readonly failed = new Map<Replica, number>();

  constructor(options: ReplicaSetOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.scale(options.count ?? 1);
  }

  /** How many there shall be; those that are too many take nothing new and end when they have nothing left. */
  scale(count: number): void {
    if (this.state !== 'open') return;
    while (this.members.length < count) this.members.push(this.begin());
    // Those that do not answer yet go first, then those with least to do.
    const order = [...this.members].sort((a, b) => this.worth(a) - this.worth(b));
    for (const replica of order.slice(0, Math.max(0, this.members.length - count))) this.dismiss(replica);
  }

  private worth(replica: Replica): number {
    return replica.status().state === 'ready' ? 1 + this.outstanding(replica) : 0;
  }

  private begin(): Replica {
    const replica = this.options.start();
    this.last = replica.model;
    // Who waits for it learns of a failure; nobody else should.
    replica.ready().catch(() => undefined);
    return replica;
  }

  private dismiss(replica: Replica): void {
    this.last = replica.model;
    this.members = this.members.filter((one) => one !== replica);
    this.leaving.add(replica);
    void replica.drain().finally(() => this.leaving.delete(replica));
  }

  get size(): number {
    return this.members.length;
  }

  get model(): ModelDescription {
    const ready = this.members.find((one) => one.status().state === 'ready') ?? this.members[0];
    return ready?.model ?? (this.last as ModelDescription);
  }

  private outstanding(replica: Replica): number {
    return this.busy.get(replica) ?? 0;
  }

  status(): ReplicaStatus {
    return together(
      this.members.map((one) => one.status()),
      [...this.leaving].map((one) => one.status()),
      this.state,
    );
  }

  snapshot(): ReplicaSetSnapshot {
    const replicas = [...this.members, ...this.leaving].map((one) => one.status());
    return { wanted: this.members.length, replicas, retried: this.retried, held: this.held };
  }

  /** Resolves with the first that is ready; starts one where there is none. */
  async ready(): Promise<void> {
    if (this.members.length === 0) this.scale(1);
    if (this.members.length === 0) throw this.gone();
    this.held++;
    try {
      await Promise.any(this.members.map((one) => one.ready()));
    } catch (thrown) {
      throw thrown instanceof AggregateError ? thrown.errors[0] : thrown;
    } finally {
      this.held--;
    }
  }

  private gone(): InkstoneError {
    return new InkstoneError('replica_stopped', `${this.last?.id ?? 'the model'} was unloaded`, {
      kind: 'resource',
      hint: 'send the request again',
      details: { retryAfter: 1 },
    });
  }

  /** The ready one with least to do. */
  private choose(but?: Replica): Replica | undefined {
    let best: Replica | undefined;
    for (const one of this.members) {
      if (one === but || one.status().state !== 'ready') continue;
      if (best === undefined || this.outstanding(one) < this.outstanding(best)) best = one;
    }
    return best;
  }

  /** One that gave up is replaced after a while, as long as others answer meanwhile. */
  private mend(): void {
    for (const one of this.members) {
      if (one.status().state !== 'failed') continue;
      const since = this.failed.get(one) ?? this.clock.now();
      this.failed.set(one, since);
      if (this.members.length < 2 || this.clock.now() - since < (this.options.mendAfter ?? 30_000)) continue;
      this.failed.delete(one);
      this.members[this.members.indexOf(one)] = this.begin();
      void one.drain();
    }
  }

  /** One to send to, counted as sent: another than `but` where there is one, or the same when it is back. */
  private async pick(but?: Replica): Promise<Replica> {
    this.mend();
    const other = this.choose(but);
    if (other !== undefined) return this.take(other);
    if (but === undefined) {
      // The one there is says itself why it takes nothing.
      const only = this.members[0];
      if (only !== undefined) return this.take(only);
      if (this.state !== 'open') throw this.gone();
    }
    let stop: () => void = () => undefined;
    const late = new Promise<void>((resolve) => {
      stop = this.clock.after(this.options.retryWithin ?? 15_000, resolve);
    });
    await Promise.race([this.ready(), late]).finally(() => stop());
    const found = this.choose(but) ?? this.choose();
    if (found === undefined) throw this.gone();
    return this.take(found);
  }

  private async using<T>(replica: Replica, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      this.release(replica);
    }
  }

  private take(replica: Replica): Replica {
    this.busy.set(replica, this.outstanding(replica) + 1);
    return replica;
  }

  private release(replica: Replica): void {
    const left = this.outstanding(replica) - 1;
    if (left > 0) this.busy.set(replica, left);
    else this.busy.delete(replica);
  }

  private again(thrown: unknown, from: Replica, id: string, signal?: AbortSignal): boolean {
    const lost = InkstoneError.is(thrown) && LOST.has(thrown.code);
    if (!lost || signal?.aborted === true || this.state !== 'open') return false;
    this.retried++;
    this.options.log?.('request sent again', { model: from.model.id, request: id, after: thrown.code });
    return true;
  }

  /** Sent again where the process was lost; the second failure is told. */
  private async twice<T>(
    id: string,
    work: (replica: Replica) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const first = await this.pick();
    try {
      return await this.using(first, () => work(first));
    } catch (thrown) {
      if (!this.again(thrown, first, id, signal)) throw thrown;
      const second = await this.pick(first).catch(() => {
        throw thrown;
      });
      return this.using(second, () => work(second));
    }
  }

  /**
   * Goes on from where a lost process was, on another.
   * @throws InkstoneError what the replica throws; of two that were lost what the second one threw
   */
  async *generate(request: TextRequest, signal: AbortSignal): AsyncGenerator<TextEvent> {
    let replica = await this.pick();
    const said = new Said();
    let lost: unknown;
    for (;;) {
      let failure: unknown;
      try {
        for await (const event of replica.generate(request, signal)) {
          const what = said.judge(event);
          if (what === 'differs') throw lost;
          if (what === 'give') yield event;
        }
        return;
      } catch (thrown) {
        failure = thrown;
      } finally {
        this.release(replica);
      }
      if (lost !== undefined || !this.again(failure, replica, request.id, signal)) throw failure;
      lost = failure;
      said.again();
      replica = await this.pick(replica).catch(() => {
        throw failure;
      });
    }
  }

  countTokens(text: string): Promise<number> {
    return this.twice('count', (replica) => replica.countTokens(text));
  }

  /** What some models can is there only where theirs can. */
  get embed(): ((request: EmbeddingRequest, signal: AbortSignal) => Promise<TextEmbedding[]>) | undefined {
    if (this.members[0] !== undefined && this.members[0].embed === undefined) return undefined;
    return (request, signal) =>
      this.twice(request.id, async (one) => (await one.embed?.(request, signal)) as TextEmbedding[], signal);
  }

  get lengths(): ((texts: readonly string[]) => Promise<number[]>) | undefined {
    if (this.members[0] !== undefined && this.members[0].lengths === undefined) return undefined;
    return (texts) => this.twice('measure', async (one) => (await one.lengths?.(texts)) as number[]);
  }

  get pictures(): ((request: PictureRequest, signal: AbortSignal) => Promise<PictureFile[]>) | undefined {
    if (this.members[0] !== undefined && this.members[0].pictures === undefined) return undefined;
    return (request, signal) =>
      this.twice(request.id, async (one) => (await one.pictures?.(request, signal)) as PictureFile[], signal);
  }

  get inspect(): ((request: InspectionRequest, signal: AbortSignal) => Promise<TextInspection>) | undefined {
    if (this.members[0] !== undefined && this.members[0].inspect === undefined) return undefined;
    return (request, signal) =>
      this.twice('inspect', async (one) => (await one.inspect?.(request, signal)) as TextInspection, signal);
  }

  async drain(): Promise<void> {
    if (this.state === 'open') this.state = 'draining';
    await Promise.all([...this.members, ...this.leaving].map((one) => one.drain()));
    this.state = 'stopped';
  }

  async stop(): Promise<void> {
    this.state = 'stopped';
    await Promise.all([...this.members, ...this.leaving].map((one) => one.stop()));
  }
}
