/**
 * One client of a soak: whole answers, streams, streams that are left half-way, files and kept responses that come and go.
 * Leaves nothing behind, and tells of each request that failed why it did. Knows no processes and no memory.
 */
import { InkstoneError } from '../base/errors.ts';

export interface SoakCounts {
  answered: number;
  streamed: number;
  hungUp: number;
  files: number;
  /** Responses that were kept and deleted. */
  kept: number;
  failed: number;
  /** Of those that failed: how many for which reason, the server's code of the error or the network's. */
  failures: Record<string, number>;
}

export interface SoakClient {
  address: string;
  key: string;
  model: string;
  /** Where it begins among the kinds of requests. */
  number: number;
  stop: AbortSignal;
  counts: SoakCounts;
}

/** Milliseconds for one answer, and before the next request where one failed. */
const DEADLINE = 60_000;
const PAUSE = 200;

export const noCounts = (): SoakCounts => ({
  ...{ answered: 0, streamed: 0, hungUp: 0, files: 0, kept: 0, failed: 0, failures: {} },
});

/** Asks until `stop`; throws nothing. */
export async function soakClient(client: SoakClient): Promise<void> {
  const { counts, number, stop } = client;
  const kinds = [file, whole, stream, left, kept];
  for (let i = number; !stop.aborted; i++)
    try {
      counts[await (kinds[i % kinds.length] as typeof file)(client, i)]++;
    } catch (thrown) {
      if (stop.aborted) return;
      const why = reason(thrown);
      counts.failed++;
      counts.failures[why] = (counts.failures[why] ?? 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
}

/** Puts all back to nothing. @returns what was counted until then */
export function forget(counts: SoakCounts): SoakCounts {
  const before = { ...counts };
  Object.assign(counts, noCounts());
  return before;
}

/** @throws InkstoneError with the code that the server told */
async function send(
  { address, key }: SoakClient,
  path: string,
  init: { method?: string; body: FormData | object; signal?: AbortSignal } | { method: 'DELETE' },
): Promise<Response> {
  const { method = 'POST', body, signal } = { body: undefined, signal: undefined, ...init };
  const form = body instanceof FormData || body === undefined;
  const late = AbortSignal.timeout(DEADLINE);
  const response = await fetch(`${address}/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(form ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: form ? (body as FormData) : JSON.stringify(body) }),
    signal: signal === undefined ? late : AbortSignal.any([signal, late]),
  });
  if (response.ok) return response;
  const said = await response.text();
  throw new InkstoneError(codeOf(said) ?? `status_${response.status}`, said.slice(0, 200));
}

function codeOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { code?: string } }).error?.code;
  } catch {
    return undefined;
  }
}

function reason(thrown: unknown): string {
  if (InkstoneError.is(thrown)) return thrown.code;
  const { name, cause } = thrown as { name: string; cause?: { code?: string } };
  return cause?.code ?? name;
}

const question = ({ model }: SoakClient, i: number, streams: boolean): object => ({
  ...{ model, prompt: `Once ${i % 50}`, max_tokens: 24, seed: i, stream: streams },
});

async function whole(client: SoakClient, i: number): Promise<'answered'> {
  await (await send(client, 'completions', { body: question(client, i, false) })).arrayBuffer();
  return 'answered';
}

async function stream(client: SoakClient, i: number): Promise<'streamed'> {
  const text = await (await send(client, 'completions', { body: question(client, i, true) })).text();
  // A stream has its status before its end: what went wrong later stands in it, and one that was cut has no last line.
  const error = /^data: (\{"error".*\})$/m.exec(text)?.[1];
  if (error !== undefined) throw new InkstoneError(codeOf(error) ?? 'stream_failed', error.slice(0, 200));
  if (!text.includes('data: [DONE]')) throw new InkstoneError('stream_cut', 'the stream had no end');
  return 'streamed';
}

async function left(client: SoakClient, i: number): Promise<'hungUp'> {
  const leave = new AbortController();
  const response = await send(client, 'completions', {
    body: question(client, i, true),
    signal: leave.signal,
  });
  await response.body?.getReader().read();
  leave.abort();
  return 'hungUp';
}

async function file(client: SoakClient, i: number): Promise<'files'> {
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new Blob([`{"line": ${i}}\n`.repeat(50)]), 'soak.jsonl');
  return comeAndGo(client, 'files', form, 'files');
}

async function kept(client: SoakClient, i: number): Promise<'kept'> {
  const { model } = client;
  const body = { model, input: `Once ${i % 50}`, max_output_tokens: 16 };
  return comeAndGo(client, 'responses', body, 'kept');
}

async function comeAndGo<T>(
  client: SoakClient,
  path: string,
  body: FormData | object,
  counted: T,
): Promise<T> {
  const { id } = (await (await send(client, path, { body })).json()) as { id: string };
  await (await send(client, `${path}/${id}`, { method: 'DELETE' })).arrayBuffer();
  return counted;
}
