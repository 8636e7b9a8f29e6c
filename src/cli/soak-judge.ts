/**
 * What a soak saw, judged: whether memory, handles or tables grow. A part's memory is judged twice: what it has of the machine,
 * and what its JavaScript still holds after whole collections. Knows no processes and no clock.
 */
import { type Growth, growth } from '../operate/watch/trend.ts';
import type { PartUse } from './soak-look.ts';

/** A number that was looked at again and again: seconds since the time began, and what was seen. */
export interface Series {
  at: number[];
  seen: number[];
}

export interface PartSeries {
  memory: Series;
  held: Series;
  handles: Series;
}

export interface PartJudged {
  /** Resident bytes; slopes in bytes a second. */
  memory: Growth | null;
  /** Bytes that JavaScript held after each whole collection; null where too few came. */
  held: Growth | null;
  /** Open files, sockets and pipes. */
  handles: Growth | null;
}

/** Growth over the whole judged time that is none: what allocators and pools keep. */
const LEAST = { memory: 8 * 2 ** 20, held: 2 * 2 ** 20, handles: 4 };
/** Looks, or collections, below which nothing is said. */
const FEWEST = 8;

const WHAT = ['memory', 'held', 'handles'] as const;

/** Everything that was looked at, part by part. */
export class Looks {
  readonly parts: Record<string, PartSeries> = {};

  private part(name: string): PartSeries {
    const empty = (): Series => ({ at: [], seen: [] });
    this.parts[name] ??= { memory: empty(), held: empty(), handles: empty() };
    return this.parts[name];
  }

  use(at: number, uses: Readonly<Record<string, PartUse>>): void {
    for (const [name, { resident, handles }] of Object.entries(uses)) {
      const { memory, handles: open } = this.part(name);
      add(memory, at, resident);
      add(open, at, handles);
    }
  }

  /** What is told again and again until the next collection counts once. */
  held(at: number, bytes: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(bytes)) {
      const { held } = this.part(name);
      if (held.seen.at(-1) !== value) add(held, at, value);
    }
  }
}

function add({ at, seen }: Series, second: number, value: number): void {
  at.push(second);
  seen.push(value);
}

/** @param from seconds before which nothing is judged */
export function judgeParts(
  parts: Readonly<Record<string, PartSeries>>,
  from: number,
): Record<string, PartJudged> {
  const judged = (series: Series, least: number): Growth | null => {
    const first = series.at.findIndex((at) => at >= from);
    if (first < 0 || series.at.length - first < FEWEST) return null;
    return growth(series.at.slice(first), series.seen.slice(first), least);
  };
  return Object.fromEntries(
    Object.entries(parts).map(([name, series]) => [
      name,
      Object.fromEntries(
        WHAT.map((what) => [what, judged(series[what], LEAST[what])]),
      ) as unknown as PartJudged,
    ]),
  );
}

/**
 * What of all that grows.
 * @param allowed rows that a table may have more: of requests that failed half-way
 */
export function growing(
  parts: Readonly<Record<string, PartJudged>>,
  tables: Readonly<Record<string, { before: number; after: number }>>,
  allowed: number,
): string[] {
  return [
    ...Object.entries(parts).flatMap(([part, judged]) =>
      WHAT.filter((what) => judged[what]?.grows === true).map((what) => `${part} ${what}`),
    ),
    ...Object.entries(tables)
      .filter(([, { before, after }]) => after > before + allowed)
      .map(([name]) => `table ${name}`),
  ];
}

/** Null where the server's memory and handles were not seen often enough to say so. */
export function isFlat(
  parts: Readonly<Record<string, PartJudged>>,
  found: readonly string[],
): boolean | null {
  if (found.length > 0) return false;
  const { memory = null, handles = null } = parts.server ?? {};
  return memory === null || handles === null ? null : true;
}
