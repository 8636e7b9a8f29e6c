/** Tuning from a file as the studio does it: the file is looked through, a training goes on from a model. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { textPreset } from '../models/text/presets.ts';
import { createBackend } from '../runtime/index.ts';
import { trainText } from '../train/text-run.ts';
import { type RunningServer, startServer } from './index.ts';

let home: string;
let server: RunningServer;
const talks = Array.from({ length: 12 }, (_, i) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: `Say ${i}` },
      { role: 'assistant', content: `It is ${i}.` },
    ],
  }),
);

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-studio-tuning-'));
  const data = path.join(home, 'data.txt');
  await writeFile(data, 'The reeds bend, and the boats come home at night.\n'.repeat(200));
  const backend = await createBackend('cpu', { threads: 1 });
  await trainText({
    preset: { ...textPreset('tiny'), tokenizer: { name: 'bpe', vocabulary: 300 } },
    ...{ data, out: path.join(home, 'runs', 'base'), backend },
    training: { steps: 20, evaluateEvery: 20, checkpointEvery: 20, sampleEvery: 0 },
  });
  await backend.close();
  server = await startServer({ port: 0, home, model: 'base', loadWait: 60 });
}, 120_000);
afterAll(async () => {
  await server?.close();
  await rm(home, { recursive: true, force: true });
});

async function call(
  route: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> & { error: { code: string; param: string } } }> {
  const bytes = typeof body === 'string';
  const response = await fetch(`${server.address}${route}`, {
    ...(body === undefined ? {} : { method: 'POST', body: bytes ? body : JSON.stringify(body) }),
    headers: { 'content-type': bytes ? 'application/octet-stream' : 'application/json' },
  });
  return { status: response.status, body: (await response.json()) as never };
}
const give = async (name: string, text: string): Promise<string> =>
  (await call(`/api/files?name=${name}`, text)).body.id as string;

async function finished(id: string): Promise<Record<string, unknown>> {
  for (;;) {
    const { body } = await call(`/api/trainings/${id}`);
    if (['succeeded', 'failed', 'cancelled'].includes(body.state as string)) return body;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe('looking through a file', () => {
  it('counts conversations and names bad lines', async () => {
    const id = await give('talks.jsonl', [...talks, '{"messages": 1}'].join('\n'));
    const { status, body } = await call(`/api/files/${id}/check?model=base`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      ...{ id, name: 'talks.jsonl', kind: 'conversations', lines: 13, conversations: 12, error_count: 1 },
      errors: [{ line: 13, message: 'it has no messages, and no prompt and completion' }],
      context: 32,
    });
    expect(body.tokens).toBeGreaterThan(body.answer_tokens as number);
  });

  it('counts text', async () => {
    const id = await give('song.txt', 'The reeds bend.\n'.repeat(40));
    const { body } = await call(`/api/files/${id}/check?model=base`);
    expect(body).toMatchObject({ kind: 'text', characters: 640, error_count: 0 });
    expect(body.tokens).toBeLessThan(640);
  });

  it('refuses what cannot be looked through', async () => {
    const packed = await give('talks.jsonl.gz', 'x');
    expect((await call(`/api/files/${packed}/check?model=base`)).body.error.code).toBe('file_packed');
    expect((await call(`/api/files/${packed}/check?model=nobody`)).body.error.code).toBe('model_not_found');
    expect((await call('/api/files/file-0/check?model=base')).body.error.code).toBe('file_missing');
    expect((await call(`/api/files/${packed}/check`)).body.error.param).toBe('model');
  });
});

it('goes on from a model with a plain text, and says from which', async () => {
  const file = await give('sea.txt', 'The sea was calm, and the boats were far away.\n'.repeat(150));
  const started = await call('/api/trainings', { name: 'sea', file, from: 'base', steps: 10, batch_size: 2 });
  expect(started.status).toBe(201);
  expect(started.body).toMatchObject({ name: 'sea', model: 'sea', base: 'base', steps: 10 });
  const end = await finished(started.body.id as string);
  expect(end.state).toBe('succeeded');
  // An evaluation and a sample at each fifth of the way.
  expect((end.samples as unknown[]).length).toBe(5);
  const config = JSON.parse(await readFile(path.join(home, 'runs', 'sea', 'config.json'), 'utf8'));
  expect(config).toMatchObject({
    model: { layers: 2, width: 32, context: 32 },
    training: { steps: 10, batch: 2, learningRate: 3e-4 },
    provenance: { from: path.join(home, 'runs', 'base') },
  });
  const names = ['base', 'sea'].map((name) => path.join(home, 'runs', name, 'tokenizer.json'));
  const [before, after] = await Promise.all(names.map((name) => readFile(name, 'utf8')));
  expect(after).toBe(before);
});

it('tunes small adapters where a rank is given', async () => {
  const file = await give('talks.jsonl', talks.join('\n'));
  const job = await call('/v1/fine_tuning/jobs', {
    ...{ model: 'base', training_file: file, suffix: 'small' },
    hyperparameters: { n_epochs: 1, lora_rank: 2 },
  });
  expect(job.status).toBe(200);
  const status = await call(`/api/trainings/${job.body.id}`);
  expect(status.body).toMatchObject({
    base: 'base',
    model: expect.stringMatching(/^ft:base:inkstone:small:/),
  });
  const end = await finished(job.body.id as string);
  expect(end.state).toBe('succeeded');
  const config = JSON.parse(await readFile(path.join(end.result as string, 'config.json'), 'utf8'));
  expect(config.lora).toEqual({ rank: 2, alpha: 4 });
});

it.each([
  [{ name: 'x' }, 'parameter_invalid', 'preset'],
  [{ name: 'x', from: 'nobody' }, 'model_not_found', 'model'],
  [{ name: 'x', from: 'base', batch_size: 0 }, 'parameter_invalid', 'batch_size'],
  [{ name: 'base', from: 'base' }, 'run_exists', 'name'],
])('refuses a training %j', async (body, code, param) => {
  const file = await give('sea.txt', 'The sea.\n'.repeat(500));
  const { body: answer } = await call('/api/trainings', { file, ...body });
  expect(answer.error).toMatchObject({ code, param });
});
