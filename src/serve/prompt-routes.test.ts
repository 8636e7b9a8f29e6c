/** `/api/prompts…` over HTTP: versions, labels, rendering, and a real comparison in a child process. */
import { promises as fs } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddingRequest, TextEmbedding } from '../base/contracts/embedder.ts';
import type { Replica } from '../base/contracts/replica.ts';
import { makeTemporaryFolder } from '../base/host.ts';
import { Random } from '../base/rng.ts';
import { textPreset } from '../models/text/presets.ts';
import type { PromptJob } from '../operate/prompt-jobs.ts';
import { createBackend } from '../runtime/index.ts';
import { trainText } from '../train/text-run.ts';
import { type RunningServer, startServer } from './server.ts';
import { LetterReplica } from './testing.ts';

let home: string;
let server: RunningServer;

const start = (): Promise<RunningServer> =>
  startServer({ home, port: 0, startReplica: ({ id }) => replicaOf(id) });

/** Says letters, and embeds a text as its length. */
function replicaOf(id: string): Replica {
  const replica: Replica = new LetterReplica(id);
  return Object.assign(replica, {
    model: { ...replica.model, produces: ['text', 'embedding'] },
    embed: async ({ texts }: EmbeddingRequest): Promise<TextEmbedding[]> =>
      texts.map((text) => ({ vector: Float32Array.of(text.length, 3), tokens: 1 })),
  });
}

