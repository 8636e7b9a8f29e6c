/** Votes over a real socket: kept, counted, forgotten; what cannot be one is refused. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RunningServer, startServer } from './index.ts';
import { LetterReplica } from './testing.ts';

let home: string;
let server: RunningServer;
const start = () =>
  startServer({ port: 0, home, startReplica: ({ id }) => new LetterReplica(id) }).then((made) => {
    server = made;
  });
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-votes-'));
  await start();
});
afterAll(async () => {
  await server.close();
  await rm(home, { recursive: true, force: true });
});

async function call(method: string, body?: object) {
  const response = await fetch(`${server.address}/api/votes`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
  });
  return { status: response.status, body: (await response.json()) as Record<string, never> };
}
const vote = (a: string, b: string, winner: string, more: object = {}) =>
  call('POST', { a: { name: a, model: a }, b: { name: b, model: b }, winner, ...more });

it('are counted by pair, kept over a restart, and forgotten when asked', async () => {
  expect((await call('GET')).body).toEqual({ data: [], total: 0, table: [] });
  const first = await vote('one', 'two', 'tie');
  expect(first.status).toBe(201);
  expect(first.body.table).toMatchObject([{ preferred: { value: null, lower: 0, upper: 1, count: 0 } }]);
  await vote('two', 'one', 'a', { blind: true, input: 'Dear' });
  await server.close();
  await start();
  const { body } = await call('GET');
  expect(body.table).toMatchObject([
    {
      a: 'one',
      b: 'two',
      wins: { a: 0, b: 1 },
      ties: 1,
      votes: 2,
      blind: 1,
      preferred: { value: 0, count: 1 },
    },
  ]);
  // The newest first.
  expect(body.data).toMatchObject([
    { winner: 'a', blind: true, input: 'Dear' },
    { winner: 'tie', blind: false },
  ]);
  expect((await call('DELETE')).body).toMatchObject({ total: 0, table: [] });
  expect((await call('GET')).body).toMatchObject({ total: 0 });
});

it.each([
  [{}, 'a'],
  [{ a: { name: 'x', model: 'x' }, b: { name: 'y', model: 'y' }, winner: 'c' }, 'winner'],
  [{ a: { name: 'x', model: 'x' }, b: { name: 'x', model: 'x' }, winner: 'a' }, 'b.name'],
  [{ a: { name: '', model: 'x' }, b: { name: 'y', model: 'y' }, winner: 'a' }, 'a.name'],
])('refuses %j', async (body, param) => {
  const answer = await call('POST', body);
  expect(answer.status).toBe(400);
  expect(answer.body.error).toMatchObject({ code: 'parameter_invalid', param });
});
