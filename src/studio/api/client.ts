/**
 * Requests to the server the page came from, and its errors as one shape. Knows addresses and keys; does
 * not know what a room does with an answer, nor in which language a problem is told.
 */
import { preferences } from '../state/preferences.ts';

/** What went wrong, by what a person can do about it. */
export type ProblemKind =
  | 'network' // nobody answers
  | 'denied' // an API key is missing or wrong
  | 'missing' // the model or job is gone
  | 'loading' // the model is being loaded; worth another try by itself
  | 'busy' // too many requests, or no room for more
  | 'rejected' // the request is off: the message says how
  | 'server' // the server's own fault
  | 'broken'; // the answer ended early or made no sense

export interface Problem {
  kind: ProblemKind;
  status: number;
  code: string;
  /** The server's own words; may be empty. */
  message: string;
  hint?: string;
  /** 0 to 1, while loading. */
  progress?: number;
  /** Seconds to wait before another try. */
  retryAfter?: number;
}

export class RequestFailure extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message === '' ? problem.code : problem.message);
    this.name = 'RequestFailure';
    this.problem = problem;
  }
}

/** Any thrown value as a problem. */
export function toProblem(thrown: unknown): Problem {
  if (thrown instanceof RequestFailure) return thrown.problem;
  // fetch throws a TypeError when the connection cannot be made or breaks.
  const kind = thrown instanceof TypeError ? 'network' : 'broken';
  return {
    kind,
    status: 0,
    code: kind,
    message: thrown instanceof Error ? thrown.message : String(thrown),
  };
}

export function isAbort(thrown: unknown): boolean {
  return thrown instanceof DOMException && thrown.name === 'AbortError';
}

/** The absolute address of a path on our server, wherever the page is mounted. */
export function serverAddress(path: string): string {
  return new URL(path.replace(/^\//, ''), document.baseURI).href;
}

interface Options {
  method?: 'GET' | 'POST' | 'DELETE';
  /** Sent as JSON, as bytes when it is a Blob, as a form when it is FormData. */
  body?: unknown;
  signal?: AbortSignal;
}

/** Sends one request. @throws RequestFailure unless the status is 2xx */
export async function send(path: string, options: Options = {}): Promise<Response> {
  const { method = 'GET', body, signal } = options;
  const { key, csrf } = preferences.get();
  const headers: Record<string, string> = {};
  if (key !== '') headers.authorization = `Bearer ${key}`;
  else if (csrf !== '' && method !== 'GET') headers['x-csrf-token'] = csrf;
  if (body instanceof Blob) headers['content-type'] = 'application/octet-stream';
  // A form says its own type, with the line between its parts.
  else if (body !== undefined && !(body instanceof FormData)) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(serverAddress(path), {
      method,
      headers,
      ...(body === undefined
        ? {}
        : { body: isPlain(body) ? JSON.stringify(body) : (body as Blob | FormData) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (thrown) {
    if (isAbort(thrown)) throw thrown;
    throw new RequestFailure({
      kind: 'network',
      status: 0,
      code: 'network',
      message: '',
    });
  }
  if (!response.ok) throw new RequestFailure(await readProblem(response));
  return response;
}

const isPlain = (body: unknown): boolean => !(body instanceof Blob || body instanceof FormData);

/**
 * Logs this browser in: the key is sent once, and a cookie that no script can read stands for it. A server without log-in
 * gets the key with every request. @throws RequestFailure where the key is not known
 */
export async function logIn(key: string): Promise<void> {
  preferences.set({ key: '', csrf: '' });
  try {
    const { csrf = '' } = await sendForJson<{ csrf?: string }>('session', { method: 'POST', body: { key } });
    preferences.set({ csrf });
  } catch (thrown) {
    if (!(thrown instanceof RequestFailure) || thrown.problem.status !== 404) throw thrown;
    preferences.set({ key });
  }
}

/** A page that was opened anew learns its token again; it does nothing where nobody is logged in. */
export async function resumeSession(): Promise<void> {
  if (preferences.get().key !== '') return;
  try {
    const { csrf = '' } = await sendForJson<{ csrf?: string }>('session');
    preferences.set({ csrf });
  } catch {
    // Nobody answers, or the server knows no log-in: rooms tell by themselves.
  }
}

/** Sends one request and reads JSON. @throws RequestFailure */
export async function sendForJson<T>(path: string, options: Options = {}): Promise<T> {
  const response = await send(path, options);
  try {
    return (await response.json()) as T;
  } catch (thrown) {
    if (isAbort(thrown)) throw thrown;
    throw new RequestFailure({
      kind: 'broken',
      status: response.status,
      code: 'bad_answer',
      message: '',
    });
  }
}

/** The problem inside an `error` object of the OpenAI wire, from an answer or a stream's event. */
export function problemOf(value: unknown, status: number, retryAfter?: number): Problem {
  const error = record(record(value).error);
  const details = record(error.details);
  const code = typeof error.code === 'string' ? error.code : `http_${status}`;
  const progress = [error.progress, details.progress].find((item) => typeof item === 'number');
  const hint = [error.hint, details.hint].find((item) => typeof item === 'string');
  return {
    kind: kindOf(status, code, progress !== undefined),
    status,
    code,
    message: typeof error.message === 'string' ? error.message : '',
    ...(typeof hint === 'string' && hint !== '' ? { hint } : {}),
    ...(typeof progress === 'number' ? { progress: Math.min(1, Math.max(0, progress)) } : {}),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  };
}

async function readProblem(response: Response): Promise<Problem> {
  const wait = Number(response.headers.get('retry-after') ?? Number.NaN);
  const value: unknown = await response.json().catch(() => ({}));
  return problemOf(value, response.status, Number.isFinite(wait) ? wait : undefined);
}

function kindOf(status: number, code: string, hasProgress: boolean): ProblemKind {
  if (status === 401 || status === 403) return 'denied';
  if (status === 404) return 'missing';
  if (status === 503 && (hasProgress || /loading|starting/.test(code))) return 'loading';
  if (status === 429 || status === 503) return 'busy';
  if (status >= 400 && status < 500) return 'rejected';
  return 'server';
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
