import { afterEach, describe, expect, it, vi } from 'vitest';
import { problemOf, RequestFailure, send, sendForJson, toProblem } from './client.ts';

afterEach(() => {
  vi.unstubAllGlobals();
});

function answer(respond: () => Response | Promise<Response>) {
  vi.stubGlobal('document', { baseURI: 'http://localhost:4747/' });
  const fetch = vi.fn(async (..._: unknown[]) => respond());
  vi.stubGlobal('fetch', fetch);
  return fetch;
}

describe('problemOf', () => {
  const kind = (status: number, error: object = {}) => problemOf({ error }, status).kind;

  it('says by the status what a person can do', () => {
    expect([401, 403, 404, 429, 503, 400, 409, 422, 500, 501].map((status) => kind(status))).toEqual([
      ...[
        'denied',
        'denied',
        'missing',
        'busy',
        'busy',
        'rejected',
        'rejected',
        'rejected',
        'server',
        'server',
      ],
    ]);
  });

  it('knows a loading model by its code or its progress', () => {
    expect(kind(503, { code: 'model_loading' })).toBe('loading');
    expect(kind(503, { code: 'x', progress: 0.2 })).toBe('loading');
    expect(problemOf({ error: { code: 'x', details: { progress: 3 } } }, 503).progress).toBe(1);
  });

  it('survives bodies that are not the wire’s', () => {
    for (const body of [null, undefined, 'no', [], { error: 'flat' }, { error: null }]) {
      expect(problemOf(body, 500)).toMatchObject({ kind: 'server', message: '' });
    }
  });
});

describe('send', () => {
  it('sends JSON and bytes to an address relative to the page', async () => {
    const fetch = answer(() => new Response('{}'));
    await send('/api/x', { method: 'POST', body: { a: 1 } });
    await send('/api/y', { method: 'POST', body: new Blob(['text']) });
    expect(fetch.mock.calls[0]).toMatchObject(['http://localhost:4747/api/x', { body: '{"a":1}' }]);
    expect(fetch.mock.calls[1]).toMatchObject([
      'http://localhost:4747/api/y',
      { headers: { 'content-type': 'application/octet-stream' } },
    ]);
  });

  it('tells an unreachable server, an error body with retry-after, and an answer that is no JSON', async () => {
    answer(() => Promise.reject(new TypeError('Failed to fetch')));
    expect(toProblem(await send('/x').catch((thrown: unknown) => thrown)).kind).toBe('network');
    const body = JSON.stringify({ error: { message: 'full', code: 'queue_full', hint: 'Wait.' } });
    answer(() => new Response(body, { status: 429, headers: { 'retry-after': '2' } }));
    const failure = await send('/x').catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(RequestFailure);
    expect(toProblem(failure)).toMatchObject({ kind: 'busy', message: 'full', hint: 'Wait.', retryAfter: 2 });
    answer(() => new Response('<html>'));
    expect(toProblem(await sendForJson('/x').catch((thrown: unknown) => thrown)).kind).toBe('broken');
  });

  it('hands an abort on as it is', async () => {
    answer(() => Promise.reject(new DOMException('stop', 'AbortError')));
    await expect(send('/x')).rejects.toMatchObject({ name: 'AbortError' });
  });
});
