import { describe, expect, it } from 'vitest';
import { QuickRandom } from '../../nn/adversarial/draw.ts';
import { createBackend } from '../../runtime/index.ts';
import type { Pictures } from './request.ts';
import { upscaled } from './upscale.ts';

const SIZE = 9;

/** Bright and dark places, all of them in two channels. */
function noise(): Pictures {
  const random = new QuickRandom(5, 'noise');
  const pixels = Uint8Array.from({ length: 2 * 2 * SIZE * SIZE }, () => Math.floor(256 * random.uniform()));
  return { count: 2, channels: 2, size: SIZE, pixels };
}

/** Lanczos resampling at one place, as its definition has it: a sum over all pixels within three of it, in both directions. */
function directly(at: (y: number, x: number) => number, y: number, x: number, factor: number): number {
  const weigh = (d: number): number => {
    if (d === 0) return 1;
    if (Math.abs(d) >= 3) return 0;
    return (3 * Math.sin(Math.PI * d) * Math.sin((Math.PI * d) / 3)) / (Math.PI * d) ** 2;
  };
  const inside = (i: number): number => Math.min(SIZE - 1, Math.max(0, i));
  const [v, u] = [(y + 0.5) / factor - 0.5, (x + 0.5) / factor - 0.5];
  let total = 0;
  let all = 0;
  for (let i = Math.ceil(v - 3); i <= v + 3; i++)
    for (let j = Math.ceil(u - 3); j <= u + 3; j++) {
      const weight = weigh(v - i) * weigh(u - j);
      total += weight * at(inside(i), inside(j));
      all += weight;
    }
  return total / all;
}

describe('enlarging by convolution', () => {
  it.each([
    ['cpu', 2],
    ['cpu', 3],
    ['cpu', 4],
    ['reference', 2],
  ] as const)('is Lanczos resampling (%s, %i times)', async (name, factor) => {
    const backend = await createBackend(name, { threads: 1, inline: true });
    const given = noise();
    const made = await upscaled(backend, given, factor);
    await backend.close();
    const side = SIZE * factor;
    expect([made.count, made.channels, made.size, made.pixels.length]).toEqual([2, 2, side, 4 * side * side]);
    made.pixels.forEach((pixel, i) => {
      const plane = Math.floor(i / (side * side));
      const at = (y: number, x: number): number => given.pixels[(plane * SIZE + y) * SIZE + x] as number;
      const wanted = directly(at, Math.floor(i / side) % side, i % side, factor);
      const cut = Math.min(255, Math.max(0, wanted));
      expect(Math.abs(pixel - cut), `${i}: ${pixel} ${wanted}`).toBeLessThan(0.51);
    });
  });

  it('leaves a flat picture flat, and mirrors with its picture', async () => {
    const backend = await createBackend('cpu', { threads: 1, inline: true });
    const flat = { count: 1, channels: 1, size: SIZE, pixels: new Uint8Array(SIZE * SIZE).fill(200) };
    expect(new Set((await upscaled(backend, flat, 4)).pixels)).toEqual(new Set([200]));
    const given = noise();
    const turned = { ...given, pixels: Uint8Array.from(given.pixels).reverse() };
    const made = await upscaled(backend, given, 2);
    const other = await upscaled(backend, turned, 2);
    await backend.close();
    const apart = made.pixels.map((pixel, i) => Math.abs(pixel - (other.pixels.at(-1 - i) as number)));
    expect(Math.max(...apart)).toBeLessThanOrEqual(1);
  });
});
