import { expect, it } from 'vitest';
import { Experience } from './experience.ts';

it('keeps the most of late for each model, and forgets what is long ago', () => {
  const seen = new Experience();
  expect([seen.tokensPerByte('m'), seen.longest('m')]).toEqual([undefined, 0]);
  seen.add('m', { bytes: 100, prompt: 90, free: 700 });
  seen.add('m', { bytes: 100, prompt: 25, free: 10 });
  seen.add('m', { bytes: 0, prompt: 5 });
  seen.add('other', { bytes: 10, prompt: 1, free: 3 });
  expect([seen.tokensPerByte('m'), seen.longest('m')]).toEqual([0.9, 700]);
  for (let i = 0; i < 64; i++) seen.add('m', { bytes: 100, prompt: 30, free: 20 });
  expect([seen.tokensPerByte('m'), seen.longest('m')]).toEqual([0.3, 20]);
  for (let i = 0; i < 300; i++) seen.add(`name-${i}`, { bytes: 1, prompt: 1 });
  expect(seen.tokensPerByte('m')).toBeUndefined();
});
