import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { encodeAnimation, encodePicture, type Parameters, PICTURE_FORMATS } from './encode.ts';
import type { Pictures } from './request.ts';

const grey: Pictures = {
  ...{ count: 2, channels: 1, size: 8 },
  pixels: Uint8Array.from({ length: 128 }, (_, i) => 60 + i),
};
const colour: Pictures = { ...grey, count: 1, channels: 3, pixels: new Uint8Array(192).fill(90) };
const parameters = { model: 'a "b" <c> & d', class: '猫', seed: 7, mix: { seed: 3, layer: 2 }, eta: 0.5 };

/** As any reader of XMP does it: the attribute, its entities undone, is JSON. */
function told(xmp: Buffer | undefined): Parameters {
  const written = /inkstone:parameters="([^"]*)"/.exec(xmp?.toString() ?? '')?.[1] ?? '';
  const plain = { '&quot;': '"', '&lt;': '<', '&gt;': '>', '&amp;': '&' };
  return JSON.parse(written.replace(/&\w+;/g, (entity) => plain[entity as keyof typeof plain]));
}

describe.each(PICTURE_FORMATS)('a %s', (format) => {
  it.each([
    ['grey', grey],
    ['colour', colour],
  ])('says what made it, and that a model did: %s', async (_, pictures) => {
    const file = await encodePicture(pictures, 0, { format, parameters });
    const about = await sharp(file).metadata();
    expect([about.format, about.width]).toEqual([format === 'avif' ? 'heif' : format, 8]);
    expect(told(about.xmp)).toEqual(parameters);
    expect(about.xmp?.toString()).toContain('digitalsourcetype/trainedAlgorithmicMedia');
    const bare = await encodePicture(pictures, 0, { format });
    expect((await sharp(bare).metadata()).xmp).toBeUndefined();
    // What is told changes no pixel.
    const pixels = (bytes: Uint8Array) => sharp(bytes).raw().toBuffer();
    expect(await pixels(file)).toEqual(await pixels(bare));
  });
});

it('an animation says it, too', async () => {
  const film = await encodeAnimation(grey, { parameters });
  expect(told((await sharp(film).metadata()).xmp)).toEqual(parameters);
  const gif = Buffer.from(await encodeAnimation(grey, { parameters, gif: true }));
  expect(gif.includes(Buffer.from(JSON.stringify(parameters)))).toBe(true);
});
