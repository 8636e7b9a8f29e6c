/** What files of pictures say of how they were made: all that was asked, and the same on the command line as over HTTP. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PictureRequest } from '../../base/contracts/pictures.ts';
import { writeSafetensors } from '../../formats/safetensors.ts';
import { imageConfig, imageParameters } from '../../models/image/any.ts';
import { initialise } from '../../nn/parameters.ts';
import { LocalPictures } from '../../operate/picture-source.ts';
import { createBackend } from '../../runtime/index.ts';
import { runMain } from '../testing.ts';

let folder: string;
let styled: string;
let denoiser: string;
let picture: string;

/** Not trained: its pictures are noise, and what is told of them is what is told of any. */
async function write(name: string, raw: object): Promise<string> {
  const config = imageConfig.parse({ size: 16, channels: 1, width: 4, widest: 8, classes: 2, ...raw });
  const own = path.join(folder, name);
  await fs.mkdir(own, { recursive: true });
  const about = { family: 'image', model: config, created: 5, data: { classes: ['left', 'right'] } };
  await fs.writeFile(path.join(own, 'config.json'), JSON.stringify(about));
  await fs.writeFile(
    path.join(own, 'model.safetensors'),
    writeSafetensors(initialise(imageParameters(config), 3)),
  );
  return own;
}

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-facts-'));
  styled = await write('styled', { architecture: 'stylegan2', latent: 4, style: 4 });
  denoiser = await write('denoiser', { architecture: 'ddpm', steps: 20 });
  picture = path.join(folder, 'given.png');
  await sharp({ create: { width: 16, height: 16, channels: 3, background: '#888' } })
    .png()
    .toFile(picture);
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

type Facts = Record<string, unknown>;

async function factsOf(file: string | Buffer): Promise<Facts> {
  const { xmp } = await sharp(file).metadata();
  const written = /inkstone:parameters="([^"]*)"/.exec(xmp?.toString() ?? '')?.[1] ?? '';
  return JSON.parse(written.replaceAll('&quot;', '"')) as Facts;
}

async function generated(model: string, out: string, ...words: string[]): Promise<Facts> {
  const file = path.join(folder, out);
  const { status, error } = await runMain([
    ...['generate', model, '--seed', '5', '--json', '--out', file],
    ...words,
  ]);
  expect(status, error.message).toBe(0);
  return factsOf(file);
}

/** The same asked as the server asks it. */
async function served(model: string, name: string, asked: Partial<PictureRequest>): Promise<Facts> {
  const backend = await createBackend('cpu', { threads: 1, inline: true });
  const source = await LocalPictures.open(model, name, backend);
  const request: PictureRequest = { id: '1', count: 1, seed: 5, format: 'png', ...asked };
  const [file] = await source.pictures(request);
  await source.close();
  await backend.close();
  return factsOf(Buffer.from(file?.data ?? '', 'base64'));
}

const version = expect.stringMatching(/./);

