/**
 * A batch: a file of requests, each answered once, in any order, with as many under way as the server has gaps for. What is
 * answered is written down in pieces; whoever takes the batch up goes on with what is missing. Knows requests as lines and
 * answers as status and body; no HTTP.
 */
import type { JobWork, JobWorker } from '../../base/contracts/jobs.ts';
import type { Row, Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { now, readStream } from '../../base/host.ts';

export interface BatchInput {
  /** Id of the file of requests. */
  file: string;
  endpoint: string;
  window: string;
  /** Milliseconds since 1970. */
  expires: number;
  metadata?: Record<string, string> | undefined;
  /** Id of the API key that asked. */
  owner?: string | undefined;
}

export interface LineProblem {
  code: string;
  message: string;
  line: number | null;
  param: string | null;
}

export interface BatchStep {
  phase: 'validating' | 'in_progress' | 'finalizing';
  total: number;
  completed: number;
  failed: number;
  /** Milliseconds since 1970. */
  inProgress?: number;
  finalizing?: number;
  /** The first of what is wrong with the file. */
  problems?: LineProblem[];
}

export interface BatchResult {
  output?: string;
  errors?: string;
  completed: number;
  failed: number;
  total: number;
  expired: boolean;
}

/** One line of the file. */
export interface BatchRequest {
  custom_id: string;
  method: 'POST';
  url: string;
  body: Record<string, unknown>;
}

export interface BatchAnswer {
  status: number;
  request: string;
  body: unknown;
  /** Seconds, where it is to be asked again. */
  again?: number;
}

export interface BatchServices {
  store: Store;
  /** @throws InkstoneError `file_missing` */
  path(file: string): Promise<string>;
  /** Answers one request as the wire would. Never throws. */
  ask(request: BatchRequest, owner: string | undefined, signal: AbortSignal): Promise<BatchAnswer>;
  /** Keeps a file under this id; the same id again replaces it. */
  keep(id: string, name: string, pieces: AsyncIterable<Uint8Array>, owner: string | undefined): Promise<void>;
}

const LINES = 'batch-lines';
/** Requests under way at once, most in a file, bytes of a line, problems told. */
const AT_ONCE = 8;
const MOST = 50_000;
const LONGEST_LINE = 4 * 2 ** 20;
const TOLD = 50;
/** Answers, and milliseconds, after which what is answered is written down. */
const PIECE = 64;
const EVERY = 700;

interface Piece extends Row {
  lines: { line: number; good: boolean; text: string }[];
}

export function batchWorker(services: BatchServices): JobWorker<BatchInput, BatchStep, BatchResult> {
  return { kind: 'batch', concurrency: 2, run: (work) => run(services, work) };
}

type Work = JobWork<BatchInput, BatchStep>;

async function run(services: BatchServices, work: Work): Promise<BatchResult> {
  const { input } = work;
  let step = work.step ?? { phase: 'validating', total: 0, completed: 0, failed: 0 };
  const file = await services.path(input.file);
  if (step.phase === 'validating') {
    const { total, problems } = await validate(file, input.endpoint);
    if (problems.length > 0) {
      await work.save({ ...step, total, problems }, 0);
      throw new InkstoneError('batch_invalid', 'the file of requests cannot be used', { kind: 'data' });
    }
    step = { ...step, phase: 'in_progress', total, inProgress: now() };
    await work.save(step, 0);
  }
  const expired = (): boolean => now() >= input.expires;
  if (step.phase === 'in_progress') {
    step = await answerAll(services, work, step, file, expired);
    if (work.signal.aborted && !work.cancelled())
      throw new InkstoneError('interrupted', 'the batch was cut short');
    step = { ...step, phase: 'finalizing', finalizing: now() };
    await work.save(step, step.total === 0 ? 1 : (step.completed + step.failed) / step.total);
  }
  return finalize(services, work, step, file, expired());
}

/** Lines of a file with their numbers from 0; empty ones are passed over. */
async function* linesOf(file: string): AsyncGenerator<{ line: number; text: string }> {
  let line = 0;
  let pending: Buffer[] = [];
  let length = 0;
  const whole = (): string => {
    const text = Buffer.concat(pending).toString('utf8');
    pending = [];
    length = 0;
    return text;
  };
  for await (const piece of readStream(file)) {
    let rest = piece as Buffer;
    for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
      pending.push(rest.subarray(0, at));
      const text = whole();
      if (text.trim() !== '') yield { line, text };
      line++;
      rest = rest.subarray(at + 1);
    }
    length += rest.length;
    // No answer needs more; a file without line ends must not fill the memory.
    if (length <= LONGEST_LINE + 1) pending.push(rest);
  }
  const text = whole();
  if (text.trim() !== '') yield { line, text };
}

