/**
 * Decodes many sequences in one batch. Requests join at the next step and leave at once; long prompts are read in
 * pieces between the others' steps; beginnings that were read before are not read again; where memory runs short,
 * the youngest sequence steps back and is read again later. Sees tokens and tensors, never text.
 *
 * The cache never leaves the backend: a step reads it and gives only the new rows, which the backend writes
 * into place.
 */
import { InkstoneError } from '../base/errors.ts';
import { type HostTensor, tensor } from '../base/tensor.ts';
import type { Program } from '../program/types.ts';
import type { Executable } from '../runtime/contract.ts';
import { adjusting, checkAdjustments } from './adjustments.ts';
import { BeamJobs } from './beam-job.ts';
import { checkBeams } from './beam-search.ts';
import { bucketOf, bytesPerToken, Cache } from './cache.ts';
import type { DecodeRequest, DecodeResult, DecoderModel, DecoderOptions, DecoderStatus } from './decoding.ts';
import { PrefixCache } from './prefix-cache.ts';
import { grouped, padded } from './prompt-groups.ts';
import { checkSampling, type LogitsProcessor, logprobsOf, Sampler } from './sampler.ts';

export type {
  DecodedToken,
  DecodeRequest,
  DecodeResult,
  DecoderModel,
  DecoderOptions,
  DecoderStatus,
} from './decoding.ts';

/** One sequence at work. */
interface Sequence {
  request: DecodeRequest;
  processors: readonly LogitsProcessor[];
  /** Prompt and answer. */
  tokens: number[];
  answer: number[];
  /** Tokens in the cache. */
  cached: number;
  /** Rises from request to request: the youngest steps back first. */
  arrival: number;
  /** It has its answer; under static batching its row stays until the last of the batch ends. */
  ended: boolean;
  resolve(result: DecodeResult): void;
  reject(reason: unknown): void;
}

/** Prompt tokens that one round reads at most: the longest that the others wait between two of their tokens. */
const ROUND_TOKENS = 512;
/** Known tokens from which on a prompt is read by itself, after what is known of it. */
const WORTH_ALONE = 96;
const MEGABYTE = 2 ** 20;

/** Steps that free places may wait for more. */
const LONGEST_HOLD = 8;

export async function createDecoder(model: DecoderModel, options: DecoderOptions = {}): Promise<Decoder> {
  const compile = (program: Program): Promise<Executable> =>
    model.backend.compile(program, { constants: model.parameters });
  const prefill = await compile(model.prefill);
  const step = await compile(model.step);
  return new Decoder(model, { prefill, step, openChunk: () => compile(model.chunk) }, options);
}

interface Programs {
  prefill: Executable;
  step: Executable;
  /** Made when the first prompt needs it. */
  openChunk(): Promise<Executable>;
}

export class Decoder {
  private readonly model: DecoderModel;
  private readonly programs: Programs;
  private chunk: Promise<Executable> | undefined;
  private readonly options: Required<DecoderOptions>;
  private readonly sampler = new Sampler();
  private readonly waiting: Sequence[] = [];
  /** The prompt that is being read in pieces, with a cache of its own. */
  private reading: { sequence: Sequence; cache: Cache } | undefined;
  /** Row r of the batch and of the cache belongs to running[r]. */
  private running: Sequence[] = [];
  private readonly beams: BeamJobs<Sequence>;
  private readonly cache: Cache;
  private readonly prefixes: PrefixCache;
  private preempted = 0;
  private promptTokens = 0;
  private arrivals = 0;
  /** Static batching: nobody joins any more. */
  private sealed = false;
  private heldBack = 0;
  private loop: Promise<void> | undefined;
  private closed = false;

  constructor(model: DecoderModel, programs: Programs, options: DecoderOptions) {
    this.model = model;
    this.programs = programs;
    this.options = {
      maxBatch: 8,
      cacheBytes: 1024 * MEGABYTE,
      prefixBytes: 32 * MEGABYTE,
      batching: 'continuous',
      ...options,
    };
    this.cache = new Cache(model.backend, model, model.context);
    this.prefixes = new PrefixCache(this.options.prefixBytes);
    this.beams = new BeamJobs(model, programs.step);
  }

