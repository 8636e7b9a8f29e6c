/** Batches with the real `openai` package: from a file of requests to a file of answers, through every status. */

import OpenAI, { toFile } from 'openai';
import { describe, expect, it } from 'vitest';
import type { EnterOptions } from '../../src/base/contracts/queue.ts';
import { gate } from '../../src/base/testing.ts';
import { Prices } from '../../src/operate/quota/prices.ts';
import { Keys } from '../../src/serve/index.ts';
import { LetterReplica, ScriptedReplica } from '../../src/serve/testing.ts';
import { wireHome } from './harness.ts';

const home = wireHome(['letters', 'other']);
type Body = Record<string, unknown>;
const line = (id: string, body: Body, more: Body = {}): Body => ({
  ...{ custom_id: id, method: 'POST', url: '/v1/completions', body: { model: 'letters', ...body } },
  ...more,
});
const jsonl = (rows: readonly unknown[]): string => rows.map((row) => JSON.stringify(row)).join('\n');

async function upload(client: OpenAI, rows: readonly unknown[] | string): Promise<string> {
  const text = typeof rows === 'string' ? rows : jsonl(rows);
  const file = await toFile(Buffer.from(text), 'requests.jsonl');
  return (await client.files.create({ file, purpose: 'batch' })).id;
}

async function begin(client: OpenAI, rows: readonly unknown[] | string, window = '24h') {
  return client.batches.create({
    input_file_id: await upload(client, rows),
    endpoint: '/v1/completions',
    completion_window: window as '24h',
    metadata: { who: 'test' },
  });
}

