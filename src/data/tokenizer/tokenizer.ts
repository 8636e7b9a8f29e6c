/** What a tokenizer is, and how ids become text piece by piece. Knows no vocabulary. */

export interface Tokenizer {
  readonly kind: 'characters' | 'words' | 'bpe' | 'wordpiece' | 'unigram';
  readonly vocabularySize: number;
  /** Ends a document; undefined where the vocabulary has no such token. */
  readonly endOfText: number | undefined;
  /** Tokens that its makers put before and after a text; none where left out. */
  readonly prefix?: readonly number[];
  readonly suffix?: readonly number[];
  /**
   * @param options `unknown` for characters that the vocabulary lacks: `error` (default) or `skip`
   * @throws InkstoneError `character_unknown`
   */
  encode(text: string, options?: { unknown?: 'error' | 'skip' }): number[];
  /** Incomplete characters become U+FFFD. */
  decode(ids: Iterable<number>): string;
  /** UTF-8; part of a character for some tokens. Empty for the end of text. */
  bytes(id: number): Uint8Array;
  /** The whole tokenizer as a Hugging Face `tokenizer.json`. */
  toJson(): string;
}

/** What writing a text needs of a tokenizer, whoever made it. */
export type TextCodec = Pick<
  Tokenizer,
  'vocabularySize' | 'endOfText' | 'prefix' | 'encode' | 'decode' | 'bytes'
>;

/** Turns a stream of ids into text; holds back bytes that do not make a character yet. */
export class StreamDecoder {
  private readonly tokenizer: Pick<Tokenizer, 'bytes'>;
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(tokenizer: Pick<Tokenizer, 'bytes'>) {
    this.tokenizer = tokenizer;
  }

  push(id: number): string {
    return this.decoder.decode(this.tokenizer.bytes(id), { stream: true });
  }

  /** What was held back. */
  end(): string {
    return this.decoder.decode();
  }
}

export function decodeAll(tokenizer: Tokenizer, ids: Iterable<number>): string {
  const stream = new StreamDecoder(tokenizer);
  let text = '';
  for (const id of ids) text += stream.push(id);
  return text + stream.end();
}
