/**
 * Decodes many sequences in one batch: prompts are read together, then every step gives each sequence one
 * token. Requests join at the next step and leave at once. Sees tokens and tensors, never text.
 *
 * The cache never leaves the backend: a step reads it and gives only the new rows, which the backend writes
 * into place. Its length is a bucket that doubles, so the cost follows the real length.
 */
import { InkstoneError } from '../base/errors.ts';
import { type HostTensor, type HostTensors, tensor, zeros } from '../base/tensor.ts';
import type { Program } from '../program/types.ts';
import type { Backend, Executable, Resident, RowWrite } from '../runtime/contract.ts';
import {
  checkSampling,
  type LogitsProcessor,
  logprobsOf,
  Sampler,
  type SamplingOptions,
  type TokenLogprob,
} from './sampler.ts';

export interface DecoderModel {
  backend: Backend;
  context: number;
  vocabulary: number;
  layers: number;
  heads: number;
  headDim: number;
  /** `tokens` [batch, time], `length` [batch] → `logits` [batch, vocabulary], `keys.L`, `values.L`. */
  prefill: Program;
  /** `token` [batch], `position` [batch], caches → `logits`, `new_keys.L`, `new_values.L`. */
  step: Program;
  parameters: HostTensors;
  endOfText?: number;
}

export interface DecodedToken extends TokenLogprob {
  top: readonly TokenLogprob[];
}

export interface DecodeRequest extends SamplingOptions {
  tokens: readonly number[];
  maxTokens: number;
  /** How many alternatives to report; undefined for no log-probabilities. */
  logprobs?: number | undefined;
  processors?: readonly LogitsProcessor[];
  /** False ends the sequence. */
  onToken?(token: DecodedToken): boolean;
  signal?: AbortSignal | undefined;
}

export interface DecodeResult {
  reason: 'stop' | 'length' | 'cancelled';
  tokens: number[];
}

export interface DecoderStatus {
  running: number;
  waiting: number;
  slots: number;
}

/** One sequence at work. */
interface Sequence {
  request: DecodeRequest;
  /** Prompt and answer. */
  tokens: number[];
  answer: number[];
  /** Tokens in the cache. */
  cached: number;
  resolve(result: DecodeResult): void;
  reject(reason: unknown): void;
}

const FIRST_BUCKET = 64;
/** Prompts are padded to multiples of this, so that few shapes come up. */
const PROMPT_MULTIPLE = 16;

export async function createDecoder(
  model: DecoderModel,
  options: { maxBatch?: number } = {},
): Promise<Decoder> {
  const { backend } = model;
  const sizes = {};
  const prefill = await backend.compile(model.prefill, { sizes, constants: model.parameters });
  const step = await backend.compile(model.step, { sizes, constants: model.parameters });
  return new Decoder(model, prefill, step, options.maxBatch ?? 8);
}

export class Decoder {
  private readonly model: DecoderModel;
  private readonly prefill: Executable;
  private readonly step: Executable;
  private readonly maxBatch: number;
  private readonly sampler = new Sampler();
  private readonly waiting: Sequence[] = [];
  /** Row r of the batch and of the caches belongs to running[r]. */
  private running: Sequence[] = [];
  private cache: Resident | undefined;
  private rows = 0;
  private bucket = 0;
  private loop: Promise<void> | undefined;
  private closed = false;
  private readonly cacheNames: readonly string[];
  private readonly rowOutputs: readonly { output: string; prefill: string; into: string }[];

  constructor(model: DecoderModel, prefill: Executable, step: Executable, maxBatch: number) {
    this.model = model;
    this.prefill = prefill;
    this.step = step;
    this.maxBatch = maxBatch;
    const layers = Array.from({ length: model.layers }, (_, layer) => layer);
    this.cacheNames = layers.flatMap((layer) => [`keys.${layer}`, `values.${layer}`]);
    this.rowOutputs = this.cacheNames.map((into) => ({ output: `new_${into}`, prefill: into, into }));
  }

