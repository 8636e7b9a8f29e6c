import { describe, expect, it } from 'vitest';
import type { PictureModel } from '../api/types.ts';
import { dotted, emptyMask, fullMask, maskPixels, partOf, stroked } from './mask.ts';
import { DEFAULTS, fileName, fitted, generationBody, limitsOf, restored, seedsOf } from './settings.ts';

const model = (pictures: Partial<PictureModel['pictures']>): PictureModel => ({
  ...{ id: 'm', family: 'image', parameters: 1, context: 0, created: 0, chat: false },
  ...{ state: 'ready', source: 'folder', card: '' },
  pictures: {
    ...{ architecture: 'gan', size: 28, channels: 1, classes: [], styles: 0 },
    ...{
      between: true,
      edits: false,
      masks: false,
      steps: 0,
      tuning: { layers: [], early: [], augments: true },
    },
    ...pictures,
  },
});

describe('settings', () => {
  it('keep only what a model knows', () => {
    const settings = { ...DEFAULTS, label: 7, truncation: 0.5, guidance: 4, steps: 999, scale: 99 };
    const gan = fitted(model({ classes: ['a', 'b'] }), settings);
    expect(gan).toMatchObject({ label: 1, truncation: 0.5, guidance: 1, steps: 1, scale: 16 });
    const ddpm = model({ edits: true, between: false, steps: 100, size: 32 });
    expect(fitted(ddpm, settings)).toMatchObject({ label: -1, truncation: 1, guidance: 1, steps: 100 });
    expect(limitsOf(model({ size: 1500 })).scale.most).toBe(1);
  });

  it('become a request without what goes without saying', () => {
    expect(generationBody(model({}), DEFAULTS)).toEqual({
      ...{ model: 'm', prompt: '', n: 16, seed: 1, output_format: 'png' },
    });
    const settings = { ...DEFAULTS, label: 1, truncation: 0.7, scale: 3 };
    expect(generationBody(model({ classes: ['a', 'b'] }), settings)).toMatchObject({
      ...{ label: 'b', truncation: 0.7, size: '84x84' },
    });
    const asked = generationBody(model({ edits: true, classes: ['a'], steps: 50 }), settings);
    expect(asked).toMatchObject({ steps: 50, guidance: 1 });
    expect(asked.truncation).toBeUndefined();
    expect(asked).not.toHaveProperty('eta');
    const noisy = { ...settings, scale: 4, smooth: true, eta: 0.5 };
    const smooth = generationBody(model({ edits: true, steps: 50 }), noisy);
    expect(smooth).toMatchObject({ upscale: 4, eta: 0.5 });
    expect(smooth).not.toHaveProperty('size');
    // More than a convolution enlarges.
    expect(generationBody(model({}), { ...noisy, scale: 5 })).toMatchObject({ size: '140x140' });
  });

  it('are read back, whatever a browser kept', () => {
    expect(restored({ count: 'many', format: 'exe', seed: 7, truncation: Number.NaN })).toEqual({
      ...DEFAULTS,
      seed: 7,
    });
  });

  it('read seeds with commas or spaces of any language', () => {
    expect(seedsOf('1, 2，3、4  5')).toEqual([1, 2, 3, 4, 5]);
    for (const wrong of ['', '1', '1, two', '1, -2', '1, 2.5', '1, 99999999999', '1 '.repeat(17)])
      expect(seedsOf(wrong), wrong).toBeUndefined();
  });

  it('name files that every system takes', () => {
    expect(fileName('ft:a/b', 'seed1', 'png')).toBe('ft-a-b-seed1.png');
  });
});

describe('a mask', () => {
  it('is painted in dots and wiped again, within its edges', () => {
    const one = dotted(emptyMask(8), { x: 0, y: 0, width: 1 });
    expect(partOf(one)).toBe(1 / 64);
    expect(partOf(dotted(one, { x: 0, y: 0, width: 1, paint: false }))).toBe(0);
    const round = dotted(emptyMask(8), { x: 4, y: 4, width: 3 });
    expect(round.marks.reduce((a, b) => a + b, 0)).toBe(9);
    expect(partOf(dotted(emptyMask(8), { x: 7, y: 7, width: 60 }))).toBe(1);
  });

  it('has no holes where the hand was quick', () => {
    const line = stroked(emptyMask(16), { x: 1, y: 3 }, { x: 12, y: 3 }, { width: 1 });
    const painted = [...line.marks.keys()].filter((i) => line.marks[i] === 1);
    expect(painted).toEqual(Array.from({ length: 12 }, (_, i) => 3 * 16 + 1 + i));
  });

  it('is transparent where the picture is made anew', () => {
    const pixels = maskPixels(dotted(emptyMask(2), { x: 1, y: 0, width: 1 }));
    expect([3, 7, 11, 15].map((i) => pixels[i])).toEqual([255, 0, 255, 255]);
    expect(maskPixels(fullMask(2)).every((value) => value === 0)).toBe(true);
  });
});
