/** What this process's JavaScript holds after whole collections. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { heldMemory } from './machine.ts';

const MEGABYTE = 2 ** 20;

it('counts what is held, in the heap and outside, and not what was let go', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  heldMemory();
  let told: number | undefined;
  /** Collects until that was told of, and again: what lies outside is given back beside the first. */
  const after = async (): Promise<number> => {
    for (let i = 0; i < 2; i++) {
      collect();
      await expect.poll(() => heldMemory() !== told, { interval: 5 }).toBe(true);
      told = heldMemory();
    }
    return told ?? Number.NaN;
  };
  const before = await after();
  let kept: unknown[] | undefined = [
    Array.from({ length: 2 * MEGABYTE }, (_, i) => i + 0.5),
    new Uint8Array(32 * MEGABYTE).fill(1),
  ];
  const meanwhile = await after();
  expect(meanwhile - before).toBeGreaterThan(40 * MEGABYTE);
  expect(kept).toHaveLength(2);
  kept = undefined;
  expect(meanwhile - (await after())).toBeGreaterThan(40 * MEGABYTE);
});
