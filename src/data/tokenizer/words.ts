/**
 * Words as tokens, for Chinese above all: a dictionary and a hidden Markov model cut the text (jieba), the most frequent
 * words have ids of their own, and a word that has none is written in its characters. Text is kept exactly.
 */
import { createRequire } from 'node:module';
import { InkstoneError } from '../../base/errors.ts';
import { CharacterTokenizer } from './characters.ts';
import { keepFrequent, MOST_WORDS } from './frequent.ts';
import { decodeAll, type Tokenizer } from './tokenizer.ts';

export const WORDS_TYPE = 'InkstoneWords';

interface Cutter {
  cut(text: string, hmm: boolean): string[];
}
let cutter: Cutter | undefined;

/** Loaded when first needed: its dictionary takes 5 MB and a tenth of a second. */
function loadCutter(): Cutter {
  if (cutter !== undefined) return cutter;
  const require = createRequire(import.meta.url);
  const { Jieba } = require('@node-rs/jieba') as { Jieba: { withDict(dict: Uint8Array): Cutter } };
  const { dict } = require('@node-rs/jieba/dict') as { dict: Uint8Array };
  cutter = Jieba.withDict(dict);
  return cutter;
}

/** All of the text, cut into words and what stands between them. */
export const cutWords = (text: string): string[] => (text === '' ? [] : loadCutter().cut(text, true));

/** Counts words and characters as text arrives. */
export class WordsCounter {
  readonly words = new Map<string, number>();
  readonly characters = new Set<string>();

  add(text: string): void {
    for (const word of cutWords(text)) this.words.set(word, (this.words.get(word) ?? 0) + 1);
    for (const character of text) this.characters.add(character);
    keepFrequent(this.words, MOST_WORDS);
  }
}

export class WordsTokenizer implements Tokenizer {
  readonly kind = 'words';
  readonly endOfText = undefined;
  readonly vocabularySize: number;
  private readonly tokens: readonly string[];
  private readonly ids: ReadonlyMap<string, number>;
  private readonly characters: CharacterTokenizer;
  private readonly utf8: readonly Uint8Array[];

  /** @param tokens in the order of their ids; single characters first, whole words after them */
  constructor(tokens: readonly string[]) {
    this.tokens = tokens;
    this.vocabularySize = tokens.length;
    this.ids = new Map(tokens.map((token, id) => [token, id]));
    const single = tokens.findIndex((token) => [...token].length !== 1);
    this.characters = new CharacterTokenizer(single < 0 ? tokens : tokens.slice(0, single));
    const encoder = new TextEncoder();
    this.utf8 = tokens.map((token) => encoder.encode(token));
  }

  /**
   * All characters that were seen, then the words that came most often; ties go to the one that sorts first.
   * @param size tokens in all @throws InkstoneError `vocabulary_small`
   */
  static train({ words, characters }: WordsCounter, size: number): WordsTokenizer {
    const single = [...characters].sort(
      (a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number),
    );
    if (!Number.isInteger(size) || size < single.length)
      throw new InkstoneError(
        'vocabulary_small',
        `the text has ${single.length} different characters, more than a vocabulary of ${size} holds`,
        { kind: 'usage', hint: 'every character needs a token, for words that have none; or take bpe' },
      );
    const frequent = [...words]
      .filter(([word, count]) => count > 1 && [...word].length > 1)
      .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
      .slice(0, size - single.length)
      .map(([word]) => word);
    return new WordsTokenizer([...single, ...frequent]);
  }

  encode(text: string, options: { unknown?: 'error' | 'skip' } = {}): number[] {
    const result: number[] = [];
    for (const word of cutWords(text)) {
      const id = this.ids.get(word);
      if (id !== undefined) result.push(id);
      else result.push(...this.characters.encode(word, options));
    }
    return result;
  }

  decode(ids: Iterable<number>): string {
    return decodeAll(this, ids);
  }

  bytes(id: number): Uint8Array {
    return this.utf8[id] ?? new Uint8Array(0);
  }

  /** A form of our own: no other tokenizer cuts by a dictionary and falls back to characters. */
  toJson(): string {
    const vocab = Object.fromEntries(this.tokens.map((token, id) => [token, id]));
    return JSON.stringify({ version: '1.0', added_tokens: [], model: { type: WORDS_TYPE, vocab } }, null, 1);
  }
}
