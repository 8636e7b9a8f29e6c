/** From tokens to text as it is reported: characters whole, stop strings cut off. Knows no decoder. */
import type { TextEvent, TextToken, TokenProbability } from '../base/contracts/generator.ts';
import { StreamDecoder, type TextCodec } from '../data/tokenizer/tokenizer.ts';
import type { BeamText, DecodedToken, TokenLogprob } from '../generate/index.ts';
import { StopFinder } from './stop-finder.ts';

export type TextDelta = Extract<TextEvent, { type: 'delta' }>;

/** Ids to text and reported tokens; stops before a stop string, holding back what may become one. */
export class TextStream {
  private readonly tokenizer: TextCodec;
  private readonly decoder: StreamDecoder;
  private readonly stops: StopFinder;
  private pending: TextToken[] = [];

  constructor(tokenizer: TextCodec, stops: StopFinder) {
    this.tokenizer = tokenizer;
    this.decoder = new StreamDecoder(tokenizer);
    this.stops = stops;
  }

  push(token: DecodedToken, report: boolean): { event: TextDelta | undefined; goOn: boolean } {
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

  private flush(text: string, last: boolean): TextDelta | undefined {
    if (text === '' && (!last || this.pending.length === 0)) return undefined;
    const tokens = this.pending;
    this.pending = [];
    return { type: 'delta', text, tokens };
  }

  end(): TextDelta | undefined {
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

/** A text that is there as a whole. */
export function wholeText(
  tokenizer: TextCodec,
  { tokens }: BeamText,
  stop: readonly string[],
  report: boolean,
): { text: string; tokens: TextToken[] } {
  const stream = new TextStream(tokenizer, new StopFinder(stop));
  const deltas = tokens.map((token) => stream.push(token, report).event);
  deltas.push(stream.end());
  const made = deltas.filter((delta) => delta !== undefined);
  return { text: made.map(({ text }) => text).join(''), tokens: made.flatMap((delta) => [...delta.tokens]) };
}