async function validate(file: string, endpoint: string): Promise<{ total: number; problems: LineProblem[] }> {
  const problems: LineProblem[] = [];
  const seen = new Set<string>();
  let total = 0;
  for await (const { line, text } of linesOf(file)) {
    total++;
    const problem = problemOf(text, endpoint, seen);
    if (problem !== undefined && problems.length < TOLD) problems.push({ ...problem, line: line + 1 });
    if (total > MOST) break;
  }
  const about = (code: string, message: string): void =>
    void problems.unshift({ code, message, line: null, param: null });
  if (total === 0) about('empty_file', 'The input file is empty.');
  if (total > MOST) about('too_many_requests', `A batch has at most ${MOST} requests.`);
  return { total, problems };
}

function problemOf(text: string, endpoint: string, seen: Set<string>): Omit<LineProblem, 'line'> | undefined {
  const problem = (code: string, message: string, param: string | null = null) => ({ code, message, param });
  if (text.length > LONGEST_LINE) return problem('line_too_long', 'This line is too long.');
  let given: Partial<BatchRequest>;
  try {
    given = JSON.parse(text) as Partial<BatchRequest>;
  } catch {
    return problem('invalid_json_line', 'This line is not parseable as valid JSON.');
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return problem('invalid_request', 'A request is a JSON object.');
  const { custom_id: id, method, url, body } = given;
  if (typeof id !== 'string' || id === '' || id.length > 512)
    return problem('missing_required_parameter', "Missing required parameter: 'custom_id'.", 'custom_id');
  if (seen.has(id)) return problem('duplicate_custom_id', `The custom_id '${id}' comes twice.`, 'custom_id');
  seen.add(id);
  if (method !== 'POST') return problem('invalid_method', "The method is 'POST'.", 'method');
  if (url !== endpoint)
    return problem('mismatched_endpoint', `The url is not the batch's endpoint '${endpoint}'.`, 'url');
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return problem('missing_required_parameter', "Missing required parameter: 'body'.", 'body');
  if (typeof body.model !== 'string')
    return problem('missing_required_parameter', "Missing required parameter: 'body.model'.", 'body.model');
  if (body.stream === true)
    return problem('invalid_request', "'stream' has no place in a batch.", 'body.stream');
  return undefined;
}

/** What is answered, by line: of two answers the one that was written down first. */
async function answered({ rows }: Store, id: string): Promise<Map<number, Piece['lines'][number]>> {
  const found = new Map<number, Piece['lines'][number]>();
  for await (const piece of piecesOf(rows, id))
    for (const one of piece.lines) if (!found.has(one.line)) found.set(one.line, one);
  return found;
}

async function* piecesOf(rows: Store['rows'], id: string): AsyncGenerator<Piece> {
  let after = `${id}/`;
  for (;;) {
    const page = await rows.list<Piece>(LINES, { after, limit: 20 });
    for (const piece of page) {
      if (!piece.id.startsWith(`${id}/`)) return;
      yield piece;
      after = piece.id;
    }
    if (page.length < 20) return;
  }
}

async function answerAll(
  services: BatchServices,
  work: Work,
  before: BatchStep,
  file: string,
  expired: () => boolean,
): Promise<BatchStep> {
  const { store } = services;
  const done = await answered(store, work.id);
  let step: BatchStep = { ...before, completed: 0, failed: 0 };
  for (const { good } of done.values()) step[good ? 'completed' : 'failed']++;
  let piece: Piece['lines'] = [];
  const stopped = (): boolean => work.signal.aborted || expired();
  // Ids in order of time: of two workers on one batch the earlier word stands.
  const write = async (): Promise<void> => {
    const lines = piece;
    if (lines.length === 0) return;
    piece = [];
    const id = `${work.id}/${String(now()).padStart(15, '0')}-${String(lines[0]?.line).padStart(6, '0')}`;
    await store.rows.put<Piece>(LINES, { id, lines });
    for (const { good } of lines)
      step = { ...step, [good ? 'completed' : 'failed']: step[good ? 'completed' : 'failed'] + 1 };
    await work.save(step, (step.completed + step.failed) / step.total);
  };
  let writing: Promise<void> = Promise.resolve();
  let broken: unknown;
  const flush = (): Promise<void> => {
    writing = writing.then(write).catch((thrown: unknown) => {
      broken ??= thrown;
    });
    return writing;
  };
  const timer = setInterval(() => void flush(), EVERY);
  const under = new Set<Promise<void>>();
  try {
    for await (const { line, text } of linesOf(file)) {
      if (stopped() || broken !== undefined) break;
      if (done.has(line)) continue;
      const one = answerLine(services, work, text, stopped).then((answer) => {
        if (answer !== undefined) piece.push({ line, ...answer });
        if (piece.length >= PIECE) void flush();
      });
      const tracked: Promise<void> = one.finally(() => under.delete(tracked));
      under.add(tracked);
      if (under.size >= AT_ONCE) await Promise.race(under);
    }
    await Promise.all(under);
  } finally {
    clearInterval(timer);
    await Promise.allSettled(under);
    await flush();
  }
  if (broken !== undefined) throw broken;
  return step;
}

/** The line of the output file; undefined where the batch stopped before there was an answer. */
async function answerLine(
  services: BatchServices,
  work: Work,
  text: string,
  stopped: () => boolean,
): Promise<{ good: boolean; text: string } | undefined> {
  const request = JSON.parse(text) as BatchRequest;
  for (;;) {
    if (stopped()) return undefined;
    const answer = await services.ask(request, work.input.owner, work.signal);
    if (work.signal.aborted) return undefined;
    if (answer.again !== undefined) {
      await pause(Math.min(30, Math.max(0.2, answer.again)) * 1000, work.signal);
      continue;
    }
    const good = answer.status < 400;
    const response = { status_code: answer.status, request_id: answer.request, body: answer.body };
    const line = {
      id: `batch_req_${answer.request.replace(/^req-/, '')}`,
      custom_id: request.custom_id,
      response,
      error: null,
    };
    return { good, text: JSON.stringify(line) };
  }
}

/** The files, in the order of the requests; their ids come from the batch, so that a second go replaces the first. */
async function finalize(
  services: BatchServices,
  work: Work,
  step: BatchStep,
  file: string,
  late: boolean,
): Promise<BatchResult> {
  const done = await answered(services.store, work.id);
  const count = { completed: 0, failed: 0 };
  for (const { good } of done.values()) count[good ? 'completed' : 'failed']++;
  const unanswered = step.total - done.size;
  const expired = late && unanswered > 0 && !work.cancelled();
  const result: BatchResult = { ...count, total: step.total, expired };
  const short = work.id.replace(/^batch_/, '');
  async function* lines(good: boolean): AsyncGenerator<Uint8Array> {
    for await (const { line, text } of linesOf(file)) {
      const found = done.get(line);
      if (found !== undefined && found.good === good) yield Buffer.from(`${found.text}\n`);
      if (found !== undefined || good || !expired) continue;
      const { custom_id } = JSON.parse(text) as BatchRequest;
      const error = {
        code: 'batch_expired',
        message: 'This request could not be executed before the completion window expired.',
      };
      const missed = { id: `batch_req_${short}_${line}`, custom_id, response: null, error };
      yield Buffer.from(`${JSON.stringify(missed)}\n`);
    }
  }
  if (count.completed > 0) {
    result.output = `file-${short}-output`;
    await services.keep(result.output, `${work.id}_output.jsonl`, lines(true), work.input.owner);
  }
  if (count.failed > 0 || expired) {
    result.errors = `file-${short}-error`;
    await services.keep(result.errors, `${work.id}_error.jsonl`, lines(false), work.input.owner);
  }
  return result;
}

/** Takes away what is only needed until a batch has ended. */
export async function forgetLines(store: Store, id: string): Promise<void> {
  for await (const piece of piecesOf(store.rows, id)) await store.rows.remove(LINES, piece.id);
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end, { once: true });
  });
}
