/**
 * The one error type that crosses a folder. Knows how an error looks to a person, a shell and an HTTP
 * client; does not know how it is printed or sent.
 */

/** What kind of trouble it is; decides the exit status and the HTTP status together. */
export type ErrorKind =
  | 'usage' // the caller's words are off: exit 2, HTTP 400
  | 'data' // the input data cannot be used: exit 3, HTTP 422
  | 'missing' // a file, model or run that is not there: exit 4, HTTP 404
  | 'conflict' // the state forbids it (vocabulary differs, run exists): exit 5, HTTP 409
  | 'resource' // disk, memory or queue full: exit 6, HTTP 503
  | 'limit' // too many requests or too large: exit 6, HTTP 429
  | 'denied' // key missing or wrong: exit 7, HTTP 401
  | 'diverged' // training went to NaN: exit 8, HTTP 500
  | 'unsupported' // this build or machine cannot: exit 9, HTTP 501
  | 'internal'; // our fault: exit 1, HTTP 500

const STATUS: Record<ErrorKind, { exit: number; http: number }> = {
  usage: { exit: 2, http: 400 },
  data: { exit: 3, http: 422 },
  missing: { exit: 4, http: 404 },
  conflict: { exit: 5, http: 409 },
  resource: { exit: 6, http: 503 },
  limit: { exit: 6, http: 429 },
  denied: { exit: 7, http: 401 },
  diverged: { exit: 8, http: 500 },
  unsupported: { exit: 9, http: 501 },
  internal: { exit: 1, http: 500 },
};

/** The kind of trouble that a command's exit status tells; `internal` where it tells none. */
export function kindOfExit(status: number | null): ErrorKind {
  const found = Object.entries(STATUS).find(([, { exit }]) => exit === status);
  return (found?.[0] as ErrorKind | undefined) ?? 'internal';
}

export interface ErrorOptions {
  /** Which kind of trouble; `internal` when left out. */
  kind?: ErrorKind;
  /** One sentence that says what to do about it. */
  hint?: string;
  cause?: unknown;
  /** Machine-readable facts: names, sizes, limits. */
  details?: Record<string, unknown>;
}

const MARKER = Symbol.for('inkstone.error');

export class InkstoneError extends Error {
  /** Stable, machine-readable, snake_case: `shape_mismatch`, `corpus_empty`. */
  readonly code: string;
  readonly kind: ErrorKind;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown>;

  constructor(code: string, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'InkstoneError';
    this.code = code;
    this.kind = options.kind ?? 'internal';
    this.hint = options.hint;
    this.details = options.details ?? {};
    Object.defineProperty(this, MARKER, { value: true });
  }

  get exitStatus(): number {
    return STATUS[this.kind].exit;
  }

  get httpStatus(): number {
    return STATUS[this.kind].http;
  }

  /** True for our errors even when two copies of the package are loaded. */
  static is(value: unknown): value is InkstoneError {
    return typeof value === 'object' && value !== null && MARKER in value;
  }

  /** Ours as it is; anything else wrapped, with the original as cause. */
  static from(value: unknown, code = 'unexpected'): InkstoneError {
    if (InkstoneError.is(value)) return value;
    const message = value instanceof Error ? value.message : String(value);
    return new InkstoneError(code, message, { cause: value });
  }

  toJSON(): { code: string; message: string; hint?: string; details?: Record<string, unknown> } {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(Object.keys(this.details).length === 0 ? {} : { details: this.details }),
    };
  }
}

/** Throws an internal error when a thing that must hold does not. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InkstoneError('invariant_broken', message);
}
