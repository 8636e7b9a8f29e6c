/** A dataset: documents or samples read in pieces, with a fingerprint that names the content. Types only. */

export interface TextDocument {
  /** File and position in it: `novels.tar.gz/emma.txt`, `poems.jsonl.gz:12`. */
  source: string;
  text: string;
}

export interface DatasetInfo {
  /** SHA-256 over the content in order; the same content gives the same fingerprint. */
  fingerprint: string;
  sources: number;
  characters: number;
}

export interface TextDataset {
  /** In a fixed order (sorted paths; lines in order). Each call starts anew. */
  documents(): AsyncIterable<TextDocument>;
  info(): Promise<DatasetInfo>;
}
