/**
 * A GGUF model in llama.cpp: places for sequences that it computes together, each keeping what it has read, and vectors
 * of texts. Knows tokens and scores; sampling is ours.
 */
import type { Embedder, EmbeddingRequest, TextEmbedding } from '../../base/contracts/embedder.ts';
import { InkstoneError } from '../../base/errors.ts';
import type { GgufHead } from '../../formats/gguf-read.ts';
import type { LogitsEngine, LogitsPlace } from '../../generate/index.ts';
import { ggufHead, ggufInfo, ggufTokenBytes } from '../../models/text/gguf-info.ts';
import type { InstallOptions } from '../packages/install.ts';
import { type Llama, type LlamaModel, type LlamaSequence, openLlama } from './library.ts';
import { LlamaTokenizer } from './tokenizer.ts';

/** Tokens of a prompt that are read between two looks at whether it was cancelled. */
const PIECE = 512;
/** Bytes of keys and values, where nobody says. */
const CACHE = 2 ** 30;
/** Tokens that an embedding reads at most: llama.cpp wants them in one batch. */
const EMBEDDED = 8192;

export interface LlamaOptions {
  maxBatch?: number;
  threads: number;
  cacheBytes?: number;
  packages?: InstallOptions;
  onProgress?(share: number): void;
}

/** One GGUF file, opened. */
export class LlamaFile {
  readonly tokenizer: LlamaTokenizer;
  private readonly llama: Llama;
  private readonly model: LlamaModel;
  private readonly head: GgufHead;
  private readonly options: LlamaOptions;

  private constructor(llama: Llama, model: LlamaModel, head: GgufHead, options: LlamaOptions) {
    this.llama = llama;
    this.model = model;
    this.head = head;
    this.options = options;
    this.tokenizer = new LlamaTokenizer(model, ggufTokenBytes(head));
  }

  /** @throws InkstoneError `package_unavailable`, `gguf_corrupt`, `model_invalid` */
  static async open(file: string, options: LlamaOptions): Promise<LlamaFile> {
    const head = await ggufHead(file);
    const llama = await openLlama(options.threads, options.packages);
    try {
      const model = await llama.loadModel({
        modelPath: file,
        gpuLayers: 0,
        onLoadProgress: (share) => options.onProgress?.(share),
      });
      return new LlamaFile(llama, model, head, options);
    } catch (cause) {
      const why = llama.complaint() ?? (cause as Error).message;
      await llama.dispose();
      throw new InkstoneError('model_invalid', `llama.cpp does not load ${file}: ${why}`, {
        kind: 'data',
        hint: 'fetch the file again, or one of an architecture that llama.cpp knows',
        cause,
      });
    }
  }

  /** @throws InkstoneError `model_memory` */
  async engine(): Promise<LogitsEngine> {
    const { maxBatch = 8, threads, cacheBytes = CACHE } = this.options;
    const { context: trained } = ggufInfo(this.head);
    const fitting = Math.floor(cacheBytes / maxBatch / cacheBytesPerToken(this.head));
    const contextSize = Math.max(Math.min(trained, fitting), Math.min(trained, 256));
    const batchSize = Math.max(PIECE, maxBatch);
    const context = await this.model
      .createContext({ contextSize, sequences: maxBatch, threads, batchSize })
      .catch((cause: Error) => {
        throw new InkstoneError('model_memory', `no room for ${maxBatch} sequences: ${cause.message}`, {
          kind: 'resource',
          hint: 'lower the sequences at a time or the memory for their keys and values',
          cause,
        });
      });
    const size = this.tokenizer.vocabularySize;
    const places = Array.from({ length: maxBatch }, () => new LlamaPlace(context.getSequence(), size));
    return {
      vocabulary: size,
      context: contextSize,
      ends: this.tokenizer.ends(),
      places,
      close: async () => {
        await context.dispose();
        await this.close();
      },
    };
  }

