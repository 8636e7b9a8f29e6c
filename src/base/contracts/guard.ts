/**
 * A guard: the one gate around what goes in and what comes out. Everything generated passes it; the
 * safety work puts filters, watermarks and provenance behind it. Types only.
 */

export interface GuardContext {
  requestId: string;
  model: string;
  key?: string;
}

export type Verdict =
  | { action: 'allow' }
  | { action: 'replace'; text: string; categories: readonly string[] }
  | { action: 'block'; reason: string; categories: readonly string[] };

export interface Guard {
  /** Before generation. */
  input(text: string, context: GuardContext): Promise<Verdict>;
  /** A stream's text so far and its newest piece; may hold pieces back by answering `replace` with ''. */
  output(soFar: string, piece: string, context: GuardContext): Promise<Verdict>;
  /** A whole file (image, audio, text) before it leaves; returns it marked. */
  mark(bytes: Uint8Array, mediaType: string, context: GuardContext): Promise<Uint8Array>;
}
