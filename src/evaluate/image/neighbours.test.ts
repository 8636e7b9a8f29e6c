import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFolder, makeTemporaryFolder, removeFile, writeFile } from '../../base/host.ts';
import { Random } from '../../base/rng.ts';
import { ImageSet } from '../../data/image/array-file.ts';
import type { Pictures } from '../../generate/image/request.ts';
import { createBackend } from '../../runtime/index.ts';
import { pixelFeatures } from './features.ts';
import type { Features } from './frechet.ts';
import { madeNeighbours, nearestOf, neighbourRows, pixelRows, type RowSource } from './neighbours.ts';
import { backendProducts } from './products.ts';

const cloud = (count: number, width: number, seed: number): Features => {
  const random = new Random(seed, 'cloud');
  return { count, width, data: Float32Array.from({ length: count * width }, () => random.normal()) };
};

const sourceOf = ({ count, width, data }: Features): RowSource => ({
  count,
  rows: (from, rows) =>
    Promise.resolve({ count: rows, width, data: data.subarray(from * width, (from + rows) * width) }),
});

/** All distances, all sorted: slow and plain. */
function plainly(queries: Features, all: Features, k: number): { place: number; distance: number }[][] {
  return Array.from({ length: queries.count }, (_, q) =>
    Array.from({ length: all.count }, (_, place) => {
      let total = 0;
      for (let i = 0; i < all.width; i++)
        total +=
          ((queries.data[q * all.width + i] as number) - (all.data[place * all.width + i] as number)) ** 2;
      return { place, distance: Math.sqrt(total) };
    })
      .sort((a, b) => a.distance - b.distance)
      .slice(0, k),
  );
}

describe('nearest rows', () => {
  const all = cloud(4100, 5, 1);
  const queries = cloud(20, 5, 2);

  it('are those that all distances sorted give, over blocks', async () => {
    expect(await nearestOf(queries, sourceOf(all), { k: 3 })).toEqual(plainly(queries, all, 3));
  });

  it('are the same by the backend’s products, copies at distance 0', async () => {
    const backend = await createBackend('cpu', { threads: 1, inline: true });
    const { products, close } = backendProducts(backend, all.width);
    const own = { ...all, count: 30, data: all.data.subarray(0, 30 * all.width) };
    const found = await nearestOf(own, sourceOf(all), { k: 2, products });
    expect(found).toEqual(plainly(own, all, 2));
    expect(found.map(([first]) => first)).toEqual(
      Array.from({ length: 30 }, (_, place) => ({ place, distance: 0 })),
    );
    const others = await nearestOf(own, sourceOf(all), { k: 1, products, without: (query) => query });
    expect(others.map(([first]) => first)).toEqual(plainly(own, all, 2).map(([, second]) => second));
    await close();
    await backend.close();
  });

  it('are as many as there are', async () => {
    const few = cloud(2, 5, 3);
    expect((await nearestOf(queries, sourceOf(few), { k: 3 })).map((list) => list.length)).toEqual(
      new Array(20).fill(2),
    );
  });
});

describe('made pictures beside training pictures', () => {
  let folder = '';
  let training: ImageSet;
  const size = 16;
  const random = new Random(4, 'pictures');
  const noise = (count: number): Pictures => ({
    ...{ count, channels: 1, size },
    pixels: Uint8Array.from({ length: count * size * size }, () => random.integer(256)),
  });
  const learned = noise(300);
  const stride = size * size;

  beforeAll(async () => {
    folder = await makeTemporaryFolder('neighbours');
    await makeFolder(folder);
    await writeFile(path.join(folder, 'images.u8'), learned.pixels);
    const about = {
      ...{
        count: 300,
        size,
        channels: 1,
        container: 'files',
        classes: [],
        fingerprint: 'f',
        skipped: [],
        alike: [],
      },
      labels: new Array(300).fill(0),
      names: Array.from({ length: 300 }, (_, i) => `${i}.png`),
    };
    await writeFile(path.join(folder, 'images.json'), JSON.stringify(about));
    training = await ImageSet.open(folder);
  });
  afterAll(async () => {
    await training.close();
    await removeFile(folder);
  });

  it('tell a generator that copies from one that does not', async () => {
    const network = pixelFeatures();
    const copies = { ...noise(40) };
    // Every second one is a training picture with a little noise.
    for (let i = 0; i < 40; i += 2)
      copies.pixels.set(
        learned.pixels.subarray(7 * i * stride, (7 * i + 1) * stride).map((v) => Math.min(255, v + 2)),
        i * stride,
      );
    const found = await madeNeighbours({ network, training, made: copies, k: 3 });
    expect(found.network).toBe('pixels');
    for (const view of ['features', 'pixels'] as const) {
      const places = found[view].filter((_, i) => i % 2 === 0).map(([first]) => first?.place);
      expect(places, view).toEqual(Array.from({ length: 20 }, (_, i) => 14 * i));
      expect(found.summary[view].copies, view).toBeGreaterThanOrEqual(0.5);
    }
    expect(found.pixels[0]?.[0]?.distance).toBeCloseTo(2 / 255, 2);
    const honest = await madeNeighbours({ network, training, made: noise(40), k: 1 });
    for (const view of ['features', 'pixels'] as const) {
      const { made, real, copies: part } = honest.summary[view];
      expect(part, view).toBeLessThan(0.3);
      expect(Math.abs(made / real - 1), view).toBeLessThan(0.05);
    }
  });

  it('stand in rows: the sample, its nearest by features, by pixels', async () => {
    const made = noise(5);
    const found = await madeNeighbours({ network: pixelFeatures(), training, made, k: 2 });
    const { pictures, columns } = await neighbourRows(made, training, found, { rows: 3, k: 2 });
    expect([pictures.count, columns]).toEqual([21, 7]);
    const at = (row: number, column: number) =>
      pictures.pixels.subarray((row * 7 + column) * stride, (row * 7 + column + 1) * stride);
    expect(at(1, 0)).toEqual(made.pixels.subarray(stride, 2 * stride));
    expect(at(1, 1)).toEqual(new Uint8Array(stride).fill(128));
    expect(at(2, 3)).toEqual(await training.read([found.features[2]?.[1]?.place as number]));
    expect(at(2, 5)).toEqual(await training.read([found.pixels[2]?.[0]?.place as number]));
  });

  it('pixel distances are roots of mean squares', () => {
    const two: Pictures = {
      count: 2,
      channels: 1,
      size: 2,
      pixels: Uint8Array.of(0, 0, 0, 0, 51, 51, 51, 51),
    };
    const { data } = pixelRows(two);
    const square = [...data.subarray(4)].reduce((total, v) => total + v * v, 0);
    expect(Math.sqrt(square)).toBeCloseTo(0.2, 6);
  });
});