describe('files say how they were made', () => {
  it.each(['png', 'webp', 'jpeg', 'avif'])('in %s: mixed styles, truncation, class', async (ending) => {
    const words = ['--truncation', '0.5', '--mix', '7', '--mix-from', '2', '--label', 'right'];
    const facts = await generated(styled, `one.${ending}`, ...words);
    expect(facts).toEqual({
      ...{ model: facts.model, architecture: 'stylegan2', version, seed: 5, class: 'right', label: 1 },
      ...{ truncation: 0.5, mix: { seed: 7, layer: 2 } },
    });
    const asked = { truncation: 0.5, mix: { seed: 7, layer: 2 }, labels: [1] };
    expect(await served(styled, String(facts.model), asked)).toEqual(facts);
  });

  it('with what a denoiser was told, and with what it takes where nothing is told', async () => {
    const plain = await generated(denoiser, 'plain.png');
    const usual = { architecture: 'ddpm', version, seed: 5, class: 'left', label: 0 };
    expect(plain).toEqual({ model: plain.model, ...usual, steps: 20, guidance: 1.5, eta: 0 });
    expect(await served(denoiser, String(plain.model), {})).toEqual(plain);
    const words = [
      '--denoise',
      '4',
      '--eta',
      '0.5',
      '--guidance',
      '2',
      '--from',
      picture,
      '--strength',
      '0.4',
    ];
    const facts = await generated(denoiser, 'changed.jpg', ...words);
    expect(facts).toEqual({
      ...{ model: plain.model, ...usual, steps: 4, guidance: 2, eta: 0.5, strength: 0.4 },
      ...{ from: 'a given picture', masked: false },
    });
    const from = (await fs.readFile(picture)).toString('base64');
    const asked = { steps: 4, eta: 0.5, guidance: 2, from, strength: 0.4 };
    expect(await served(denoiser, String(facts.model), asked)).toEqual(facts);
    // Under a mask the strength has no part.
    const masked = await generated(
      denoiser,
      'masked.png',
      '--from',
      picture,
      '--mask',
      picture,
      '--denoise',
      '4',
    );
    expect(masked).toMatchObject({ masked: true, steps: 4 });
    expect(masked.strength).toBeUndefined();
  });

  it('larger by convolution: pictures, arrays and ways of that size, which say so', async () => {
    const facts = await generated(styled, 'large.png', '--upscale', '3');
    expect(facts.upscale).toEqual({ factor: 3, kernel: 'lanczos3' });
    expect(await served(styled, String(facts.model), { upscale: 3 })).toEqual(facts);
    await generated(styled, 'small.png');
    const pixels = async (name: string, side: number) => {
      const image = sharp(path.join(folder, name)).toColourspace('b-w').raw();
      const { data, info } = await image.toBuffer({ resolveWithObject: true });
      expect([info.width, info.height]).toEqual([side, side]);
      return data;
    };
    const large = await pixels('large.png', 48);
    const small = await pixels('small.png', 16);
    // In the middle of each pixel's nine stands the pixel itself: there the kernel is 1 and 0.
    small.forEach((value, i) =>
      expect(large[(3 * Math.floor(i / 16) + 1) * 48 + 3 * (i % 16) + 1]).toBe(value),
    );
    const way = await generated(styled, 'large.webp', '--between', '2', '--upscale', '2');
    expect(way).toMatchObject({ frames: 2, upscale: { factor: 2 } });
    expect((await sharp(path.join(folder, 'large.webp')).metadata()).width).toBe(32);
    for (const factor of ['1', '5', '2.5'])
      expect((await runMain(['generate', styled, '--json', '--upscale', factor])).error.code).toBe(
        'invalid_input',
      );
  });

  it('and of a way its seeds, classes and mixed styles', async () => {
    const words = [
      '--between',
      '2',
      '--mix',
      '7',
      '--label',
      'right',
      '--label',
      'left',
      '--truncation',
      '0.7',
    ];
    const facts = await generated(styled, 'way.webp', ...words, '--count', '2');
    expect(facts).toEqual({
      ...{ model: facts.model, architecture: 'stylegan2', version, truncation: 0.7 },
      ...{ seeds: [5, 6], frames: 2, classes: ['right', 'left'], mix: { seeds: [7, 7], layer: 4 } },
    });
    const alone = await generated(styled, 'alone.webp', '--between', '2', '--label', 'right');
    expect(alone).toMatchObject({ seeds: [5, 6], classes: ['right', 'right'], truncation: 1 });
    const way = { seeds: [5, 6], frames: 2, animation: 'webp' as const };
    expect(await served(styled, String(alone.model), { way, labels: [1] })).toEqual(alone);
  });

  it('fresh noise in each step makes another picture, and only a denoiser has it', async () => {
    const pixels = (name: string) => sharp(path.join(folder, name)).raw().toBuffer();
    for (const eta of ['0', '1']) await generated(denoiser, `eta-${eta}.png`, '--denoise', '4', '--eta', eta);
    expect(await pixels('eta-1.png')).not.toEqual(await pixels('eta-0.png'));
    const refused = async (model: string, ...words: string[]) =>
      (await runMain(['generate', model, '--seed', '5', '--json', ...words])).error.code;
    expect(await refused(styled, '--eta', '0')).toBe('unsupported_setting');
    expect(await refused(styled, '--strength', '0.5')).toBe('unsupported_setting');
    expect(await refused(denoiser, '--strength', '0.5')).toBe('setting_missing');
    for (const eta of ['1.1', '-0.1', 'much'])
      expect(await refused(denoiser, '--eta', eta)).toBe('invalid_input');
  });
});