  status(): DecoderStatus {
    return {
      running:
        this.running.filter((s) => !s.ended).length +
        (this.reading === undefined ? 0 : 1) +
        this.beams.running.length,
      waiting: this.waiting.length,
      slots: this.options.maxBatch,
      preempted: this.preempted,
      prefixTokens: this.prefixes.saved,
      weightBytes:
        (this.chunk === undefined ? 2 : 3) *
        Object.values(this.model.parameters).reduce((total, { data }) => total + data.byteLength, 0),
      cacheBytes: this.cache.bytes + (this.reading?.cache.bytes ?? 0) + this.beams.bytes,
      prefixBytes: this.prefixes.held,
      cacheLimit: this.options.cacheBytes,
      promptTokens: this.promptTokens,
    };
  }

  /**
   * Resolves when the sequence ends. A prompt longer than the context keeps its last tokens; a sequence that
   * fills the context goes on from its last half.
   * @throws InkstoneError `prompt_empty`, `token_invalid`, `sampling_invalid`, `beams_invalid`, `logits_invalid`
   */
  submit(request: DecodeRequest): Promise<DecodeResult> {
    if (this.closed) throw new InkstoneError('decoder_closed', 'this model was unloaded');
    checkSampling(request);
    checkAdjustments(request, this.model.vocabulary);
    if (request.beams !== undefined)
      checkBeams(request.beams, this.options.maxBatch, this.model.context - request.tokens.length);
    if (request.tokens.length === 0)
      throw new InkstoneError('prompt_empty', 'the prompt has no tokens', {
        kind: 'usage',
        hint: 'give at least one token to go on from',
      });
    const wrong = request.tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= this.model.vocabulary);
    if (wrong !== undefined)
      throw new InkstoneError('token_invalid', `${wrong} is no token of this model`, {
        kind: 'usage',
        hint: `ids go from 0 to ${this.model.vocabulary - 1}`,
      });
    return new Promise((resolve, reject) => {
      const own = adjusting(request, request.tokens.length);
      const sequence: Sequence = {
        request,
        processors: [...(own === undefined ? [] : [own]), ...(request.processors ?? [])],
        tokens: [...request.tokens],
        answer: [],
        cached: 0,
        arrival: this.arrivals++,
        ended: false,
        resolve,
        reject,
      };
      if (request.maxTokens <= 0) return resolve({ reason: 'length', tokens: [] });
      this.promptTokens += Math.min(request.tokens.length, this.model.context);
      this.waiting.push(sequence);
      this.loop ??= this.work().finally(() => {
        this.loop = undefined;
      });
    });
  }

  private async work(): Promise<void> {
    while (
      !this.closed &&
      (this.waiting.length > 0 ||
        this.running.length > 0 ||
        this.reading !== undefined ||
        this.beams.running.length > 0)
    ) {
      try {
        await this.round();
      } catch (thrown) {
        const failed = [...this.running, ...this.waiting.splice(0), ...(await this.beams.clear())];
        if (this.reading !== undefined) failed.push(this.reading.sequence);
        await this.reading?.cache.free();
        this.reading = undefined;
        this.running = [];
        await this.cache.free();
        for (const sequence of failed) sequence.reject(thrown);
      }
    }
  }

  /** Drops what was cancelled, admits what waits, reads a piece of a long prompt, then one step for all. */
  private async round(): Promise<void> {
    await this.dropCancelled();
    await this.admit();
    this.sealed = this.options.batching === 'static';
    if (this.reading !== undefined) await this.readPiece();
    await this.beams.advance();
    // A full sequence goes on from its last half: learned positions end at the context.
    const full = this.running.filter((s) => s.cached >= this.model.context && !s.ended);
    if (full.length > 0) await this.read(full);
    else if (this.running.length > 0) await this.advance();
  }

  private async dropCancelled(): Promise<void> {
    const gone = (s: Sequence): boolean => s.request.signal?.aborted === true && !s.ended;
    for (let i = this.waiting.length - 1; i >= 0; i--) {
      const sequence = this.waiting[i] as Sequence;
      if (!gone(sequence)) continue;
      this.waiting.splice(i, 1);
      sequence.resolve({ reason: 'cancelled', tokens: sequence.answer });
    }
    if (this.reading !== undefined && gone(this.reading.sequence)) {
      const { sequence, cache } = this.reading;
      this.reading = undefined;
      await cache.free();
      sequence.resolve({ reason: 'cancelled', tokens: sequence.answer });
    }
    for (const sequence of await this.beams.clear(gone))
      sequence.resolve({ reason: 'cancelled', tokens: [] });
    await this.leave(this.running.filter(gone), 'cancelled');
  }

  /** Places taken: a beam search takes one for each of its texts. */
  private places(more: readonly Sequence[] = []): number {
    const reading = this.reading === undefined ? [] : [this.reading.sequence];
    const others = [...more, ...reading, ...this.beams.running];
    return others.reduce((sum, { request }) => sum + (request.beams?.width ?? 1), this.running.length);
  }

  /** Takes from the queue, in order, what has a place and fits into memory. */
  private async admit(): Promise<void> {
    if (this.sealed && this.running.length > 0) return;
    this.sealed = false;
    if (this.holdsBack()) return;
    const together: Sequence[] = [];
    let tokens = 0;
    while (this.waiting.length > 0) {
      const next = this.waiting[0] as Sequence;
      const length = Math.min(next.tokens.length, this.model.context);
      const rows = this.places([next, ...together]);
      if (rows > this.options.maxBatch || (rows > 1 && !this.fits(rows, Math.max(length, tokens) + 1))) break;
      const known = this.prefixes.find(next.tokens.slice(-this.model.context), next.request.tenant);
      // Prompts are read together; one that is mostly known is read alone only where that saves much.
      const fixed = this.options.batching === 'static';
      const long =
        next.request.beams !== undefined ||
        (!fixed && (length > ROUND_TOKENS || (known !== undefined && known.count >= WORTH_ALONE)));
      const turn =
        (fixed && !long) ||
        (long ? this.reading === undefined : tokens + length <= ROUND_TOKENS || together.length === 0);
      if (!turn) break;
      this.waiting.shift();
      if (long) await this.beginReading(next, known);
      else {
        together.push(next);
        tokens += length;
      }
    }
    if (together.length === 0) return;
    const lengthOf = ({ tokens }: Sequence): number => Math.min(tokens.length, this.model.context);
    for (const group of this.options.batching === 'static' ? [together] : grouped(together, lengthOf)) {
      this.running.push(...group);
      await this.read(group);
    }
  }

  /**
   * A full batch that lost a sequence or two takes the next few steps without new ones: prompts that are read
   * together cost less than one by one (another program, its weights read anew).
   */
  private holdsBack(): boolean {
    const { maxBatch, batching } = this.options;
    const free = maxBatch - this.places();
    const few = batching === 'continuous' && this.waiting.length > 0 && free < Math.ceil(maxBatch / 8);
    this.heldBack = few && free > 0 && this.running.length > 0 ? this.heldBack + 1 : 0;
    return this.heldBack > 0 && this.heldBack <= LONGEST_HOLD;
  }

  private fits(rows: number, length: number): boolean {
    const places = Math.max(this.cache.length, bucketOf(length, this.model.context));
    return rows * places * bytesPerToken(this.model) <= this.options.cacheBytes;
  }

  private async beginReading(sequence: Sequence, known: ReturnType<PrefixCache['find']>): Promise<void> {
    const { backend, context } = this.model;
    const cache = new Cache(backend, this.model, context);
    await cache.reserve(1, Math.min(sequence.tokens.length, context));
    sequence.cached = 0;
    if (known !== undefined) {
      await cache.write(0, known.part, known.count);
      sequence.cached = known.count;
    }
    this.reading = { sequence, cache };
  }

  /** The next piece of the long prompt; at its end the sequence joins the batch. */
  private async readPiece(): Promise<void> {
    const { sequence, cache } = this.reading as { sequence: Sequence; cache: Cache };
    const { context } = this.model;
    const tokens = sequence.tokens.slice(-context);
    const count = Math.min(ROUND_TOKENS, tokens.length - sequence.cached);
    const time = Math.min(padded(count), context - sequence.cached);
    const ids = new Int32Array(time);
    ids.set(tokens.slice(sequence.cached, sequence.cached + count));
    const one = (value: number): HostTensor => tensor('i32', [1], Int32Array.of(value));
    this.chunk ??= this.programs.openChunk();
    const result = await (await this.chunk).run({
      inputs: { tokens: tensor('i32', [1, time], ids), position: one(sequence.cached), length: one(count) },
      resident: cache.resident,
      write: cache.writes('new_', [sequence.cached], [0], [count]),
    });
    sequence.cached += count;
    if (sequence.cached < tokens.length) return;
    this.reading = undefined;
    if (sequence.request.beams !== undefined)
      return this.beams.begin(sequence, cache, result.logits as HostTensor<'f32'>);
    const row = this.running.length;
    this.running.push(sequence);
    await this.cache.reserve(row + 1, Math.min(context, tokens.length + 1));
    await this.cache.write(row, await cache.read(0, tokens.length), tokens.length);
    await cache.free();
    await this.take([sequence], result.logits as HostTensor<'f32'>);
  }

  /** Puts (again) the tokens of some sequences into the cache and samples their next token. */
  private async read(sequences: readonly Sequence[]): Promise<void> {
    const { context } = this.model;
    const parts = sequences.map((s) =>
      s.cached >= context ? s.tokens.slice(-Math.max(1, Math.floor(context / 2))) : s.tokens.slice(-context),
    );
    const longest = Math.max(...parts.map((part) => part.length));
    const time = Math.min(context, padded(longest));
    await this.cache.reserve(this.running.length, Math.min(context, longest + 1));
    const batch = sequences.length;
    const tokens = new Int32Array(batch * time);
    parts.forEach((part, b) => {
      tokens.set(part, b * time);
    });
    const length = parts.map((part) => part.length);
    const rows = sequences.map((s) => this.running.indexOf(s));
    const starts = parts.map(() => 0);
    const result = await this.programs.prefill.run({
      inputs: {
        tokens: tensor('i32', [batch, time], tokens),
        length: tensor('i32', [batch], Int32Array.from(length)),
      },
      resident: this.cache.resident,
      write: this.cache.writes('', starts, rows, length),
    });
    sequences.forEach((s, b) => {
      s.cached = length[b] as number;
    });
    await this.take(sequences, result.logits as HostTensor<'f32'>);
  }

  private async advance(): Promise<void> {
    const needed = (): number => Math.max(...this.running.map((s) => s.cached)) + 1;
    // Those that were longest may have left: what is left needs fewer places, and each is read at every step.
    await this.cache.shorten(needed());
    while (this.running.length > 1 && !this.fits(this.places(), needed())) await this.stepBack();
    const { running } = this;
    await this.cache.reserve(running.length, needed());
    const size = running.length;
    const token = new Int32Array(size);
    const position = new Int32Array(size);
    running.forEach((s, row) => {
      token[row] = s.tokens[s.tokens.length - 1] as number;
      // (An ended row of a static batch may be full.)
      position[row] = Math.min(s.cached, this.model.context - 1);
    });
    const rows = running.map((_, row) => row);
    const result = await this.programs.step.run({
      inputs: { token: tensor('i32', [size], token), position: tensor('i32', [size], position) },
      resident: this.cache.resident,
      write: this.cache.stepWrites(Array.from(position), rows),
    });
    for (const s of running) if (!s.ended) s.cached++;
    await this.take([...running], result.logits as HostTensor<'f32'>);
  }

  /** The youngest sequence gives its place up; it is read again when there is room. */
  private async stepBack(): Promise<void> {
    const youngest = [...this.running].sort((a, b) => b.arrival - a.arrival)[0] as Sequence;
    this.preempted += 1;
    const { reading } = this;
    if (reading !== undefined && reading.sequence.arrival > youngest.arrival) {
      this.reading = undefined;
      await reading.cache.free();
      reading.sequence.cached = 0;
      this.waiting.unshift(reading.sequence);
      return;
    }
    youngest.cached = 0;
    this.waiting.unshift(youngest);
    await this.drop([youngest]);
  }

  /** Takes rows out; the last ones move into their places, so that little memory is moved. */
  private async drop(sequences: readonly Sequence[]): Promise<void> {
    const before = this.running;
    const staying = before.filter((s) => !sequences.includes(s));
    const movers = staying.filter((s) => before.indexOf(s) >= staying.length);
    this.running = before
      .slice(0, staying.length)
      .map((s) => (sequences.includes(s) ? (movers.pop() as Sequence) : s));
    await this.cache.keep(this.running.map((s) => before.indexOf(s)));
  }

  /** Samples one token for each sequence from its row and lets finished ones go. */
  private async take(sequences: readonly Sequence[], logits: HostTensor<'f32'>): Promise<void> {
    const { vocabulary, endOfText } = this.model;
    const finished: Sequence[] = [];
    const stopped: Sequence[] = [];
    sequences.forEach((s, row) => {
      if (s.ended) return;
      const own = logits.data.subarray(row * vocabulary, (row + 1) * vocabulary);
      const { request } = s;
      try {
        let used = own;
        if (s.processors.length > 0) {
          used = own.slice();
          for (const process of s.processors) process(used, s.tokens);
        }
        const id = this.sampler.sample(used, request, s.tokens.length);
        if (id === endOfText) {
          stopped.push(s);
          return;
        }
        const report =
          request.logprobs === undefined
            ? { logprob: Number.NaN, top: [] }
            : logprobsOf(own, id, request.logprobs);
        s.tokens.push(id);
        s.answer.push(id);
        const goOn = request.onToken?.({ id, ...report }) ?? true;
        if (!goOn) stopped.push(s);
        else if (s.answer.length >= request.maxTokens) finished.push(s);
      } catch (thrown) {
        s.reject(thrown);
        stopped.push(s);
      }
    });
    await this.leave(stopped, 'stop');
    await this.leave(finished, 'length');
  }

  /** Frees places at once; what was read is kept for prompts that begin alike. */
  private async leave(sequences: readonly Sequence[], reason: DecodeResult['reason']): Promise<void> {
    if (sequences.length === 0) return;
    for (const s of sequences) {
      s.ended = true;
      s.resolve({ reason, tokens: s.answer });
    }
    for (const s of sequences) await this.remember(s, this.running.indexOf(s));
    if (this.options.batching === 'continuous') return this.drop(sequences);
    if (this.running.every((s) => s.ended)) await this.drop(this.running);
  }

  private async remember(sequence: Sequence, row: number): Promise<void> {
    const { cached, tokens, request } = sequence;
    // Where the context was passed, places and tokens no longer belong together.
    if (row < 0 || cached > tokens.length || tokens.length > this.model.context) return;
    const known = tokens.slice(0, cached);
    if (this.prefixes.wants(known, cached * bytesPerToken(this.model), request.tenant))
      this.prefixes.put(known, await this.cache.read(row, cached), request.tenant);
  }

  /** Ends what runs (as cancelled) and frees the model. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const s of this.waiting.splice(0)) s.resolve({ reason: 'cancelled', tokens: s.answer });
    if (this.reading !== undefined) {
      const { sequence } = this.reading;
      sequence.resolve({ reason: 'cancelled', tokens: sequence.answer });
    }
    for (const s of [...this.running, ...this.beams.running])
      s.resolve({ reason: 'cancelled', tokens: s.answer });
    await this.loop;
    this.running = [];
    await this.beams.clear();
    await this.reading?.cache.free();
    await this.cache.free();
    await this.programs.prefill.free();
    await this.programs.step.free();
    if (this.chunk !== undefined) await (await this.chunk).free();
  }
}
