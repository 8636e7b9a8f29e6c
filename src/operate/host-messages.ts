/** What a model host and its server say to each other. Types only. */
import type { EmbeddingRequest, TextEmbedding } from '../base/contracts/embedder.ts';
import type { TextEvent, TextRequest } from '../base/contracts/generator.ts';
import type { InspectionRequest, TextInspection } from '../base/contracts/inspection.ts';
import type { PictureFile, PictureRequest } from '../base/contracts/pictures.ts';
import type { DecodingStatus, ModelDescription } from '../base/contracts/replica.ts';
import type { WeightFormat } from '../nn/quantise.ts';

export interface SentError {
  code: string;
  message: string;
  kind: string;
  hint: string | undefined;
  details: Record<string, unknown>;
}

export type ToHost =
  | {
      type: 'open';
      folder: string;
      id: string;
      maxBatch: number;
      threads: number;
      /** Where engines that were fetched lie. */
      packages?: string;
      weights?: WeightFormat;
      cacheBytes?: number;
    }
  | { type: 'generate'; call: number; request: TextRequest }
  | { type: 'embed'; call: number; request: EmbeddingRequest }
  | { type: 'measure'; call: number; texts: readonly string[] }
  | { type: 'pictures'; call: number; request: PictureRequest }
  | { type: 'cancel'; call: number }
  | { type: 'count'; call: number; text: string }
  | { type: 'inspect'; call: number; request: InspectionRequest }
  | { type: 'close' };

export type FromHost =
  | { type: 'progress'; progress: number }
  | { type: 'ready'; model: ModelDescription }
  | { type: 'failed'; error: SentError }
  /** In order; those of one step of a decoder go together, whosever they are. */
  | { type: 'events'; events: readonly { call: number; event: TextEvent }[] }
  | { type: 'done'; call: number }
  | { type: 'counted'; call: number; count: number }
  | { type: 'inspected'; call: number; inspection: TextInspection }
  | { type: 'embedded'; call: number; embeddings: TextEmbedding[] }
  | { type: 'measured'; call: number; lengths: number[] }
  | { type: 'pictured'; call: number; files: PictureFile[] }
  | { type: 'error'; call: number; error: SentError }
  | { type: 'alive'; memory: number; held?: number; decoding?: DecodingStatus };
