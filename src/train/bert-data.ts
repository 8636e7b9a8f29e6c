/**
 * Books for a BERT: which are learned from and which it is judged by, the WordPiece vocabulary, and sentences as tokens.
 * Knows files and tokenizers; knows no network.
 */
import { InkstoneError } from '../base/errors.ts';
import { type Book, readBooks, SentenceCorpus } from '../data/text/sentences.ts';
import { requireKnown } from '../data/tokenizer/unknown.ts';
import { trainWordPiece, WordPieceCounter, type WordPieceTokenizer } from '../data/tokenizer/wordpiece.ts';

export interface BertDataOptions {
  data: string;
  /** JSON lines: the field with the text. */
  field?: string;
  /** Pieces of a vocabulary that is learned, or one that is there. */
  tokenizer: number | WordPieceTokenizer;
  prepare?(phase: string): void;
}

export interface BertData {
  tokenizer: WordPieceTokenizer;
  train: SentenceCorpus;
  validation: SentenceCorpus;
  fingerprint: string;
  characters: number;
}

/** Of eight books or more every eighth is for judging; of fewer, the last tenth of each. */
export function splitBooks(books: readonly Book[]): { learning: Book[]; judging: Book[] } {
  if (books.length >= 8)
    return {
      learning: books.filter((_, i) => i % 8 !== 7),
      judging: books.filter((_, i) => i % 8 === 7),
    };
  const cut = ({ text }: Book): number => {
    const place = Math.floor(text.length * 0.9);
    // Not within a word.
    const space = text.indexOf(' ', place);
    return space < 0 ? place : space;
  };
  return {
    learning: books.map((book) => ({ ...book, text: book.text.slice(0, cut(book)) })),
    judging: books.map((book) => ({ ...book, text: book.text.slice(cut(book)) })),
  };
}

/** @throws InkstoneError `data_empty`, `vocabulary_differs`, `vocabulary_small` and what reading throws */
export async function prepareBert({ data, field, tokenizer, prepare }: BertDataOptions): Promise<BertData> {
  prepare?.('reading the books');
  const { books, info } = await readBooks(data, field === undefined ? {} : { field });
  if (info.characters === 0)
    throw new InkstoneError('data_empty', `${data} has no text in it`, {
      kind: 'data',
      hint: 'give a folder or an archive of long texts, one file each',
    });
  const { learning, judging } = splitBooks(books);
  if (typeof tokenizer !== 'number')
    requireKnown(
      learning.map(({ text }) => text),
      tokenizer,
      data,
    );
  prepare?.('learning the vocabulary');
  const own = typeof tokenizer === 'number' ? learnPieces(learning, tokenizer) : tokenizer;
  prepare?.('cutting the books into tokens');
  const encode = (sentence: string): number[] => own.encode(sentence);
  return {
    tokenizer: own,
    train: new SentenceCorpus(learning, encode),
    validation: new SentenceCorpus(judging, encode),
    fingerprint: info.fingerprint,
    characters: info.characters,
  };
}

export function learnPieces(books: readonly Book[], size: number): WordPieceTokenizer {
  const counter = new WordPieceCounter();
  for (const { text } of books) counter.add(text);
  return trainWordPiece(counter.counts, size);
}
