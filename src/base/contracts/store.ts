/** A store: rows by collection and key, and objects by content. Types only. */

export interface Row {
  readonly id: string;
  readonly [field: string]: unknown;
}

export interface Rows {
  get<T extends Row>(collection: string, id: string): Promise<T | undefined>;
  put<T extends Row>(collection: string, row: T): Promise<void>;
  remove(collection: string, id: string): Promise<boolean>;
  /** In order of id, after the cursor. */
  list<T extends Row>(collection: string, options?: { after?: string; limit?: number }): Promise<T[]>;
}

export interface Objects {
  /** Stores bytes under their SHA-256; the same bytes are stored once. */
  put(bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<{ hash: string; size: number }>;
  /** Checked against the hash while it is read. @throws InkstoneError `object_missing`, `object_corrupt` */
  get(hash: string): AsyncIterable<Uint8Array>;
  has(hash: string): Promise<boolean>;
  remove(hash: string): Promise<boolean>;
}

export interface Store {
  readonly rows: Rows;
  readonly objects: Objects;
  close(): Promise<void>;
}
