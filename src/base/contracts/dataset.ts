/** A dataset: documents read in pieces, with a fingerprint that names the content. Types only. */

export interface TextPiece {
  /** File and position in it: `novels.tar.gz/emma.txt`, `poems.jsonl.gz:12`. */
  source: string;
  text: string;
  /** A document begins with this piece. */
  first: boolean;
  /** A document ends with this piece. */
  last: boolean;
}

export interface CorpusInfo {
  /** SHA-256 of the text in order: the same content gives the same fingerprint. */
  fingerprint: string;
  documents: number;
  /** Code points. */
  characters: number;
}

/** Read from the beginning at each call, always in the same order (sorted paths; archives and lines as they stand). */
export type TextDataset = () => AsyncIterable<TextPiece>;
