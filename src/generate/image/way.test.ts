import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageConfig, imageParameters } from '../../models/image/any.ts';
import { initialise } from '../../nn/parameters.ts';
import type { Backend } from '../../runtime/contract.ts';
import { createBackend } from '../../runtime/index.ts';
import { pictureMaker } from './any.ts';
import type { PictureMaker } from './request.ts';
import { wayBetween } from './way.ts';

const config = imageConfig.parse({
  ...{ architecture: 'stylegan2', size: 16, channels: 1, width: 4, widest: 8, latent: 6, style: 5 },
  classes: 2,
});

let cpu: Backend;
let maker: PictureMaker;
beforeAll(async () => {
  cpu = await createBackend('cpu', { threads: 1, inline: true });
  maker = pictureMaker(config, cpu, initialise(imageParameters(config), 3));
});
afterAll(async () => {
  await maker.close();
  await cpu.close();
});

describe('a way between pictures', () => {
  it('takes labels and seeds of mixed styles by stretches', () => {
    const asked = { seeds: [1, 2], labels: [0, 1], mixWith: { seeds: [7, 8], crossover: 2 } };
    const way = wayBetween(config, asked, 3);
    expect(way.labels).toEqual([0, 0, 0, 1, 1, 1]);
    expect(way.mixWith).toEqual({ seeds: [7, 7, 7, 8, 8, 8], crossover: 2 });
    // A seed alone goes to the number after it: one mixed seed for both stretches.
    const alone = wayBetween(config, { seeds: [1], mixWith: { seeds: [7], crossover: 2 } }, 2);
    expect(alone.mixWith?.seeds).toEqual([7, 7, 7, 7]);
  });

  it('is mixed in every frame, beyond one batch, and begins at the seeds’ own mixed pictures', async () => {
    const mixWith = { seeds: [7, 7], crossover: 2 };
    const frames = 10;
    const film = await maker.make(wayBetween(config, { seeds: [1, 2], mixWith }, frames));
    const plain = await maker.make(wayBetween(config, { seeds: [1, 2] }, frames));
    const ends = await maker.make({ seeds: [1, 2], mixWith });
    const place = film.pixels.length / film.count;
    expect(film.count).toBe(2 * frames);
    const frame = (all: typeof film, at: number) => [...all.pixels.subarray(at * place, (at + 1) * place)];
    const farthest = (one: number[], other: number[]) =>
      Math.max(...one.map((value, i) => Math.abs(value - (other[i] as number))));
    for (const i of [0, 1]) expect(farthest(frame(film, i * frames), frame(ends, i))).toBeLessThanOrEqual(1);
    for (let i = 0; i < film.count; i++) expect(frame(film, i), `${i}`).not.toEqual(frame(plain, i));
  });
});
