/**
 * A text model as tasks use it: how likely a continuation is, and what the model writes by itself. Knows tokens and
 * text; knows no prompts and no metrics.
 */
import { InkstoneError } from '../base/errors.ts';
import { type HostTensor, tensor } from '../base/tensor.ts';
import { StreamDecoder, type Tokenizer } from '../data/tokenizer/tokenizer.ts';
import { createDecoder, type Decoder } from '../generate/index.ts';
import { decodingOf, textScores } from '../models/text/architectures.ts';
import type { TextModel } from '../models/text/load.ts';
import type { Backend, Executable } from '../runtime/contract.ts';

export interface Continuation {
  context: string;
  continuation: string;
}

export interface ContinuationScore {
  /** −log p of the whole continuation. */
  nats: number;
  /** Tokens of the continuation. */
  tokens: number;
  /** Every token of it was the likeliest: greedy decoding would have written it. */
  best: boolean;
}

export interface WriteOptions {
  maxTokens: number;
  /** The text ends before the first of these. */
  stop?: readonly string[];
  /** 0, the default, takes the likeliest token. */
  temperature?: number;
  seed?: number;
  signal?: AbortSignal;
}

/** Tokens that one run of the network reads. */
const TOKENS_PER_RUN = 4096;
/** Sequences that are written side by side. */
const WRITERS = 8;

export class LanguageModel {
  readonly name: string;
  readonly model: TextModel;
  private readonly backend: Backend;
  private readonly tokenizer: Tokenizer;
  private scorer: Promise<Executable> | undefined;
  private decoder: Promise<Decoder> | undefined;

  constructor(name: string, model: TextModel, backend: Backend) {
    this.name = name;
    this.model = model;
    this.backend = backend;
    this.tokenizer = model.tokenizer;
  }

  /** What stands before a text that has nothing before it. */
  private get start(): number {
    return this.tokenizer.endOfText ?? this.tokenizer.encode('\n', { unknown: 'skip' })[0] ?? 0;
  }

  /**
   * Ids that are read and how many of the last of them the continuation has. A long context keeps its end.
   * @throws InkstoneError `continuation_empty`, `continuation_too_long`, `character_unknown`
   */
  encode({ context, continuation }: Continuation): { ids: number[]; count: number } {
    // White space at the end of a context belongs to the next token in most vocabularies.
    const bare = context.trimEnd();
    const before = bare === '' ? [] : this.tokenizer.encode(bare);
    const all = this.tokenizer.encode(bare + context.slice(bare.length) + continuation);
    const count = all.length - before.length;
    if (continuation === '' || count <= 0)
      throw new InkstoneError('continuation_empty', 'a continuation has no tokens of its own', {
        kind: 'data',
        hint: 'give each choice and answer a text',
      });
    const { context: longest } = this.model.config;
    if (count > longest)
      throw new InkstoneError(
        'continuation_too_long',
        `a continuation has ${count} tokens, the model sees ${longest}`,
        { kind: 'data', hint: 'give shorter answers' },
      );
    return { ids: [this.start, ...all].slice(before.length === 0 ? 0 : 1).slice(-(longest + 1)), count };
  }

  /** In the order given; texts of like length are read together. */
  async score(asked: readonly Continuation[], signal?: AbortSignal): Promise<ContinuationScore[]> {
    const encoded = asked.map((one) => this.encode(one));
    const order = encoded.map((_, i) => i);
    order.sort((a, b) => (encoded[b]?.ids.length as number) - (encoded[a]?.ids.length as number) || a - b);
    const results = new Array<ContinuationScore>(asked.length);
    this.scorer ??= this.backend.compile(textScores(this.model.config), { constants: this.model.weights });
    const scorer = await this.scorer;
    for (let first = 0; first < order.length; ) {
      signal?.throwIfAborted();
      const time = (encoded[order[first] as number]?.ids.length as number) - 1;
      const rows = order.slice(first, first + Math.max(1, Math.floor(TOKENS_PER_RUN / time)));
      first += rows.length;
      const tokens = new Int32Array(rows.length * time);
      const targets = new Int32Array(rows.length * time);
      rows.forEach((index, row) => {
        const { ids } = encoded[index] as { ids: number[] };
        tokens.set(ids.slice(0, -1), row * time);
        targets.set(ids.slice(1), row * time);
      });
      const shape = [rows.length, time];
      const out = await scorer.run({
        inputs: { tokens: tensor('i32', shape, tokens), targets: tensor('i32', shape, targets) },
      });
      const [nats, best] = [out.nats as HostTensor<'f32'>, out.best as HostTensor<'f32'>];
      rows.forEach((index, row) => {
        const { ids, count } = encoded[index] as { ids: number[]; count: number };
        const end = row * time + ids.length - 1;
        const score: ContinuationScore = { nats: 0, tokens: count, best: true };
        for (let i = end - count; i < end; i++) {
          score.nats += nats.data[i] as number;
          score.best &&= best.data[i] === 1;
        }
        results[index] = score;
      });
    }
    return results;
  }

  /** What the model writes after each prompt. @throws InkstoneError `character_unknown` */
  async write(prompts: readonly string[], options: WriteOptions): Promise<string[]> {
    const { endOfText } = this.tokenizer;
    this.decoder ??= createDecoder(
      {
        backend: this.backend,
        ...decodingOf(this.model.config),
        parameters: this.model.weights,
        ...(endOfText === undefined ? {} : { endOfText }),
      },
      { maxBatch: WRITERS },
    );
    const decoder = await this.decoder;
    const texts = await Promise.all(
      prompts.map(async (prompt) => {
        const ids = this.tokenizer.encode(prompt);
        const stream = new StreamDecoder(this.tokenizer);
        let text = '';
        let end = -1;
        await decoder.submit({
          tokens: ids.length > 0 ? ids : [this.start],
          maxTokens: options.maxTokens,
          ...{ temperature: options.temperature ?? 0, topK: 0, topP: 1, seed: options.seed ?? 1 },
          signal: options.signal,
          onToken: ({ id }) => {
            text += stream.push(id);
            end = firstOf(text, options.stop ?? []);
            return end < 0;
          },
        });
        text += stream.end();
        end = firstOf(text, options.stop ?? []);
        return end < 0 ? text : text.slice(0, end);
      }),
    );
    options.signal?.throwIfAborted();
    return texts;
  }

  async close(): Promise<void> {
    await (await this.scorer)?.free();
    await (await this.decoder)?.close();
  }
}

/** Where the first of some texts begins; −1 where none is. */
function firstOf(text: string, stops: readonly string[]): number {
  const places = stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
  return places.length === 0 ? -1 : Math.min(...places);
}
