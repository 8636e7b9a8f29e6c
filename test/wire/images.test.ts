import { promises as fs } from 'node:fs';
import { createOpenAI } from '@ai-sdk/openai';
import { experimental_generateImage as generateImage } from 'ai';
import OpenAI, { toFile } from 'openai';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder, removeFile } from '../../src/base/host.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { imageConfig, imageParameters } from '../../src/models/image/any.ts';
import { initialise } from '../../src/nn/parameters.ts';
import { type RunningServer, startServer } from '../../src/serve/server.ts';

let home: string;
let server: RunningServer;
let client: OpenAI;

/** Untrained models: their pictures are noise, and their wire is that of trained ones. */
async function model(id: string, raw: object, classes: readonly string[]): Promise<void> {
  const config = imageConfig.parse(raw);
  const folder = `${home}/models/${id}`;
  await fs.mkdir(folder, { recursive: true });
  await fs.writeFile(
    `${folder}/config.json`,
    JSON.stringify({ family: 'image', model: config, created: 5, data: { classes } }),
  );
  await fs.writeFile(`${folder}/model.safetensors`, writeSafetensors(initialise(imageParameters(config), 3)));
  await server.context.registry.register(id, folder);
}

const small = { size: 16, channels: 1, width: 4, widest: 8 };

beforeAll(async () => {
  home = await makeTemporaryFolder('wire-images');
  server = await startServer({ home, port: 0, maxModels: 3, loadWait: 30 });
  client = new OpenAI({ baseURL: `${server.address}/v1`, apiKey: 'none', maxRetries: 0 });
  await model('digits', { architecture: 'gan', ...small, latent: 4, classes: 3 }, ['1', '2', 'cat']);
  await model('plain', { architecture: 'stylegan2', ...small, latent: 4, style: 4 }, []);
  await model('denoiser', { architecture: 'ddpm', ...small, widest: 8, steps: 20 }, []);
});
afterAll(async () => {
  await server.close();
  await removeFile(home);
});

const first = (answer: OpenAI.ImagesResponse): Buffer =>
  Buffer.from(answer.data?.[0]?.b64_json ?? '', 'base64');

describe('openai', () => {
  it('makes pictures of what the prompt names, the same for the same seed', async () => {
    const ask = (more: object = {}) =>
      client.images.generate({
        model: 'digits',
        prompt: 'two cats and a one',
        n: 4,
        ...({ seed: 7 } as object),
        ...more,
      });
    const answer = await ask();
    expect(answer.data?.map((picture) => picture.revised_prompt)).toEqual(['2', 'cat', '1', '2']);
    const { width, height, format } = await sharp(first(answer)).metadata();
    expect([width, height, format]).toEqual([16, 16, 'png']);
    expect((await ask()).data?.[3]?.b64_json).toBe(answer.data?.[3]?.b64_json);
    const large = await sharp(first(await ask({ size: '64x64', output_format: 'webp', n: 1 }))).metadata();
    expect([large.width, large.format]).toEqual([64, 'webp']);
  });

  it('mixes the styles of two seeds', async () => {
    const ask = (more: object = {}) =>
      client.images.generate({ model: 'plain', prompt: '', ...({ seed: 3, ...more } as object) });
    const own = first(await ask());
    expect(first(await ask({ mix_seed: 4, mix_layer: 2 }))).not.toEqual(own);
    expect(first(await ask({ mix_seed: 3, mix_layer: 2 }))).toEqual(own);
  });

  it('edits: what the mask leaves stays as it was', async () => {
    const side = 16;
    const gradient = Buffer.from(Array.from({ length: side * side }, (_, i) => 40 + (i % side) * 10));
    const image = await sharp(gradient, { raw: { width: side, height: side, channels: 1 } })
      .png()
      .toBuffer();
    const rgba = Buffer.alloc(side * side * 4);
    for (let i = 0; i < side * side; i++) rgba[i * 4 + 3] = i < (side * side) / 2 ? 0 : 255;
    const mask = await sharp(rgba, { raw: { width: side, height: side, channels: 4 } })
      .png()
      .toBuffer();
    const answer = await client.images.edit({
      model: 'denoiser',
      prompt: '',
      image: await toFile(image, 'image.png', { type: 'image/png' }),
      mask: await toFile(mask, 'mask.png', { type: 'image/png' }),
      ...({ seed: 5, steps: 5 } as object),
    });
    const pixels = await sharp(first(answer)).toColourspace('b-w').raw().toBuffer();
    const half = pixels.length / 2;
    expect([...pixels.subarray(half)]).toEqual([...gradient.subarray(half)]);
    expect([...pixels.subarray(0, half)]).not.toEqual([...gradient.subarray(0, half)]);
  });

  it.each([
    ['a text model', { model: 'starter' }, 400, 'model_pictures_nothing'],
    ['no such model', { model: 'nobody' }, 404, 'model_not_found'],
    ['an odd size', { size: '10x20' }, 400, 'parameter_invalid'],
    ['an unknown class', { label: 'dog' }, 400, 'label_unknown'],
    ['a link', { response_format: 'url' }, 400, 'unsupported_parameter'],
    ['guidance without diffusion', { guidance: 3 }, 400, 'unsupported_setting'],
    ['too many', { n: 1000 }, 400, 'parameter_invalid'],
  ])('refuses %s', async (_, more, status, code) => {
    const asked = client.images.generate({ model: 'digits', prompt: 'one', ...(more as object) });
    await expect(asked).rejects.toMatchObject({ status, code });
  });

  it('refuses what is no picture, and pictures for a model that cannot start from one', async () => {
    const file = async (text: string) => toFile(Buffer.from(text), 'image.png', { type: 'image/png' });
    const asked = client.images.edit({ model: 'denoiser', prompt: '', image: await file('no picture') });
    await expect(asked).rejects.toMatchObject({ code: 'picture_invalid' });
    const other = client.images.edit({ model: 'digits', prompt: '', image: await file('x') });
    await expect(other).rejects.toMatchObject({ code: 'unsupported_setting' });
  });

  it('lists them beside models that write, and does not let them write', async () => {
    const ids = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual(expect.arrayContaining(['starter', 'digits', 'denoiser']));
    const asked = client.completions.create({ model: 'digits', prompt: 'x' });
    await expect(asked).rejects.toMatchObject({ status: 400, code: 'model_writes_nothing' });
  });
});

describe('ai', () => {
  it('generateImage', async () => {
    const provider = createOpenAI({ baseURL: `${server.address}/v1`, apiKey: 'none' });
    const { images } = await generateImage({
      model: provider.image('digits'),
      prompt: 'a cat',
      n: 2,
      size: '16x16',
      seed: 3,
    });
    expect(images.length).toBe(2);
    expect((await sharp(images[0]?.uint8Array).metadata()).width).toBe(16);
  });
});
