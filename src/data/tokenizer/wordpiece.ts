/**
 * WordPiece as BERT has it (Devlin et al. 2019; Wu et al. 2016): lower case without accents, words and punctuation
 * apart, the longest known piece first, `##` before pieces inside a word. Learning counts words and merges the most
 * frequent pair, as Hugging Face's trainer does. Text is not kept exactly: spaces and case are lost.
 */
import { InkstoneError } from '../../base/errors.ts';
import { learnMerges, wordList } from './bpe-train.ts';
import { AddedTokens, addedToken } from './pipeline/added-tokens.ts';
import type { Tokenizer } from './tokenizer.ts';

export const WORDPIECE_SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const;
export const LONGEST_WORD = 100;
const CACHED_WORDS = 50_000;

/** What BERT's normaliser drops, spaces out or splits off. */
const CONTROL = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u;
const CHINESE =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/u;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/u;

/** Most texts are mostly these. */
const ASCII: readonly (string | undefined)[] = Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCharCode(code);
  if (/[A-Za-z0-9]/.test(character)) return 'letter';
  return PUNCTUATION.test(character) ? 'mark' : undefined;
});

/** Words and punctuation marks of a text, lower case and without accents where `lowercase` is set. */
export function basicWords(text: string, lowercase = true): string[] {
  const result: string[] = [];
  const normal = lowercase
    ? text
        // A final sigma is like any other: case is a matter of single characters here.
        .replaceAll('\u03a3', '\u03c3')
        .toLowerCase()
        .normalize('NFD')
        .replace(/\p{Mn}/gu, '')
    : text;
  let word = '';
  const end = (): void => {
    if (word !== '') result.push(word);
    word = '';
  };
  for (const character of normal) {
    const kind = ASCII[character.charCodeAt(0)];
    if (kind === 'letter') word += character;
    else if (kind === 'mark') {
      end();
      result.push(character);
    } else if (/[\t\n\r]/.test(character)) end();
    else if (character === '\0' || character === '\ufffd' || CONTROL.test(character)) continue;
    else if (/\p{White_Space}/u.test(character)) end();
    else if (PUNCTUATION.test(character) || CHINESE.test(character)) {
      end();
      result.push(character);
    } else word += character;
  }
  end();
  return result;
}

/** The parts of a text that are cut apart before pieces are looked for, and where each stands, in UTF-16 units. */
export function wordsWithPlaces(text: string): { word: string; start: number; end: number }[] {
  const found: { word: string; start: number; end: number }[] = [];
  let start = -1;
  const end = (at: number): void => {
    if (start >= 0) found.push({ word: text.slice(start, at), start, end: at });
    start = -1;
  };
  let at = 0;
  for (const character of text) {
    const next = at + character.length;
    if (/\s/u.test(character)) end(at);
    else if (PUNCTUATION.test(character) || CHINESE.test(character)) {
      end(at);
      found.push({ word: character, start: at, end: next });
    } else if (start < 0) start = at;
    at = next;
  }
  end(at);
  return found;
}

export class WordPieceTokenizer implements Tokenizer {
  readonly kind = 'wordpiece';
  readonly endOfText = undefined;
  readonly vocabularySize: number;
  readonly lowercase: boolean;
  private readonly pieces: readonly string[];
  private readonly ids: ReadonlyMap<string, number>;
  private readonly longest: number;
  private readonly added: AddedTokens;
  private readonly cache = new Map<string, readonly number[]>();

  constructor(pieces: readonly string[], lowercase = true) {
    this.pieces = pieces;
    this.lowercase = lowercase;
    this.vocabularySize = pieces.length;
    this.ids = new Map(pieces.map((piece, id) => [piece, id]));
    this.longest = Math.max(...pieces.map((piece) => piece.length));
    this.added = new AddedTokens(
      WORDPIECE_SPECIAL.map((content) => addedToken.parse({ id: this.special(content), content })),
    );
  }

  /** The id of `[CLS]`, `[SEP]` and their like. @throws InkstoneError `tokenizer_invalid` */
  special(name: (typeof WORDPIECE_SPECIAL)[number]): number {
    const id = this.ids.get(name);
    if (id !== undefined) return id;
    throw new InkstoneError('tokenizer_invalid', `the vocabulary has no ${name}`, { kind: 'data' });
  }

  encode(text: string): number[] {
    if (!text.includes('[')) return this.encodePlain(text);
    return this.added
      .split(text)
      .flatMap(({ start, end, token }) =>
        token === undefined ? this.encodePlain(text.slice(start, end)) : [token.id],
      );
  }

  private encodePlain(text: string): number[] {
    return basicWords(text, this.lowercase).flatMap((word) => this.encodeWord(word));
  }

  private encodeWord(word: string): readonly number[] {
    const known = this.cache.get(word);
    if (known !== undefined) return known;
    const found = this.piecesOf(word);
    if (this.cache.size < CACHED_WORDS) this.cache.set(word, found);
    return found;
  }

