/**
 * Decodes with somebody else's engine: it gives scores, and everything else (cuts, penalties, bias, constraints, seeds,
 * log-probabilities, cancelling) is done here, as for our own models. Sequences run side by side as far as the engine has
 * places. Sees tokens and numbers, no text.
 */
import { following } from '../base/abort.ts';
import { InkstoneError } from '../base/errors.ts';
import { adjusting, checkAdjustments } from './adjustments.ts';
import type { DecodeRequest, DecodeResult, Decoder, DecoderStatus } from './decoder.ts';
import { checkSampling, type LogitsProcessor, logprobsOf, Sampler } from './sampler.ts';

/** What text is written with: our decoder, or another engine behind `LogitsDecoder`. */
export type TokenDecoder = Pick<Decoder, 'submit' | 'close'> & {
  status(): { running: number; waiting: number } & Partial<DecoderStatus>;
};

/** One place for a sequence in an engine. */
export interface LogitsPlace {
  /** How many of these tokens, from the first, it has read already and would keep. */
  known(tokens: readonly number[]): number;
  /** Keeps nothing of what it has read. */
  forget(): Promise<void>;
  /**
   * Scores after these tokens, `[vocabulary]`; the array may be used again at the next call.
   * @param tokens the whole sequence, at most the context long
   * @param likeliest only this many of the highest scores are needed; the others may be −∞
   */
  scores(tokens: readonly number[], likeliest: number, signal: AbortSignal): Promise<Float32Array>;
}

export interface LogitsEngine {
  vocabulary: number;
  context: number;
  /** Tokens that end a text. */
  ends: ReadonlySet<number>;
  places: readonly LogitsPlace[];
  close(): Promise<void>;
}

interface Waiting {
  request: DecodeRequest;
  enter(place: LogitsPlace | undefined): void;
}

export class LogitsDecoder implements TokenDecoder {
  private readonly engine: LogitsEngine;
  private readonly sampler = new Sampler();
  private readonly free: LogitsPlace[];
  /** Whose tokens a place has read last: what one tenant asked is not to be felt in another's waiting. */
  private readonly tenants = new Map<LogitsPlace, string | undefined>();
  private readonly waiting: Waiting[] = [];
  private readonly running = new Set<Promise<unknown>>();
  private readonly closing = new AbortController();

  constructor(engine: LogitsEngine) {
    this.engine = engine;
    this.free = [...engine.places];
  }

  status(): { running: number; waiting: number } {
    return { running: this.engine.places.length - this.free.length, waiting: this.waiting.length };
  }

  /**
   * Resolves when the sequence ends. As our own decoder: a prompt longer than the context keeps its last tokens; a
   * sequence that fills the context goes on from its last half.
   * @throws InkstoneError `prompt_empty`, `token_invalid`, `sampling_invalid`, `beams_unsupported`, `logits_invalid`
   */
  submit(request: DecodeRequest): Promise<DecodeResult> {
    const { vocabulary } = this.engine;
    if (this.closing.signal.aborted) throw new InkstoneError('decoder_closed', 'this model was unloaded');
    checkSampling(request);
    if (request.beams !== undefined)
      throw new InkstoneError('beams_unsupported', 'this engine has no beam search', {
        kind: 'unsupported',
        hint: 'sample, or use a model that Inkstone runs itself',
      });
    checkAdjustments(request, vocabulary);
    if (request.tokens.length === 0)
      throw new InkstoneError('prompt_empty', 'the prompt has no tokens', {
        kind: 'usage',
        hint: 'give at least one token to go on from',
      });
    const wrong = request.tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
    if (wrong !== undefined)
      throw new InkstoneError('token_invalid', `${wrong} is no token of this model`, {
        kind: 'usage',
        hint: `ids go from 0 to ${vocabulary - 1}`,
      });
    if (request.maxTokens <= 0) return Promise.resolve({ reason: 'length', tokens: [] });
    const work = this.run(request);
    this.running.add(work);
    const forget = (): boolean => this.running.delete(work);
    work.then(forget, forget);
    return work;
  }

