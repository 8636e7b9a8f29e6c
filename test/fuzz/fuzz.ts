/**
 * Random and mutated requests over every route of the OpenAPI document, some of them no HTTP at all. What must not be: a status of
 * 500 and above but 503, an error in another shape, an answer that does not come, a server that answers no more.
 */
import http from 'node:http';
import net from 'node:net';
import { Fuzz, type Schema } from './values.ts';

export interface FuzzOptions {
  address: string;
  requests: number;
  seed?: number;
  /** Requests on their way at once. */
  concurrency?: number;
  /** Milliseconds that an answer may take. */
  patience?: number;
}

export interface FuzzReport {
  requests: number;
  seconds: number;
  /** How many answers had which status; `cut` are connections that the server or the test ended before. */
  statuses: Record<string, number>;
  routes: number;
  /** The first hundred things that must not be. */
  problems: string[];
}

interface Operation {
  method: string;
  path: string;
  /** By content type. */
  bodies: Record<string, Schema>;
}

interface Sent {
  method: string;
  path: string;
  headers: http.OutgoingHttpHeaders;
  body: Buffer | undefined;
}

const FURTHEST = 1 << 18;

async function operationsOf(address: string): Promise<Operation[]> {
  const { paths } = (await (await fetch(`${address}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { requestBody?: { content: Record<string, { schema: Schema }> } }>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      bodies: Object.fromEntries(
        Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) => [type, schema]),
      ),
    })),
  );
}

export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { address, requests, seed = 1, concurrency = 16, patience = 20_000 } = options;
  const operations = await operationsOf(address);
  const agent = new http.Agent({ keepAlive: true, maxSockets: concurrency });
  const statuses: Record<string, number> = {};
  const problems: string[] = [];
  const ids: string[] = [];
  const note = (problem: string): void => {
    if (problems.length < 100) problems.push(problem);
  };
  const began = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let number = next++; number < requests && problems.length < 100; number = next++) {
      const one = new Fuzz(seed * 1_000_003 + number);
      if (one.chance(0.02)) {
        const status = await rough(address, one);
        statuses[status] = (statuses[status] ?? 0) + 1;
        if (/^5/.test(status) && status !== '503' && status !== '505')
          note(`#${number} raw bytes: ${status}`);
        continue;
      }
      const sent = requestOf(one, one.of(operations), ids);
      const hangUp = one.chance(0.03) ? one.random.integer(10) : undefined;
      const { status, text, type } = await send(address, agent, sent, patience, hangUp);
      statuses[status] = (statuses[status] ?? 0) + 1;
      const about = `#${number} ${sent.method} ${sent.path.slice(0, 200)} ${sent.body?.subarray(0, 300) ?? ''}`;
      const code = Number(status);
      if (status === 'late') note(`${about}: no answer in ${patience} ms`);
      else if (code >= 500 && code !== 503) note(`${about}: ${status} ${text.slice(0, 300)}`);
      else if (code >= 400 && !isError(text))
        note(`${about}: ${status} in another shape: ${type} ${text.slice(0, 200)}`);
      const id = /"id":"([^"]{1,100})"/.exec(text)?.[1];
      if (code < 300 && id !== undefined && ids.length < 200) ids.push(id);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  agent.destroy();
  const well = await fetch(`${address}/health`, { signal: AbortSignal.timeout(patience) }).then(
    (answer) => answer.status,
    (thrown: unknown) => String(thrown),
  );
  if (well !== 200) note(`the server answers no more: ${well}`);
  return {
    ...{ requests, seconds: (performance.now() - began) / 1000, statuses },
    ...{ routes: operations.length, problems },
  };
}

function isError(text: string): boolean {
  try {
    const { error } = JSON.parse(text) as { error: Record<string, unknown> };
    return (
      typeof error.message === 'string' &&
      typeof error.type === 'string' &&
      'param' in error &&
      'code' in error
    );
  } catch {
    return false;
  }
}

