/**
 * An ONNX model in transformers.js: scores for sequences, one after another, each with its own past, and vectors of
 * texts. Knows tokens and numbers; sampling is ours.
 */
import type { EmbeddingRequest, TextEmbedding } from '../../base/contracts/embedder.ts';
import { InkstoneError } from '../../base/errors.ts';
import { exists, readText } from '../../base/host.ts';
import { readTokenizer } from '../../data/tokenizer/read.ts';
import type { Tokenizer } from '../../data/tokenizer/tokenizer.ts';
import { WordPieceTokenizer } from '../../data/tokenizer/wordpiece.ts';
import { halvesToFloats } from '../../formats/float16.ts';
import type { LogitsEngine, LogitsPlace } from '../../generate/index.ts';
import { type OnnxFolder, onnxFolder } from '../../models/text/onnx-info.ts';
import { type Pooling, readPooling } from '../../models/text/pooling.ts';
import type { InstallOptions } from '../packages/install.ts';
import { type LibraryTensor, type OpenedModel, openOnnx } from './library.ts';

export interface OnnxOptions {
  maxBatch?: number;
  threads: number;
  packages?: InstallOptions;
}

export class OnnxModel {
  readonly tokenizer: Tokenizer;
  private readonly model: OpenedModel;
  private readonly about: OnnxFolder;
  private readonly pooling: Pooling;
  private readonly places: number;

  private constructor(
    tokenizer: Tokenizer,
    model: OpenedModel,
    about: OnnxFolder,
    pooling: Pooling,
    places: number,
  ) {
    this.tokenizer = tokenizer;
    this.model = model;
    this.about = about;
    this.pooling = pooling;
    this.places = places;
  }

  /** @throws InkstoneError `model_missing`, `model_invalid`, `package_unavailable`, and what reading a tokenizer throws */
  static async open(folder: string, options: OnnxOptions): Promise<OnnxModel> {
    const about = await onnxFolder(folder);
    if (about === undefined)
      throw new InkstoneError('model_missing', `there is no ONNX model in ${folder}`, { kind: 'missing' });
    const file = `${folder}/tokenizer.json`;
    if (!(await exists(file)))
      throw new InkstoneError('model_invalid', `${folder} has no tokenizer.json`, { kind: 'missing' });
    const tokenizer = readTokenizer(await readText(file));
    const model = await openOnnx(folder, about, options.threads, options.packages);
    return new OnnxModel(tokenizer, model, about, await readPooling(folder), options.maxBatch ?? 8);
  }

  engine(): LogitsEngine {
    const { about, model, tokenizer } = this;
    const vocabulary = Math.max(about.vocabulary, tokenizer.vocabularySize);
    return {
      vocabulary,
      context: about.context,
      ends: new Set(tokenizer.endOfText === undefined ? [] : [tokenizer.endOfText]),
      places: Array.from({ length: this.places }, () => new OnnxPlace(model, vocabulary)),
      close: () => this.close(),
    };
  }

  /** What the model reads of a text. */
  private encode(text: string): number[] {
    const { tokenizer } = this;
    const ids = tokenizer.encode(text);
    const { prefix = [], suffix = [] } = tokenizer;
    const [before, after] =
      tokenizer instanceof WordPieceTokenizer && prefix.length === 0
        ? [[tokenizer.special('[CLS]')], [tokenizer.special('[SEP]')]]
        : [prefix, suffix];
    const all = [...before, ...ids, ...after];
    return all.length > 0 ? all : [tokenizer.endOfText ?? 0];
  }

  async lengths(texts: readonly string[]): Promise<number[]> {
    return texts.map((text) => this.encode(text).length);
  }

  async embed({ texts }: EmbeddingRequest, signal?: AbortSignal): Promise<TextEmbedding[]> {
    const { context } = this.about;
    const sequences = texts.map((text) => this.encode(text));
    const long = sequences.findIndex((ids) => ids.length > context);
    if (long >= 0)
      throw new InkstoneError(
        'context_length_exceeded',
        `This model's maximum context length is ${context} tokens. However, input ${long} has ${(sequences[long] as number[]).length} tokens.`,
        { kind: 'usage', hint: 'split it', details: { param: 'input', index: long } },
      );
    const made: TextEmbedding[] = [];
    for (const ids of sequences) {
      if (signal?.aborted === true)
        throw new InkstoneError('cancelled', 'cancelled before the last text', { kind: 'conflict' });
      made.push({ vector: await this.vector(ids), tokens: ids.length });
    }
    return made;
  }

