import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFolder, makeTemporaryFolder, removeFile, writeFile } from '../../base/host.ts';
import { Random } from '../../base/rng.ts';
import { tar } from '../../formats/tests/tar-writer.ts';
import { type Looks, lookOf, readLooks } from './alike.ts';
import type { ImageSet } from './array-file.ts';
import { decodePicture } from './decode.ts';
import { labelOf, readLabels } from './labels.ts';
import { prepareImages } from './prepare.ts';

let folder: string;
beforeAll(async () => {
  folder = await makeTemporaryFolder('images');
});
afterAll(() => removeFile(folder));

/** A picture of soft blobs, its own for each seed. */
async function picture(
  seed: number,
  format: 'png' | 'jpeg' | 'webp' | 'avif' | 'gif' = 'png',
  side = 40,
): Promise<Buffer> {
  const random = new Random(seed, 'picture');
  const pixels = Uint8Array.from({ length: 6 * 6 * 3 }, () => random.integer(256));
  const raw = { width: 6, height: 6, channels: 3 as const };
  return sharp(pixels, { raw }).resize(side, side).toFormat(format).toBuffer();
}

const svg = (size: number, body = ''): Buffer =>
  Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}">${body}</svg>`);

let made = 0;
const prepare = (path: string, more: object = {}): Promise<ImageSet> =>
  prepareImages(path, { folder: `${folder}/prepared${made++}`, size: 16, channels: 3, ...more });

async function write(files: Record<string, Uint8Array | string>): Promise<string> {
  const place = `${folder}/given${made++}`;
  for (const [name, bytes] of Object.entries(files)) {
    await makeFolder(`${place}/${name}`.replace(/\/[^/]+$/, ''));
    await writeFile(`${place}/${name}`, bytes);
  }
  return place;
}

describe('decoding', () => {
  const options = { size: 16, channels: 3 as const, fit: 'cover' as const };

  it.each(['png', 'jpeg', 'webp', 'avif', 'gif'] as const)('%s', async (format) => {
    const decoded = await decodePicture(await picture(1, format), options);
    const truth = await decodePicture(await picture(1), options);
    if (!('pixels' in decoded) || !('pixels' in truth)) throw new Error(JSON.stringify(decoded));
    const far = decoded.pixels.reduce((t, v, i) => t + Math.abs(v - (truth.pixels[i] as number)), 0);
    expect(far / decoded.pixels.length).toBeLessThan(25);
  });

  it('draws SVG sharply on white, whatever its own size', async () => {
    const given = svg(16, '<rect x="8" width="8" height="16" fill="#000"/>');
    const decoded = await decodePicture(given, { size: 64, channels: 1, fit: 'contain' });
    if (!('pixels' in decoded)) throw new Error(decoded.problem);
    expect(decoded.pixels[10]).toBe(255);
    expect(decoded.pixels[50]).toBe(0);
  });

  it.each([
    ['no bytes', () => Buffer.alloc(0), /empty/],
    ['no picture', () => Buffer.from('just words, no picture at all'), /unsupported/],
    ['half a picture', async () => (await picture(2)).subarray(0, 200), /read error/],
    ['a picture of four pixels a side', () => picture(3, 'png', 4), /too few/],
    ['a bomb', () => svg(90_000), /^more pixels than/],
  ])('says what is wrong with %s', async (_, given, why) => {
    expect(await decodePicture(await given(), options)).toEqual({ problem: expect.stringMatching(why) });
  });
});