async function over(client: OpenAI, id: string): Promise<OpenAI.Batch> {
  for (;;) {
    const batch = await client.batches.retrieve(id);
    if (['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) return batch;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function read(client: OpenAI, id: string | null | undefined): Promise<Record<string, never>[]> {
  const text = await (await client.files.content(id ?? '')).text();
  return text
    .split('\n')
    .filter(Boolean)
    .map((one) => JSON.parse(one));
}

describe('a batch', () => {
  it('answers each request once, in order, good and bad apart', async () => {
    const { client, server } = await home.start(new LetterReplica('letters'));
    const rows = Array.from({ length: 70 }, (_, i) =>
      line(`r${i}`, { prompt: `${i}`, max_tokens: 3, seed: i % 26 }),
    );
    rows[5] = line('r5', { prompt: 'x', max_tokens: -1 });
    rows[6] = line('r6', { prompt: 'x', model: 'nobody' });
    const begun = await begin(client, `${jsonl(rows)}\n\n`);
    expect(begun).toMatchObject({
      object: 'batch',
      status: 'validating',
      endpoint: '/v1/completions',
      metadata: { who: 'test' },
    });
    expect(begun.expires_at).toBe(begun.created_at + 86_400);
    const batch = await over(client, begun.id);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 70, completed: 68, failed: 2 },
      errors: null,
    });
    for (const at of ['in_progress_at', 'finalizing_at', 'completed_at'] as const)
      expect(batch[at]).toBeGreaterThanOrEqual(begun.created_at);
    const good = await read(client, batch.output_file_id);
    const ids = rows.map(({ custom_id }) => custom_id).filter((id) => id !== 'r5' && id !== 'r6');
    expect(good.map((one: Body) => one.custom_id)).toEqual(ids);
    expect(good[0]).toMatchObject({
      id: expect.stringMatching(/^batch_req_/),
      error: null,
      response: { status_code: 200, request_id: expect.any(String), body: { choices: [{ text: 'abc' }] } },
    });
    const bad = await read(client, batch.error_file_id);
    expect(bad).toMatchObject([
      { custom_id: 'r5', response: { status_code: 400, body: { error: { param: 'max_tokens' } } } },
      { custom_id: 'r6', response: { status_code: 404 } },
    ]);
    const files = await client.files.list({ purpose: 'batch_output' });
    expect(files.data.map(({ id }) => id)).toContain(batch.output_file_id);
    // What was only needed on the way is gone.
    await expect.poll(() => server.context.store.rows.count('batch-lines')).toBe(0);
    await expect(client.batches.cancel(begun.id)).rejects.toMatchObject({ status: 409 });
  });

  it('waits behind everybody who wants an answer now, whatever its requests say', async () => {
    const { passed: loading, open: loaded } = gate();
    const replica = new LetterReplica('letters', { loading });
    const { client, server } = await home.start(replica, { concurrency: 1, loadWait: 60 });
    const turns: string[] = [];
    const { queue } = server.context.generation;
    const enter = queue.enter.bind(queue);
    queue.enter = (options) => {
      const ticket = enter(options);
      const turn = async (): Promise<void> => {
        await ticket.turn();
        turns.push(options.batch === true ? 'batch' : 'now');
      };
      return { ...ticket, turn };
    };
    // The first holds the place while the others come, until the model is loaded.
    const rows = Array.from({ length: 6 }, (_, i) =>
      line(`r${i}`, { prompt: 'x', max_tokens: 1, service_tier: 'default' }),
    );
    const { id } = await begin(client, rows);
    const lane = () => server.context.scheduling.queue.snapshot().lanes.letters;
    await expect.poll(() => lane()?.batchWaiting).toBe(5);
    const ask = () => client.completions.create({ model: 'letters', prompt: 'y', max_tokens: 1 });
    const now = Array.from({ length: 3 }, ask);
    await expect.poll(() => lane()?.waiting).toBe(3);
    // It has its place before it is told so.
    await expect.poll(() => turns).toEqual(['batch']);
    loaded();
    await Promise.all(now);
    expect(turns.slice(0, 4)).toEqual(['batch', 'now', 'now', 'now']);
    expect(await over(client, id)).toMatchObject({
      status: 'completed',
      request_counts: { completed: 6, failed: 0 },
    });
  });

  it.each(['/v1/chat/completions', '/v1/responses', '/v1/embeddings'] as const)(
    'of %s is batch work, too',
    async (endpoint) => {
      const entered: EnterOptions[] = [];
      const replica = Object.assign(new ScriptedReplica('other', ['yes']), {
        embed: async () => [{ vector: Float32Array.of(1), tokens: 1 }],
        lengths: async () => [1],
      });
      Object.assign(replica.model, { produces: ['text', 'embedding'] });
      const { client, server } = await home.start(replica);
      const { queue } = server.context.generation;
      const enter = queue.enter.bind(queue);
      queue.enter = (options) => {
        // Batches that other tests left go on here, too.
        if (options.model === 'other') entered.push(options);
        return enter(options);
      };
      const body = { model: 'other', messages: [{ role: 'user', content: 'x' }] };
      const wanted = endpoint === '/v1/chat/completions' ? body : { model: 'other', input: 'x' };
      const file = await upload(client, [line('a', {}, { url: endpoint, body: wanted })]);
      const batch = { input_file_id: file, endpoint, completion_window: '24h' as const };
      const { id } = await client.batches.create(batch);
      expect((await over(client, id)).request_counts).toMatchObject({ completed: 1, failed: 0 });
      // It waits for its gap however long that takes.
      expect(entered).toMatchObject([{ batch: true, deadline: Number.POSITIVE_INFINITY }]);
    },
  );

  it('ends what its key cannot pay for, and does not ask again and again', async () => {
    const { client, server } = await home.start(new LetterReplica('letters'), {
      prices: Prices.parse(['*=0/1000000']),
    });
    const { keys } = server.context;
    const { key, row } = await keys.create('poor', { limits: { budget: 25 } });
    const poor = new OpenAI({ baseURL: client.baseURL, apiKey: key, maxRetries: 0 });
    const rows = Array.from({ length: 6 }, (_, i) => line(`r${i}`, { prompt: 'x', max_tokens: 10 }));
    const { id } = await begin(poor, rows);
    expect((await over(poor, id)).request_counts).toEqual({ total: 6, completed: 2, failed: 4 });
    await keys.revoke(row.id);
  });

  it('is cancelled with what is answered', async () => {
    const { client } = await home.start(new LetterReplica('letters', { pace: 20 }));
    const rows = Array.from({ length: 400 }, (_, i) => line(`r${i}`, { prompt: 'x', max_tokens: 10 }));
    const { id } = await begin(client, rows);
    while (((await client.batches.retrieve(id)).request_counts?.completed ?? 0) === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await client.batches.cancel(id)).status).toMatch(/^cancel/);
    const batch = await over(client, id);
    expect(batch).toMatchObject({ status: 'cancelled', request_counts: { total: 400 } });
    const done = batch.request_counts?.completed ?? 0;
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(400);
    expect(await read(client, batch.output_file_id)).toHaveLength(done);
  });

  it('expires with what is answered, and names the rest', async () => {
    const { client } = await home.start(new LetterReplica('letters', { pace: 30 }));
    const rows = Array.from({ length: 300 }, (_, i) => line(`r${i}`, { prompt: 'x', max_tokens: 10 }));
    const { id } = await begin(client, rows, '2s');
    const batch = await over(client, id);
    expect(batch.status).toBe('expired');
    const good = batch.output_file_id ? await read(client, batch.output_file_id) : [];
    const bad = await read(client, batch.error_file_id);
    expect(good.length + bad.length).toBe(300);
    expect(bad[0]).toMatchObject({ response: null, error: { code: 'batch_expired' } });
  });

  it('goes on with the next server', async () => {
    const first = await home.start(new LetterReplica('letters', { pace: 10 }));
    const rows = Array.from({ length: 150 }, (_, i) => line(`r${i}`, { prompt: 'x', max_tokens: 5 }));
    const { id } = await begin(first.client, rows);
    while (((await first.client.batches.retrieve(id)).request_counts?.completed ?? 0) === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    await first.server.close();
    const { client } = await home.start(new LetterReplica('letters'));
    const batch = await over(client, id);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 150, completed: 150, failed: 0 },
    });
    const good = await read(client, batch.output_file_id);
    expect(new Set(good.map((one: Body) => one.custom_id)).size).toBe(150);
  });

  it('asked for twice under one idempotency key is one', async () => {
    const { client } = await home.start(new LetterReplica('letters'));
    const body = {
      input_file_id: await upload(client, [line('a', { prompt: 'x', max_tokens: 1 })]),
      ...{ endpoint: '/v1/completions' as const, completion_window: '24h' as const },
    };
    const options = { idempotencyKey: 'once', headers: { 'Idempotency-Key': 'once' } };
    const [one, two] = await Promise.all([
      client.batches.create(body, options),
      client.batches.create(body, options),
    ]);
    expect(two.id).toBe(one.id);
    await expect(
      client.batches.create({ ...body, metadata: { other: 'yes' } }, options),
    ).rejects.toMatchObject({ status: 409 });
    const all = await client.batches.list({ limit: 1 });
    expect(all.data[0]?.id).toBe(one.id);
    await over(client, one.id);
  });

  it('is its key’s own', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const keys = new Keys(server.context.store);
    const clients: OpenAI[] = [];
    const made: string[] = [];
    for (const name of ['one', 'two']) {
      const { key, row } = await keys.create(name);
      made.push(row.id);
      clients.push(new OpenAI({ baseURL: `${server.address}/v1`, apiKey: key, maxRetries: 0 }));
    }
    const [mine, theirs] = clients as [OpenAI, OpenAI];
    const { id } = await begin(mine, [line('a', { prompt: 'x', max_tokens: 1 })]);
    expect(await over(mine, id)).toMatchObject({ status: 'completed', request_counts: { completed: 1 } });
    await expect(theirs.batches.retrieve(id)).rejects.toMatchObject({ status: 404 });
    await expect(theirs.batches.cancel(id)).rejects.toMatchObject({ status: 404 });
    // What was made before there were keys is there for all.
    expect((await theirs.batches.list()).data.map((one) => one.id)).not.toContain(id);
    // Nobody outside speaks as the server does to itself.
    const forged = await fetch(`${server.address}/v1/batches`, {
      headers: { 'x-inkstone-inside': `x ${made[0]}` },
    });
    expect(forged.status).toBe(401);
    for (const name of made) await keys.revoke(name);
  });
});

