/** Clients that leave while their request is still being let in: nothing is kept of them, and nothing works for them. */
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from './index.ts';
import { LetterReplica, writeEmptyModel } from './testing.ts';

let home: string;
let server: RunningServer;
let replica: LetterReplica;
/** Resolves when the server knows that a client went away. */
let left: Promise<void>;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-leaving-'));
  await writeEmptyModel(home, 'letters');
  replica = new LetterReplica('letters');
  server = await startServer({ port: 0, home, model: 'letters', startReplica: () => replica });
  left = new Promise((resolve) => {
    server.app.server.once('connection', (socket) => socket.once('close', () => resolve()));
  });
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true, force: true });
});

const say = { model: 'letters', prompt: 'a', max_tokens: 5, seed: 0 };
const headersOf = (key: string): Record<string, string> => ({
  authorization: `Bearer ${key}`,
  'content-type': 'application/json',
});

/** Sends a whole request; the caller leaves. */
function begin(key: string, more: object = {}): http.ClientRequest {
  const request = http.request(`${server.address}/v1/completions`, {
    method: 'POST',
    headers: headersOf(key),
    agent: false,
  });
  request.on('error', () => undefined);
  request.end(JSON.stringify({ ...say, ...more }));
  return request;
}

const ask = (key: string): Promise<Response> =>
  fetch(`${server.address}/v1/completions`, {
    method: 'POST',
    headers: headersOf(key),
    body: JSON.stringify(say),
  });

describe('a client that leaves', () => {
  it('while it is looked whose file it names is not counted as on its way, and no model works for it', async () => {
    const { keys, owners, watch } = server.context;
    const { key } = await keys.create('own');
    let asked: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => {
      asked = resolve;
    });
    owners.isOwn = async () => {
      asked();
      await left;
      return true;
    };
    const request = begin(key, { file: 'file-a' });
    await reached;
    request.destroy();
    await left;
    expect((await ask(key)).status).toBe(200);
    await expect.poll(() => watch.requests.length).toBe(0);
    expect(replica.finished).toHaveLength(1);
  });

  it('while its budget is set aside gives its place and its budget back', async () => {
    const { keys, quotas } = server.context;
    const limits = { concurrency: 1, budget: 1 };
    const { key, row } = await keys.create('own', { limits });
    const reserve = quotas.ledger.reserve.bind(quotas.ledger);
    let asked: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => {
      asked = resolve;
    });
    quotas.ledger.reserve = async (...given) => {
      asked();
      await left;
      return reserve(...given);
    };
    const request = begin(key);
    await reached;
    request.destroy();
    await left;
    await expect.poll(() => quotas.state(row.id, limits).running).toBe(0);
    expect((await ask(key)).status).toBe(200);
    await quotas.ledger.flush();
    expect((await quotas.ledger.row(row.id)).reserved).toEqual({});
    // Nobody was there to hear the first answer.
    expect(replica.finished.filter((one) => one.includes('length'))).toHaveLength(1);
  });
});
