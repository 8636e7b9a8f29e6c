/**
 * Addresses after the `#`: `#/playground?model=starter`, `#/models/ID`, `#/train/ID`. Knows the rooms'
 * names, not what they show.
 */
import { createStore } from './store.ts';

export const ROOMS = ['playground', 'compare', 'inspect', 'images', 'models', 'train', 'watch'] as const;
export type Room = (typeof ROOMS)[number];

export interface Route {
  room: Room;
  /** The model or training the room is about. */
  id?: string;
  query: Readonly<Record<string, string>>;
}

/** Reads an address; anything unknown leads to the playground. */
export function parseRoute(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [name = '', ...rest] = path.split('/');
  const room = ROOMS.find((known) => known === name) ?? 'playground';
  const id = decode(rest.join('/'));
  return {
    room,
    ...(id === '' ? {} : { id }),
    query: Object.fromEntries(new URLSearchParams(search)),
  };
}

/** The address of a room; the opposite of `parseRoute`. */
export function address(room: Room, id?: string, query: Record<string, string> = {}): string {
  const search = new URLSearchParams(query).toString();
  return `#/${room}${id === undefined ? '' : `/${encodeURIComponent(id)}`}${search === '' ? '' : `?${search}`}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = createStore<{ now: Route }>({ now: parseRoute('') });

export function watchRoute(): void {
  const read = () => route.set({ now: parseRoute(location.hash) });
  addEventListener('hashchange', read);
  read();
}

/** Changes the query of the address without a new page in the history. */
export function setQuery(query: Readonly<Record<string, string>>): void {
  const { room, id } = route.get().now;
  history.replaceState(null, '', address(room, id, query));
  route.set({ now: { room, ...(id === undefined ? {} : { id }), query } });
}

export function go(to: string): void {
  location.hash = to;
}
