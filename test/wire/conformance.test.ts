/** Every route there is: described in /openapi.json, and wrong in one shape when it is asked wrongly. */
import http from 'node:http';
import { describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/serve/index.ts';
import { LetterReplica } from '../../src/serve/testing.ts';
import { wireHome } from './harness.ts';

const home = wireHome(['letters']);

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
}

function send(
  server: RunningServer,
  method: string,
  target: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const { port } = new URL(server.address);
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path: target, method, headers }, (response) => {
      let text = '';
      response.on('data', (piece) => (text += String(piece)));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** OpenAI's shape, with the class that its status belongs to. */
function checkError({ status, headers, text }: Answer, where: string): void {
  const { error, ...rest } = JSON.parse(text) as { error: Record<string, unknown> };
  expect(rest, where).toEqual({});
  expect(Object.keys(error).sort(), where).toEqual(['code', 'message', 'param', 'type']);
  expect(error.message, where).toMatch(/\w/);
  expect(error.code, where).toMatch(/^[a-z][a-z0-9_]*$/);
  expect(error.param === null || typeof error.param === 'string', where).toBe(true);
  const type =
    status === 401 ? 'authentication_error' : status === 403 ? 'permission_error' : 'invalid_request_error';
  expect(error.type, where).toBe(type);
  expect(headers['x-request-id'], where).toMatch(/^req-/);
  expect(headers['content-type'], where).toMatch(/^application\/json/);
}

const isOurs = (url: string): boolean => /^\/(v1|api)\//.test(url);
const pathOf = (url: string): string => url.replace(/:\w+|\*/g, 'none');
const json = { 'content-type': 'application/json' };

describe('every route', () => {
  it('is described, and what is described is there', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const { paths } = JSON.parse((await send(server, 'GET', '/openapi.json')).text) as {
      paths: Record<string, Record<string, { summary: string; responses: Record<string, unknown> }>>;
    };
    const described = Object.entries(paths).flatMap(([url, methods]) =>
      Object.entries(methods).map(([method, { summary, responses }]) => {
        expect(summary).toMatch(/\w/);
        expect(Object.keys(responses)).toEqual(expect.arrayContaining(['default']));
        return `${method.toUpperCase()} ${url}`;
      }),
    );
    const there = server.context.routes
      .filter(({ url }) => isOurs(url) || /^\/(health|metrics|session)/.test(url))
      .map(({ method, url }) => `${method} ${url.replace(/:(\w+)/g, '{$1}').replace('*', '{id}')}`);
    expect(there.sort()).toEqual(described.sort());
    expect(there.length).toBeGreaterThan(50);
  });

  it('wants a key where there is one', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const { row } = await server.context.keys.create('only');
    for (const { method, url } of server.context.routes.filter((route) => isOurs(route.url)))
      for (const authorization of ['', 'Bearer ink-wrong', 'Basic abc']) {
        const answer = await send(server, method, pathOf(url), undefined, { authorization });
        expect([`${method} ${url}`, answer.status]).toEqual([`${method} ${url}`, 401]);
        checkError(answer, `${method} ${url}`);
      }
    await server.context.keys.revoke(row.id);
  });

  it('refuses what is no JSON, another type, and things that are not there', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const wrongs: [string, Record<string, string>][] = [
      ['{"half":', json],
      ['[]', json],
      ['null', json],
      ['{"model": 5, "name": 5, "input": 5}', json],
      ['a,b', { 'content-type': 'text/csv' }],
      ['', json],
    ];
    for (const { method, url } of server.context.routes.filter((route) => isOurs(route.url))) {
      const where = `${method} ${url}`;
      for (const [body, headers] of method === 'POST' || method === 'PUT'
        ? wrongs
        : [[undefined, {}] as const]) {
        const answer = await send(server, method, pathOf(url), body, headers);
        expect(answer.status, `${where} ${body}: ${answer.text}`).toBeLessThan(500);
        if (method === 'POST' || method === 'PUT' || /:id|\*/.test(url))
          expect(answer.status, `${where} ${body}: ${answer.text}`).toBeGreaterThanOrEqual(400);
        if (answer.status >= 400) checkError(answer, `${where} ${body}`);
      }
    }
  });

  it('knows no other addresses', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    for (const [method, target] of [
      ['GET', '/v1/nothing'],
      ['POST', '/v1/models'],
      ['PUT', '/v1/chat/completions'],
      ['DELETE', '/v1/files'],
    ] as const) {
      const answer = await send(server, method, target);
      expect(answer.status).toBe(404);
      checkError(answer, target);
    }
  });
});
