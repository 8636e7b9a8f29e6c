/**
 * A text model ready to answer: tokenizer and decoder together turn requests into text events. Knows stop
 * strings, UTF-8 and log-probabilities; knows neither HTTP nor processes.
 */
import type {
  Generator,
  TextEvent,
  TextRequest,
  TextToken,
  TokenProbability,
} from '../base/contracts/generator.ts';
import { InkstoneError } from '../base/errors.ts';
import { StreamDecoder, type TextCodec } from '../data/tokenizer/tokenizer.ts';
import {
  Constraints,
  createDecoder,
  type DecodedToken,
  type DecodeResult,
  type DecoderOptions,
  type TokenDecoder,
  type TokenLogprob,
} from '../generate/index.ts';
import { decodingOf, textParameters } from '../models/text/architectures.ts';
import { loadTextModel } from '../models/text/load.ts';
import { type WeightFormat, withWeights } from '../nn/quantise.ts';
import type { Backend } from '../runtime/contract.ts';
import { StopFinder } from './stop-finder.ts';

export interface TextGeneratorOptions
  extends Pick<DecoderOptions, 'maxBatch' | 'cacheBytes' | 'prefixBytes'> {
  /** How the weights are kept; default `float32`. */
  weights?: WeightFormat;
}

export class TextGenerator implements Generator<TextRequest, TextEvent> {
  private readonly tokenizer: TextCodec;
  private readonly decoder: TokenDecoder;
  private readonly constraints: Constraints;

  /** Any engine's tokenizer and decoder; `open` has our own. */
  constructor(tokenizer: TextCodec, decoder: TokenDecoder) {
    this.tokenizer = tokenizer;
    this.decoder = decoder;
    this.constraints = new Constraints({
      size: tokenizer.vocabularySize,
      bytesOf: (id) => tokenizer.bytes(id),
      endOfText: tokenizer.endOfText,
    });
  }

  /** @throws InkstoneError from loading and compiling */
  static async open(
    folder: string,
    backend: Backend,
    { weights: format = 'float32', ...options }: TextGeneratorOptions = {},
  ): Promise<TextGenerator> {
    const { weights, tokenizer, config } = await loadTextModel(folder);
    const endOfText = tokenizer.endOfText;
    const { prefill, step, chunk, ...decoding } = decodingOf(config);
    const kept = withWeights({ prefill, step, chunk }, weights, textParameters(config), format);
    const model = {
      backend,
      ...decoding,
      ...kept.programs,
      parameters: kept.parameters,
      ...(endOfText === undefined ? {} : { endOfText }),
    };
    return new TextGenerator(tokenizer, await createDecoder(model, options));
  }

  status(): { running: number; waiting: number } {
    return this.decoder.status();
  }

  /** @throws InkstoneError `character_unknown`, so that a prompt is refused before its answer begins */
  countTokens(text: string): number {
    return this.tokenizer.encode(text).length;
  }

