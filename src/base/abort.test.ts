/** Signals that follow others, and what is left of them in those. */
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { following } from './abort.ts';

describe('a signal that follows others', () => {
  it('is aborted with the first of them, for its reason', () => {
    const [one, two] = [new AbortController(), new AbortController()];
    const { signal } = following(one.signal, undefined, two.signal);
    expect(signal.aborted).toBe(false);
    two.abort('second');
    one.abort('first');
    expect([signal.aborted, signal.reason]).toEqual([true, 'second']);
  });

  it('is aborted from the beginning where one of them is', () => {
    expect(following(undefined, AbortSignal.abort('before')).signal.reason).toBe('before');
    expect(following().signal.aborted).toBe(false);
  });

  it('leaves nothing behind when it is released', () => {
    const long = new AbortController();
    const follower = following(long.signal);
    expect(getEventListeners(long.signal, 'abort')).toHaveLength(1);
    follower.release();
    expect(getEventListeners(long.signal, 'abort')).toHaveLength(0);
    long.abort();
    expect(follower.signal.aborted).toBe(false);
  });
});
