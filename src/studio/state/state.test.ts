import { describe, expect, it, vi } from 'vitest';
import { languageOf } from './preferences.ts';
import { address, parseRoute } from './route.ts';
import { createStore } from './store.ts';

describe('routes', () => {
  it('go both ways', () => {
    expect(parseRoute('#/models/a%2Fb%20c')).toEqual({ room: 'models', id: 'a/b c', query: {} });
    expect(parseRoute(address('models', 'a/b c'))).toEqual({ room: 'models', id: 'a/b c', query: {} });
    expect(parseRoute(address('playground', undefined, { model: 'x&y=1' })).query).toEqual({
      model: 'x&y=1',
    });
  });

  it('lead to the playground when they are unknown', () => {
    for (const hash of ['', '#', '#/', '#/nowhere/x', '#content'])
      expect(parseRoute(hash).room).toBe('playground');
    expect(parseRoute('#/train/%E0%A4%A').id).toBe('%E0%A4%A');
  });
});

describe('stores', () => {
  it('merge changes and tell the watchers until they leave', () => {
    const store = createStore({ a: 1, b: 2 });
    const watcher = vi.fn();
    const leave = store.subscribe(watcher);
    store.set({ a: 3 });
    store.set(({ b }) => ({ b: b + 1 }));
    leave();
    store.set({ a: 0 });
    expect(watcher).toHaveBeenCalledTimes(2);
    expect(store.get()).toEqual({ a: 0, b: 3 });
  });

  it('let a watcher leave while it is told', () => {
    const store = createStore({ a: 1 });
    const seen: string[] = [];
    const leave = store.subscribe(() => {
      seen.push('first');
      leave();
    });
    store.subscribe(() => seen.push('second'));
    store.set({ a: 2 });
    store.set({ a: 3 });
    expect(seen).toEqual(['first', 'second', 'second']);
  });
});

it('takes the page’s language from the browser’s tag', () => {
  expect(['zh', 'zh-CN', 'ZH-hant-TW', 'en-GB', 'de', ''].map(languageOf)).toEqual([
    'zh',
    'zh',
    'zh',
    'en',
    'en',
    'en',
  ]);
});