describe('a file that cannot be used', () => {
  const body = { prompt: 'x', max_tokens: 1 };
  it.each<[string, string | Body[], string, string | null]>([
    ['no JSON', '{"custom_id": "a"\n', 'invalid_json_line', null],
    ['no object', '[1]\n', 'invalid_request', null],
    ['no id', [line('', body)], 'missing_required_parameter', 'custom_id'],
    ['an id twice', [line('a', body), line('a', body)], 'duplicate_custom_id', 'custom_id'],
    ['another method', [line('a', body, { method: 'GET' })], 'invalid_method', 'method'],
    ['another route', [line('a', body, { url: '/v1/embeddings' })], 'mismatched_endpoint', 'url'],
    ['no body', [line('a', body, { body: 'x' })], 'missing_required_parameter', 'body'],
    ['no model', [line('a', { model: undefined })], 'missing_required_parameter', 'body.model'],
    ['a stream', [line('a', { ...body, stream: true })], 'invalid_request', 'body.stream'],
    ['nothing', '\n\n', 'empty_file', null],
  ])('%s', async (_, rows, code, param) => {
    const { client } = await home.start(new LetterReplica('letters'));
    const batch = await over(client, (await begin(client, rows)).id);
    expect(batch.status).toBe('failed');
    expect(batch.errors?.data?.[0]).toMatchObject({ code, param });
    expect(batch.output_file_id ?? null).toBeNull();
  });
});

describe('a batch that is refused', () => {
  it('for its file, its route, its time, its words', async () => {
    const { client, post } = await home.start(new LetterReplica('letters'));
    const file = await upload(client, [line('a', { prompt: 'x' })]);
    const tune = await client.files.create({
      file: await toFile(Buffer.from('{}'), 'x.jsonl'),
      purpose: 'fine-tune',
    });
    const good = { input_file_id: file, endpoint: '/v1/completions', completion_window: '24h' };
    for (const [change, status, param] of [
      [{ input_file_id: 'file-none' }, 404, 'file'],
      [{ input_file_id: tune.id }, 400, 'input_file_id'],
      [{ endpoint: '/v1/models' }, 400, 'endpoint'],
      [{ completion_window: '25h' }, 400, 'completion_window'],
      [{ completion_window: 'soon' }, 400, 'completion_window'],
      [{ what: 1 }, 400, null],
    ] as const) {
      const { status: got, body } = await post('/v1/batches', { ...good, ...change });
      expect([got, (body as { error: { param: string } }).error.param]).toEqual([status, param]);
    }
    for (const id of ['batch_none', '..%2f..', 'x'.repeat(90)]) {
      const answer = await fetch(`${client.baseURL}/batches/${id}`);
      expect(answer.status).toBe(404);
    }
  });
});