  /**
   * `start`, deltas, `end`. An empty prompt begins a new document (or line, where the model has no such token).
   * @throws InkstoneError `character_unknown`, `sampling_invalid`, `token_invalid`; for a constraint `schema_invalid`,
   *   `schema_unsupported`, `schema_unsatisfiable`, `constraint_unwritable`
   */
  async *generate(request: TextRequest, signal?: AbortSignal): AsyncGenerator<TextEvent> {
    const { sampling } = request;
    const given = this.tokenizer.encode(request.prompt);
    // What its makers put before a text; a chat template may have written it already.
    const { prefix = [] } = this.tokenizer;
    const begun = prefix.length === 0 || given[0] === prefix[0];
    const tokens =
      given.length > 0 || !begun
        ? [...(begun ? [] : prefix), ...given]
        : [this.tokenizer.endOfText ?? this.tokenizer.encode('\n', { unknown: 'skip' })[0] ?? 0];
    const constraint =
      sampling.constraint === undefined
        ? undefined
        : this.constraints.open(sampling.constraint, sampling.maxTokens);
    yield { type: 'start', promptTokens: given.length };

    const events = new EventQueue();
    const own = new AbortController();
    const abort = (): void => own.abort();
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted === true) own.abort();
    const text = new TextStream(this.tokenizer, new StopFinder(sampling.stop));
    const work = this.decoder
      .submit({
        ...sampling,
        tenant: request.tenant,
        tokens,
        processors: constraint === undefined ? [] : [(logits) => constraint.process(logits)],
        signal: own.signal,
        onToken: (token) => {
          constraint?.push(token.id);
          const { event, goOn } = text.push(token, sampling.logprobs !== undefined);
          if (event !== undefined) events.push(event);
          return goOn && constraint?.complete !== true;
        },
      })
      .then(
        (result) => events.end(result),
        (thrown: unknown) => events.fail(thrown),
      );
    try {
      for await (const event of events) yield event;
      await work;
      const result = events.result as DecodeResult;
      const rest = text.end();
      if (rest !== undefined) yield rest;
      yield { type: 'end', reason: result.reason, completionTokens: result.tokens.length };
    } finally {
      // A reader that leaves early frees its slot at the next step.
      own.abort();
      signal?.removeEventListener('abort', abort);
    }
  }

  close(): Promise<void> {
    return this.decoder.close();
  }
}

/** Ids to text and reported tokens; stops before a stop string, holding back what may become one. */
class TextStream {
  private readonly tokenizer: TextCodec;
  private readonly decoder: StreamDecoder;
  private readonly stops: StopFinder;
  private pending: TextToken[] = [];

  constructor(tokenizer: TextCodec, stops: StopFinder) {
    this.tokenizer = tokenizer;
    this.decoder = new StreamDecoder(tokenizer);
    this.stops = stops;
  }

  push(token: DecodedToken, report: boolean): { event: TextEvent | undefined; goOn: boolean } {
    if (report) this.pending.push({ ...this.describe(token), top: token.top.map((t) => this.describe(t)) });
    const { text, stopped } = this.stops.push(this.decoder.push(token.id));
    if (stopped) this.dropAfter(text);
    return { event: this.flush(text, stopped), goOn: !stopped };
  }

  /** The tokens of a stop string are no part of the answer; those of the text before it are. */
  private dropAfter(text: string): void {
    let left = Buffer.byteLength(text);
    const all = this.pending;
    this.pending = all.filter(({ bytes }) => {
      const within = left > 0;
      left -= bytes.length;
      return within;
    });
  }

  private flush(text: string, last: boolean): TextEvent | undefined {
    if (text === '' && (!last || this.pending.length === 0)) return undefined;
    const tokens = this.pending;
    this.pending = [];
    return { type: 'delta', text, tokens };
  }

  end(): TextEvent | undefined {
    const text = this.stops.stopped ? '' : this.stops.end(this.decoder.end());
    return text === '' && this.pending.length === 0
      ? undefined
      : { type: 'delta', text, tokens: this.pending };
  }

  private describe({ id, logprob }: TokenLogprob): TokenProbability {
    const bytes = [...this.tokenizer.bytes(id)];
    return { token: this.tokenizer.decode([id]), bytes, logprob };
  }
}

/** Pushed from the decoder, pulled by the reader. */
class EventQueue implements AsyncIterable<TextEvent> {
  result: DecodeResult | undefined;
  private readonly items: TextEvent[] = [];
  private failure: unknown;
  private done = false;
  private wake: (() => void) | undefined;

  push(event: TextEvent): void {
    this.items.push(event);
    this.wake?.();
  }

  end(result: DecodeResult): void {
    this.result = result;
    this.done = true;
    this.wake?.();
  }

  fail(thrown: unknown): void {
    this.failure = InkstoneError.from(thrown, 'generation_failed');
    this.done = true;
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TextEvent> {
    for (;;) {
      while (this.items.length > 0) yield this.items.shift() as TextEvent;
      if (this.failure !== undefined) throw this.failure;
      if (this.done) return;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
  }
}
