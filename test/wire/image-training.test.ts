/** A training of pictures through the server: an archive is uploaded, sheets and judgements come, the model answers. */
import { zipSync } from 'fflate';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder, removeFile } from '../../src/base/host.ts';
import { type RunningServer, startServer } from '../../src/serve/server.ts';

let home: string;
let server: RunningServer;

beforeAll(async () => {
  home = await makeTemporaryFolder('wire-image-training');
  server = await startServer({ home, port: 0, loadWait: 60 });
});
afterAll(async () => {
  await server.close();
  await removeFile(home);
});

const at = (route: string): string => `${server.address}${route}`;

async function json<T>(route: string, body?: object): Promise<T & { error?: { code: string } }> {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(
    at(route),
    body === undefined ? {} : { method: 'POST', headers, body: JSON.stringify(body) },
  );
  return (await answer.json()) as T & { error?: { code: string } };
}

async function upload(name: string, bytes: Uint8Array): Promise<string> {
  const headers = { 'content-type': 'application/octet-stream' };
  const body = Uint8Array.from(bytes);
  const answer = await fetch(at(`/api/files?name=${name}`), { method: 'POST', headers, body });
  return ((await answer.json()) as { id: string }).id;
}

interface Training {
  id: string;
  state: string;
  family?: string;
  kind: string;
  score?: { name: string; value: number };
  history: { step: number; score?: number; score_name?: string; best_score?: number; size?: number }[];
  samples: { step: number; picture: string }[];
  error?: { code: string; message: string };
}

/** Bars on the left and on the right, in a folder each. */
async function archive(count: number): Promise<Uint8Array> {
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < count; i++) {
    const pixels = Buffer.alloc(256);
    const left = i % 2 === 0 ? 1 : 10;
    for (let y = 2; y < 6 + (i % 9); y++) for (let x = left; x < left + 5; x++) pixels[y * 16 + x] = 250 - i;
    const raw = { width: 16, height: 16, channels: 1 as const };
    files[`${left === 1 ? 'left' : 'right'}/${i}.png`] = await sharp(pixels, { raw }).png().toBuffer();
  }
  return zipSync(files);
}

async function ended(id: string): Promise<Training> {
  const events = await fetch(at(`/api/trainings/${id}/events`));
  await events.text();
  return json<Training>(`/api/trainings/${id}`);
}

describe('a training of pictures', () => {
  it('is offered beside those of texts', async () => {
    const { data } = await json<{ data: { id: string; family: string; size?: number }[] }>('/api/presets');
    expect(data.find(({ id }) => id === 'tiny-gan')).toMatchObject({ family: 'image', size: 16, steps: 60 });
    expect(data.find(({ id }) => id === 'tiny')).toMatchObject({ family: 'text' });
  });

  it('gives judgements, sheets and a model that answers', async () => {
    const file = await upload('bars.zip', await archive(60));
    const order = { name: 'bars', file, preset: 'tiny-gan', steps: 60, seed: 3 };
    const { id } = await json<Training>('/api/trainings', order);
    const training = await ended(id);
    expect(training.error).toBeUndefined();
    expect(training).toMatchObject({ state: 'succeeded', family: 'image', kind: 'train image' });
    expect(training.score?.name).toBe('fid_pixels');
    const judged = training.history.filter(({ score }) => score !== undefined);
    expect(judged.map(({ step, score_name }) => [step, score_name])).toEqual([
      [30, 'fid_pixels'],
      [60, 'fid_pixels'],
    ]);
    const scores = judged.map(({ score }) => score as number);
    expect(judged.map(({ best_score }) => best_score)).toEqual([scores[0], Math.min(...scores)]);
    expect(training.samples.map(({ step }) => step)).toEqual([30, 60]);
    const sheet = await fetch(at(training.samples[1]?.picture ?? ''));
    expect(sheet.headers.get('content-type')).toBe('image/png');
    const { width } = await sharp(Buffer.from(await sheet.arrayBuffer())).metadata();
    expect(width).toBe(2 * (8 * 17 + 1));
    const made = await json<{ data: { revised_prompt: string }[] }>('/v1/images/generations', {
      ...{ model: 'bars', prompt: 'right', n: 2, seed: 1 },
    });
    expect(made.data.map(({ revised_prompt }) => revised_prompt)).toEqual(['right', 'right']);
    // No step and no way out of the run's folder.
    for (const step of ['31', '..%2F..%2Fconfig.json', 'x']) {
      const { error } = await json(`/api/trainings/${id}/samples/${step}`);
      expect(error?.code, step).toBe('sample_missing');
    }
  }, 300_000);

  it('fails with what is wrong with the archive', async () => {
    for (const [name, bytes, code] of [
      ['empty.zip', zipSync({ 'readme.md': Buffer.from('no picture') }), 'data_empty'],
      ['few.zip', await archive(3), 'data_too_little'],
      ['words.txt', Buffer.from('words'), 'data_unknown'],
    ] as const) {
      const file = await upload(name, bytes);
      const order = { name: `from-${name}`, file, preset: 'tiny-gan', steps: 10 };
      const { id } = await json<Training>('/api/trainings', order);
      const { state, error } = await ended(id);
      expect([state, error?.code], name).toEqual(['failed', code]);
    }
  }, 300_000);

  it('is refused without a file, or under a name that is taken', async () => {
    const order = { name: 'new', file: 'file-nothing', preset: 'tiny-gan' };
    expect((await json('/api/trainings', order)).error?.code).toBe('file_missing');
    const wrong = { ...order, steps: 0 };
    expect((await json('/api/trainings', wrong)).error?.code).toBe('parameter_invalid');
    expect((await json('/api/trainings', { ...order, name: 'starter-digits' })).error?.code).toBe(
      'run_exists',
    );
    expect((await json('/api/trainings/nothing/samples/1')).error?.code).toBe('training_missing');
  });
});