describe('collections', () => {
  it('give the same from a folder, a zip and a tar.gz, with folders as classes', async () => {
    const files: Record<string, Uint8Array> = {};
    for (let i = 0; i < 6; i++) files[`${i < 3 ? 'cat' : 'dog'}/${i}.png`] = await picture(10 + i);
    const place = await write(files);
    await writeFile(`${folder}/all.zip`, zipSync(files));
    const entries = Object.entries(files).map(([name, content]) => ({ name, content }));
    await writeFile(`${folder}/all.tar.gz`, gzipSync(tar(entries)));
    const sets: ImageSet[] = [];
    for (const path of [place, `${folder}/all.zip`, `${folder}/all.tar.gz`]) sets.push(await prepare(path));
    for (const set of sets) {
      expect(set.info.classes).toEqual(['cat', 'dog']);
      expect([...set.labels]).toEqual([0, 0, 0, 1, 1, 1]);
      expect(set.info.fingerprint).toBe(sets[0]?.info.fingerprint);
      expect((await set.read([5, 0])).subarray(0, 768)).toEqual(await set.readRange(5, 1));
      await set.close();
    }
  });

  it('take labels from a table, which may stand last and name files without their ending', async () => {
    const place = await write({
      'a.png': await picture(20),
      'b.png': await picture(21),
      'metadata.jsonl': '{"name":"a","categories":["Birds","Sky"]}\n{"name":"b","categories":["Fish"]}\n',
    });
    const set = await prepare(place);
    expect(set.info.classes).toEqual(['Birds', 'Fish']);
    await set.close();
  });

  it('pass over bad files and say which; look-alikes are reported', async () => {
    const smaller = sharp(await picture(30)).resize(30, 30);
    const place = await write({
      'one.png': await picture(30),
      'other.png': await picture(31),
      'same.jpg': await smaller.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer(),
      'broken.png': (await picture(32)).subarray(0, 100),
      'tiny.png': await picture(33, 'png', 3),
    });
    const set = await prepare(place);
    expect(set.info.count).toBe(3);
    expect(set.info.skipped.map(({ name }) => name)).toEqual(['broken.png', 'tiny.png']);
    expect(set.info.alike.map((pair) => pair.map((at) => set.names[at]))).toEqual([['one.png', 'same.jpg']]);
    expect(set.info.alikeComplete).toBe(true);
    await set.close();
  });

  it('in a zip with a damaged file are all the others', async () => {
    const words = `<!-- ${'many words '.repeat(50)} -->`;
    const files = { 'a.png': await picture(35), 'bad.svg': svg(20, words), 'z.png': await picture(36) };
    const bytes = zipSync(files);
    // The first block of the second one's data is of a kind that does not exist.
    const at = Buffer.from(bytes).indexOf('bad.svg') + 'bad.svg'.length;
    bytes.fill(0xff, at, at + 4);
    const place = await write({ 'some.zip': bytes });
    const set = await prepare(`${place}/some.zip`);
    expect(set.names).toEqual(['a.png', 'z.png']);
    expect(set.info.skipped).toEqual([
      { name: 'bad.svg', problem: expect.stringMatching(/damaged: invalid block type/) },
    ]);
    await set.close();
  });

  it('are made again where a picture of a class was overwritten', async () => {
    const place = await write({ 'cat/a.png': await picture(43), 'dog/b.png': await picture(44) });
    const options = { folder: `${folder}/again`, size: 16, channels: 3 as const };
    const first = await prepareImages(place, options);
    await writeFile(`${place}/dog/b.png`, await picture(45, 'png', 41));
    const second = await prepareImages(place, options);
    expect(second.info.fingerprint).not.toBe(first.info.fingerprint);
    await first.close();
    await second.close();
  });

  it('have no labels where a table leaves one picture out, and say which', async () => {
    const table = 'file,label\na.png,cat\nb.png,dog\n';
    const files = { 'a.png': await picture(46), 'b.png': await picture(47) };
    const set = await prepare(await write({ ...files, 'labels.csv': table }));
    expect([set.info.classes, set.info.unlisted]).toEqual([['cat', 'dog'], undefined]);
    await set.close();
    const more = await prepare(await write({ ...files, 'c/c.png': await picture(48), 'labels.csv': table }));
    expect(more.info).toMatchObject({
      ...{ classes: [], unlisted: { table: 'labels.csv', count: 1, first: 'c/c.png' } },
    });
    await more.close();
  });

  it('are made once', async () => {
    const place = await write({ 'a.png': await picture(40) });
    const options = { folder: `${folder}/once`, size: 16, channels: 3 as const };
    const first = await prepareImages(place, options);
    await first.close();
    let decoded = 0;
    const progress = (): void => {
      decoded++;
    };
    await (await prepareImages(place, { ...options, progress })).close();
    expect(decoded).toBe(0);
    await writeFile(`${place}/b.png`, await picture(41));
    const again = await prepareImages(place, { ...options, progress });
    expect(again.info.count).toBe(2);
    await again.close();
  });

  it.each([
    ['nothing there', async () => `${folder}/nowhere`, 'data_missing'],
    ['no pictures', () => write({ 'readme.txt': 'words' }), 'data_empty'],
    ['a file of another kind', async () => `${await write({ 'a.pdf': 'x' })}/a.pdf`, 'data_unknown'],
    [
      'a damaged tar.gz',
      async () => `${await write({ 'a.tar.gz': gzipSync('no tar').subarray(0, 12) })}/a.tar.gz`,
      'data_corrupt',
    ],
    [
      'a table without labels',
      async () => write({ 'a.png': await picture(50), 'labels.csv': 'file,size\na.png,3\n' }),
      'labels_invalid',
    ],
  ])('refuse %s', async (_, path, code) => {
    await expect(prepare(await path())).rejects.toMatchObject({ code });
  });

  it('come from IDX files in their two parts', async () => {
    const images = (count: number): Buffer =>
      Buffer.concat([
        Buffer.from([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 16, 0, 0, 0, 16]),
        Buffer.alloc(count * 256, count),
      ]);
    const place = await write({
      'train-images-idx3-ubyte.gz': gzipSync(images(3)),
      'train-labels-idx1-ubyte': Buffer.from([0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 2]),
      't10k-images-idx3-ubyte': images(1),
      't10k-labels-idx1-ubyte': Buffer.from([0, 0, 8, 1, 0, 0, 0, 2, 1, 1]),
    });
    await expect(prepare(place, { channels: 1, split: 'test' })).rejects.toMatchObject({
      code: 'idx_invalid',
    });
    await expect(prepare(place, { channels: 3 })).rejects.toMatchObject({ code: 'image_size' });
    await removeFile(`${place}/train-images-idx3-ubyte.gz`);
    await writeFile(`${place}/train-images-idx3-ubyte`, images(3));
    const set = await prepare(place, { channels: 1, size: undefined });
    expect(set.info).toMatchObject({ count: 3, size: 16, channels: 1, classes: ['0', '2'] });
    expect([...set.labels]).toEqual([1, 0, 1]);
    await set.close();
  });
});

