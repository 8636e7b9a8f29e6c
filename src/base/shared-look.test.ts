import { expect, test } from 'vitest';
import { SharedLook } from './shared-look.ts';

/** A look at a number that takes a few turns of the loop, and how often it was made. */
function scene(): { look: SharedLook<number>; set(value: number): void; looks: () => number } {
  let value = 0;
  let looks = 0;
  const look = new SharedLook(async () => {
    looks++;
    const seen = value;
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (seen < 0) throw new Error(`${seen}`);
    return seen;
  });
  const set = (next: number): void => {
    value = next;
  };
  return { look, set, looks: () => looks };
}

test('many at once cost two looks', async () => {
  const { look, looks } = scene();
  await Promise.all(Array.from({ length: 50 }, () => look.get()));
  expect(looks()).toBe(2);
  await look.get();
  expect(looks()).toBe(3);
});

test('nobody is told what was so before they asked', async () => {
  const { look, set } = scene();
  const told: Promise<void>[] = [];
  for (let i = 1; i <= 40; i++) {
    set(i);
    told.push(look.get().then((seen) => expect(seen).toBeGreaterThanOrEqual(i)));
    await new Promise((resolve) => setTimeout(resolve, i % 3));
  }
  await Promise.all(told);
});

test('a look that fails is told to those who share it, and to nobody else', async () => {
  const { look, set } = scene();
  set(-1);
  const first = look.get();
  const second = look.get();
  set(1);
  await expect(first).rejects.toThrow('-1');
  expect(await second).toBe(1);
  expect(await look.get()).toBe(1);
});