  private piecesOf(word: string): number[] {
    const unknown = this.special('[UNK]');
    if ([...word].length > LONGEST_WORD) return [unknown];
    const found: number[] = [];
    for (let start = 0; start < word.length; ) {
      const mark = start === 0 ? '' : '##';
      let end = Math.min(word.length, start + this.longest);
      let id: number | undefined;
      for (; end > start; end--) {
        id = this.ids.get(mark + word.slice(start, end));
        if (id !== undefined) break;
      }
      if (id === undefined) return [unknown];
      found.push(id);
      start = end;
    }
    return found;
  }

  /** Words with single spaces; special tokens are left out. */
  decode(ids: Iterable<number>): string {
    let text = '';
    for (const id of ids) text += new TextDecoder().decode(this.bytes(id));
    return text.trimStart();
  }

  bytes(id: number): Uint8Array {
    const piece = this.pieces[id];
    if (piece === undefined || (WORDPIECE_SPECIAL as readonly string[]).includes(piece))
      return new Uint8Array(0);
    return new TextEncoder().encode(piece.startsWith('##') ? piece.slice(2) : ` ${piece}`);
  }

  toJson(): string {
    const special = WORDPIECE_SPECIAL.map((content) => ({
      id: this.special(content),
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    }));
    const token = (id: string, type: number) => ({ SpecialToken: { id, type_id: type } });
    const sequence = (id: 'A' | 'B', type: number) => ({ Sequence: { id, type_id: type } });
    const named = (name: '[CLS]' | '[SEP]') => ({ id: name, ids: [this.special(name)], tokens: [name] });
    return JSON.stringify(
      {
        version: '1.0',
        truncation: null,
        padding: null,
        added_tokens: special.sort((a, b) => a.id - b.id),
        normalizer: {
          type: 'BertNormalizer',
          clean_text: true,
          handle_chinese_chars: true,
          strip_accents: null,
          lowercase: this.lowercase,
        },
        pre_tokenizer: { type: 'BertPreTokenizer' },
        post_processor: {
          type: 'TemplateProcessing',
          single: [token('[CLS]', 0), sequence('A', 0), token('[SEP]', 0)],
          pair: [token('[CLS]', 0), sequence('A', 0), token('[SEP]', 0), sequence('B', 1), token('[SEP]', 1)],
          special_tokens: { '[CLS]': named('[CLS]'), '[SEP]': named('[SEP]') },
        },
        decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
        model: {
          type: 'WordPiece',
          unk_token: '[UNK]',
          continuing_subword_prefix: '##',
          max_input_chars_per_word: LONGEST_WORD,
          vocab: Object.fromEntries(this.pieces.map((piece, id) => [piece, id])),
        },
      },
      null,
      1,
    );
  }
}

/**
 * Learns pieces from words and how often each comes.
 * @param size pieces in all, special tokens and single characters among them
 * @throws InkstoneError `vocabulary_small`
 */
export function trainWordPiece(words: ReadonlyMap<string, number>, size: number): WordPieceTokenizer {
  const pieces: string[] = [...WORDPIECE_SPECIAL];
  const ids = new Map<string, number>();
  const enter = (piece: string): number => {
    const known = ids.get(piece);
    if (known !== undefined) return known;
    ids.set(piece, pieces.length);
    pieces.push(piece);
    return pieces.length - 1;
  };
  // Characters in the order of how often they come; the rarest are left out where there is no room.
  const characters = new Map<string, number>();
  for (const [word, count] of words)
    [...word].forEach((character, i) => {
      const piece = i === 0 ? character : `##${character}`;
      characters.set(piece, (characters.get(piece) ?? 0) + count);
    });
  const byCount = [...characters].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  if (size < WORDPIECE_SPECIAL.length + 2)
    throw new InkstoneError('vocabulary_small', `${size} pieces are too few`, { kind: 'usage' });
  for (const [piece] of byCount.slice(0, Math.floor((size - WORDPIECE_SPECIAL.length) / 2))) enter(piece);
  const sequences: number[][] = [];
  const counts: number[] = [];
  for (const [word, count] of words) {
    const parts = [...word].map((character, i) => ids.get(i === 0 ? character : `##${character}`));
    if (parts.includes(undefined)) continue;
    sequences.push(parts as number[]);
    counts.push(count);
  }
  learnMerges(wordList(sequences, counts), {
    more: () => pieces.length < size,
    add: (left, right) => enter((pieces[left] as string) + (pieces[right] as string).replace(/^##/, '')),
  });
  return new WordPieceTokenizer(pieces);
}

/** Counts words as text arrives. */
export class WordPieceCounter {
  readonly counts = new Map<string, number>();

  add(text: string): void {
    for (const word of basicWords(text)) this.counts.set(word, (this.counts.get(word) ?? 0) + 1);
  }
}
