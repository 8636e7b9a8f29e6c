/** Clients behind a gateway: each has its own files, batches and answers, whatever the gateway's key may do. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenAI, { toFile } from 'openai';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { openFileStore } from '../store/index.ts';
import { BEHALF } from './behalf.ts';
import { type Gateway, startGateway } from './gateway/index.ts';
import { type KeySettings, Keys, type RunningServer, startServer } from './index.ts';
import { LetterReplica, writeEmptyModel } from './testing.ts';

let folder: string;
let scenes = 0;
const open: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-behalf-'));
});
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A server, a gateway before it with a key of these rights, and two clients of the gateway. */
async function scene(rights: KeySettings | 'no keys'): Promise<{
  server: RunningServer;
  gateway: Gateway;
  one: OpenAI;
  other: OpenAI;
  keyOfGateway: string | undefined;
  /** A key of the server that is nobody's gateway. */
  stranger: string | undefined;
}> {
  const home = path.join(folder, `server-${scenes}`);
  await writeEmptyModel(home, 'letters');
  const keys = new Keys(await openFileStore(path.join(home, 'store')));
  let key: string | undefined;
  let stranger: string | undefined;
  if (rights !== 'no keys') {
    await keys.create('operator');
    ({ key } = await keys.create('gateway', rights));
    stranger = (await keys.create('stranger', { scopes: ['files'] })).key;
  }
  const server = await startServer({
    ...{ port: 0, home, model: 'letters', startReplica: () => new LetterReplica('letters') },
  });
  open.push(server);
  const store = await openFileStore(path.join(folder, `gateway-${scenes++}`));
  const gateway = await startGateway({
    ...{ port: 0, store },
    settings: { upstreams: [{ url: server.address, ...(key === undefined ? {} : { key }) }] },
  });
  open.push(gateway);
  await gateway.keys.create('operator');
  const client = async (name: string): Promise<OpenAI> => {
    const made = await gateway.keys.create(name);
    return new OpenAI({ baseURL: `${gateway.address}/v1`, apiKey: made.key, maxRetries: 0 });
  };
  return {
    server,
    gateway,
    one: await client('one'),
    other: await client('other'),
    keyOfGateway: key,
    stranger,
  };
}

const upload = async (client: OpenAI): Promise<OpenAI.FileObject> =>
  client.files.create({
    file: await toFile(
      Buffer.from(
        `${JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/completions', body: { model: 'letters', prompt: 'a', max_tokens: 3 } })}\n`,
      ),
      'asked.jsonl',
    ),
    purpose: 'batch',
  });
const names = async (client: OpenAI): Promise<string[]> =>
  (await client.files.list()).data.map(({ id }) => id);

test.each([
  [{ scopes: ['generate', 'files', 'train', 'gateway'] } satisfies KeySettings],
  [{ scopes: ['admin'] } satisfies KeySettings],
  ['no keys' as const],
])('each client has its own files, batches and answers: %j', async (rights) => {
  const { one, other } = await scene(rights);
  const { id } = await upload(one);
  expect([await names(one), await names(other)]).toEqual([[id], []]);
  await expect(other.files.retrieve(id)).rejects.toMatchObject({ status: 404 });
  await expect(
    other.batches.create({ input_file_id: id, endpoint: '/v1/completions', completion_window: '24h' }),
  ).rejects.toMatchObject({ status: 404 });

  const batch = await one.batches.create({
    ...{ input_file_id: id, endpoint: '/v1/completions', completion_window: '24h' },
  });
  await expect(other.batches.retrieve(batch.id)).rejects.toMatchObject({ status: 404 });
  // It runs later, and for the same client.
  await expect
    .poll(async () => (await one.batches.retrieve(batch.id)).status, { timeout: 20_000 })
    .toBe('completed');
  const { output_file_id: output, request_counts: counts } = await one.batches.retrieve(batch.id);
  expect(counts).toMatchObject({ completed: 1, failed: 0 });
  expect([(await names(one)).includes(output as string), await names(other)]).toEqual([true, []]);

  const answer = await one.responses.create({ model: 'letters', input: 'a', max_output_tokens: 16 });
  expect((await one.responses.retrieve(answer.id)).id).toBe(answer.id);
  await expect(other.responses.retrieve(answer.id)).rejects.toMatchObject({ status: 404 });
});

test('a key without the scope asks for itself, whatever it says', async () => {
  const { server, gateway, one, stranger } = await scene({ scopes: ['files'] });
  const { id } = await upload(one);
  for (const { id: somebody } of await gateway.keys.list()) {
    const direct = new OpenAI({
      ...{ baseURL: `${server.address}/v1`, apiKey: stranger as string },
      defaultHeaders: { [BEHALF]: somebody },
    });
    expect(await names(direct)).toEqual([]);
  }
  expect(await names(one)).toEqual([id]);
});

test('a client cannot ask for another through the gateway', async () => {
  const { gateway, one, other } = await scene({ scopes: ['files', 'gateway'] });
  const { id } = await upload(one);
  const rows = await gateway.keys.list();
  for (const { id: somebody } of rows) {
    const liar = new OpenAI({
      ...{ baseURL: other.baseURL, apiKey: other.apiKey as string },
      defaultHeaders: { [BEHALF]: somebody },
    });
    expect(await names(liar)).toEqual([]);
  }
  expect(await names(one)).toEqual([id]);
});

test.each(['', 'a b', 'a/b', 'x'.repeat(65)])('a name that is none is refused: %j', async (name) => {
  const { server, keyOfGateway } = await scene({ scopes: ['files', 'gateway'] });
  const response = await fetch(`${server.address}/v1/files`, {
    headers: { authorization: `Bearer ${keyOfGateway}`, [BEHALF]: name },
  });
  const { error } = (await response.json()) as { error: { code: string } };
  expect([response.status, error.code]).toEqual([400, 'header_invalid']);
});
