/** Arithmetic of attention maps: rows, columns, means over heads, habits of a head. Knows no drawing. */
import type { Inspection } from '../api/types.ts';

/** One head's map, `[time, time]`, row by row. */
export type HeadMap = Float32Array;

export interface Layer {
  layer: number;
  heads: readonly HeadMap[];
  /** Mean of all heads. */
  mean: HeadMap;
}

/** Little-endian float32 out of base64. */
export function floatsOf(text: string): Float32Array {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

export function layersOf({ attention, tokens }: Pick<Inspection, 'attention' | 'tokens'>): Layer[] {
  const size = tokens.length ** 2;
  return (attention?.layers ?? []).map(({ layer, heads: count, weights }) => {
    const all = floatsOf(weights);
    const heads = Array.from({ length: count }, (_, head) => all.subarray(head * size, (head + 1) * size));
    const mean = Float32Array.from({ length: size }, (_, i) => {
      let total = 0;
      for (const head of heads) total += head[i] as number;
      return total / count;
    });
    return { layer, heads, mean };
  });
}

export type Direction = 'from' | 'to';

/** What one token looks at (a row), or who looks at it (a column). */
export function sharesOf(map: HeadMap, time: number, token: number, direction: Direction): number[] {
  return Array.from(
    { length: time },
    (_, other) => (direction === 'from' ? map[token * time + other] : map[other * time + token]) ?? 0,
  );
}

/** Where a head looks by habit: means over all tokens but the first, which has no choice in a causal model. */
export interface Habit {
  self: number;
  previous: number;
  first: number;
  /** Mean distance in tokens. */
  distance: number;
}

export function habitOf(map: HeadMap, time: number): Habit {
  const habit = { self: 0, previous: 0, first: 0, distance: 0 };
  const rows = time - 1;
  if (rows < 1) return { ...habit, self: 1 };
  for (let query = 1; query < time; query += 1) {
    const at = query * time;
    habit.self += (map[at + query] ?? 0) / rows;
    habit.previous += (map[at + query - 1] ?? 0) / rows;
    habit.first += (map[at] ?? 0) / rows;
    for (let key = 0; key < time; key += 1)
      habit.distance += ((map[at + key] ?? 0) * Math.abs(query - key)) / rows;
  }
  return habit;
}

/** The head that is most decided: whose rows hold the largest single shares. The first token has no choice. */
export function sharpest(layers: readonly Layer[], time: number): { layer: number; head: number } {
  let best = { layer: 0, head: 0, decided: -1 };
  layers.forEach(({ heads }, layer) => {
    heads.forEach((map, head) => {
      let decided = 0;
      for (let query = 1; query < time; query += 1) {
        let most = 0;
        for (let key = 0; key < time; key += 1) most = Math.max(most, map[query * time + key] ?? 0);
        decided += most;
      }
      if (decided > best.decided) best = { layer, head, decided };
    });
  });
  return { layer: best.layer, head: best.head };
}

/** How dark a share is drawn, 0 to 1: small shares are lifted, so that they can be seen at all. */
export const darkness = (share: number): number => Math.min(1, Math.max(0, share)) ** 0.6;