  async embedder(): Promise<Embedder & { close(): Promise<void> }> {
    const { context: trained } = ggufInfo(this.head);
    const contextSize = Math.min(trained, EMBEDDED);
    const { threads } = this.options;
    const opened = await this.model.createEmbeddingContext({ contextSize, batchSize: contextSize, threads });
    const sequencesOf = (texts: readonly string[]) =>
      texts.map((text) => this.model.tokenize(text === '' ? ' ' : text, false));
    const lengths = async (texts: readonly string[]): Promise<number[]> =>
      sequencesOf(texts).map((ids) => opened.calculateInputLength(ids));
    const embed = async (
      { texts }: EmbeddingRequest,
      signal: AbortSignal | undefined,
    ): Promise<TextEmbedding[]> => {
      const sequences = sequencesOf(texts);
      const read = sequences.map((ids) => opened.calculateInputLength(ids));
      const long = read.findIndex((length) => length >= contextSize);
      if (long >= 0)
        throw new InkstoneError(
          'context_length_exceeded',
          `This model's maximum context length is ${contextSize} tokens. However, input ${long} has ${read[long]} tokens.`,
          { kind: 'usage', hint: 'split it', details: { param: 'input', index: long } },
        );
      const made: TextEmbedding[] = [];
      for (const [i, ids] of sequences.entries()) {
        if (signal?.aborted === true)
          throw new InkstoneError('cancelled', 'cancelled before the last text', { kind: 'conflict' });
        const { vector } = await opened.getEmbeddingFor(ids);
        made.push({ vector: ofLengthOne(vector), tokens: read[i] as number });
      }
      return made;
    };
    return { embed, lengths, close: () => opened.dispose() };
  }

  async close(): Promise<void> {
    await this.model.dispose();
    await this.llama.dispose();
  }
}

function ofLengthOne(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return Float32Array.from(vector, (value) => value / length);
}

/** Keys and values of one token in all layers, in halves. */
function cacheBytesPerToken({ metadata }: GgufHead): number {
  const prefix = `${String(metadata['general.architecture']?.value)}.`;
  const number = (key: string): number | undefined => {
    const value = metadata[prefix + key]?.value;
    // A list says it for each layer; the largest is enough.
    return typeof value === 'number' ? value : Array.isArray(value) ? Math.max(...value) : undefined;
  };
  const layers = number('block_count') ?? 32;
  const heads = number('attention.head_count') ?? 32;
  const keyHeads = number('attention.head_count_kv') ?? heads;
  const dim = number('attention.key_length') ?? (number('embedding_length') ?? 4096) / heads;
  const values = number('attention.value_length') ?? dim;
  return Math.max(1, 2 * layers * keyHeads * (dim + values));
}

class LlamaPlace implements LogitsPlace {
  private readonly sequence: LlamaSequence;
  private readonly row: Float32Array;

  constructor(sequence: LlamaSequence, vocabulary: number) {
    this.sequence = sequence;
    this.row = new Float32Array(vocabulary);
  }

  known(tokens: readonly number[]): number {
    const { contextTokens } = this.sequence;
    let same = 0;
    while (same < tokens.length && contextTokens[same] === tokens[same]) same++;
    return same;
  }

  forget(): Promise<void> {
    return this.sequence.clearHistory();
  }

  async scores(tokens: readonly number[], likeliest: number, signal: AbortSignal): Promise<Float32Array> {
    const { sequence, row } = this;
    const last = tokens.length - 1;
    // The last token is read again even where it is known: its scores are wanted.
    await sequence.adaptStateToTokens(tokens.slice(0, last), false);
    for (let at = sequence.nextTokenIndex; at < last; at += PIECE) {
      if (signal.aborted) return row;
      await sequence.controlledEvaluate(tokens.slice(at, Math.min(last, at + PIECE)));
    }
    const logits = likeliest < row.length ? { filter: { tokens: [] as [], includeTop: likeliest } } : true;
    const [answer] = await sequence.controlledEvaluate([
      [tokens[last] as number, { generateNext: { logits } }],
    ]);
    const given = answer?.next.logits;
    if (given === undefined) throw new InkstoneError('logits_invalid', 'llama.cpp gave no scores');
    row.fill(Number.NEGATIVE_INFINITY);
    for (const [id, value] of given) row[id] = value;
    return row;
  }
}