  status(): DecoderStatus {
    return { running: this.running.length, waiting: this.waiting.length, slots: this.maxBatch };
  }

  /**
   * Resolves when the sequence ends. A prompt longer than the context keeps its last tokens; a sequence that
   * fills the context goes on from its last half.
   * @throws InkstoneError `prompt_empty`, `token_invalid`, `sampling_invalid`, `logits_invalid`
   */
  submit(request: DecodeRequest): Promise<DecodeResult> {
    if (this.closed) throw new InkstoneError('decoder_closed', 'this model was unloaded');
    checkSampling(request);
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
      const sequence: Sequence = {
        request,
        tokens: [...request.tokens],
        answer: [],
        cached: 0,
        resolve,
        reject,
      };
      if (request.maxTokens <= 0) return resolve({ reason: 'length', tokens: [] });
      this.waiting.push(sequence);
      this.loop ??= this.work().finally(() => {
        this.loop = undefined;
      });
    });
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0 || this.running.length > 0) {
      try {
        await this.round();
      } catch (thrown) {
        const failed = [...this.running, ...this.waiting.splice(0)];
        this.running = [];
        for (const sequence of failed) sequence.reject(thrown);
      }
    }
  }

  /** Drops what was cancelled, admits what waits, then one step for all. */
  private async round(): Promise<void> {
    for (let i = this.waiting.length - 1; i >= 0; i--) {
      const sequence = this.waiting[i] as Sequence;
      if (sequence.request.signal?.aborted === true) {
        this.waiting.splice(i, 1);
        sequence.resolve({ reason: 'cancelled', tokens: [] });
      }
    }
    await this.leave(
      this.running.filter((s) => s.request.signal?.aborted === true),
      'cancelled',
    );
    const admitted = this.waiting.splice(0, this.maxBatch - this.running.length);
    if (admitted.length > 0) {
      this.running.push(...admitted);
      await this.read(admitted);
      return;
    }
    // A full sequence goes on from its last half: learned positions end at the context.
    const full = this.running.filter((s) => s.cached >= this.model.context);
    if (full.length > 0) await this.read(full);
    else if (this.running.length > 0) await this.advance();
  }

  /** Puts (again) the tokens of some sequences into the cache and samples their next token. */
  private async read(sequences: readonly Sequence[]): Promise<void> {
    const { context } = this.model;
    const parts = sequences.map((s) =>
      s.cached >= context ? s.tokens.slice(-Math.max(1, Math.floor(context / 2))) : s.tokens.slice(-context),
    );
    const longest = Math.max(...parts.map((part) => part.length));
    const time = Math.min(context, Math.ceil(longest / PROMPT_MULTIPLE) * PROMPT_MULTIPLE);
    await this.reserve(Math.min(context, longest + 1));
    const batch = sequences.length;
    const tokens = new Int32Array(batch * time);
    parts.forEach((part, b) => {
      tokens.set(part, b * time);
    });
    const length = Int32Array.from(parts, (part) => part.length);
    const rows = sequences.map((s) => this.running.indexOf(s));
    const count = parts.map((part) => part.length);
    const write = this.rowOutputs.map(
      ({ prefill, into }): RowWrite => ({
        output: prefill,
        into,
        axis: 2,
        at: parts.map(() => 0),
        count,
        rows,
      }),
    );
    const result = await this.prefill.run({
      inputs: { tokens: tensor('i32', [batch, time], tokens), length: tensor('i32', [batch], length) },
      resident: [this.cache as Resident],
      write,
    });
    sequences.forEach((s, b) => {
      s.cached = (parts[b] as number[]).length;
    });
    await this.take(sequences, result.logits as HostTensor<'f32'>);
  }

  private async advance(): Promise<void> {
    const { running } = this;
    await this.reserve(Math.max(...running.map((s) => s.cached)) + 1);
    const token = new Int32Array(this.rows);
    const position = new Int32Array(this.rows);
    const rows = new Array<number>(this.rows).fill(-1);
    running.forEach((s, row) => {
      token[row] = s.tokens[s.tokens.length - 1] as number;
      position[row] = s.cached;
      rows[row] = row;
    });
    const at = Array.from(position);
    const write = this.rowOutputs.map(({ output, into }): RowWrite => ({ output, into, axis: 2, at, rows }));
    const result = await this.step.run({
      inputs: { token: tensor('i32', [this.rows], token), position: tensor('i32', [this.rows], position) },
      resident: [this.cache as Resident],
      write,
    });
    for (const s of running) s.cached++;
    await this.take([...running], result.logits as HostTensor<'f32'>);
  }

  /** Samples one token for each sequence from its row and lets finished ones go. */
  private async take(sequences: readonly Sequence[], logits: HostTensor<'f32'>): Promise<void> {
    const { vocabulary, endOfText } = this.model;
    const finished: Sequence[] = [];
    const stopped: Sequence[] = [];
    sequences.forEach((s, row) => {
      const own = logits.data.subarray(row * vocabulary, (row + 1) * vocabulary);
      const { request } = s;
      try {
        let used = own;
        if (request.processors !== undefined && request.processors.length > 0) {
          used = own.slice();
          for (const process of request.processors) process(used, s.tokens);
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

  /** Frees slots: the last rows move into the gaps. */
  private async leave(sequences: readonly Sequence[], reason: DecodeResult['reason']): Promise<void> {
    if (sequences.length === 0) return;
    const before = [...this.running];
    const kept = before.filter((s) => !sequences.includes(s));
    for (const s of sequences) s.resolve({ reason, tokens: s.answer });
    this.running = kept;
    if (kept.length === 0) {
      await this.release();
      return;
    }
    await this.compact(before, kept);
  }

  /** Cache rows follow their sequences; only rows that change place are copied. */
  private async compact(before: readonly Sequence[], kept: readonly Sequence[]): Promise<void> {
    const from = kept.map((s) => before.indexOf(s));
    if (this.cache === undefined || from.every((row, to) => row === to)) return;
    const all = await this.cache.read();
    const next: Record<string, HostTensor> = {};
    for (const name of this.cacheNames) {
      const { shape, data } = all[name] as HostTensor<'f32'>;
      const size = data.length / (shape[0] as number);
      from.forEach((row, to) => {
        if (row !== to) data.copyWithin(to * size, row * size, (row + 1) * size);
      });
      next[name] = { dtype: 'f32', shape, data };
    }
    await this.cache.write(next);
  }

  /** Makes the cache hold all running rows and `length` tokens each. */
  private async reserve(length: number): Promise<void> {
    const { context, heads, headDim, backend } = this.model;
    let bucket = Math.max(this.bucket, Math.min(FIRST_BUCKET, context));
    while (bucket < length) bucket = Math.min(context, bucket * 2);
    const rows = this.running.length;
    if (this.cache === undefined) {
      this.rows = rows;
      this.bucket = bucket;
      this.cache = await backend.resident(
        Object.fromEntries(
          this.cacheNames.map((name) => [name, zeros('f32', [rows, heads, bucket, headDim])]),
        ),
      );
      return;
    }
    if (bucket !== this.bucket) await this.cache.resize(this.cacheNames, 2, bucket);
    if (rows !== this.rows) await this.cache.resize(this.cacheNames, 0, rows);
    this.bucket = bucket;
    this.rows = rows;
  }

  private async release(): Promise<void> {
    await this.cache?.free();
    this.cache = undefined;
    this.rows = 0;
    this.bucket = 0;
  }

  /** Ends what runs (as cancelled) and frees the model. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const s of this.waiting.splice(0)) s.resolve({ reason: 'cancelled', tokens: [] });
    await this.leave(this.running, 'cancelled');
    await this.loop;
    await this.release();
    await this.prefill.free();
    await this.step.free();
  }
}
