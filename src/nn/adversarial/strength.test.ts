/** The rule that moves the strength of augmentation: when, which way, how far. */
import { expect, it } from 'vitest';
import { type AugmentConfig, augmentConfig } from './config.ts';
import { adapted, type Strength } from './strength.ts';

const start: Strength = { now: 0.5, signs: 0, counted: 0 };
const ada = augmentConfig.parse({ name: 'ada', target: 0.6, span: 640 });

/** After signs of that many steps, with batches of 16. */
const after = (signs: readonly number[], augment: AugmentConfig = ada, from = start): Strength =>
  signs.reduce((strength, sign) => adapted(strength, sign, { augment, batch: 16 }), from);

it('moves after every fourth step, by the pictures since then over the span', () => {
  expect(after([1, 1, 1])).toEqual({ now: 0.5, signs: 3, counted: 3 });
  // 4 · 16 pictures of 640.
  expect(after([1, 1, 1, 1])).toEqual({ now: 0.6, signs: 0, counted: 0 });
  expect(after([1, 1, 1, 1, 1, 1, 1, 1]).now).toBeCloseTo(0.7, 12);
});

it('grows where the mean sign is above the target, shrinks below it, and stays on it', () => {
  expect(after([1, 1, 1, -0.5]).now).toBe(0.6);
  expect(after([1, 1, 1, -0.7]).now).toBe(0.4);
  expect(after([0.25, 0.25, 0.25, 0.25], { ...ada, target: 0.25 } as AugmentConfig).now).toBe(0.5);
});

it('never leaves 0 … 1', () => {
  expect(after([1, 1, 1, 1], ada, { ...start, now: 0.95 }).now).toBe(1);
  expect(after([-1, -1, -1, -1], ada, { ...start, now: 0.05 }).now).toBe(0);
});

it('is the same rule for the steps of Diffusion-GAN, and none where the strength is fixed', () => {
  const diffusion = augmentConfig.parse({ name: 'diffusion', span: 640 });
  expect(after([1, 1, 1, 1], diffusion).now).toBe(0.6);
  expect(after([1, 1, 1, 1], { ...ada, fixed: 0.5 } as AugmentConfig)).toBe(start);
  expect(after([1, 1, 1, 1], { name: 'none' })).toBe(start);
});