  private async vector(ids: readonly number[]): Promise<Float32Array> {
    const { run, row } = this.model;
    const out = await run({
      input_ids: row(ids),
      attention_mask: row(ids.map(() => 1)),
      token_type_ids: row(ids.map(() => 0)),
    });
    const whole = out.sentence_embedding;
    const hidden = out.last_hidden_state ?? out.hidden_states;
    if (whole !== undefined) return ofLengthOne(floats(whole));
    if (hidden === undefined)
      throw new InkstoneError('engine_unsupported', 'this ONNX model gives scores and no hidden states', {
        kind: 'unsupported',
        hint: 'export it for feature-extraction',
      });
    const width = hidden.dims.at(-1) as number;
    const rows = floats(hidden);
    if (this.pooling === 'first') return ofLengthOne(rows.slice(0, width));
    if (this.pooling === 'last') return ofLengthOne(rows.slice((ids.length - 1) * width, ids.length * width));
    if (this.pooling === 'pooler') {
      const pooled = out.pooler_output;
      if (pooled !== undefined) return ofLengthOne(floats(pooled));
      throw new InkstoneError('pooling_unsupported', 'this ONNX model has no pooler', {
        kind: 'unsupported',
      });
    }
    const mean = new Float32Array(width);
    for (let i = 0; i < ids.length * width; i++)
      mean[i % width] = (mean[i % width] as number) + (rows[i] as number);
    return ofLengthOne(mean);
  }

  async close(): Promise<void> {
    await this.model.run.dispose();
  }
}

function floats({ data }: LibraryTensor): Float32Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof Uint16Array) return halvesToFloats(data);
  return Float32Array.from(data as unknown as ArrayLike<number>);
}

function ofLengthOne(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

/** One sequence: what was read, and the keys and values that the graph gave for it. */
class OnnxPlace implements LogitsPlace {
  private readonly model: OpenedModel;
  private readonly row: Float32Array;
  private read: readonly number[] = [];
  private past: Record<string, LibraryTensor> | undefined;

  constructor(model: OpenedModel, vocabulary: number) {
    this.model = model;
    this.row = new Float32Array(vocabulary);
  }

  /** The past grows only: it helps where a sequence goes on from all of it. */
  known(tokens: readonly number[]): number {
    const { read } = this;
    if (this.past === undefined || read.length >= tokens.length) return 0;
    return read.every((id, i) => tokens[i] === id) ? read.length : 0;
  }

  async forget(): Promise<void> {
    this.read = [];
    this.past = undefined;
  }

  async scores(tokens: readonly number[]): Promise<Float32Array> {
    const { run, row: rowOf } = this.model;
    const names = run.sessions.model.inputNames;
    const from = this.known(tokens);
    if (from === 0) await this.forget();
    const fresh = tokens.slice(from);
    const past = this.past;
    // Told even where it fails: what was read by then is not known.
    await this.forget();
    const out = await run({
      input_ids: rowOf(fresh),
      attention_mask: rowOf(tokens.map(() => 1)),
      ...(names.includes('position_ids') ? { position_ids: rowOf(fresh.map((_, i) => from + i)) } : {}),
      ...(past === undefined ? {} : { past_key_values: past }),
    });
    const { logits } = out;
    if (logits === undefined) throw new InkstoneError('logits_invalid', 'the ONNX model gave no scores');
    if (names.some((name) => name.startsWith('past_key_values'))) {
      this.read = [...tokens];
      this.past = Object.fromEntries(
        Object.entries(out)
          .filter(([name]) => name.startsWith('present'))
          .map(([name, value]) => [name.replace('present', 'past_key_values'), value]),
      );
    }
    const width = logits.dims.at(-1) as number;
    this.row.fill(Number.NEGATIVE_INFINITY);
    const all = floats(logits);
    this.row.set(all.subarray(all.length - Math.min(width, all.length)).subarray(0, this.row.length));
    // A new turn of the loop: many sequences share this thread with those who cancel.
    await new Promise((resolve) => setImmediate(resolve));
    return this.row;
  }
}
