/** One token a character (Unicode code point); the vocabulary is what the data has, in order. */
import { InkstoneError } from '../../base/errors.ts';
import { decodeAll, type Tokenizer } from './tokenizer.ts';

export class CharacterTokenizer implements Tokenizer {
  readonly kind = 'characters';
  readonly endOfText = undefined;
  readonly vocabularySize: number;
  private readonly characters: readonly string[];
  private readonly ids: ReadonlyMap<string, number>;
  private readonly utf8: readonly Uint8Array[];

  /** @param characters in the order of their ids */
  constructor(characters: readonly string[]) {
    this.characters = characters;
    this.vocabularySize = characters.length;
    this.ids = new Map(characters.map((c, i) => [c, i]));
    const encoder = new TextEncoder();
    this.utf8 = characters.map((c) => encoder.encode(c));
  }

  /** The distinct characters of a text, sorted by code point. */
  static fromCharacters(seen: Iterable<string>): CharacterTokenizer {
    return new CharacterTokenizer(
      [...new Set(seen)].sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number)),
    );
  }

  encode(text: string, { unknown = 'error' }: { unknown?: 'error' | 'skip' } = {}): number[] {
    const result: number[] = [];
    for (const character of text) {
      const id = this.ids.get(character);
      if (id !== undefined) result.push(id);
      else if (unknown === 'error') {
        throw new InkstoneError(
          'character_unknown',
          `the model does not know the character ${JSON.stringify(character)} (U+${(character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0')})`,
          {
            kind: 'usage',
            hint: 'this model reads only the characters it was trained on; leave the others out, or use a model with byte-level tokens',
            details: { character },
          },
        );
      }
    }
    return result;
  }

  decode(ids: Iterable<number>): string {
    return decodeAll(this, ids);
  }

  bytes(id: number): Uint8Array {
    return this.utf8[id] ?? new Uint8Array(0);
  }

  /** BPE without merges: Hugging Face's tokenizers read it and give the same ids. */
  toJson(): string {
    const vocab = Object.fromEntries(this.characters.map((c, i) => [c, i]));
    // A record would put '0'…'9' first, whatever their ids; the ids are values, so the order does not matter.
    return JSON.stringify(
      {
        version: '1.0',
        truncation: null,
        padding: null,
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: { type: 'Fuse' },
        model: {
          type: 'BPE',
          dropout: null,
          unk_token: null,
          continuing_subword_prefix: null,
          end_of_word_suffix: null,
          fuse_unk: false,
          byte_fallback: false,
          ignore_merges: false,
          vocab,
          merges: [],
        },
      },
      null,
      1,
    );
  }
}
