/** An embedder: texts in, one vector for each out. Types only. */

export interface EmbeddingRequest {
  /** Unique; names the work in logs. */
  id: string;
  texts: readonly string[];
}

export interface TextEmbedding {
  /** Of length 1, so that a scalar product is a cosine. */
  vector: Float32Array;
  /** What the model read for it, its own marks of beginning and end among them. */
  tokens: number;
}

export interface Embedder {
  /** In the order of the texts. @throws InkstoneError `context_length_exceeded`, `character_unknown`, `cancelled` */
  embed(request: EmbeddingRequest, signal: AbortSignal): Promise<TextEmbedding[]>;
  /** What the model would read for each text, in tokens, without reading it. @throws InkstoneError `character_unknown` */
  lengths(texts: readonly string[]): Promise<number[]>;
}