  private async run(request: DecodeRequest): Promise<DecodeResult> {
    const { signal, release } = following(this.closing.signal, request.signal);
    try {
      const place = await this.enter(request, signal);
      if (place === undefined) return { reason: 'cancelled', tokens: [] };
      return await this.write(request, place, signal).finally(() => this.leave(place));
    } catch (thrown) {
      if (signal.aborted) return { reason: 'cancelled', tokens: [] };
      throw thrown;
    } finally {
      release();
    }
  }

  /** The free place that knows most of the prompt; undefined where it was cancelled before its turn. */
  private enter(request: DecodeRequest, signal: AbortSignal): Promise<LogitsPlace | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    if (this.free.length > 0) return Promise.resolve(this.take(request));
    return new Promise((resolve) => {
      const cancel = (): void => {
        this.waiting.splice(this.waiting.indexOf(waiting), 1);
        resolve(undefined);
      };
      const waiting: Waiting = {
        request,
        enter: (place) => {
          signal.removeEventListener('abort', cancel);
          resolve(place);
        },
      };
      this.waiting.push(waiting);
      signal.addEventListener('abort', cancel, { once: true });
    });
  }

  private take({ tokens, tenant }: DecodeRequest): LogitsPlace {
    let best = 0;
    let most = -1;
    this.free.forEach((place, i) => {
      const known = this.tenants.get(place) === tenant ? place.known(tokens) : 0;
      if (known > most) [best, most] = [i, known];
    });
    return this.free.splice(best, 1)[0] as LogitsPlace;
  }

  private leave(place: LogitsPlace): void {
    this.free.push(place);
    const next = this.waiting.shift();
    next?.enter(this.take(next.request));
  }

  private async write(
    request: DecodeRequest,
    place: LogitsPlace,
    signal: AbortSignal,
  ): Promise<DecodeResult> {
    const { context, ends } = this.engine;
    const own = adjusting(request, request.tokens.length);
    const processors: LogitsProcessor[] = [
      ...(own === undefined ? [] : [own]),
      ...(request.processors ?? []),
    ];
    const likeliest = needed(request, processors.length > 0);
    const tokens = [...request.tokens];
    const answer: number[] = [];
    let window = tokens.slice(-context);
    if (this.tenants.has(place) && this.tenants.get(place) !== request.tenant) await place.forget();
    this.tenants.set(place, request.tenant);
    for (;;) {
      if (signal.aborted) return { reason: 'cancelled', tokens: answer };
      // A sequence that fills the context goes on from its last half.
      if (window.length > context) window = window.slice(-Math.max(1, Math.floor(context / 2)));
      const given = await place.scores(window, likeliest, signal);
      if (signal.aborted) return { reason: 'cancelled', tokens: answer };
      let used = given;
      if (processors.length > 0) {
        used = given.slice();
        for (const process of processors) process(used, tokens);
      }
      const id = this.sampler.sample(used, request, tokens.length);
      if (ends.has(id)) return { reason: 'stop', tokens: answer };
      const report =
        request.logprobs === undefined
          ? { logprob: Number.NaN, top: [] }
          : logprobsOf(given, id, request.logprobs);
      for (const list of [tokens, answer, window]) list.push(id);
      if (!(request.onToken?.({ id, ...report }) ?? true)) return { reason: 'stop', tokens: answer };
      if (answer.length >= request.maxTokens) return { reason: 'length', tokens: answer };
    }
  }

  /** Ends what runs (as cancelled) and frees the engine. */
  async close(): Promise<void> {
    if (this.closing.signal.aborted) return;
    this.closing.abort();
    await Promise.allSettled(this.running);
    await this.engine.close();
  }
}

/** How many of the highest scores decide the next token. */
function needed({ temperature, topK, logprobs }: DecodeRequest, changed: boolean): number {
  if (changed || logprobs !== undefined) return Number.POSITIVE_INFINITY;
  if (temperature === 0) return 1;
  return topK > 0 ? topK : Number.POSITIVE_INFINITY;
}
