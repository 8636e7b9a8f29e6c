/** A store: rows by collection and key, and objects by content. Types only. */

export interface Row {
  readonly id: string;
  readonly [field: string]: unknown;
}

export interface Rows {
  get<T extends Row>(collection: string, id: string): Promise<T | undefined>;
  put<T extends Row>(collection: string, row: T): Promise<void>;
  remove(collection: string, id: string): Promise<boolean>;
  /** In order of id (by its UTF-8 bytes), after the cursor. */
  list<T extends Row>(collection: string, options?: { after?: string; limit?: number }): Promise<T[]>;
  /**
   * Changes one row so that no other writer comes in between, in this process or another: `change` sees what is there
   * and says what shall be; undefined leaves everything as it is, null takes the row away. It may be called more than once;
   * its last word takes effect, once. Returns what is there then.
   */
  update<T extends Row>(
    collection: string,
    id: string,
    change: (row: T | undefined) => T | null | undefined,
  ): Promise<T | undefined>;
  /** Names of collections that have rows, in order. */
  collections(): Promise<string[]>;
  count(collection: string): Promise<number>;
}

export interface StoredObject {
  /** SHA-256, 64 hexadecimal digits. */
  hash: string;
  /** Bytes. */
  size: number;
  /** Milliseconds since 1970; when it was last put. */
  modified: number;
}

export interface Objects {
  /** Stores bytes under their SHA-256; the same bytes are stored once. */
  put(bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<{ hash: string; size: number }>;
  /** Checked against the hash while it is read. @throws InkstoneError `object_missing`, `object_corrupt` */
  get(hash: string): AsyncIterable<Uint8Array>;
  has(hash: string): Promise<boolean>;
  remove(hash: string): Promise<boolean>;
  /** All there are, in order of hash. */
  list(): AsyncIterable<StoredObject>;
}

export interface StoreKind {
  rows: 'folder' | 'pglite' | 'postgresql';
  objects: 'folder' | 's3';
}

export interface Store {
  readonly kind: StoreKind;
  readonly rows: Rows;
  readonly objects: Objects;
  close(): Promise<void>;
}