describe('labels', () => {
  it('read quoted cells', () => {
    const table = readLabels('labels.csv', 'label,file\n"a, ""b""",one.png\n');
    expect(labelOf('x/one.png', table)).toBe('a, "b"');
    expect(labelOf('x/two.png', undefined)).toBe('x');
  });
});

describe('look-alikes', () => {
  const size = 32;
  const looksOf = (pictures: readonly Uint8Array[], side: number): Looks => {
    const looks = readLooks();
    for (const pixels of pictures) looks.add(pixels, 1, side);
    return looks;
  };
  const reads = (pictures: readonly Uint8Array[]) => async (place: number) => pictures[place] as Uint8Array;

  it('are found between two collections: a test picture that was trained on', async () => {
    const random = new Random(7, 'looks');
    const noise = (): Uint8Array => Uint8Array.from({ length: 256 }, () => random.integer(250));
    const train = Array.from({ length: 50 }, noise);
    const test = [...train.slice(48).map((pixels) => pixels.map((v) => v + 3)), noise()];
    const found = looksOf(train, 16).pairsWith(looksOf(test, 16), reads(train), reads(test));
    expect(await found).toEqual({
      pairs: [
        [48, 0],
        [49, 1],
      ],
      complete: true,
    });
  });

  it('are no drawings whose hashes are the same by chance: pixels decide', async () => {
    // Strokes in the same cells, two rows apart.
    const strokes = (row: number, ink = 255): Uint8Array => {
      const pixels = new Uint8Array(size * size);
      for (let y = row; y < size; y += 8) pixels.fill(ink, y * size + 8, y * size + 20);
      return pixels;
    };
    const pictures = [strokes(0), strokes(2), new Uint8Array(size * size), strokes(2, 254), strokes(0)];
    const hashes = pictures.map((pixels) => lookOf(pixels, 1, size).hash);
    expect(hashes[1]).toEqual(hashes[0]);
    expect(await looksOf(pictures, size).pairs(reads(pictures))).toEqual({
      pairs: [
        [1, 3],
        [0, 4],
      ],
      complete: true,
    });
  });

  it('are told as "at least" where the list is cut', async () => {
    const pictures = new Array<Uint8Array>(1003).fill(Uint8Array.from({ length: 64 }, (_, i) => 3 * i));
    const { pairs, complete } = await looksOf(pictures, 8).pairs(reads(pictures));
    expect([pairs.length, pairs.at(-1), complete]).toEqual([1000, [0, 1000], false]);
  });

  it('a hash is of what is brighter than its right neighbour', () => {
    const falling = Uint8Array.from({ length: 81 }, (_, i) => 200 - (i % 9) * 20);
    expect(lookOf(falling, 1, 9).hash).toEqual([0xffff, 0xffff, 0xffff, 0xffff]);
  });
});
