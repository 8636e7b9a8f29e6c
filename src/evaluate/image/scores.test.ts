import { describe, expect, it } from 'vitest';
import { Random } from '../../base/rng.ts';
import { createBackend } from '../../runtime/index.ts';
import { pixelFeatures } from './features.ts';
import type { Features } from './frechet.ts';
import golden from './golden/scores.json' with { type: 'json' };
import { backendProducts } from './products.ts';
import { inceptionScore, kernelDistance, precisionAndRecall } from './scores.ts';

const features = (rows: readonly (readonly number[])[]): Features => ({
  count: rows.length,
  width: (rows[0] as readonly number[]).length,
  data: Float64Array.from(rows.flat()),
});

describe('scores equal their reference implementations', () => {
  const real = features(golden.real);
  const fake = features(golden.fake);

  it('kernel distance: all pictures in one subset', async () => {
    const { mean, deviation } = await kernelDistance(real, fake, { subsets: 3 });
    expect(mean).toBeCloseTo(golden.kid, 9);
    expect(deviation).toBe(0);
  });

  it('kernel distance over random subsets is near, and nothing between halves of one set', async () => {
    const { mean } = await kernelDistance(real, fake, { subsets: 200, size: 20 });
    expect(Math.abs(mean - golden.kid)).toBeLessThan(0.2 * Math.abs(golden.kid));
  });

  it('Inception score', () => {
    const { mean, deviation } = inceptionScore(features(golden.logits), 4);
    expect(mean).toBeCloseTo(golden.inception.mean, 9);
    expect(deviation).toBeCloseTo(golden.inception.deviation, 9);
  });

  it('precision and recall', async () => {
    const found = await precisionAndRecall(real, fake);
    expect(found.precision).toBeCloseTo(golden.precision, 9);
    expect(found.recall).toBeCloseTo(golden.recall, 9);
  });

  it('are the same by the backend’s products', async () => {
    const backend = await createBackend('cpu', { threads: 1, inline: true });
    const quick = backendProducts(backend, real.width);
    const { products } = quick;
    expect((await kernelDistance(real, fake, { subsets: 1, products })).mean).toBeCloseTo(golden.kid, 4);
    const found = await precisionAndRecall(real, fake, { products });
    expect(found.precision).toBeCloseTo(golden.precision, 9);
    await quick.close();
    await backend.close();
  });
});

describe('precision and recall tell what is missing', () => {
  const cloud = (count: number, at: number, seed: number): number[][] => {
    const random = new Random(seed, 'cloud');
    return Array.from({ length: count }, () => [at + random.normal(), random.normal()]);
  };

  it('half the modes: good pictures, little variety', async () => {
    const real = features([...cloud(60, 0, 1), ...cloud(60, 50, 2)]);
    const fake = features(cloud(120, 0, 3));
    const { precision, recall } = await precisionAndRecall(real, fake);
    expect(precision).toBeGreaterThan(0.8);
    expect(recall).toBeLessThan(0.6);
  });
});

describe('plain pixels', () => {
  it('are means over a grid of 16 × 16', async () => {
    const pixels = Uint8Array.from({ length: 32 * 32 }, (_, i) => (i % 32 < 16 ? 255 : 0));
    const { features: found } = await pixelFeatures().extract({ count: 1, channels: 1, size: 32, pixels });
    expect(found.width).toBe(256);
    expect(found.data[0]).toBeCloseTo(1, 6);
    expect(found.data[15]).toBe(0);
  });
});
