/** Going on from a model of pictures as the studio does it: what is asked, what is refused, what comes of it. */
import { promises as fs } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { zipSync } from 'fflate';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import { imageConfig, imageParameters } from '../models/image/any.ts';
import { initialise } from '../nn/parameters.ts';
import { type RunningServer, startServer } from './index.ts';

let home: string;
let server: RunningServer;
let file: string;

/** Bars at different heights; a folder each where there are classes. */
async function bars(count: number, classes: readonly string[]): Promise<Uint8Array<ArrayBuffer>> {
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < count; i++) {
    const pixels = Buffer.alloc(256);
    pixels.fill(220, 16 * (i % 12), 16 * (i % 12) + 48);
    const folder = classes.length === 0 ? '' : `${classes[i % classes.length]}/`;
    files[`${folder}${i}.png`] = await sharp(pixels, { raw: { width: 16, height: 16, channels: 1 } })
      .png()
      .toBuffer();
  }
  return zipSync(files) as Uint8Array<ArrayBuffer>;
}

async function call(
  route: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> & { error: { code: string; param: string } } }> {
  const bytes = body instanceof Uint8Array;
  const response = await fetch(`${server.address}${route}`, {
    ...(body === undefined
      ? {}
      : { method: 'POST', body: bytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
    headers: { 'content-type': bytes ? 'application/octet-stream' : 'application/json' },
  });
  return { status: response.status, body: (await response.json()) as never };
}
const give = async (name: string, bytes: Uint8Array): Promise<string> =>
  (await call(`/api/files?name=${name}`, bytes)).body.id as string;

async function finished(id: string): Promise<Record<string, unknown>> {
  for (;;) {
    const { body } = await call(`/api/trainings/${id}`);
    if (['succeeded', 'failed', 'cancelled'].includes(body.state as string)) return body;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function shipped(name: string, model: object): Promise<void> {
  const folder = path.join(home, 'runs', name);
  const config = imageConfig.parse(model);
  await fs.mkdir(folder, { recursive: true });
  const about = { family: 'image', model: config, created: 5, data: { classes: ['low', 'high'] } };
  await fs.writeFile(path.join(folder, 'config.json'), JSON.stringify(about));
  const weights = writeSafetensors(initialise(imageParameters(config), 3));
  await fs.writeFile(path.join(folder, 'model.safetensors'), weights);
}

const small = { size: 16, channels: 1, width: 4, widest: 8 } as const;
beforeAll(async () => {
  home = await fs.mkdtemp(path.join(tmpdir(), 'inkstone-picture-tuning-'));
  await shipped('base', { architecture: 'gan', ...small, latent: 8, classes: 2 });
  await shipped('coder', { architecture: 'vae', ...small, latent: 4 });
  server = await startServer({ port: 0, home, loadWait: 60 });
  file = await give('bars.zip', await bars(24, []));
}, 120_000);
afterAll(async () => {
  await server?.close();
  await fs.rm(home, { recursive: true, force: true });
});

const tensorsOf = async (folder: string) =>
  readSafetensors(await fs.readFile(path.join(folder, 'checkpoints', 'last.safetensors'))).tensors;

describe('a model of pictures that is gone on from', () => {
  it('learns from two dozen pictures without classes, keeps what is frozen, and makes pictures', async () => {
    const begun = await call('/api/trainings', {
      ...{ name: 'mine', file, from: 'base', steps: 4, seed: 3 },
      freeze: ['generator.picture'],
    });
    expect([begun.status, begun.body]).toMatchObject([201, { base: 'base', family: 'image', steps: 4 }]);
    const ended = await finished(begun.body.id as string);
    expect(ended).toMatchObject({ state: 'succeeded' });
    const run = path.join(home, 'runs', 'mine');
    const config = JSON.parse(await fs.readFile(path.join(run, 'config.json'), 'utf8'));
    expect(config).toMatchObject({
      model: { architecture: 'gan', classes: 0, latent: 8 },
      training: { batch: 8, seed: 3, augment: { name: 'ada' }, frozen: ['generator.picture'] },
    });
    const before = initialise(
      imageParameters(imageConfig.parse({ architecture: 'gan', ...small, latent: 8, classes: 2 })),
      3,
    );
    const after = await tensorsOf(run);
    expect(after['generator/generator.picture.weight']).toEqual(before['generator.picture.weight']);
    expect(after['generator/generator.start.bias']).not.toEqual(before['generator.start.bias']);
    const made = await call('/v1/images/generations', { model: 'mine', prompt: '', n: 2, seed: 1 });
    expect((made.body.data as object[]).length).toBe(2);
  });

  it('may be an autoencoder', async () => {
    const { body } = await call('/api/trainings', {
      ...{ name: 'coded', file, from: 'coder', steps: 3, batch_size: 4, learning_rate: 0.01 },
      freeze: ['encoder'],
    });
    expect(await finished(body.id as string)).toMatchObject({ state: 'succeeded', family: 'image' });
    const run = path.join(home, 'runs', 'coded');
    const { training } = JSON.parse(await fs.readFile(path.join(run, 'config.json'), 'utf8'));
    expect(training).toMatchObject({ batch: 4, learningRate: 0.01 });
  });

  it('goes astray with an absurd rate, and says so in its events', { timeout: 180_000 }, async () => {
    const rates = ['training.generatorRate=1e6', 'training.criticRate=1e6'];
    const order = { name: 'astray', file, from: 'base', steps: 40 };
    const { body } = await call('/api/trainings', { ...order, set: [...rates, 'training.rollbacks=1'] });
    const events = await (await fetch(`${server.address}/api/trainings/${body.id}/events`)).text();
    expect(events).toMatch(/"type":"rollback","step":0,"from":\d+,"why":"[^"]+","rollbacks":1/);
    const ended = await finished(body.id as string);
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'loss_not_finite' } });
    expect(ended.rollbacks).toMatchObject([{ step: 0, rollbacks: 1 }]);
  });

  it('may become larger and coloured', { timeout: 180_000 }, async () => {
    const { body } = await call('/api/trainings', {
      ...{ name: 'larger', file, from: 'base', steps: 2, batch_size: 4 },
      ...{ size: 32, colour: true, loss: 'lsgan', set: ['model.width=3'] },
    });
    expect(await finished(body.id as string)).toMatchObject({ state: 'succeeded' });
    const config = await fs.readFile(path.join(home, 'runs', 'larger', 'config.json'), 'utf8');
    expect(JSON.parse(config)).toMatchObject({
      ...{ model: { size: 32, channels: 3, width: 3 }, training: { loss: 'lsgan' } },
    });
  });

  it('is listed with what can be chosen', async () => {
    const { body } = await call('/api/models');
    const found = (body.data as { id: string; pictures?: { tuning: { layers: string[] } } }[]).find(
      ({ id }) => id === 'coder',
    );
    expect(found?.pictures?.tuning.layers).toContain('decoder.start');
  });

  it.each([
    [{ freeze: ['nothing'] }, 'layer_unknown', undefined],
    [{ freeze: ['generator'] }, 'nothing_learns', undefined],
    [{ freeze: [''] }, undefined, 'freeze.0'],
    [{ augment: 'blur' }, undefined, 'augment'],
    [{ batch_size: 1 }, 'parameter_invalid', 'batch_size'],
    [{ preset: 'tiny-gan' }, 'parameter_invalid', 'preset'],
    [{ from: 'coder', augment: 'ada' }, 'parameter_invalid', 'augment'],
    [{ from: 'nobody' }, 'model_not_found', 'model'],
    [{ from: undefined, preset: 'tiny-gan', freeze: ['critic'] }, 'parameter_invalid', 'freeze'],
    [{ from: undefined, preset: 'tiny', augment: 'ada' }, 'parameter_invalid', 'augment'],
    [{ from: undefined, preset: 'tiny', colour: true }, 'parameter_invalid', 'colour'],
    [{ size: 18 }, 'image_size', undefined],
    [{ from: 'coder', loss: 'hinge' }, 'unsupported_setting', 'loss'],
    [{ set: ['training.nothing=1'] }, 'setting_unknown', 'set'],
    [{ size: 8 }, undefined, 'size'],
    [{ from: undefined, preset: 'tiny-gan', size: 18 }, 'image_size', undefined],
    [{ from: undefined, preset: 'tiny-gan', batch_size: 8 }, 'parameter_invalid', 'batch_size'],
    [{ from: undefined, preset: 'tiny', learning_rate: 0.1 }, 'parameter_invalid', 'learning_rate'],
    [
      { from: undefined, preset: 'tiny-gan', set: ['training.growth.from=8'] },
      'unsupported_setting',
      undefined,
    ],
  ])('refuses %j', async (more, code, param) => {
    const { status, body } = await call('/api/trainings', { name: 'no', file, from: 'base', ...more });
    expect([status >= 400 && status < 500, body.error.code]).toEqual([true, code ?? expect.any(String)]);
    if (param !== undefined) expect(body.error.param).toBe(param);
  });
});
