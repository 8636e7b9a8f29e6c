/** How fresh keys are: read beside the requests, believed for a second, never older than a change of one's own. */
import { describe, expect, it } from 'vitest';
import type { Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { type KeyRow, Keys } from './keys.ts';

/** Rows in memory; a read shows them as they were when it began, and may be held back or made to fail. */
function scene() {
  const rows = new Map<string, KeyRow>();
  const state = { at: 0, reads: 0, hold: undefined as Promise<void> | undefined, broken: false };
  const store = {
    rows: {
      async list() {
        state.reads++;
        const seen = [...rows.values()];
        await state.hold;
        if (state.broken) throw new InkstoneError('store_away', 'away', { kind: 'resource' });
        return seen;
      },
      put: async (_: string, row: KeyRow) => void rows.set(row.id, row),
      remove: async (_: string, id: string) => rows.delete(id),
    },
  } as unknown as Store;
  const keys = new Keys(store, () => state.at);
  /** Holds reads back until it is called. */
  const hold = (): (() => void) => {
    let release = (): void => undefined;
    state.hold = new Promise((resolve) => {
      release = () => {
        state.hold = undefined;
        resolve();
      };
    });
    return release;
  };
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'none',
      (thrown: unknown) => (InkstoneError.is(thrown) ? thrown.code : String(thrown)),
    );
  return { rows, state, keys, hold, check: (key: string) => codeOf(keys.check(`Bearer ${key}`)) };
}

/** Whether it is over once everything that waits for nothing outside has run. */
async function settled(work: Promise<unknown>): Promise<boolean> {
  const open = Symbol('open');
  const turn = new Promise((resolve) => setImmediate(() => resolve(open)));
  return (await Promise.race([work, turn])) !== open;
}

describe('keys that are known', () => {
  it('are read again by one of many requests, and none of them waits', async () => {
    const { state, keys, hold, check } = scene();
    const { key } = await keys.create('a');
    expect(await check(key)).toBe('none');
    state.reads = 0;
    state.at = 600;
    const release = hold();
    const many = Promise.all(Array.from({ length: 50 }, () => check(key)));
    expect(await settled(many)).toBe(true);
    expect(new Set(await many)).toEqual(new Set(['none']));
    expect(state.reads).toBe(1);
    release();
  });

  it('are not believed for longer than a second: what was taken back elsewhere is refused then', async () => {
    const { rows, state, keys, hold, check } = scene();
    const { key } = await keys.create('a');
    await keys.create('b');
    expect(await check(key)).toBe('none');
    const row = [...rows.values()].find(({ name }) => name === 'a') as KeyRow;
    rows.delete(row.id);
    state.at = 1000;
    const release = hold();
    expect(await check(key)).toBe('none');
    state.at = 1001;
    const late = check(key);
    expect(await settled(late)).toBe(false);
    release();
    expect(await late).toBe('invalid_api_key');
  });

  it('count as old as the beginning of the read that found them', async () => {
    const { rows, state, keys, hold, check } = scene();
    const { key, row } = await keys.create('a');
    await keys.create('b');
    const release = hold();
    const first = check(key);
    rows.delete(row.id);
    state.at = 5000;
    release();
    expect(await first).toBe('none');
    expect(await check(key)).toBe('invalid_api_key');
  });

  it('are forgotten with a change of our own, also by a read that began before it', async () => {
    const { state, keys, hold, check } = scene();
    const { key, row } = await keys.create('a');
    await keys.create('b');
    expect(await check(key)).toBe('none');
    state.at = 600;
    const release = hold();
    expect(await check(key)).toBe('none');
    state.hold = undefined;
    // `list` for the name, and the read after the change.
    await keys.revoke(row.id);
    release();
    expect(await check(key)).toBe('invalid_api_key');
    expect(await check(key)).toBe('invalid_api_key');
  });

  it('last as long when the store is away, and then that is told', async () => {
    const { state, keys, check } = scene();
    const { key } = await keys.create('a');
    expect(await check(key)).toBe('none');
    state.broken = true;
    state.at = 600;
    expect(await check(key)).toBe('none');
    expect(await check(key)).toBe('none');
    state.at = 1001;
    expect(await check(key)).toBe('store_away');
    state.broken = false;
    expect(await check(key)).toBe('none');
  });
});
