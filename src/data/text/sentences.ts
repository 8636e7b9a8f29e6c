/**
 * Sentences of books as tokens, in order: what next-sentence examples are made of. Knows where sentences end and which
 * book they are of; knows no masks.
 */
import { createHash } from 'node:crypto';
import type { CorpusInfo } from '../../base/contracts/dataset.ts';
import { InkstoneError } from '../../base/errors.ts';
import { type ReadOptions, readPieces } from './pieces.ts';
import { countCharacters } from './prepare.ts';

export interface Book {
  name: string;
  text: string;
}

/** A sentence ends at `.`, `!` or `?` and the quotation marks and brackets after it. */
const SENTENCE = /[^.!?]*[.!?]+["'”’)\]_]*\s*|[^.!?]+$/g;

/** Paragraphs are joined; empty sentences are left out. */
export function sentencesOf(text: string): string[] {
  return (text.replace(/\s+/g, ' ').match(SENTENCE) ?? [])
    .map((sentence) => sentence.trim())
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}

/** The files of a folder or an archive, or the one file, as books in order of their names. */
export async function readBooks(
  path: string,
  options: ReadOptions = {},
): Promise<{ books: Book[]; info: CorpusInfo }> {
  const texts = new Map<string, string>();
  const digest = createHash('sha256');
  let characters = 0;
  for await (const { source, text } of readPieces(path, options)) {
    texts.set(source, (texts.get(source) ?? '') + text);
    digest.update(text);
    characters += countCharacters(text);
  }
  const books = [...texts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, text]) => ({ name, text }));
  return { books, info: { fingerprint: digest.digest('hex'), documents: books.length, characters } };
}

export class SentenceCorpus {
  /** Sentence s has the ids from `starts[s]` to `starts[s + 1]`. */
  readonly ids: Int32Array;
  readonly starts: Int32Array;
  /** First sentence of each book, and the number of all. */
  readonly books: readonly number[];
  readonly names: readonly string[];

  /** @throws InkstoneError `data_empty` */
  constructor(books: readonly Book[], encode: (sentence: string) => readonly number[]) {
    const all: number[][] = [];
    const first = [0];
    for (const { text } of books) {
      for (const sentence of sentencesOf(text)) {
        const ids = encode(sentence);
        if (ids.length > 0) all.push([...ids]);
      }
      first.push(all.length);
    }
    if (all.length === 0)
      throw new InkstoneError('data_empty', 'the books have no sentences', {
        kind: 'data',
        hint: 'give text with sentences that end in . ! or ?',
      });
    this.starts = new Int32Array(all.length + 1);
    all.forEach((ids, s) => {
      this.starts[s + 1] = (this.starts[s] as number) + ids.length;
    });
    this.ids = new Int32Array(this.starts[all.length] as number);
    all.forEach((ids, s) => {
      this.ids.set(ids, this.starts[s] as number);
    });
    this.books = first;
    this.names = books.map(({ name }) => name);
  }

  get length(): number {
    return this.starts.length - 1;
  }

  /** Which book a sentence is of. */
  bookOf(sentence: number): number {
    let book = 0;
    while ((this.books[book + 1] as number) <= sentence) book++;
    return book;
  }

  /** Ids of the sentences `from` … `to` (not included). */
  between(from: number, to: number): Int32Array {
    return this.ids.subarray(this.starts[from] as number, this.starts[to] as number);
  }
}