async function call(
  method: string,
  url: string,
  body?: unknown,
): Promise<{ status: number; json: Record<string, unknown> }> {
  const response = await fetch(`${server.address}${url}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
}

const codeOf = ({ json }: { json: Record<string, unknown> }): unknown =>
  (json.error as { code: string }).code;

beforeAll(async () => {
  home = await makeTemporaryFolder('inkstone-prompt-routes');
  const run = path.join(home, 'runs', 'echo');
  const data = path.join(home, 'data.txt');
  await fs.mkdir(path.join(home, 'runs'), { recursive: true });
  const random = new Random(1);
  const lines = Array.from({ length: 600 }, () =>
    random.uniform() < 0.5 ? 'Q: cat\nA: meow\n\n' : 'Q: dog\nA: bark\n\n',
  );
  await fs.writeFile(data, lines.join(''));
  const backend = await createBackend('cpu', { threads: 1 });
  const training = { steps: 150, learningRate: 0.01, sampleEvery: 0 };
  await trainText({ preset: textPreset('tiny'), data, out: run, backend, training });
  await backend.close();
  server = await start();
}, 120_000);
afterAll(async () => {
  await server.close();
  await fs.rm(home, { recursive: true, force: true });
});

describe('prompts', () => {
  test('are kept in versions, labelled, compared and filled in', async () => {
    const definition = {
      text: 'Q: {{q}}\nA:',
      variables: { q: { type: 'string' } },
      choices: ['meow', 'bark'],
    };
    const made = await call('POST', '/api/prompts', { name: 'ask', definition, label: 'production' });
    expect(made).toMatchObject({ status: 201, json: { version: 1, added: true } });
    expect((await call('POST', '/api/prompts', { name: 'ask', definition })).status).toBe(200);
    const other = { ...definition, text: '{{q}}' };
    await call('POST', '/api/prompts', { name: 'ask', definition: other, note: 'bare' });
    expect((await call('GET', '/api/prompts')).json.data).toMatchObject([
      { name: 'ask', latest: 2, labels: { production: 1 } },
    ]);
    expect((await call('GET', '/api/prompts/ask?at=production')).json).toMatchObject({ version: 1 });
    expect((await call('GET', '/api/prompts/ask')).json).toMatchObject({ version: 2, note: 'bare' });
    expect((await call('PUT', '/api/prompts/ask/labels/staging', { version: 2 })).json).toMatchObject({
      labels: { production: 1, staging: 2 },
    });
    expect((await call('DELETE', '/api/prompts/ask/labels/staging')).json.labels).toEqual({ production: 1 });
    expect((await call('GET', '/api/prompts/ask/history')).json.versions).toHaveLength(2);
    const { json: diff } = await call('GET', '/api/prompts/ask/diff?from=1');
    expect(diff).toMatchObject({ from: 1, to: 2, same: false });
    const rendered = await call('POST', '/api/prompt-render', { prompt: 'ask@1', values: { q: 'cat' } });
    expect(rendered.json).toMatchObject({ prompt: 'Q: cat\nA:', examples: [] });
    const near = {
      text: '{{examples}} {{q}}',
      examples: { rows: [{ q: 'dog' }, { q: 'cat' }], format: '{{q}}', count: 1, select: 'similar', by: 'q' },
    };
    const found = await call('POST', '/api/prompt-render', { definition: near, values: { q: 'cats' } });
    expect(found.json.prompt).toBe('cat cats');
    // By vectors: 'otter' has as many letters as 'tiger'.
    const rows = [{ q: 'an otter' }, { q: 'tiger' }];
    const byLength = { ...near, examples: { ...near.examples, rows } };
    const asked = { definition: byLength, values: { q: 'otter' } };
    expect((await call('POST', '/api/prompt-render', asked)).json.prompt).toBe('an otter otter');
    const vectors = await call('POST', '/api/prompt-render', { ...asked, embed: 'echo' });
    expect(vectors.json.prompt).toBe('tiger otter');
    const turns = { messages: [{ role: 'user', content: '{{q}}' }] };
    const chat = await call('POST', '/api/prompt-render', {
      definition: turns,
      values: { q: 'x' },
      model: 'echo',
    });
    expect(chat.json).toMatchObject({ prompt: 'User: x\n\nAssistant:', template: 'plain' });
  });

  test.each<[string, string, string, unknown, number, string]>([
    ['no such prompt', 'GET', '/api/prompts/none', undefined, 404, 'prompt_not_found'],
    ['no such version', 'GET', '/api/prompts/ask?at=9', undefined, 404, 'prompt_version_not_found'],
    ['a bad name', 'POST', '/api/prompts', { name: 'A b', definition: { text: 'x' } }, 400, 'name_invalid'],
    [
      'a broken template',
      'POST',
      '/api/prompts',
      { name: 'x', definition: { text: '{{' } },
      400,
      'template_invalid',
    ],
    [
      'an unknown field',
      'POST',
      '/api/prompts',
      { name: 'x', definition: { txt: 'x' } },
      400,
      'parameter_invalid',
    ],
    ['a missing variable', 'POST', '/api/prompt-render', { prompt: 'ask' }, 400, 'variable_missing'],
    [
      'a wrong type',
      'POST',
      '/api/prompt-render',
      { prompt: 'ask', values: { q: 1 } },
      400,
      'variable_invalid',
    ],
    ['nothing to render', 'POST', '/api/prompt-render', {}, 400, 'parameter_invalid'],
    ['a bad label', 'PUT', '/api/prompts/ask/labels/latest', { version: 1 }, 400, 'label_invalid'],
    [
      'no such file',
      'POST',
      '/api/prompt-evaluations',
      { model: 'echo', prompts: ['ask'], file: 'x' },
      404,
      'file_missing',
    ],
    [
      'no such model',
      'POST',
      '/api/prompt-evaluations',
      { model: 'eco', prompts: ['ask'], file: 'x' },
      404,
      'model_not_found',
    ],
    [
      'no such embedder',
      'POST',
      '/api/prompt-render',
      { prompt: 'ask', values: { q: 'x' }, embed: 'eco' },
      404,
      'model_not_found',
    ],
    ['no such evaluation', 'GET', '/api/prompt-evaluations/x', undefined, 404, 'evaluation_missing'],
  ])('%s is told', async (_, method, url, body, status, code) => {
    const answer = await call(method, url, body);
    expect(codeOf(answer)).toBe(code);
    expect(answer.status).toBe(status);
  });
});

describe('comparisons', { timeout: 120_000 }, () => {
  const upload = async (text: string): Promise<string> => {
    const response = await fetch(`${server.address}/api/files?name=q.jsonl`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: text,
    });
    return ((await response.json()) as { id: string }).id;
  };
  const until = async (id: string, wanted: (job: PromptJob) => boolean): Promise<PromptJob> => {
    for (;;) {
      const job = (await call('GET', `/api/prompt-evaluations/${id}`)).json as unknown as PromptJob;
      if (wanted(job)) return job;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const questions = (count: number): string =>
    Array.from(
      { length: count },
      (_, i) => `${JSON.stringify({ q: ['cat', 'dog'][i % 2], answer: ['meow', 'bark'][i % 2] })}\n`,
    ).join('');

  test('run in a process of their own; a server that ends and starts again goes on', async () => {
    const file = await upload(questions(40));
    const { status, json } = await call('POST', '/api/prompt-evaluations', {
      ...{ model: 'echo', prompts: ['ask@production', 'ask'], file, metrics: ['choice'] },
    });
    expect(status).toBe(201);
    expect(json).toMatchObject({ model: 'echo', prompts: ['ask@1', 'ask@2'], kind: 'prompt evaluate' });
    const id = json.id as string;
    await until(id, ({ state }) => state !== 'queued');
    await server.close();
    server = await start();
    const job = await until(id, ({ state }) => state === 'succeeded' || state === 'failed');
    expect(job).toMatchObject({ state: 'succeeded', progress: 1, metrics: { answers: 80 } });
    const [first, second] = job.comparison?.variants ?? [];
    expect(first?.scores.choice).toMatchObject({ value: 1, count: 40 });
    expect(second?.against_first?.choice?.count).toBe(40);
    expect((await call('GET', '/api/prompt-evaluations')).json.data).toHaveLength(1);
  });

  test('what cannot be asked is refused at once; what fails later says why', async () => {
    const bad = await upload('{"q":"cat"}\n');
    const order = { model: 'echo', prompts: ['ask'], metrics: ['choice'] };
    const refused = await call('POST', '/api/prompt-evaluations', { ...order, file: bad });
    expect([codeOf(refused), refused.status]).toEqual(['task_invalid', 422]);
    const file = await upload('{"q":"cat","answer":"moo"}\n');
    const twice = await call('POST', '/api/prompt-evaluations', {
      ...order,
      prompts: ['ask', 'ask@2'],
      file,
    });
    expect(codeOf(twice)).toBe('prompts_same');
    const { json } = await call('POST', '/api/prompt-evaluations', { ...order, file });
    const job = await until(json.id as string, ({ state }) => state === 'failed' || state === 'succeeded');
    expect(job.error).toMatchObject({ code: 'answer_no_choice' });
  });
});
