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
    const twice = await sharp(first(await ask({ upscale: 2, n: 1 }))).metadata();
    expect(twice.width).toBe(32);
    const large = await sharp(first(await ask({ size: '64x64', output_format: 'webp', n: 1 }))).metadata();
    expect([large.width, large.format]).toEqual([64, 'webp']);
  });

  it('mixes the styles of two seeds', async () => {
    const ask = (more: object = {}) =>
      client.images.generate({ model: 'plain', prompt: '', ...({ seed: 3, ...more } as object) });
    // The files differ anyway: they say what they were made from.
    const pixels = async (more: object = {}) =>
      sharp(first(await ask(more)))
        .raw()
        .toBuffer();
    const own = await pixels();
    expect(await pixels({ mix_seed: 4, mix_layer: 2 })).not.toEqual(own);
    expect(await pixels({ mix_seed: 3, mix_layer: 2 })).toEqual(own);
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

  it('writes into each file what it was made from', async () => {
    const ask = async (more: object) => {
      const asked = { model: 'plain', prompt: '', ...({ seed: 3, ...more } as object) };
      return (await sharp(first(await client.images.generate(asked))).metadata()).xmp?.toString() ?? '';
    };
    expect(await ask({ model: 'denoiser', steps: 3, eta: 0.5 })).toContain(
      '&quot;steps&quot;:3,&quot;eta&quot;:0.5',
    );
    const xmp = await ask({ truncation: 0.5, mix_seed: 4, mix_layer: 2, output_format: 'webp' });
    const written = /inkstone:parameters="([^"]*)"/.exec(xmp)?.[1] ?? '';
    expect(JSON.parse(written.replaceAll('&quot;', '"'))).toMatchObject({
      ...{ model: 'plain', architecture: 'stylegan2', seed: 3, truncation: 0.5 },
      mix: { seed: 4, layer: 2 },
    });
  });

  it.each([
    ['a text model', { model: 'starter' }, 400, 'model_pictures_nothing'],
    ['no model at all', { model: '' }, 400, 'parameter_invalid'],
    ['a prompt that is none', { prompt: 7 }, 400, 'parameter_invalid'],
    ['no picture', { n: 0 }, 400, 'parameter_invalid'],
    ['half a picture', { n: 1.5 }, 400, 'parameter_invalid'],
    ['a seed below 0', { seed: -1 }, 400, 'parameter_invalid'],
    ['a seed that is none', { seed: 'first' }, 400, 'parameter_invalid'],
    ['too much truncation', { truncation: 2.5 }, 400, 'parameter_invalid'],
    ['a format that nobody knows', { output_format: 'bmp' }, 400, 'parameter_invalid'],
    ['a side of 4', { size: '4x4' }, 400, 'parameter_invalid'],
    ['a size without sides', { size: 'large' }, 400, 'parameter_invalid'],
    ['styles where there are none', { mix_seed: 3 }, 400, 'styles_missing'],
    ['a layer that no model has', { model: 'plain', mix_seed: 3, mix_layer: 17 }, 400, 'parameter_invalid'],
    ['a stream', { stream: true }, 400, 'unsupported_parameter'],
    ['pictures on the way', { partial_images: 2 }, 400, 'unsupported_parameter'],
    ['nothing behind', { background: 'transparent' }, 400, 'unsupported_parameter'],
    ['a tenth of the bytes', { output_compression: 10 }, 400, 'unsupported_parameter'],
    ['a class of a model without', { model: 'plain', label: 'cat' }, 400, 'label_unknown'],
    ['steps without diffusion', { steps: 5 }, 400, 'unsupported_setting'],
    ['truncation of a denoiser', { model: 'denoiser', truncation: 0.5 }, 400, 'unsupported_setting'],
    ['styles of a denoiser', { model: 'denoiser', mix_seed: 3 }, 400, 'unsupported_setting'],
    ['fresh noise without diffusion', { eta: 0.5 }, 400, 'unsupported_setting'],
    ['more fresh noise than there is', { model: 'denoiser', eta: 1.5 }, 400, 'parameter_invalid'],
    ['a strength without a picture', { model: 'denoiser', strength: 0.5 }, 400, 'setting_missing'],
    ['more steps than there are', { model: 'denoiser', steps: 21 }, 400, 'steps_invalid'],
    ['too much guidance', { model: 'denoiser', guidance: 21 }, 400, 'parameter_invalid'],
    ['a strength of 0', { model: 'denoiser', strength: 0 }, 400, 'parameter_invalid'],
    ['five times the size', { upscale: 5 }, 400, 'parameter_invalid'],
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

  it.each([
    ['no picture', {}, 'parameter_missing', 400],
    ['a mask that is none', { image: 'picture', mask: 'no picture' }, 'picture_invalid', 422],
    ['a mask without its picture', { mask: 'picture' }, 'parameter_missing', 400],
    ['a picture of 17 MiB', { image: 'large' }, 'body_too_large', 413],
    ['a strength beyond 1', { image: 'picture', strength: '1.5' }, 'parameter_invalid', 400],
    ['steps in words', { image: 'picture', steps: 'ten' }, 'parameter_invalid', 400],
    ['no model', { image: 'picture', model: '' }, 'parameter_invalid', 400],
  ])('refuses to change %s', async (_, parts, code, status) => {
    const picture = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#777' } })
      .png()
      .toBuffer();
    const contents: Record<string, Uint8Array> = {
      picture,
      'no picture': Buffer.from('no picture'),
      large: new Uint8Array(17 * 2 ** 20),
    };
    const form = new FormData();
    for (const [name, value] of Object.entries({ model: 'denoiser', prompt: '', ...parts })) {
      if (name !== 'image' && name !== 'mask') form.append(name, value);
      else form.append(name, new Blob([Uint8Array.from(contents[value] as Uint8Array)]), `${name}.png`);
    }
    const answer = await fetch(`${server.address}/v1/images/edits`, { method: 'POST', body: form });
    expect([answer.status, ((await answer.json()) as { error: { code: string } }).error.code]).toEqual([
      status,
      code,
    ]);
  });

  it('refuses to change what comes as JSON, and bodies that are broken', async () => {
    const post = async (route: string, body: string) => {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`${server.address}/v1/images/${route}`, { method: 'POST', headers, body });
      return [answer.status, ((await answer.json()) as { error: { code: string } }).error.code];
    };
    expect(await post('edits', '{"model":"denoiser"}')).toEqual([415, 'media_type_unsupported']);
    for (const route of ['generations', 'interpolations'])
      expect(await post(route, '{"model":'), route).toEqual([400, 'body_invalid']);
  });

  it('lists them beside models that write, and does not let them write', async () => {
    const ids = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual(expect.arrayContaining(['starter', 'digits', 'denoiser']));
    const asked = client.completions.create({ model: 'digits', prompt: 'x' });
    await expect(asked).rejects.toMatchObject({ status: 400, code: 'model_writes_nothing' });
  });
});

