/** `/api/evaluations` over HTTP: a real evaluation in a process of its own, its figures and card, and what is refused. */
import { promises as fs } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeTemporaryFolder } from '../base/host.ts';
import { textPreset } from '../models/text/presets.ts';
import type { EvaluationJob } from '../operate/evaluation-jobs.ts';
import { createBackend } from '../runtime/index.ts';
import { trainText } from '../train/text-run.ts';
import { type RunningServer, startServer } from './server.ts';
import { LetterReplica } from './testing.ts';

let home: string;
let server: RunningServer;
let file: string;
let loss: number;
const text = 'The reeds bend, and the boats come home at night.\n'.repeat(120);

async function call(route: string, body?: unknown, key?: string): Promise<{ status: number; json: never }> {
  const raw = typeof body === 'string';
  const response = await fetch(`${server.address}${route}`, {
    ...(body === undefined ? {} : { method: 'POST', body: raw ? body : JSON.stringify(body) }),
    headers: {
      'content-type': raw ? 'application/octet-stream' : 'application/json',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
  });
  return { status: response.status, json: (await response.json()) as never };
}

beforeAll(async () => {
  home = await makeTemporaryFolder('inkstone-evaluations');
  const data = path.join(home, 'data.txt');
  await fs.writeFile(data, text);
  const backend = await createBackend('cpu', { threads: 1 });
  const { validationLoss } = await trainText({
    ...{ preset: textPreset('tiny'), data, out: path.join(home, 'runs', 'reeds'), backend },
    training: { steps: 20, evaluateEvery: 20, checkpointEvery: 20, sampleEvery: 0 },
  });
  loss = validationLoss;
  await backend.close();
  server = await startServer({ home, port: 0, startReplica: ({ id }) => new LetterReplica(id) });
  file = ((await call('/api/files?name=data.txt', text)).json as { id: string }).id;
}, 120_000);
afterAll(async () => {
  await server.close();
  await fs.rm(home, { recursive: true, force: true });
});

async function over(id: string): Promise<EvaluationJob> {
  for (;;) {
    const job = (await call(`/api/evaluations/${id}`)).json as EvaluationJob;
    if (job.state !== 'queued' && job.state !== 'running') return job;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('a model is scored once, as its training scored it, with a card', { timeout: 120_000 }, async () => {
  const order = { model: 'reeds', file };
  const made = await call('/api/evaluations', order, 'once');
  expect(made).toMatchObject({ status: 201, json: { model: 'reeds', kind: 'evaluate', progress: 0 } });
  const { id } = made.json as EvaluationJob;
  expect((await call('/api/evaluations', order, 'once')).json).toMatchObject({ id });
  const job = await over(id);
  expect(job).toMatchObject({ state: 'succeeded', progress: 1 });
  expect(job.figures).toMatchObject({ split: 'validation', weights: 'float32' });
  expect(job.figures?.nats_per_character).toBeCloseTo(loss, 4);
  expect(job.figures).not.toHaveProperty('card_json');
  expect(job.card).toContain('nats per character');
  expect((await call('/api/evaluations')).json).toMatchObject({ data: [{ id, state: 'succeeded' }] });
  // What has ended well is not begun anew.
  expect((await call(`/api/evaluations/${id}/resume`, {})).json).toMatchObject({ state: 'succeeded' });
});

test('one that fails says why, and can be begun anew', { timeout: 120_000 }, async () => {
  const { json } = await call('/api/evaluations', { model: 'reeds', file, stride: 9999 });
  const { id } = json as EvaluationJob;
  expect(await over(id)).toMatchObject({ state: 'failed', error: { code: 'stride_invalid' } });
  const again = (await call(`/api/evaluations/${id}/resume`, {})).json as EvaluationJob;
  expect(again.state).toMatch(/queued|running/);
  await call(`/api/evaluations/${id}/stop`, {});
  expect((await over(id)).state).toMatch(/cancelled|failed/);
});

test.each<[string, object, number, string]>([
  ['no such model', { model: 'reds' }, 404, 'model_not_found'],
  ['no such file', { file: 'file-0' }, 404, 'file_missing'],
  ['a split that there is not', { split: 'some' }, 400, 'parameter_invalid'],
  ['too few samples', { samples: 1 }, 400, 'parameter_invalid'],
  ['an unknown field', { what: 1 }, 400, 'parameter_invalid'],
])('%s is refused', async (_, change, status, code) => {
  const answer = await call('/api/evaluations', { model: 'reeds', file, ...change });
  expect(answer).toMatchObject({ status, json: { error: { code } } });
});

test('one that never was is missing', async () => {
  for (const [route, body] of [
    ['/api/evaluations/x', undefined],
    ['/api/evaluations/x/stop', {}],
    ['/api/evaluations/x/resume', {}],
  ] as const)
    expect(await call(route, body)).toMatchObject({
      status: 404,
      json: { error: { code: 'evaluation_missing' } },
    });
});
