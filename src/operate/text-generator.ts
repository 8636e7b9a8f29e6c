/**
 * A text model ready to answer: tokenizer and decoder together turn requests into text events. Knows stop
 * strings, UTF-8 and log-probabilities; knows neither HTTP nor processes.
 */
import type {
  BeamSettings,
  Generator,
  SamplingSettings,
  TextEvent,
  TextRequest,
} from '../base/contracts/generator.ts';
import { InkstoneError } from '../base/errors.ts';
import type { TextCodec } from '../data/tokenizer/tokenizer.ts';
import {
  Constraints,
  createDecoder,
  type DecodeRequest,
  type DecodeResult,
  type DecoderOptions,
  type TokenConstraint,
  type TokenDecoder,
} from '../generate/index.ts';
import { loadTextModel } from '../models/text/load.ts';
import { servedText } from '../models/text/serving.ts';
import type { WeightFormat } from '../nn/quantise.ts';
import type { Backend } from '../runtime/contract.ts';
import { StopFinder } from './stop-finder.ts';
import { TextStream, wholeText } from './text-stream.ts';

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
    const model = {
      backend,
      ...servedText(config, weights, format),
      ...(endOfText === undefined ? {} : { endOfText }),
    };
    return new TextGenerator(tokenizer, await createDecoder(model, options));
  }

  status(): ReturnType<TokenDecoder['status']> {
    return this.decoder.status();
  }

  /** @throws InkstoneError `character_unknown`, so that a prompt is refused before its answer begins */
  countTokens(text: string): number {
    return this.tokenizer.encode(text).length;
  }

  /**
   * `start`, deltas, `end`. An empty prompt begins a new document (or line, where the model has no such token).
   * @throws InkstoneError `character_unknown`, `sampling_invalid`, `token_invalid`, `beams_invalid`; for a constraint
   *   `schema_invalid`, `schema_unsupported`, `schema_unsatisfiable`, `constraint_unwritable`
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
    const common = { ...sampling, tenant: request.tenant, tokens, signal: own.signal };
    if (sampling.beams !== undefined) {
      try {
        yield* this.search(common, sampling, constraint);
      } finally {
        own.abort();
        signal?.removeEventListener('abort', abort);
      }
      return;
    }
    const text = new TextStream(this.tokenizer, new StopFinder(sampling.stop));
    const work = this.decoder
      .submit({
        ...{ ...common, beams: undefined },
        processors: constraint === undefined ? [] : [(logits) => constraint.process(logits)],
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

  /** The best text of a beam search as one delta, the others with the end. */
  private async *search(
    request: Omit<DecodeRequest, 'beams'>,
    { beams, stop, logprobs }: SamplingSettings,
    held: TokenConstraint | undefined,
  ): AsyncGenerator<TextEvent> {
    const { tokenizer } = this;
    const ends = (answer: readonly number[]): boolean => {
      const text = tokenizer.decode(answer);
      return stop.some((one) => text.includes(one));
    };
    const { reason, texts = [] } = await this.decoder.submit({
      ...request,
      beams: { ...(beams as BeamSettings), held, ...(stop.length === 0 ? {} : { ends }) },
    });
    const [best, ...others] = texts.map((one) => ({
      ...wholeText(tokenizer, one, stop, logprobs !== undefined),
      ...{ reason: one.reason, completionTokens: one.tokens.length, score: one.score },
    }));
    if (best === undefined) return yield { type: 'end', reason, completionTokens: 0 };
    yield { type: 'delta', text: best.text, tokens: best.tokens };
    yield {
      ...{ type: 'end', reason: best.reason, completionTokens: best.completionTokens, score: best.score },
      others,
    };
  }

  close(): Promise<void> {
    return this.decoder.close();
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