describe('ways from picture to picture', () => {
  const ask = async (body: object) => {
    const answer = await fetch(`${server.address}/v1/images/interpolations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'digits', seeds: [3, 9], frames: 4, ...body }),
    });
    return { status: answer.status, body: (await answer.json()) as Way & { error: { code: string } } };
  };
  interface Way {
    output_format: string;
    data: { b64_json: string; seed: number; revised_prompt: string }[];
  }
  const files = ({ data }: Way) => data.map(({ b64_json }) => Buffer.from(b64_json, 'base64'));

  it('begin at each seed’s own picture', async () => {
    const way = files((await ask({ output_format: 'png', label: 'cat' })).body);
    expect(way.length).toBe(8);
    const pixels = (file: Buffer) => sharp(file).raw().toBuffer();
    const own = first(
      await client.images.generate({ model: 'digits', prompt: 'cat', ...({ seed: 3 } as object) }),
    );
    expect(await pixels(way[0] as Buffer)).toEqual(await pixels(own));
    expect(await pixels(way[2] as Buffer)).not.toEqual(await pixels(own));
  });

  it.each(['webp', 'gif'] as const)('are one %s that says what it was made from', async (kind) => {
    const { body } = await ask({ output_format: kind, delay: 100, size: '32x32', label: ['1', 'cat'] });
    expect([body.output_format, body.data.length]).toEqual([kind, 1]);
    const [film] = files(body) as [Buffer];
    const about = await sharp(film, { animated: true }).metadata();
    expect([about.format, about.pages, about.width, about.pageHeight]).toEqual([kind, 8, 32, 32]);
    expect(about.delay).toEqual(new Array(8).fill(100));
    const told = kind === 'gif' ? film.toString('latin1') : (about.xmp?.toString() ?? '');
    expect(told.replaceAll('&quot;', '"')).toContain('"seeds":[3,9],"frames":4,"classes":["1","cat"]');
  });

  it.each([
    ['one seed', { seeds: [3] }, 'parameter_invalid'],
    ['seeds that are none', { seeds: ['a', 'b'] }, 'parameter_invalid'],
    ['no seeds', { seeds: undefined }, 'parameter_invalid'],
    ['one picture a stretch', { frames: 1 }, 'parameter_invalid'],
    ['a film', { seeds: [1, 2, 3, 4, 5], frames: 100 }, 'parameter_invalid'],
    ['no time', { delay: 1 }, 'parameter_invalid'],
    ['larger pictures', { upscale: 2 }, 'unsupported_parameter'],
    ['guidance', { guidance: 2 }, 'unsupported_parameter'],
    ['several ways', { n: 2 }, 'unsupported_parameter'],
    ['a stream', { stream: true }, 'unsupported_parameter'],
    ['styles where there are none', { mix_seed: 3 }, 'styles_missing'],
    ['a still format', { output_format: 'jpeg' }, 'parameter_invalid'],
    ['an unknown class', { label: 'dog' }, 'label_unknown'],
    ['a model without latents', { model: 'denoiser' }, 'unsupported_setting'],
    ['a model that writes', { model: 'starter' }, 'model_pictures_nothing'],
  ])('refuse %s', async (_, more, code) => {
    const { status, body } = await ask(more);
    expect([status, body.error.code]).toEqual([400, code]);
  });
});

describe('the studio’s list of models', () => {
  it('says what can be asked of those that make pictures', async () => {
    const answer = await fetch(`${server.address}/api/models`);
    const { data } = (await answer.json()) as { data: { id: string; pictures?: object }[] };
    const traits = (id: string) => data.find((model) => model.id === id)?.pictures;
    expect(traits('starter')).toBeUndefined();
    expect(traits('digits')).toEqual({
      ...{ architecture: 'gan', size: 16, channels: 1, classes: ['1', '2', 'cat'] },
      ...{ styles: 0, between: true, edits: false, masks: false, steps: 0 },
      tuning: { layers: expect.arrayContaining(['generator.start']), early: [], augments: true },
    });
    expect(traits('plain')).toMatchObject({ styles: 6, classes: [], between: true });
    expect(traits('denoiser')).toMatchObject({ edits: true, masks: true, steps: 20, between: false });
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