function requestOf(one: Fuzz, operation: Operation, ids: readonly string[]): Sent {
  const inPath = (): string => {
    if (ids.length > 0 && one.chance(0.3)) return one.of(ids);
    const word = one.word();
    return one.chance(0.8)
      ? encodeURIComponent(Buffer.from(word).toString())
      : word.replaceAll(/[^\x21-\x7e]/g, '_').replaceAll('#', '_');
  };
  let path = operation.path.replaceAll(/\{[^}]+\}/g, inPath);
  if (one.chance(0.15))
    path += `?${encodeURIComponent(one.of(['after', 'limit', 'order', 'at', 'from', 'to', 'model', 'name', 'stream', 'purpose']))}=${inPath()}`;
  const method = one.chance(0.05)
    ? one.of(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'])
    : operation.method;
  const headers: http.OutgoingHttpHeaders = {};
  if (one.chance(0.05))
    headers[
      one.of([
        'authorization',
        'cookie',
        'traceparent',
        'x-csrf-token',
        'origin',
        'range',
        'x-inkstone-inside',
        'idempotency-key',
        'content-encoding',
        'expect',
        'x-forwarded-for',
      ])
    ] = one
      .word()
      .replaceAll(/[^\x20-\x7e]/g, '')
      .slice(0, 4000);
  const [type, schema] = one.of(
    Object.entries(operation.bodies).length > 0
      ? Object.entries(operation.bodies)
      : [['', {}] as [string, Schema]],
  );
  if (method === 'GET' || method === 'HEAD' || (type === '' && one.chance(0.7)))
    return { method, path, headers, body: undefined };
  const wrong = one.of([0, 0.03, 0.1, 0.4]);
  const value = one.like(schema, wrong);
  let body: Buffer;
  if (type === 'multipart/form-data') {
    const boundary = 'b0undary';
    headers['content-type'] =
      `${type}; boundary=${one.chance(0.95) ? boundary : one.word().replaceAll(/[^\x21-\x7e]/g, '')}`;
    body = formOf(one, boundary, value);
  } else {
    headers['content-type'] = one.chance(0.95)
      ? 'application/json'
      : one.of(['text/plain', 'application/xml', 'application/octet-stream', 'x']);
    body = Buffer.from(JSON.stringify(value) ?? 'null');
  }
  if (one.chance(0.05)) body = mutated(one, body);
  // Without a length Node would send no frame for some methods, and the body would be the next request.
  headers['content-length'] = body.length;
  return { method, path, headers, body };
}

function formOf(one: Fuzz, boundary: string, value: unknown): Buffer {
  const fields = Object.entries(typeof value === 'object' && value !== null ? value : { file: value });
  const parts = fields.map(([name, content]) => {
    const isFile = ['file', 'image', 'mask'].includes(name) || one.chance(0.1);
    const plain = name.replaceAll(/[\r\n"]/g, '_');
    const filename = isFile ? `; filename="${one.word().replaceAll(/[\r\n"]/g, '_')}"` : '';
    const text =
      name === 'purpose' && one.chance(0.8)
        ? 'batch'
        : typeof content === 'string'
          ? content
          : JSON.stringify(content);
    return `--${boundary}\r\nContent-Disposition: form-data; name="${plain}"${filename}\r\n\r\n${text}\r\n`;
  });
  return Buffer.from(`${parts.join('')}${one.chance(0.9) ? `--${boundary}--\r\n` : ''}`);
}

/** Cut, or with bytes of chance in it. */
function mutated(one: Fuzz, body: Buffer): Buffer {
  const copy = Buffer.from(body);
  for (let i = one.random.integer(8); i > 0 && copy.length > 0; i--)
    copy[one.random.integer(copy.length)] = one.random.integer(256);
  return one.chance(0.4) ? copy.subarray(0, one.random.integer(copy.length + 1)) : copy;
}

function send(
  address: string,
  agent: http.Agent,
  { method, path, headers, body }: Sent,
  patience: number,
  hangUp: number | undefined,
): Promise<{ status: string; text: string; type: string }> {
  return new Promise((resolve) => {
    const done = (status: string, text = '', type = ''): void => {
      clearTimeout(timer);
      clearTimeout(leaving);
      resolve({ status, text, type });
    };
    const url = new URL(address);
    const request = http.request(
      { host: url.hostname, port: url.port, method, path, headers, agent },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (piece: string) => {
          text += piece;
          if (text.length > FURTHEST) response.destroy();
        });
        const end = (): void => {
          const { statusCode = 0 } = response;
          // HEAD and 204 have no body to have a shape.
          const said =
            method === 'HEAD' && statusCode >= 400
              ? '{"error":{"message":"","type":"","param":null,"code":null}}'
              : text;
          done(String(statusCode), said, response.headers['content-type']);
        };
        response.on('end', end);
        response.on('close', end);
      },
    );
    const timer = setTimeout(() => {
      request.destroy();
      done('late');
    }, patience);
    const leaving = hangUp === undefined ? undefined : setTimeout(() => request.destroy(), hangUp);
    request.on('error', () => done('cut'));
    request.end(body);
  });
}

/** Bytes that are no request, or half of one. */
function rough(address: string, one: Fuzz): Promise<string> {
  const { hostname, port } = new URL(address);
  const lines = [
    `GET /${'a'.repeat(one.random.integer(100_000))} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"a"`,
    `GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${'y'.repeat(one.random.integer(60_000))}\r\n\r\n`,
    `GET /health HTTP/9.9\r\n\r\n`,
    `GET /health HTTP/1.1\r\nHost: localhost\r\nBad Header\u0000: x\r\n\r\n`,
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
    one.word(),
  ];
  return new Promise((resolve) => {
    let text = '';
    const socket = net.connect(Number(port), hostname, () => socket.write(one.of(lines)));
    const timer = setTimeout(() => socket.destroy(), 50 + one.random.integer(200));
    socket.on('data', (piece) => {
      text += String(piece).slice(0, 100);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 'cut');
    });
  });
}
