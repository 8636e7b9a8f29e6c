/**
 * A value that components watch: `createStore` holds it, `useStore` draws again when the selected part
 * changes. Does not know what is stored.
 */
import { useEffect, useRef, useState } from 'preact/hooks';

export interface Store<State extends object> {
  get(): State;
  /** Merges a change and tells the watchers; a function receives the state as it is now. */
  set(change: Partial<State> | ((state: State) => Partial<State>)): void;
  /** Returns the function that ends the watching. */
  subscribe(watcher: () => void): () => void;
}

export function createStore<State extends object>(initial: State): Store<State> {
  let state = initial;
  const watchers = new Set<() => void>();
  return {
    get: () => state,
    set(change) {
      state = {
        ...state,
        ...(typeof change === 'function' ? change(state) : change),
      };
      for (const watcher of [...watchers]) watcher();
    },
    subscribe(watcher) {
      watchers.add(watcher);
      return () => {
        watchers.delete(watcher);
      };
    },
  };
}

/** The selected part of a store; the component draws again when it is no longer the same (`Object.is`). */
export function useStore<State extends object, Part>(
  store: Store<State>,
  select: (state: State) => Part,
): Part {
  const part = select(store.get());
  const latest = useRef({ select, part });
  latest.current = { select, part };
  const [, draw] = useState({});
  useEffect(() => {
    const look = () => {
      if (!Object.is(latest.current.part, latest.current.select(store.get()))) draw({});
    };
    // The state may have changed between drawing and watching.
    look();
    return store.subscribe(look);
  }, [store]);
  return part;
}
