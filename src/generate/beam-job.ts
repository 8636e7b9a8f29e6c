/** Beam searches at work: each has a cache with a row for every one of its texts, which fork and die. Knows no queue. */
import { type HostTensor, tensor } from '../base/tensor.ts';
import type { Executable } from '../runtime/contract.ts';
import { BeamSearch, type BeamText } from './beam-search.ts';
import type { Cache } from './cache.ts';
import type { BeamRequest, DecodeRequest, DecodeResult } from './decoding.ts';
import type { LogitsProcessor } from './sampler.ts';

/** What a search is made for. */
export interface Searched {
  request: DecodeRequest;
  processors: readonly LogitsProcessor[];
  /** The prompt. */
  tokens: readonly number[];
  /** Tokens in the cache. */
  cached: number;
  resolve(result: DecodeResult): void;
  reject(reason: unknown): void;
}

export class BeamJobs<S extends Searched = Searched> {
  private readonly model: { context: number; endOfText?: number };
  private readonly step: Executable;
  private jobs: { sequence: S; job: BeamJob }[] = [];

  constructor(model: { context: number; endOfText?: number }, step: Executable) {
    this.model = model;
    this.step = step;
  }

  get running(): S[] {
    return this.jobs.map(({ sequence }) => sequence);
  }

  /** Of keys and values. */
  get bytes(): number {
    return this.jobs.reduce((sum, { job }) => sum + job.cache.bytes, 0);
  }

  /** @param cache holds the prompt in its only row, and is the search's from now on @param logits behind it */
  async begin(sequence: S, cache: Cache, logits: HostTensor<'f32'>): Promise<void> {
    const { request, processors, tokens: prompt } = sequence;
    const { context, endOfText } = this.model;
    const search = new BeamSearch({
      ...(request.beams as BeamRequest),
      ...{ prompt, endOfText, processors, logprobs: request.logprobs },
      // The last token need not be read.
      maxTokens: Math.min(request.maxTokens, context - prompt.length + 1),
    });
    const one = { sequence, job: new BeamJob(search, cache, this.step, sequence.cached) };
    this.jobs.push(one);
    await this.move(one, one.job.take(logits));
  }

  /** One step of each. */
  async advance(): Promise<void> {
    for (const one of [...this.jobs]) await this.move(one, one.job.advance());
  }

  /** What goes wrong in one search is its own. */
  private async move(one: { sequence: S; job: BeamJob }, step: Promise<boolean>): Promise<void> {
    const { sequence, job } = one;
    try {
      if (await step) return;
      const texts = job.results();
      const [best] = texts;
      const tokens = best?.tokens.map(({ id }) => id) ?? [];
      sequence.resolve({ reason: best?.reason ?? 'length', tokens, texts });
    } catch (thrown) {
      sequence.reject(thrown);
    }
    this.jobs = this.jobs.filter((other) => other !== one);
    await job.cache.free();
  }

  /** Takes out those that `gone` says, all without it, and gives them back. */
  async clear(gone: (sequence: S) => boolean = () => true): Promise<S[]> {
    const out = this.jobs.filter(({ sequence }) => gone(sequence));
    this.jobs = this.jobs.filter((one) => !out.includes(one));
    for (const { job } of out) await job.cache.free();
    return out.map(({ sequence }) => sequence);
  }
}

class BeamJob {
  private readonly search: BeamSearch;
  readonly cache: Cache;
  private readonly step: Executable;
  private cached: number;
  /** Row of the cache for each running text. */
  private rows: number[] = [0];

  /** @param cache holds the prompt in its only row */
  constructor(search: BeamSearch, cache: Cache, step: Executable, cached: number) {
    this.search = search;
    this.cache = cache;
    this.step = step;
    this.cached = cached;
  }

  /** Reads each text's last token and chooses the next ones; false where the search is over. */
  async advance(): Promise<boolean> {
    const { last } = this.search;
    const size = last.length;
    await this.cache.reserve(size, this.cached + 1);
    const token = new Int32Array(size);
    last.forEach((id, i) => {
      token[this.rows[i] as number] = id;
    });
    const position = new Int32Array(size).fill(this.cached);
    const result = await this.step.run({
      inputs: { token: tensor('i32', [size], token), position: tensor('i32', [size], position) },
      resident: this.cache.resident,
      write: this.cache.stepWrites(
        Array.from(position),
        Array.from(position, (_, row) => row),
      ),
    });
    this.cached += 1;
    return this.take(result.logits as HostTensor<'f32'>);
  }

  /** Chooses from scores `[rows, vocabulary]`; texts that go on take their rows along. */
  async take(logits: HostTensor<'f32'>): Promise<boolean> {
    const vocabulary = logits.shape[1] as number;
    const parents = this.search.advance(
      this.rows.map((row) => logits.data.subarray(row * vocabulary, (row + 1) * vocabulary)),
    );
    if (parents.length === 0) return false;
    const used = [...new Set(parents.map((parent) => this.rows[parent] as number))].sort((a, b) => a - b);
    await this.cache.keep(used);
    await this.cache.reserve(parents.length, this.cached);
    // The first child takes its parent's row, the others copies of it.
    const taken = new Set<number>();
    const copies: { from: number; to: number }[] = [];
    this.rows = parents.map((parent) => {
      const from = used.indexOf(this.rows[parent] as number);
      if (!taken.has(from)) {
        taken.add(from);
        return from;
      }
      const to = used.length + copies.length;
      copies.push({ from, to });
      return to;
    });
    await this.cache.copy(copies);
    return true;
  }

  results(): BeamText[] {
    return this.search.results();
  }
}
