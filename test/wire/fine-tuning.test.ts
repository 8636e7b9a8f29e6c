/** The wire of fine-tuning with the real `openai` package: upload, job, events, and a model that answers afterwards. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText } from 'ai';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { textPreset } from '../../src/models/text/presets.ts';
import { createBackend } from '../../src/runtime/index.ts';
import { type RunningServer, startServer } from '../../src/serve/index.ts';
import { trainText } from '../../src/train/text-run.ts';

let home: string;
let server: RunningServer;
let client: OpenAI;
const colours = ['red', 'blue', 'green', 'white'];
const conversations = Array.from({ length: 24 }, (_, i) => ({
  messages: [
    { role: 'user', content: `Say ${colours[i % 4]}` },
    { role: 'assistant', content: `${colours[i % 4]}!` },
  ],
}));
const jsonl = (rows: readonly unknown[]): string => rows.map((row) => JSON.stringify(row)).join('\n');
const upload = (text: string) =>
  toFile(Buffer.from(text), 'talks.jsonl').then((file) =>
    client.files.create({ file, purpose: 'fine-tune' }),
  );

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-tuning-'));
  const data = path.join(home, 'data.txt');
  const lines = Array.from(
    { length: 300 },
    (_, i) => `User: Say ${colours[i % 4]}\n\nAssistant: well, no!\n`,
  );
  await writeFile(data, lines.join(''));
  const backend = await createBackend('cpu', { threads: 2 });
  await trainText({
    preset: { ...textPreset('tiny'), tokenizer: { name: 'bpe', vocabulary: 320 } },
    ...{ data, out: path.join(home, 'runs', 'base'), backend },
    training: { steps: 30, evaluateEvery: 30, checkpointEvery: 30, sampleEvery: 0 },
  });
  await backend.close();
  server = await startServer({ port: 0, home, model: 'base', loadWait: 60 });
  client = new OpenAI({ baseURL: `${server.address}/v1`, apiKey: 'none', maxRetries: 0 });
}, 120_000);
afterAll(async () => {
  await server?.close();
  await rm(home, { recursive: true, force: true });
});

describe('files', () => {
  it('are uploaded, listed, read and deleted', async () => {
    const text = jsonl(conversations);
    const file = await upload(text);
    expect(file).toMatchObject({
      object: 'file',
      filename: 'talks.jsonl',
      purpose: 'fine-tune',
      bytes: text.length,
    });
    expect((await client.files.list()).data.map(({ id }) => id)).toContain(file.id);
    expect((await client.files.retrieve(file.id)).id).toBe(file.id);
    expect(await (await client.files.content(file.id)).text()).toBe(text);
    expect(await client.files.delete(file.id)).toMatchObject({ deleted: true });
    await expect(client.files.retrieve(file.id)).rejects.toMatchObject({ status: 404 });
  });
  it('need a file and a purpose', async () => {
    const send = async (body: FormData) => {
      const answer = await fetch(`${server.address}/v1/files`, { method: 'POST', body });
      return { status: answer.status, body: (await answer.json()) as { error: { param: string } } };
    };
    const nothing = new FormData();
    nothing.set('purpose', 'fine-tune');
    expect(await send(nothing)).toMatchObject({ status: 400, body: { error: { param: 'file' } } });
    const purposeless = new FormData();
    purposeless.set('file', new Blob(['x']), 'x.jsonl');
    expect(await send(purposeless)).toMatchObject({ status: 400, body: { error: { param: 'purpose' } } });
  });
});

describe('a job', () => {
  it('tunes a model that answers afterwards', async () => {
    const file = await upload(jsonl(conversations));
    const job = await client.fineTuning.jobs.create({
      ...{ model: 'base', training_file: file.id, suffix: 'colours', seed: 3 },
      method: {
        type: 'supervised',
        supervised: { hyperparameters: { n_epochs: 120, learning_rate_multiplier: 12 } },
      },
    });
    expect(job).toMatchObject({ object: 'fine_tuning.job', model: 'base', fine_tuned_model: null, seed: 3 });
    let now = job;
    while (now.status === 'queued' || now.status === 'running') {
      await new Promise((resolve) => setTimeout(resolve, 200));
      now = await client.fineTuning.jobs.retrieve(job.id);
    }
    expect(now.error).toBeNull();
    expect(now.status).toBe('succeeded');
    expect(now.fine_tuned_model).toMatch(/^ft:base:inkstone:colours:/);
    expect(now.trained_tokens).toBeGreaterThan(100);
    const events = await client.fineTuning.jobs.listEvents(job.id, { limit: 100 });
    expect(events.data.at(-1)?.message).toContain('Created');
    expect(events.data.some(({ type }) => type === 'metrics')).toBe(true);
    expect((await client.fineTuning.jobs.checkpoints.list(job.id)).data).toHaveLength(1);
    const model = now.fine_tuned_model as string;
    expect((await client.models.list()).data.map(({ id }) => id)).toContain(model);
    const answer = await client.chat.completions.create({
      ...{ model, temperature: 0, max_tokens: 12 },
      messages: [{ role: 'user', content: 'Say green' }],
    });
    expect(answer.choices[0]?.message.content?.trim()).toMatch(/^\w+!$/);
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    const { text } = await generateText({
      ...{
        model: createOpenAI({ baseURL: `${server.address}/v1`, apiKey: 'none' }).chat(model),
        maxOutputTokens: 12,
      },
      ...{ prompt: 'Say red', temperature: 0 },
    });
    expect(text.trim()).toMatch(/!$/);
    expect((await client.fineTuning.jobs.list()).data.map(({ id }) => id)).toContain(job.id);
    const told = await client.responses.create({
      ...{ model, temperature: 0, max_output_tokens: 12, input: 'Say blue' },
    });
    expect(told.output_text.trim()).toMatch(/^\w+!$/);
    const losses = await (await client.files.content(now.result_files[0] as string)).text();
    expect(losses).toMatch(/^step,train_loss,valid_loss\n(\d+,[\d.]*,[\d.]*\n)+$/);
    const one = await client.fineTuning.jobs.listEvents(job.id, { limit: 1 });
    expect([one.data[0]?.message, one.has_more]).toEqual(['The job has successfully completed', true]);
    const all: string[] = [];
    for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 7 })) all.push(event.id);
    expect(new Set(all).size).toBe(all.length);
    expect(all).toHaveLength(events.data.length);
    for (const act of ['cancel', 'pause', 'resume'] as const)
      await expect(client.fineTuning.jobs[act](job.id)).rejects.toMatchObject({
        status: 400,
        code: 'job_over',
      });
    expect(await client.models.delete(model)).toMatchObject({ id: model, deleted: true });
    await expect(client.models.retrieve(model)).rejects.toMatchObject({ status: 404 });
    await expect(client.models.delete('base')).rejects.toMatchObject({ status: 400 });
  }, 120_000);

  it('rests and goes on', async () => {
    const file = await upload(jsonl(conversations));
    const job = await client.fineTuning.jobs.create({
      ...{ model: 'base', training_file: file.id, hyperparameters: { n_epochs: 120 } },
    });
    const status = async () => (await client.fineTuning.jobs.retrieve(job.id)).status;
    const seen = async (wanted: string[]) => {
      while (!wanted.includes(await status())) await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await seen(['running', 'succeeded']);
    await client.fineTuning.jobs.pause(job.id);
    await seen(['queued', 'succeeded']);
    expect(await status()).toBe('queued');
    // Others are not kept waiting.
    const other = await client.fineTuning.jobs.create({
      ...{ model: 'base', training_file: file.id, hyperparameters: { n_epochs: 1 } },
    });
    while ((await client.fineTuning.jobs.retrieve(other.id)).status !== 'succeeded')
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await status()).toBe('queued');
    await client.fineTuning.jobs.resume(job.id);
    await seen(['succeeded', 'failed']);
    expect(await status()).toBe('succeeded');
  }, 120_000);

  it('can be cancelled', async () => {
    const file = await upload(jsonl(conversations));
    const job = await client.fineTuning.jobs.create({
      ...{ model: 'base', training_file: file.id, hyperparameters: { n_epochs: 1000 } },
    });
    await client.fineTuning.jobs.cancel(job.id);
    let now = await client.fineTuning.jobs.retrieve(job.id);
    while (now.status === 'queued' || now.status === 'running') {
      await new Promise((resolve) => setTimeout(resolve, 100));
      now = await client.fineTuning.jobs.retrieve(job.id);
    }
    expect(now).toMatchObject({ status: 'cancelled', fine_tuned_model: null });
  }, 60_000);

  it.each([
    ['a file that is not there', async () => 'file-none', 'base', 404, 'training_file'],
    ['a line that is no JSON', async () => (await upload('{"messages": [')).id, 'base', 400, 'training_file'],
    [
      'a line without an answer',
      async () =>
        (
          await upload(
            jsonl([
              {
                messages: [
                  { role: 'user', content: 'x' },
                  { role: 'user', content: 'y' },
                ],
              },
            ]),
          )
        ).id,
      'base',
      400,
      'training_file',
    ],
    [
      'a model that is not there',
      async () => (await upload(jsonl(conversations))).id,
      'nobody',
      404,
      'model',
    ],
  ])(
    '%s is refused before it is accepted',
    async (_, file: () => Promise<string>, model: string, status: number, param: string) => {
      const training_file = await file();
      const failed = await client.fineTuning.jobs
        .create({ model, training_file })
        .catch((thrown: unknown) => thrown);
      expect(failed).toMatchObject({ status });
      if (param !== 'training_file' || status === 400) expect(failed).toMatchObject({ param });
    },
  );
  it('lists go on behind their cursor, and not behind one that is not there', async () => {
    const jobs: string[] = [];
    for await (const { id } of client.fineTuning.jobs.list({ limit: 1 })) jobs.push(id);
    expect(jobs.length).toBeGreaterThan(1);
    expect(new Set(jobs).size).toBe(jobs.length);
    const files: string[] = [];
    for await (const { id } of client.files.list({ limit: 2 })) files.push(id);
    expect(files.length).toBeGreaterThan(2);
    await expect(client.files.list({ after: 'file-none' })).rejects.toMatchObject({
      status: 400,
      param: 'after',
    });
  });
  it('that is not there is missing', async () => {
    await expect(client.fineTuning.jobs.retrieve('ftjob-none')).rejects.toMatchObject({ status: 404 });
  });
});
