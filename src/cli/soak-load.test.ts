/** A client of a soak against servers that answer as they should, and in each way in which they should not. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { forget, noCounts, type SoakCounts, soakClient } from './soak-load.ts';

type Answer = (request: http.IncomingMessage, body: string) => [number, string] | 'cut';
let server: http.Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** Asks until so many requests came to an end. */
async function load(answer: Answer, ends: number): Promise<{ counts: SoakCounts; paths: string[] }> {
  const paths: string[] = [];
  server = http.createServer((request, reply) => {
    let body = '';
    request.on('data', (piece) => {
      body += String(piece);
    });
    request.on('end', () => {
      paths.push(`${request.method} ${request.url}`);
      const said = answer(request, body);
      if (said === 'cut') request.socket.destroy();
      else reply.writeHead(said[0]).end(said[1]);
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const counts = noCounts();
  const stop = new AbortController();
  const client = soakClient({ address, key: 'k', model: 'm', number: 0, stop: stop.signal, counts });
  const sum = (): number => {
    const { failures: _, ...numbers } = counts;
    return Object.values(numbers).reduce((total, one) => total + one, 0);
  };
  await expect.poll(sum, { interval: 5 }).toBeGreaterThanOrEqual(ends);
  stop.abort();
  await client;
  return { counts, paths };
}

const well: Answer = (_, body) =>
  body.includes('"stream":true') ? [200, 'data: {}\n\ndata: [DONE]\n\n'] : [200, '{"id":"x"}'];

describe('a client of a soak', () => {
  it('asks in five ways and takes back what it made', async () => {
    const { counts, paths } = await load(well, 10);
    expect(counts).toMatchObject({ failed: 0, failures: {} });
    for (const kind of ['answered', 'streamed', 'hungUp', 'files', 'kept'] as const)
      expect(counts[kind]).toBeGreaterThan(0);
    for (const made of ['files', 'responses'])
      expect(paths.filter((one) => one === `DELETE /v1/${made}/x`)).toHaveLength(
        paths.filter((one) => one === `POST /v1/${made}`).length,
      );
    expect(forget(counts).files).toBeGreaterThan(0);
    expect(counts).toEqual(noCounts());
  });

  it.each<[string, string, Answer]>([
    ['an error of the wire', 'model_loading', () => [503, '{"error":{"code":"model_loading"}}']],
    ['an answer in no shape', 'status_502', () => [502, '<html>']],
    ['a connection that is cut', 'UND_ERR_SOCKET', () => 'cut'],
    [
      'an error in a stream',
      'replica_crashed',
      (request, body) =>
        body.includes('"stream":true')
          ? [200, 'data: {"error":{"code":"replica_crashed"}}\n\n']
          : well(request, body),
    ],
    [
      'a stream without its end',
      'stream_cut',
      (request, body) => (body.includes('"stream":true') ? [200, 'data: {}\n\n'] : well(request, body)),
    ],
  ])('counts %s as a failure under its name', async (_, name, answer) => {
    const { counts } = await load(answer, 4);
    expect(counts.failures[name]).toBeGreaterThan(0);
    expect(counts.failed).toBe(Object.values(counts.failures).reduce((sum, one) => sum + one, 0));
  });
});
